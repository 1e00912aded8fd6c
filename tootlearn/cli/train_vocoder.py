"""`tootlearn train-vocoder`."""

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

HELP = "Train the network that turns mel spectrograms to sound."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from tootlearn.training.config import VocoderTrainConfig

    add_extra_data(parser)
    add_out(parser, "runs/vocoder", "the folder of the run")
    add_run_options(parser)
    parser.add_class_arguments(VocoderTrainConfig, skip={"data"})


def run(args: Namespace) -> None:
    """Train, and say where the vocoder is."""
    from tootlearn.training import train_vocoder as training
    from tootlearn.training.config import VocoderTrainConfig

    train_on_sounds(
        args,
        from_options(VocoderTrainConfig, args),
        training.RESULT,
        training.vocoder_sounds,
        training.describe_vocoder_sounds,
        training.train_vocoder,
    )
