"""Range checks: what they let pass, and that the error says what was given and what is allowed."""

import math
import re

import pytest

from tootlearn import errors, rng
from tootlearn.errors import InputError


@pytest.mark.parametrize(
    "check, limits, passing, refused, allowed",
    [
        ("check_at_least", (2,), (2, 3, 2.5), (1, 1.999, math.nan, math.inf), "2 or more"),
        ("check_positive", (), (1e-9, 5), (0, -1, math.nan, math.inf), "a positive number"),
        ("check_between", (-1, 4), (-1, 0, 4), (-1.01, 4.01, math.nan), "-1 to 4"),
        ("check_share", (), (0, 0.5, 1), (-0.01, 1.01, math.nan), "0 to 1"),
        ("check_below_one", (), (0, 0.999), (-0.01, 1, math.nan), "0 or more and below 1"),
        ("check_choice", (("relu", "elu"),), ("relu", "elu"), ("gelu", ""), "one of relu, elu"),
    ],
)
def test_a_check_passes_its_range_with_the_ends_and_names_it_otherwise(
    check, limits, passing, refused, allowed
):
    check = getattr(errors, check)
    for value in passing:
        assert check("width", value, *limits) is None
    for value in refused:
        with pytest.raises(InputError, match=re.escape(f"width is {allowed}, not {value!r}")):
            check("width", value, *limits)


def test_a_large_limit_is_printed_in_full():
    with pytest.raises(InputError, match=f"seed is 0 to {rng.MAX_SEED}, not -1"):
        errors.check_between("seed", -1, 0, rng.MAX_SEED)


def test_the_nearest_known_word_is_asked_for():
    assert errors.did_you_mean("trumpte", ["tuba", "trumpet"]) == "did you mean trumpet? "
    assert errors.did_you_mean("xyzzy", ["tuba", "trumpet"]) == ""
