"""`tootlearn train-bandwidth`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from jsonargparse import Namespace

from tootlearn.cli.options import add_device, add_out
from tootlearn.cli.parser import Parser, warn
from tootlearn.cli.training_options import add_extra_data

HELP = "Train the network that says how loud toots are above 11 kHz."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from tootlearn.training.train_bandwidth import BandwidthTrainConfig

    add_extra_data(parser)
    add_out(parser, "runs/bandwidth", "the folder of the run")
    add_device(parser)
    parser.add_class_arguments(BandwidthTrainConfig, skip={"data"})


def run(args: Namespace) -> None:
    """Train, and say where the extension is."""
    from tootlearn.dsp.front_end import FrontEndConfig
    from tootlearn.models.bandwidth import BandwidthConfig
    from tootlearn.training import train as training
    from tootlearn.training import train_bandwidth as bandwidth_training
    from tootlearn.training.train_bandwidth import BandwidthTrainConfig

    size = vars(args.bandwidth) | {"front_end": FrontEndConfig(**vars(args.bandwidth.front_end))}
    values = {f.name: args[f.name] for f in fields(BandwidthTrainConfig)}
    config = BandwidthTrainConfig(
        **values | {"data": tuple(args.data), "bandwidth": BandwidthConfig(**size)}
    )
    out = Path(args.out)
    training.check_run(out, False, bandwidth_training.FILE)
    problems: list[str] = []
    sounds = bandwidth_training.gather(config, problems)
    warn(problems)
    print(bandwidth_training.describe(config, sounds))
    bandwidth_training.train_bandwidth(config, sounds, out, args.device)
    file = out / bandwidth_training.FILE
    print(f"the extension is {file}: tootlearn generate --sample-rate 44100 --bandwidth {file}")
