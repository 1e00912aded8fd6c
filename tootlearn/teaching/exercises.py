"""Exercises with feedback: a right answer is confirmed, and a known mistake gets its own hint.

A chapter's exercises stand in `tootlearn/teaching/answers/chNN.py`, as a list EXERCISES. Each holds
a solution and the likely mistakes, so that one test can prove for every exercise that the stub
fails, the solution passes and each mistake gets its own hint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Answer = Callable[..., Any]


@dataclass(frozen=True)
class Exercise:
    """One exercise, whose answer is a value (number, array, text) or a function.

    A value is written as a function of no arguments that returns it, so that both are tried in the
    same way: called with each of `tries`, and compared with what the solution returns.

    Args:
        name: chapter and number: "1.2".
        solution: returns the right value; or, with `tries`, the right function itself.
        wrong: likely mistakes, two or more, each written like a solution, with its hint. A hint
            says what to look at and does not give the answer away.
        right: what to say to the right answer: one sentence that adds something.
        tries: returns the arguments, a list of tuples, on which an answer that is a function is
            tried.
        stub: the answer as the notebook leaves it; `...` for a value.
        tolerance: the error that is allowed, relative to the largest value of the right answer.
        judge: replaces the comparison where many answers are right: returns True for those.
    """

    name: str
    solution: Answer
    wrong: Sequence[tuple[Answer, str]]
    right: str = ""
    tries: Callable[[], Sequence[tuple[Any, ...]]] | None = None
    stub: Any = ...
    tolerance: float = 1e-3
    judge: Callable[[Any], bool] | None = None

    def given(self, answer: Answer) -> Any:
        """A solution or mistake in the form that a reader gives to `check`."""
        return answer() if self.tries is None else answer


def judge(exercise: Exercise, answer: Any) -> tuple[bool, str]:
    """Whether an answer is right, and the comment on it."""
    if answer is None or answer is ...:
        return False, "Put your answer in place of the dots, and run this cell again."
    if exercise.tries is not None and not callable(answer):
        return (
            False,
            f"The answer is a function: give the function itself, not {type(answer).__name__}.",
        )
    try:
        results = _results(exercise, answer)
    except Exception as error:  # whatever the reader's function does
        return False, f"Your function raised {type(error).__name__}: {error}."
    if any(value is None or value is ... for value in results):
        return False, "Your function returns nothing yet: fill in its body."
    if exercise.judge is not None:
        right = exercise.judge(answer)
    else:
        right = _equal(
            results, _results(exercise, exercise.given(exercise.solution)), exercise.tolerance
        )
    if right:
        return True, exercise.right
    for mistake, hint in exercise.wrong:
        if _equal(results, _results(exercise, exercise.given(mistake)), exercise.tolerance):
            return False, hint
    if exercise.judge is not None:
        return False, "Read the question again, and compare with what the text above says."
    return False, _difference(exercise, results)


def _results(exercise: Exercise, answer: Any) -> list[Any]:
    if exercise.tries is None:
        return [answer]
    return [answer(*arguments) for arguments in exercise.tries()]


def _plain(value: Any) -> Any:
    """Text in lower case without outer spaces, all else as an array."""
    if isinstance(value, str):
        return value.strip().lower()
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    try:
        return np.asarray(value)
    except ValueError:  # a ragged list
        return np.asarray(value, dtype=object)


def _equal(results: Sequence[Any], wanted: Sequence[Any], tolerance: float) -> bool:
    return all(_same(_plain(a), _plain(b), tolerance) for a, b in zip(results, wanted, strict=True))


def _same(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return bool(isinstance(a, str) and isinstance(b, str) and a == b)
    if a.shape != b.shape or a.dtype.kind not in "biufc" or b.dtype.kind not in "biufc":
        return bool(a.shape == b.shape and a.dtype.kind not in "biufc" and np.array_equal(a, b))
    allowed = tolerance * float(np.abs(b).max(initial=0))
    return bool((np.abs(a * 1.0 - b * 1.0) <= allowed).all())  # NaN is nowhere within


def _difference(exercise: Exercise, results: Sequence[Any]) -> str:
    """How an answer differs, without giving the right one away."""
    wanted = _results(exercise, exercise.given(exercise.solution))
    pairs = ((_plain(x), _plain(y)) for x, y in zip(results, wanted, strict=True))
    a, b = next((x, y) for x, y in pairs if not _same(x, y, exercise.tolerance))
    if isinstance(b, str):
        return "It is another word." if isinstance(a, str) else "The answer is a text, in quotes."
    if isinstance(a, str) or a.dtype.kind not in "biufc":
        return "The answer is a number." if b.shape == () else "The answer is an array of numbers."
    if a.shape != b.shape:
        return f"The answer has shape {b.shape}, yours has {a.shape}."
    if not np.isfinite(a).all():
        return "There are values in it that are not finite."
    if b.shape == () and b.dtype.kind in "iuf" and b != 0 and a != 0 and np.sign(a) == np.sign(b):
        ratio = float(abs(a / b))
        far = "" if 0.5 < ratio < 2 else ", by a factor of 2 or more"
        more, less = (
            ("too far from zero", "too close to zero") if b < 0 else ("too large", "too small")
        )
        return f"It is {more if ratio > 1 else less}{far}."
    return (
        "It has as many numbers as it should, but other ones."
        if b.shape
        else "Work it out once more."
    )
