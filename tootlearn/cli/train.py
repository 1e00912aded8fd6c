"""`tootlearn train`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import Namespace

from tootlearn.cli.parser import Parser, warn
from tootlearn.cli.training_options import (
    add_config_options,
    add_run_options,
    config_of,
    from_options,
    track_run,
)

HELP = "Train a model on synthetic toots, a sound font or your own recordings."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    add_config_options(parser)
    parser.add_argument(
        "--out", type=str | None, help="the folder of the run (default: runs/PRESET)"
    )
    add_run_options(parser)


def run(args: Namespace) -> None:
    """Train, and say where the model is."""
    from tootlearn.models import model_file
    from tootlearn.training import dataset, fine_tuning, loop, tracking
    from tootlearn.training.compute import launch
    from tootlearn.training.config import PRESETS, Compute
    from tootlearn.training.train import RESULT, train

    config, compute = config_of(args), from_options(Compute, args)
    name = Path(str(args.config[-1])).stem if args.config else args.preset
    out = Path(args.out or Path("runs") / name)
    loop.check_run(out, args.resume, RESULT)
    tracking.check_trackers(args.track)
    # before the clips are gathered: other processes begin at the beginning
    fabric = launch(compute, args.device)
    base = model_file.load_model(config.start_from)[0] if config.start_from else None
    config = fine_tuning.adapted(config, base, PRESETS[args.preset]) if base else config
    problems: list[str] = []
    clips = dataset.gather_clips(config, base, problems)
    warn(problems if fabric.is_global_zero else ())
    fabric.print(dataset.describe_clips(config, clips))
    rate = config.front_end.sample_rate
    held_out = clips.split()[1] if args.track else clips
    with track_run(
        args,
        out,
        config,
        fabric,
        examples=lambda model: tracking.toot_examples(model, held_out),
        sample_rate=rate,
    ) as on_check:
        train(config, clips, out, args.resume, args.device, True, compute, on_check)
    file = out / RESULT
    fabric.print(f"the model is {file}: tootlearn generate --model {file}")
