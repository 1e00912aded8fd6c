"""Exercises: for every one the stub fails, the solution passes, and known mistakes get their own
hints.
"""

import math

import numpy as np
import pytest
import torch

from tootlearn.teaching.check import all_exercises
from tootlearn.teaching.exercises import Exercise, judge

EVERY = all_exercises()
BY_NAME = [pytest.param(exercise, id=exercise.name) for exercise in EVERY]


@pytest.mark.parametrize("exercise", BY_NAME)
def test_stub_solution_and_mistakes(exercise):
    right, comment = judge(exercise, exercise.stub)
    assert not right and any(word in comment for word in ("in place of", "returns nothing yet")), (
        comment
    )
    assert judge(exercise, exercise.given(exercise.solution)) == (True, exercise.right)
    hints = [hint for _, hint in exercise.wrong]
    assert len(hints) >= 2 and len(set(hints)) == len(hints)
    for mistake, hint in exercise.wrong:
        assert judge(exercise, exercise.given(mistake)) == (False, hint)


def ask(value, *wrong, **options) -> Exercise:
    return Exercise(
        "0.0", lambda: value, [(lambda w=w: w, f"mistake {w!r}") for w in wrong], **options
    )


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (3.0, "too small"),
        (30.0, "too large, by a factor of 2 or more"),
        (-10.0, "once more"),
        (math.nan, "not finite"),
        ("ten", "is a number"),
        ([10.0, 10.0], "shape ()"),
        ({"a": 1}, "is a number"),
        ([[1], [1, 2]], "is a number"),
    ],
)
def test_other_answers_learn_how_they_differ_but_not_the_answer(answer, says):
    right, comment = judge(ask(10.0, 5.0), answer)
    assert not right and says in comment and "10" not in comment


def test_below_zero_large_and_small_are_not_what_they_seem():
    # though it is the larger one
    assert "too close to zero, by a factor of 2 or more" in judge(ask(-12.04), -1.39)[1]
    assert judge(ask(-12.04), -13.0)[1] == "It is too far from zero."


def test_tolerance():
    assert judge(ask(10.0), 10.009)[0] and not judge(ask(10.0), 10.02)[0]
    assert judge(ask(10.0, tolerance=0.1), 10.9)[0]
    assert judge(ask(np.array([0.0, 10.0])), torch.tensor([0.005, 10.0]))[0]
    assert not judge(ask(np.array([0.0, 10.0])), [0.02, 10.0])[0]
    assert not judge(ask(0.0), 1e-9)[0]


def test_text():
    assert judge(ask("the window"), "  The window ")[0]
    assert "another word" in judge(ask("window"), "hop")[1]
    assert "in quotes" in judge(ask("window"), 3)[1]
    assert judge(ask("window", "hop"), "hop")[1] == "mistake 'hop'"


def test_functions_are_tried_on_all_inputs_and_may_fail():
    double = Exercise(
        "0.0",
        lambda x: 2 * x,
        [(lambda x: x * x, "that is the square")],
        tries=lambda: [(2,), (3,)],
    )
    assert judge(double, lambda x: x + x)[0]
    assert judge(double, lambda x: x * x) == (False, "that is the square")
    assert "ZeroDivisionError" in judge(double, lambda x: x / 0)[1]
    assert "give the function itself" in judge(double, 4)[1]
    assert "too large" in judge(double, lambda x: {2: 4, 3: 7}[x])[1]
    assert "returns nothing" in judge(double, lambda x: None)[1]


def test_exercises_with_many_right_answers_have_a_judge():
    even = ask(4, 3, judge=lambda x: x % 2 == 0)
    assert judge(even, 8)[0] and judge(even, 3) == (False, "mistake 3")
    assert not judge(even, 5)[0]
