"""`tootlearn train`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from jsonargparse import Namespace

from tootlearn.cli.options import add_device
from tootlearn.cli.parser import Parser, fail, warn
from tootlearn.cli.training_options import add_config_options, add_resume, config_of

HELP = "Train a model on synthetic toots, a sound font or your own recordings."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from tootlearn.training.compute import RunConfig

    add_config_options(parser)
    parser.add_class_arguments(RunConfig)
    parser.add_argument(
        "--track",
        type=str,
        nargs="+",
        default=[],
        help="also log to tensorboard, mlflow or both (default: neither)",
    )
    parser.add_argument(
        "--out", type=str | None, help="the folder of the run (default: runs/PRESET)"
    )
    add_resume(parser)
    add_device(parser)


def run(args: Namespace) -> None:
    """Train, and say where the model is."""
    from tootlearn.models import model_file
    from tootlearn.training import dataset, fine_tuning, tracking
    from tootlearn.training import train as training
    from tootlearn.training.compute import RunConfig
    from tootlearn.training.config import PRESETS

    config = config_of(args)
    name = Path(str(args.config[-1])).stem if args.config else args.preset
    out = Path(args.out or Path("runs") / name)
    training.check_run(out, args.resume)
    tracking.check(args.track)
    compute = RunConfig(**{f.name: args[f.name] for f in fields(RunConfig)})
    # before the clips are gathered: other processes begin at the beginning
    fabric = compute.launch(args.device)
    base = model_file.load_model(config.start_from)[0] if config.start_from else None
    config = fine_tuning.adapted(config, base, PRESETS[args.preset]) if base else config
    problems: list[str] = []
    clips = dataset.gather(config, base, problems)
    warn(problems if fabric.is_global_zero else ())
    fabric.print(dataset.describe(config, clips))
    track = args.track if fabric.is_global_zero else ()
    try:
        with tracking.tracked(track, out, config) as on_check:
            training.train(config, clips, out, args.resume, args.device, True, compute, on_check)
    except training.Stopped as stopped:
        fail(str(stopped), 130)
    file = out / "model.safetensors"
    fabric.print(f"the model is {file}: tootlearn generate --model {file}")
