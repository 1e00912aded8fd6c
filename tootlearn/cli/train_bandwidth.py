"""`tootlearn train-bandwidth`."""

from __future__ import annotations

from jsonargparse import Namespace

from tootlearn.cli.options import add_out
from tootlearn.cli.parser import Parser
from tootlearn.cli.training_options import (
    add_extra_data,
    add_run_options,
    from_options,
    train_on_sounds,
)

HELP = "Train the network that says how loud toots are above 11 kHz."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from tootlearn.training.config import BandwidthTrainConfig

    add_extra_data(parser)
    add_out(parser, "runs/bandwidth", "the folder of the run")
    add_run_options(parser)
    parser.add_class_arguments(BandwidthTrainConfig, skip={"data"})


def run(args: Namespace) -> None:
    """Train, and say where the extension is."""
    from tootlearn.training import train_bandwidth as training
    from tootlearn.training.config import BandwidthTrainConfig

    train_on_sounds(
        args,
        from_options(BandwidthTrainConfig, args),
        training.RESULT,
        training.bandwidth_sounds,
        training.describe_bandwidth_sounds,
        training.train_bandwidth,
    )
