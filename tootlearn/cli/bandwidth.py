"""The command `tootlearn train-bandwidth`."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

from jsonargparse import ArgumentParser


def train(parser: ArgumentParser, words: list[str]) -> None:
    """Read the words after `tootlearn train-bandwidth` and do what they say."""
    from tootlearn.dsp.front_end import FrontEndConfig
    from tootlearn.models.bandwidth import BandwidthConfig
    from tootlearn.training import train as training
    from tootlearn.training import train_bandwidth as bandwidth_training
    from tootlearn.training.train_bandwidth import BandwidthTrainConfig

    parser.add_argument(
        "--data",
        type=str,
        nargs="+",
        default=[],
        help="folders of recordings to learn from as well",
    )
    parser.add_argument("--out", type=str, default="runs/bandwidth", help="folder of the run")
    parser.add_argument("--device", type=str, default="auto", help="cpu, cuda, mps or auto")
    parser.add_class_arguments(BandwidthTrainConfig, skip={"data"})
    a = parser.parse_args(words)

    size = vars(a.bandwidth) | {"front_end": FrontEndConfig(**vars(a.bandwidth.front_end))}
    values = {f.name: a[f.name] for f in fields(BandwidthTrainConfig)}
    config = BandwidthTrainConfig(
        **values | {"data": tuple(a.data), "bandwidth": BandwidthConfig(**size)}
    )
    out = Path(a.out)
    training.check_run(out, False, bandwidth_training.FILE)
    problems: list[str] = []
    heard = bandwidth_training.gather(config, problems)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(bandwidth_training.describe(config, heard))
    bandwidth_training.train_bandwidth(config, heard, out, a.device)
    file = out / bandwidth_training.FILE
    print(f"the extension is {file}: tootlearn generate --sample_rate 44100 --bandwidth {file}")
