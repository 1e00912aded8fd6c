"""Options of the commands that train, and the configs that they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from tootlearn.cli.options import add_device
from tootlearn.cli.parser import Parser, fail

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from tootlearn.training.config import Compute, TrainConfig
    from tootlearn.training.loop import OnCheck


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


def compute_of(args: Namespace) -> Compute:
    """How a training computes, as the options say."""
    from tootlearn.training.config import Compute

    return Compute(**{f.name: args[f.name] for f in fields(Compute)})


@contextmanager
def tracked(
    args: Namespace, out: Path, config: Any, fabric: Fabric, **options: Any
) -> Iterator[OnCheck | None]:
    """What `loop.fit` calls at each evaluation, as ``--track`` says; an interruption ends the
    command.
    """
    from tootlearn.training import loop, tracking

    names = args.track if fabric.is_global_zero else ()
    try:
        with tracking.tracked(names, out, config, **options) as on_check:
            yield on_check
    except loop.Stopped as stopped:
        fail(str(stopped), 130)


def config_of(args: Namespace) -> TrainConfig:
    """The training config that the options stand for."""
    from tootlearn.controls import find_kind
    from tootlearn.data.config import Augmentation
    from tootlearn.data.recipes import KINDS
    from tootlearn.dsp.config import FrontEndConfig
    from tootlearn.models.config import AutoencoderConfig, GeneratorConfig
    from tootlearn.training import config as presets

    values = {f.name: args[f.name] for f in fields(presets.TrainConfig)}
    parts = {
        "generator": GeneratorConfig,
        "autoencoder": AutoencoderConfig,
        "front_end": FrontEndConfig,
        "augmentation": Augmentation,
    }
    for name, part in parts.items():
        values[name] = None if values[name] is None else part(**vars(values[name]))
    known = tuple(KINDS.values())
    values["kinds"] = tuple(known[find_kind(kind, known)].name for kind in args.kinds)
    return presets.TrainConfig(**values | {"data": tuple(args.data)})
