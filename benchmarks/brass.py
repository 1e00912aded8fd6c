"""Does the network add anything: is generated brass nearer to recorded brass than the synthesiser's
is?

    python benchmarks/brass.py [--model FILE] [--font FILE] [--notes 2400] [--splits 20]

Notes of a sound font's trumpet, trombone, tuba and French horn, played as they were recorded and at
the semitones that training holds out, are compared by kernel audio distance (KAD, N of each side
printed) with

* other held-out notes: the floor, real to real, which no model can be asked to beat;
* what the model generates for the same controls: kind, pitch, duration, brightness and loudness as
  measured;
* what the synthesiser makes for the same controls.

The held-out notes are halved at random, many times. One half is the reference; what stands for the
other half is compared with it. So all rows have the same N and the same controls, and no sound
meets its own counterpart. Printed are mean and standard deviation over the halvings; these overlap,
so that the deviation is that of one halving, not the error of the mean.

Embeddings are those of a classifier of the four kinds that has heard synthetic and sampled training
notes alike. One that knows only one side would spread that side's sounds out by what distinguishes
its kinds, and lump the other's. How many of each it names right is printed too, then the same for
the synthesiser's held-out toots, and what the model generates for their controls. A font plays
neighbouring semitones from one recording, so a held-out note has relatives in training: this
measures how close a model comes to the recordings of the font, not to brass at large.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from shared import halved, parser_of, place, started
from torch import Tensor
from tqdm import tqdm

import tootlearn
from tootlearn import rng
from tootlearn.controls import Controls, Kind
from tootlearn.data import sampled, synthesis
from tootlearn.data.clips import Clips, synthesise
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models.config import ClassifierConfig
from tootlearn.training.train_classifier import train_classifier

BRASS = ("trumpet", "trombone", "tuba", "french_horn")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--model", type=Path, help="the shipped one by default")
    parser.add_argument("--font", type=Path, help="the installed one by default")
    parser.add_argument(
        "--notes", type=int, default=2400, help="of the font; one in six is held out (default 2400)"
    )
    parser.add_argument(
        "--splits", type=int, default=20, help="halvings of the held-out notes (default 20)"
    )
    parser.add_argument(
        "--steps", type=int, default=ClassifierConfig.steps, help="of the classifier's training"
    )
    parser.add_argument("--seed", type=int, default=4000)
    options = started(parser)
    generator = tootlearn.load(options.model)
    font = options.font or sampled.find_font()
    learn, real = notes(generator, font, options.notes, options.seed)
    judge = train_classifier(
        learn, ClassifierConfig(steps=options.steps), generator.model.front_end.config
    )
    kinds = [real.kinds[k].name for k in real.controls.kind]
    sounds = {"held-out notes": real.log_mel} | made(
        generator, real.controls, real.kinds, options.seed
    )
    sets = {name: judge.embeddings(log_mel) for name, log_mel in sounds.items()}
    right = {name: np.equal(judge.names(log_mel), kinds) for name, log_mel in sounds.items()}
    print(
        f"{Path(font).name}\n{'KAD to held-out notes':24}{'N':>6}"
        + "".join(f"{name:>22}" for name in sets)
    )
    for kind in ("all", *BRASS):
        rows = np.flatnonzero([kind in ("all", own) for own in kinds])
        found = [
            halved(e[rows], sets["held-out notes"][rows], options.splits, options.seed)
            for e in sets.values()
        ]
        cells = [f"{mean:.2f} +- {spread:.2f}" for mean, spread in found]
        print(f"{kind:24}{len(rows) // 2:6}" + "".join(f"{cell:>22}" for cell in cells))
    print(f"\n{'told right by it':30}" + "".join(f"{name:>22}" for name in sets))
    told(right, kinds)
    own = synthesise(BRASS, options.notes, options.seed, generator.model.front_end).split()[1]
    own = own[np.linspace(0, len(own) - 1, min(len(own), len(real))).round().astype(int)]
    kinds = [own.kinds[k].name for k in own.controls.kind]
    sounds = made(generator, own.controls, own.kinds, options.seed) | {"synthesiser": own.log_mel}
    print(f"\n{'for its own controls':30}" + f"{'synthesiser':>22}{'generated':>22}")
    told(
        {name: np.equal(judge.names(sounds[name]), kinds) for name in ("synthesiser", "generated")},
        kinds,
    )


def told(right: dict[str, NDArray[np.bool_]], kinds: Sequence[str]) -> None:
    """Print how many are named right, by kind."""
    for kind in ("all", *BRASS):
        rows = np.flatnonzero([kind in ("all", own) for own in kinds])
        print(
            f"{kind:24}{len(rows):6}"
            + "".join(f"{named[rows].mean():>22.0%}" for named in right.values())
        )


def notes(generator: TootGenerator, font: str | Path, count: int, seed: int) -> tuple[Clips, Clips]:
    """Synthetic and sampled training notes, as many of each, and the held-out sampled notes."""
    front_end = generator.model.front_end
    synthetic = synthesise(BRASS, count, seed, front_end)
    recorded = sampled.clips(font, BRASS, count, seed, front_end, bright=1.0, progress=True)
    learn, held_out = recorded.split()
    return Clips.concatenate([synthetic.split()[0], learn]), held_out


def made(
    generator: TootGenerator, asked: Controls, kinds: Sequence[Kind], seed: int
) -> dict[str, Tensor]:
    """Log-mels (B, M, T) of what the model and the synthesiser make for these controls."""
    index = {kind.name: k for k, kind in enumerate(generator.model.kinds)}
    waves = torch.zeros(2, len(asked), WINDOW_SAMPLES)
    for i in tqdm(range(len(asked)), desc="made", unit="toot", leave=False, disable=None):
        row, kind, own = asked[i : i + 1], kinds[asked.kind[i]], rng.child(seed, i)
        row = Controls(
            np.array([index[kind.name]]),
            row.pitch.clip(*kind.pitch),
            row.duration.clip(*kind.duration),
            row.brightness.clip(0, 1),
            row.loudness,
        )
        wave = torch.from_numpy(generator.render(row, generator.residual(row, own), own))
        place(waves[0, i], wave)
        figures = (float(x[0]) for x in (row.pitch, row.duration, row.brightness, row.loudness))
        waves[1, i] = torch.from_numpy(synthesis.render(kind.name, *figures, own))
    return dict(zip(("generated", "synthesiser"), generator.model.front_end(waves), strict=True))


if __name__ == "__main__":
    main()
