"""Checking an answer: exercises are found by name, and the verdict is printed."""

import pkgutil

import pytest
import torch

import tootlearn
from tootlearn.errors import InputError
from tootlearn.teaching import answers
from tootlearn.teaching.check import all_exercises, find_exercise


def test_names_are_unique_and_say_their_chapter():
    names = [exercise.name for exercise in all_exercises()]
    assert len(set(names)) == len(names)
    for exercise in all_exercises():
        assert find_exercise(exercise.name) is exercise


@pytest.mark.parametrize("name", ["0.99", "77.1", "x", "", "0"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(InputError, match="no exercise"):
        find_exercise(name)


def test_check_prints_and_returns(capsys):
    assert tootlearn.check("0.1", 4000) is True
    assert tootlearn.check("0.1", torch.tensor(4000)) is True
    assert tootlearn.check("0.1", 8000) is False
    out = capsys.readouterr().out
    assert out.startswith("0.1 is right. ") and out.count("0.1 is right. ") == 2
    assert (
        "\n0.1 is not right yet. That is how many" in out and max(map(len, out.splitlines())) <= 76
    )


def test_answers_are_one_module_a_chapter():
    names = [module.name for module in pkgutil.iter_modules(answers.__path__)]
    assert all(name == f"ch{int(name[2:]):02d}" for name in names)
    assert {exercise.name.split(".")[0] for exercise in all_exercises()} == {
        str(int(name[2:])) for name in names
    }
