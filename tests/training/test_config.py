"""Settings of training: what they refuse, and the presets."""

import math
from dataclasses import replace

import pytest

from tests.small import CONFIG
from tootlearn.errors import InputError
from tootlearn.models.config import AutoencoderConfig
from tootlearn.training import config as presets
from tootlearn.training.config import Compute


@pytest.mark.parametrize(
    ("wrong", "allowed"),
    [
        ({"generator": None, "autoencoder": None}, "a generator, an autoencoder or both"),
        ({"kinds": ()}, "one name or more"),
        ({"clips": -1}, "clips is 0 or more, not -1"),
        ({"clips": 0}, "synthetic clips, sampled ones, or data"),
        ({"sampled": -1}, "sampled is 0 or more, not -1"),
        ({"bright": 1.5}, "bright is 0 to 1, not 1.5"),
        ({"bright": math.nan}, "bright is 0 to 1, not nan"),
        ({"replay": 5}, "only a model that is started from"),
        ({"steps": 0}, "steps is 1 or more, not 0"),
        ({"batch": -1}, "batch is 1 or more, not -1"),
        ({"warmup": 0}, "warmup is 1 or more, not 0"),
        ({"check_every": 0}, "check_every is 1 or more, not 0"),
        ({"learning_rate": 0.0}, "learning_rate is a positive number, not 0.0"),
        ({"learning_rate": math.nan}, "learning_rate is a positive number, not nan"),
        ({"clip": math.inf}, "clip is a positive number, not inf"),
        ({"weight_decay": -1.0}, "weight_decay is 0 or more, not -1.0"),
        ({"free_bits": math.nan}, "free_bits is 0 or more, not nan"),
        ({"seed": -1}, "seed is 0 to 9007199254740991, not -1"),
    ],
)
def test_configs_that_cannot_be_are_refused_with_what_can(wrong, allowed):
    with pytest.raises(InputError, match=allowed):
        replace(CONFIG, **wrong)


def test_presets_can_be_changed_by_field_and_unknown_ones_are_named():
    assert presets.preset("baseline").autoencoder == AutoencoderConfig()
    assert presets.preset("baseline").generator is None
    assert presets.preset("default", steps=7) == replace(presets.PRESETS["default"], steps=7)
    with pytest.raises(
        InputError, match="unknown preset 'best': there are default, synthetic, tiny, own, "
    ):
        presets.preset("best")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precision": "8"}, "precision is one of 32, bf16, 16, not '8'"),
        ({"strategy": "dp"}, "strategy is one of auto, ddp, fsdp, not 'dp'"),
        ({"devices": 0}, "devices is 1 or more, not 0"),
        ({"accumulate": 0}, "accumulate is 1 or more"),
        ({"keep_every": -1}, "keep_every is 0 or more"),
    ],
)
def test_a_way_to_compute_that_cannot_be_is_named(given, message):
    with pytest.raises(InputError, match=message):
        Compute(**given)
