"""What the user can mend: the error that says so, and the checks that raise it."""

from __future__ import annotations

import difflib
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


def nearest(word: str, known: Iterable[str]) -> str:
    """A question that names the known word which is most like this one; nothing where none is."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}? " if near else ""
