"""What the user can mend: the error that says so, and the checks that raise it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable


class InputError(ValueError):
    """Something that the user can mend: a bad file, flag or value. The message says what, where and
    what to do.
    """


def check_range(name: str, value: float, low: float, high: float, unit: str) -> float:
    """``value`` if it lies in [low, high], but for the rounding of a note name's pitch.

    Raises:
        InputError: otherwise, also for NaN; it names the range.
    """
    slack = 1e-9 * max(abs(low), abs(high))
    if not low - slack <= value <= high + slack:  # NaN fails it too
        raise InputError(
            f"{name} {value:.8g}{unit} is out of range: give {low:g} to {high:g}{unit}"
        )
    return float(value)


def check_at_least(name: str, value: float, least: float) -> None:
    """Refuse what is below ``least`` or not finite: "steps is 1 or more, not 0"."""
    if not least <= value < math.inf:  # NaN fails it too
        raise InputError(f"{name} is {least:g} or more, not {value}")


def check_positive(name: str, value: float) -> None:
    """Refuse what is 0, negative or not finite."""
    if not 0 < value < math.inf:
        raise InputError(f"{name} is a positive number, not {value}")


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Refuse what lies outside [low, high]. For a quantity with a unit, see `check_range`."""
    if not low <= value <= high:
        raise InputError(f"{name} is {low:.16g} to {high:.16g}, not {value}")


def check_share(name: str, value: float) -> None:
    """Refuse what lies outside [0, 1]."""
    check_between(name, value, 0, 1)


def check_below_one(name: str, value: float) -> None:
    """Refuse what lies outside [0, 1), such as a dropout of 1."""
    if not 0 <= value < 1:
        raise InputError(f"{name} is 0 or more and below 1, not {value}")


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Refuse what is not one of the choices; the error lists them."""
    choices = tuple(choices)
    if value not in choices:
        raise InputError(f"{name} is one of {', '.join(choices)}, not {value!r}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question that names the known word which is most like this one; nothing where none is."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}? " if near else ""
