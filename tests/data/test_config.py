"""Settings of augmentation: what they refuse."""

from dataclasses import fields

import pytest

from tootlearn.data.config import HIGHEST, Augmentation
from tootlearn.errors import InputError


def test_every_strength_has_a_highest_value():
    assert set(HIGHEST) == {field.name for field in fields(Augmentation)} - {"rooms"}


@pytest.mark.parametrize("name", HIGHEST)
def test_a_strength_out_of_its_range_is_named(name):
    assert not Augmentation().on and Augmentation(**{name: HIGHEST[name]}).on
    for value in (-0.1, HIGHEST[name] * 1.01, float("nan")):
        with pytest.raises(InputError, match=f"{name} is 0 to"):
            Augmentation(**{name: value})


def test_rooms_without_a_share_are_refused():
    with pytest.raises(InputError, match="rooms are given"):
        Augmentation(rooms=("hall.wav",))
