"""Settings of the front end: what they refuse."""

import dataclasses
import math

import pytest

from tootlearn.dsp.config import FrontEndConfig
from tootlearn.errors import InputError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_rate": 0}, "not 0"),
        ({"floor": 0.0}, "floor is a positive number, not 0"),
        ({"floor": math.nan}, "floor is a positive number, not nan"),
        ({"n_fft": 1000}, "hop must divide n_fft"),
        ({"hop": 700}, "700"),
        ({"mels": 0}, "not 0"),
        ({"fmax": 12000.0}, "12000"),
        ({"fmin": 11025.0}, "11025 to 11025"),
    ],
)
def test_configs_that_cannot_be_are_named(change, message):
    with pytest.raises(InputError, match=message):
        FrontEndConfig(**change)


def test_a_config_is_a_value():
    assert FrontEndConfig() == FrontEndConfig(hop=256) != FrontEndConfig(floor=1e-4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        FrontEndConfig().hop = 128  # type: ignore[misc]
