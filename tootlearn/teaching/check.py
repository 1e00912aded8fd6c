"""Checking answers to exercises."""

from __future__ import annotations

import importlib
import pkgutil
import textwrap
from typing import Any

from tootlearn.errors import InputError
from tootlearn.teaching.exercises import Exercise, judge


def check(name: str, answer: Any) -> bool:
    """Print whether an answer to an exercise is right, or what may be wrong with it.

    Args:
        name: of the exercise, such as "1.2".
        answer: number, array, tensor, text or function, as the exercise asks.

    Returns:
        Whether it is right.

    Raises:
        InputError: there is no such exercise.
    """
    right, comment = judge(find_exercise(name), answer)
    verdict = f"{name} {'is right.' if right else 'is not right yet.'} {comment}".strip()
    print(textwrap.fill(verdict, 76))  # what a page shows without scrolling
    return right


def find_exercise(name: str) -> Exercise:
    """The exercise of that name."""
    chapter = name.split(".")[0]
    try:
        module = importlib.import_module(f"tootlearn.teaching.answers.ch{int(chapter):02d}")
    except (ImportError, ValueError):
        raise InputError(
            f"there is no exercise {name!r}: a name is chapter and number, such as '1.2'"
        ) from None
    known: dict[str, Exercise] = {exercise.name: exercise for exercise in module.EXERCISES}
    if name not in known:
        raise InputError(f"there is no exercise {name!r}: chapter {chapter} has {', '.join(known)}")
    return known[name]


def all_exercises() -> list[Exercise]:
    """The exercises of all chapters."""
    folder = importlib.import_module("tootlearn.teaching.answers")
    names = sorted(module.name for module in pkgutil.iter_modules(folder.__path__))
    modules = [importlib.import_module(f"tootlearn.teaching.answers.{name}") for name in names]
    return [exercise for module in modules for exercise in module.EXERCISES]
