"""Reconstruction of notes that training never saw: the baseline, the default, and what needs no network.

    python benchmarks/reconstruction.py [--steps 2000] [--model FILE]

Trains the baseline preset (some minutes), and prints one table: squared error of standardised log-mels and log-spectral
distance, on held-out (kind, semitone) groups of the default preset's synthetic set.
"""

import argparse
import tempfile
from pathlib import Path

from timing import one_machine

import tootlearn
from tootlearn import presets, training
from tootlearn.data.clips import synthesise
from tootlearn.evaluation import as_text
from tootlearn.front_end import FrontEnd
from tootlearn.reconstruction import reconstruction_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000, help="of the baseline's training (default 2000)")
    parser.add_argument("--clips", type=int, default=8000, help="of the synthetic set (default 8000)")
    parser.add_argument("--model", type=Path, help="whose autoencoder is shown beside it; the shipped one by default")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(one_machine(options.threads))
    config = presets.preset("baseline", steps=options.steps, clips=options.clips, check_every=options.steps)
    clips = synthesise(config.kinds, config.clips, config.seed, FrontEnd(config.front_end))
    with tempfile.TemporaryDirectory() as folder:
        training.train(config, clips, Path(folder) / "run")
        baseline = reconstruction_table(tootlearn.load(Path(folder) / "run" / "model.safetensors"), clips)
    default = reconstruction_table(tootlearn.load(options.model), clips)
    renamed = {name.replace("autoencoder", "baseline"): row for name, row in baseline.items()}
    print(as_text({"reconstruction": default | renamed}))


if __name__ == "__main__":
    main()
