"""`tootlearn train-bandwidth`."""

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
    from tootlearn.dsp.config import FrontEndConfig
    from tootlearn.models.config import BandwidthConfig
    from tootlearn.training import loop, tracking
    from tootlearn.training import train_bandwidth as bandwidth_training
    from tootlearn.training.compute import launch
    from tootlearn.training.config import BandwidthTrainConfig

    size = vars(args.bandwidth) | {"front_end": FrontEndConfig(**vars(args.bandwidth.front_end))}
    values = {f.name: args[f.name] for f in fields(BandwidthTrainConfig)}
    config = BandwidthTrainConfig(
        **values | {"data": tuple(args.data), "bandwidth": BandwidthConfig(**size)}
    )
    out, compute = Path(args.out), compute_of(args)
    loop.check_run(out, args.resume, bandwidth_training.RESULT)
    tracking.check_trackers(args.track)
    fabric = launch(compute, args.device)
    problems: list[str] = []
    sounds = bandwidth_training.bandwidth_sounds(config, problems)
    warn(problems if fabric.is_global_zero else ())
    fabric.print(bandwidth_training.describe_bandwidth_sounds(config, sounds))
    with tracked(args, out, config, fabric) as on_check:
        bandwidth_training.train_bandwidth(
            config, sounds, out, args.resume, args.device, True, compute, on_check
        )
    file = out / bandwidth_training.RESULT
    fabric.print(
        f"the extension is {file}: tootlearn generate --sample-rate 44100 --bandwidth {file}"
    )
