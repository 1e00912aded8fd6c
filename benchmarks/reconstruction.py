"""Reconstruction of notes that training never saw: the baseline, the default, and what needs no
network.

    python benchmarks/reconstruction.py [--steps 2000] [--model FILE]

Trains the baseline preset (some minutes; --steps 0 leaves it out), and prints squared error of
standardised log-mels and log-spectral distance on held-out (kind, semitone) groups of the default
preset's synthetic set; then, kind by kind, by how much the loudest band of a toot comes back louder
or quieter (median), which an error of logarithms hardly sees.
"""

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from shared import parser_of, started
from torch import Tensor

import tootlearn
from tootlearn.data.clips import Clips, synthesise
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.evaluation.reconstruction import autoencoder_of, reconstruction_table
from tootlearn.evaluation.report import report_text
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.training import config as presets
from tootlearn.training.train import train


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--steps", type=int, default=2000, help="of the baseline's training (default 2000)"
    )
    parser.add_argument(
        "--clips", type=int, default=8000, help="of the synthetic set (default 8000)"
    )
    parser.add_argument(
        "--model",
        type=Path,
        help="whose autoencoder is shown beside it; the shipped one by default",
    )
    options = started(parser)
    config = presets.preset("baseline", clips=options.clips)
    if options.steps:
        config = replace(config, steps=options.steps, check_every=options.steps)
    clips = synthesise(config.kinds, config.clips, config.seed, FrontEnd(config.front_end))
    generator = tootlearn.load(options.model)
    table = reconstruction_table(generator, clips)
    if options.steps:
        with tempfile.TemporaryDirectory() as folder:
            train(config, clips, Path(folder) / "run")
            baseline = reconstruction_table(
                tootlearn.load(Path(folder) / "run" / "model.safetensors"), clips
            )
        table |= {name.replace("autoencoder", "baseline"): row for name, row in baseline.items()}
    print(report_text({"reconstruction": table}))
    print(f"\n{'loudest band':36}{'median, dB':>12}{'N':>12}")
    for kind, changes in peaks(generator, clips.split()[1]).items():
        print(f"{kind:36}{changes.median():12.1f}{len(changes):12}")


@torch.inference_mode()
def peaks(generator: TootGenerator, clips: Clips) -> dict[str, Tensor]:
    """By how many dB the peak of each clip changes when it is reconstructed, by kind."""
    model, autoencoder = generator.model, autoencoder_of(generator)
    changes = []
    for x in clips.log_mel.split(128):
        y = model.normalizer.inverse(autoencoder(model.normalizer(x.float())))
        changes.append((y.amax((1, 2)) - x.float().amax((1, 2))) * (20 / math.log(10)))
    kind = torch.from_numpy(clips.controls.kind)
    return {about.name: torch.cat(changes)[kind == k] for k, about in enumerate(clips.kinds)}


if __name__ == "__main__":
    main()
