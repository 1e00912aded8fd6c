"""`tootlearn train-vocoder`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from jsonargparse import Namespace

from tootlearn.cli.options import add_out
from tootlearn.cli.parser import Parser, warn
from tootlearn.cli.training_options import (
    add_extra_data,
    add_run_options,
    compute_of,
    tracked,
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
    from tootlearn.dsp.config import FrontEndConfig
    from tootlearn.models.config import VocoderConfig
    from tootlearn.training import loop, tracking
    from tootlearn.training import train_vocoder as vocoder_training
    from tootlearn.training.compute import launch
    from tootlearn.training.config import VocoderTrainConfig

    values = {f.name: args[f.name] for f in fields(VocoderTrainConfig)} | {"data": tuple(args.data)}
    parts = {
        "front_end": FrontEndConfig(**vars(args.front_end)),
        "vocoder": VocoderConfig(**vars(args.vocoder)),
    }
    config = VocoderTrainConfig(**values | parts)
    out, compute = Path(args.out), compute_of(args)
    loop.check_run(out, args.resume, vocoder_training.RESULT)
    tracking.check_trackers(args.track)
    fabric = launch(compute, args.device)
    problems: list[str] = []
    sounds = vocoder_training.vocoder_sounds(config, problems)
    warn(problems if fabric.is_global_zero else ())
    fabric.print(vocoder_training.describe_vocoder_sounds(config, sounds))
    with tracked(args, out, config, fabric) as on_check:
        vocoder_training.train_vocoder(
            config, sounds, out, args.resume, args.device, True, compute, on_check
        )
    file = out / vocoder_training.RESULT
    fabric.print(f"the vocoder is {file}: tootlearn generate --vocoder {file}")
