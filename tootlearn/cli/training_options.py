"""Options of the commands that train, and the configs that they stand for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_type_hints

from jsonargparse import Namespace

from tootlearn.cli.options import add_device
from tootlearn.cli.parser import Parser, fail, warn

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from tootlearn.data.sounds import Sounds
    from tootlearn.training.config import TrainConfig
    from tootlearn.training.loop import OnCheck

Config = TypeVar("Config")
# the option of `tootlearn generate` that takes a trained network
USE = {
    "vocoder.safetensors": "--vocoder",
    "bandwidth.safetensors": "--sample-rate 44100 --bandwidth",
}


def add_config_options(parser: Parser) -> None:
    """Options for all fields of a training config; their defaults come from a preset."""
    from tootlearn.training import config as presets

    # the preset is where the defaults come from, so it is looked for before the words are parsed
    given = {
        name: re.search(rf"--{name}[ =](\S+)", " ".join(parser.words))
        for name in ("preset", "from", "data")
    }
    usual = "fine_tune" if given["from"] else "own" if given["data"] else "default"
    preset = given["preset"][1] if given["preset"] else usual
    parser.add_argument(
        "--preset",
        type=str,
        default=usual,
        help=f"what to start from: {', '.join(presets.PRESETS)} (default: default; with --data "
        "own, with --from fine_tune)",
    )
    parser.add_argument(
        "--data",
        type=str,
        nargs="+",
        help="folders of recordings, manifests or public data sets (default: the preset's)",
    )
    parser.add_argument(
        "--from",
        type=str | None,
        dest="start_from",
        help='a model to fine-tune, "default" for the shipped one (default: the preset\'s)',
    )
    parser.add_argument(
        "--config",
        action="config",
        help="a YAML file of these options, with underscores; options after it take precedence",
    )
    parser.add_class_arguments(presets.TrainConfig, skip={"data", "start_from"})
    defaults = asdict(presets.preset(preset))
    parser.set_defaults(defaults | {"data": list(defaults["data"])})


def add_extra_data(parser: Parser) -> None:
    """`--data`, where recordings are learned from beside other sounds."""
    parser.add_argument(
        "--data",
        type=str,
        nargs="+",
        default=[],
        help="folders of recordings to learn from as well (default: none)",
    )


def add_run_options(parser: Parser) -> None:
    """What every training has: how it computes, where else it logs, its device, and `--resume`."""
    from tootlearn.training.config import Compute

    parser.add_class_arguments(Compute)
    parser.add_argument(
        "--track",
        type=str,
        nargs="+",
        default=[],
        help="also log to tensorboard, mlflow or both (default: neither)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint in the folder"
    )
    add_device(parser)


def from_options(config: type[Config], args: Namespace) -> Config:
    """The dataclass whose fields the options are, with its parts, which are dataclasses too."""
    hints, values = get_type_hints(config), {}
    for each in fields(cast(Any, config)):
        hint, value = hints[each.name], args[each.name]
        part = next((t for t in (hint, *get_args(hint)) if is_dataclass(t)), None)
        if part and value is not None:
            value = from_options(cast(Any, part), value)
        values[each.name] = tuple(value) if isinstance(value, list) else value
    return config(**values)


@contextmanager
def track_run(
    args: Namespace, out: Path, config: Any, fabric: Fabric, **options: Any
) -> Iterator[OnCheck | None]:
    """What `loop.fit` calls at each evaluation, as ``--track`` says; an interruption ends the
    command.
    """
    from tootlearn.training import loop, tracking

    names = args.track if fabric.is_global_zero else ()
    try:
        with tracking.open_trackers(names, out, config, **options) as on_check:
            yield on_check
    except loop.Stopped as stopped:
        fail(str(stopped), 130)


def config_of(args: Namespace) -> TrainConfig:
    """The training config that the options stand for; kinds may be spelt in other ways."""
    from tootlearn.controls import find_kind
    from tootlearn.data.recipes import KINDS
    from tootlearn.training.config import TrainConfig

    known = tuple(KINDS.values())
    args.kinds = [known[find_kind(kind, known)].name for kind in args.kinds]
    return from_options(TrainConfig, args)


def train_on_sounds(
    args: Namespace,
    config: Config,
    result: str,
    collect: Callable[[Config, list[str]], Sounds],
    describe: Callable[[Config, Sounds], str],
    train: Callable[..., object],
) -> None:
    """Train a network that learns from sounds of all sorts, and say where it is.

    Args:
        args: the options of `add_extra_data`, `add_out` and `add_run_options`.
        config: of the training.
        result: the name of the file that training writes.
        collect, describe, train: of `training.train_vocoder` or `training.train_bandwidth`.
    """
    from tootlearn.training import loop, tracking
    from tootlearn.training.compute import launch
    from tootlearn.training.config import Compute

    out, compute = Path(args.out), from_options(Compute, args)
    loop.check_run(out, args.resume, result)
    tracking.check_trackers(args.track)
    fabric = launch(compute, args.device)
    problems: list[str] = []
    sounds = collect(config, problems)
    warn(problems if fabric.is_global_zero else ())
    fabric.print(describe(config, sounds))
    with track_run(args, out, config, fabric) as on_check:
        train(config, sounds, out, args.resume, args.device, True, compute, on_check)
    fabric.print(f"the result is {out / result}: tootlearn generate {USE[result]} {out / result}")
