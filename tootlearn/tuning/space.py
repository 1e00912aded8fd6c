"""What a search may change: fields of the training config, and a range for each, read from a small
YAML file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tootlearn.errors import InputError
from tootlearn.training.config import TrainConfig

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

BUDGET = ("steps", "check_every", "seed")  # the same for all trials, or they could not be compared
HELD_OUT = (
    "front_end",
    "kinds",
    "clips",
    "sampled",
    "font",
    "data",
    "stream",
    "start_from",
    "replay",
)  # change what is held out
SHAPES = ("generator", "autoencoder")  # a model that training starts from has its own
_KEYS = ("type", "low", "high", "log", "step", "choices")


def read_space(path: str | Path | None, config: TrainConfig) -> dict[str, BaseDistribution]:
    """The range of each field, as Optuna has them.

    Args:
        path: of the YAML file, whose form `tootlearn/tuning/space.yaml` explains; None for that
            one, less what belongs to a part that ``config`` lacks or takes from the model it starts
            from.
        config: where the search starts.

    Raises:
        InputError: the file is missing or no YAML; a field is unknown, is part of the budget or
            changes what is held out; a range is empty or not one; or one of its ends or choices
            cannot be, all else as in ``config``.
    """
    file = Path(path or Path(__file__).with_suffix(".yaml"))
    try:
        given = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise InputError(
            f"{file} could not be read ({error.strerror}): give a file of fields and ranges"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{file} is no YAML ({reason}): write FIELD: {{low: 1, high: 8}} in each line"
        ) from error
    if not isinstance(given, dict) or not given:
        raise InputError(f"{file} names no field: write FIELD: {{low: 1, high: 8}} in each line")
    if path is None:
        given = {
            name: bounds
            for name, bounds in given.items()
            if getattr(config, (part := name.split(".")[0])) is not None
            and not (config.start_from and part in SHAPES)
        }
    return {
        str(name): _distribution(str(name), bounds, config, file) for name, bounds in given.items()
    }


def changed(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """The config with other values, whose keys are fields, or fields of parts with a dot:
    "autoencoder.latent".

    Raises:
        InputError: for an unknown field, one of a part that the config lacks, or a value that
            cannot be.
    """
    for name, value in values.items():
        if isinstance(value, str) and value.startswith("["):
            value = json.loads(value)  # a list, as `_distribution` wrote it
        config = _with(
            config, name.split("."), tuple(value) if isinstance(value, list) else value, name
        )
    return config


def value_of(config: Any, name: str) -> Any:
    """What a field holds, the name of which may have dots; a tuple as JSON, as it stands among
    choices.

    Raises:
        InputError: for an unknown field, or one of a part that the config lacks.
    """
    for part in name.split("."):
        _check_part(config, part, name)
        config = config[part] if isinstance(config, Mapping) else getattr(config, part)
    return json.dumps(list(config)) if isinstance(config, tuple) else config


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a range has this value."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    inside = distribution.low <= value <= distribution.high
    steps = (value - distribution.low) / distribution.step if distribution.step else 0.0
    return bool(inside and math.isclose(steps, round(steps), abs_tol=1e-8))


def _with(config: Any, parts: list[str], value: Any, name: str) -> Any:
    first, *rest = parts
    _check_part(config, first, name)
    if isinstance(config, Mapping):
        return {**config, first: _with(config[first], rest, value, name) if rest else value}
    return replace(
        config, **{first: _with(getattr(config, first), rest, value, name) if rest else value}
    )


def _check_part(config: Any, part: str, name: str) -> None:
    where = name.removesuffix(part).rstrip(".") or "the config"
    if config is None:
        raise InputError(
            f"{name} cannot be searched: the config that is started from has none: choose "
            "another --preset"
        )
    known = (
        list(config)
        if isinstance(config, Mapping)
        else list(vars(config))
        if is_dataclass(config)
        else []
    )
    if part not in known:
        has = f"{where} has {', '.join(known)}" if known else f"{where} has no parts"
        raise InputError(f"there is no field {name!r} to search: {has}")


def _distribution(name: str, given: Any, config: TrainConfig, path: Path) -> BaseDistribution:
    """The range of one field, once it is seen that the config takes its ends, or its choices."""
    from optuna.distributions import CategoricalDistribution

    first, where = name.split(".")[0], f"{path}: {name}"
    if first in BUDGET:
        raise InputError(
            f"{where} is the same for all trials: take it out, and give --{name} instead"
        )
    if first in HELD_OUT:
        raise InputError(
            f"{where} changes what is held out, so trials could not be compared: take it out"
        )
    if first in SHAPES and config.start_from:
        raise InputError(f"{where} is as the model that training starts from has it: take it out")
    now = value_of(config, name)
    form = f"write {name}: {{low: 1, high: 8}} or {name}: {{choices: [1, 8]}}"
    if not isinstance(given, dict):
        raise InputError(f"{where} has {given!r} for a range: {form}")
    if strange := [key for key in given if key not in _KEYS]:
        raise InputError(f"{where}: a range has no {strange[0]!r}: {form}")
    if "choices" not in given:
        return _numbers(name, given, now, config, where)
    choices = given["choices"]
    if not isinstance(choices, list) or len(choices) < 2 or len(given) > 1:
        raise InputError(
            f"{where}: choices are a list of two values or more, and nothing beside them: {form}"
        )
    for choice in choices:
        _try(name, choice, config, where)
    return CategoricalDistribution(
        [json.dumps(choice) if isinstance(choice, list) else choice for choice in choices]
    )


def _numbers(
    name: str, given: dict[str, Any], now: Any, config: TrainConfig, where: str
) -> BaseDistribution:
    from optuna.distributions import FloatDistribution, IntDistribution

    if type(now) not in (int, float):
        raise InputError(f"{where} is no number but {now!r}: give choices")
    whole = type(now) is int
    if given.get("type", type(now).__name__) != type(now).__name__:
        raise InputError(
            f"{where}: its type is {type(now).__name__}, not {given['type']!r}: leave it out"
        )
    numbers: dict[str, Any] = {}
    for key in ("low", "high", *(["step"] if "step" in given else [])):
        try:
            # YAML takes 1e-4 for a word
            numbers[key] = number = float(given.get(key))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise InputError(f"{where}: {key} is a number, not {given.get(key)!r}") from None
        if not math.isfinite(number) or (whole and not number.is_integer()):
            raise InputError(
                f"{where}: {key} is a {'whole ' if whole else ''}number, not {number:g}"
            )
        if whole:
            numbers[key] = int(number)
    low, high, log = numbers["low"], numbers["high"], given.get("log", False)
    if not isinstance(log, bool):
        raise InputError(f"{where}: log is true or false, not {log!r}")
    if not low < high:
        raise InputError(f"{where}: from {low} to {high} is an empty range: low is less than high")
    for end in (low, high):
        _try(name, end, config, where)
    try:
        return (
            IntDistribution(log=log, **numbers) if whole else FloatDistribution(log=log, **numbers)
        )
    except ValueError as error:  # a logarithm of 0, or with a step
        raise InputError(f"{where}: {error}") from error


def _try(name: str, value: Any, config: TrainConfig, where: str) -> None:
    try:
        changed(config, {name: value})
    except (InputError, TypeError) as error:
        raise InputError(f"{where} cannot be {value!r}: {error}") from error
