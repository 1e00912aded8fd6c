"""Whether variations stay what they are variations of, and differ; and how even the steps of a
morph are.

    python benchmarks/variation.py [--sounds 36] [--variations 4] [--pairs 24] [--clips 2400]

Sounds are the synthesiser's, which the shipped model has not heard with these seeds. Printed for
each amount: how many variations a classifier names as what the sound is (it has heard synthetic
toots alone, and is trained first: a minute), and their distance from one another in dB, RMS over
bands and frames of the log-mel, beside that of different toots of one kind. Of morphs between pairs
of generated toots: the largest step over the mean step, in dB of the log-mel, for residuals that
are mixed as they are, as noise of the prior, and as noise along the sphere: 1 is even. And the
largest step against the way, of each measure, in the morphs as `variation.morph` makes them.
"""

import argparse
import math

import numpy as np
import torch
from shared import parser_of, place, started
from torch import Tensor

import tootlearn
from tootlearn.data import synthesis
from tootlearn.data.clips import synthesise
from tootlearn.data.synthesis import natural_controls
from tootlearn.dsp import measures
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.generation import variation
from tootlearn.generation.inversion import invert
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models.decoder import Condition
from tootlearn.training.train_classifier import train_classifier

AMOUNTS = (0.0, 0.25, 0.5, 1.0)
NEPER = 20 / math.log(10)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sounds", type=int, default=36)
    parser.add_argument("--variations", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--clips", type=int, default=2400, help="that the classifier learns from")
    parser.add_argument("--seed", type=int, default=77)
    options = started(parser)
    generator = tootlearn.load()
    invert_and_vary(generator, options)
    morphs(generator, options)


def invert_and_vary(generator: TootGenerator, options: argparse.Namespace) -> None:
    kinds = generator.model.kinds
    judge = train_classifier(
        synthesise(generator.kinds, options.clips, 0, generator.model.front_end)
    )
    asked = natural_controls(kinds, options.sounds, options.seed)
    named, true, kept, apart = [], [], {a: [] for a in AMOUNTS}, {a: [] for a in AMOUNTS}
    for i in range(options.sounds):
        row, name = asked[i : i + 1], kinds[int(asked.kind[i])].name
        values = [
            float(getattr(row, c)[0]) for c in ("pitch", "duration", "brightness", "loudness")
        ]
        wave = torch.from_numpy(synthesis.render(name, *values, 10_000 + i))
        true.append(name)
        named.append(generator.kinds[int(invert(generator, wave).controls.kind[0])])
        sound = invert(generator, wave, name)
        for amount in AMOUNTS:
            toots = variation.vary(generator, sound, options.variations, i, amount)
            log_mel = in_windows(generator, [toot.wave for toot in toots])
            kept[amount] += [found == name for found in judge.names(log_mel)]
            apart[amount].append(
                float(torch.pdist(log_mel.flatten(1)).mean()) / log_mel[0].numel() ** 0.5 * NEPER
            )
    right = np.mean([a == b for a, b in zip(named, true, strict=True)])
    print(f"kinds of {options.sounds} synthetic sounds found by the generator itself: {right:.0%}")
    print(
        f"{'amount':10}{'kind kept':>12}{'apart, dB':>12}   N = {options.sounds} x "
        f"{options.variations}"
    )
    for amount in AMOUNTS:
        print(f"{amount:<10}{np.mean(kept[amount]):12.1%}{np.mean(apart[amount]):12.2f}")


def in_windows(generator: TootGenerator, waves: list[np.ndarray]) -> Tensor:
    """Log-mels (B, M, T) of toots, each at the beginning of a window."""
    windows = torch.zeros(len(waves), WINDOW_SAMPLES)
    for window, wave in zip(windows, waves, strict=True):
        place(window, torch.from_numpy(wave))
    log_mel: Tensor = generator.model.front_end(windows)
    return log_mel


@torch.inference_mode()
def morphs(generator: TootGenerator, options: argparse.Namespace, steps: int = 7) -> None:
    asked = natural_controls(generator.model.kinds, 96, options.seed + 1)
    chosen = np.random.default_rng(options.seed).integers(0, 96, (options.pairs, 2))
    uneven: dict[str, list[float]] = {"as they are": [], "as noise": [], "along the sphere": []}
    against = []
    for i, (a, b) in enumerate(chosen):
        first = variation.from_controls(generator, asked[a : a + 1], 2 * i)
        last = variation.from_controls(generator, asked[b : b + 1], 2 * i + 1)
        for mixing, found in uneven.items():
            step = log_mel_steps(generator, first, last, steps, mixing)
            found.append(float(step.max() / step.mean()))
        toots = list(variation.morph(generator, first, last, steps, i))
        waves = [torch.from_numpy(toot.wave) for toot in toots]
        measured = [measures.measure(wave, generator.sample_rate) for wave in waves]
        octaves = [
            float(torch.log2(m.centroid / float(t.controls.pitch[0])))
            for m, t in zip(measured, toots, strict=True)
        ]
        rows = np.array(
            [
                [1000 * float(m.duration), o, float(m.loudness)]
                for m, o in zip(measured, octaves, strict=True)
            ]
        )
        against.append(-np.minimum((np.diff(rows, axis=0) * np.sign(rows[-1] - rows[0])).min(0), 0))
    print(
        f"largest step over mean step of the log-mel, median and worst of {options.pairs} "
        f"pairs, {steps} steps"
    )
    for mixing, found in uneven.items():
        print(f"residuals {mixing:20}{np.median(found):8.3f}{np.max(found):8.3f}")
    worst = np.max(against, 0)
    print(
        f"worst step against the way: {worst[0]:.2f} ms, {worst[1]:.3f} octaves, {worst[2]:.3f} dB"
    )


def log_mel_steps(
    generator: TootGenerator,
    first: variation.Inversion,
    last: variation.Inversion,
    steps: int,
    mixing: str,
) -> Tensor:
    """RMS difference of neighbouring log-mels as drawn, (steps - 1,)."""
    network, count = generator.network, len(generator.kinds)
    ends = [Condition.of(sound.controls) for sound in (first, last)]
    noise = [network.prior.noise(c, s.residual) for c, s in zip(ends, (first, last), strict=True)]
    cosine = torch.nn.functional.cosine_similarity(*noise).clamp(-0.9999, 0.9999)
    drawn = []
    for share in torch.linspace(0, 1, steps).tolist():
        shares = torch.lerp(ends[0].shares(count), ends[1].shares(count), share)
        condition = Condition.of(variation.between(first.controls, last.controls, share))._replace(
            kind=shares
        )
        if mixing == "as they are":
            z = torch.lerp(first.residual, last.residual, share)
        else:
            angle = cosine.arccos()
            parts = [torch.tensor([1 - share]), torch.tensor([share])]
            if mixing == "along the sphere":
                parts = [(part * angle).sin() / angle.sin() for part in parts]
            mixed = parts[0] * noise[0] + parts[1] * noise[1]
            scale = torch.einsum("k,kij->ij", shares[0], network.prior_scale)
            z = shares @ network.prior_mean + mixed @ scale.T
        drawn.append(network.decode(condition, z).log_mel[0])
    return torch.stack(drawn).diff(dim=0).square().mean((1, 2)).sqrt()


if __name__ == "__main__":
    main()
