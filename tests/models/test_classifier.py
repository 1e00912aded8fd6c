"""The classifier: what must not matter to it does not, what makes a kind does, and it is the same
every time.
"""

import math

import numpy as np
import pytest
import torch

from tootlearn.data.clips import synthesise
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.models.classifier import Classifier
from tootlearn.models.config import ClassifierConfig
from tootlearn.training.train_classifier import (
    train_classifier,
)

KINDS = ("car_horn", "slide_whistle", "tuba", "pea_whistle")
SHORT = ClassifierConfig(steps=60, batch=24, width=8, embedding=16, augmentation=0.2)


@pytest.fixture(scope="module")
def clips():
    return synthesise(KINDS, 240, 3, FrontEnd(), progress=False)


@pytest.fixture(scope="module")
def trained(clips):
    return train_classifier(clips.split()[0], SHORT)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def untrained(**changes) -> Classifier:
    torch.manual_seed(0)
    return Classifier(FrontEndConfig(), KINDS, ClassifierConfig(**changes)).eval()


def toot(floor: float = math.log(1e-5)) -> torch.Tensor:
    """One clip of 60 loud frames, (1, 128, 176)."""
    x = torch.full((1, 128, 176), floor)
    x[:, 10:100, 20:80] = -6 * random(90, 60)
    return x


# What must not matter


def test_shapes():
    model = untrained(embedding=24)
    x = -10 * random(3, 128, 176)
    assert model(x).shape == (3, 4) and model.embed(x).shape == (3, 24)
    assert model(x[..., :61]).shape == (3, 4)


def test_loudness_is_not_seen_and_neither_is_what_the_floor_hides():
    model, x = untrained(), toot()
    quieter = (x - 4).clamp_min(math.log(1e-5))  # 35 dB down: more of it drowns in the floor
    torch.testing.assert_close(model.embed(quieter), model.embed(x), atol=1e-4, rtol=1e-4)


def test_where_the_toot_stands_and_how_long_the_silence_is_do_not_matter():
    model, x = untrained(), toot()
    later = x.roll(30, 2)
    torch.testing.assert_close(model.embed(later), model.embed(x), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.embed(x[..., :120]), model.embed(x), atol=1e-4, rtol=1e-4)


def test_silence_has_an_embedding_and_a_gradient_reaches_the_clip():
    model, x = untrained(), toot().requires_grad_()
    assert model.embed(torch.full((2, 128, 176), -11.5)).isfinite().all()
    model.embed(x).square().sum().backward()
    assert x.grad.isfinite().all() and x.grad.abs().sum() > 0


def test_clips_of_a_batch_do_not_know_each_other(trained, clips):
    x = clips.log_mel[:6].float()
    torch.testing.assert_close(trained(x)[2:3], trained(x[2:3]), atol=1e-4, rtol=1e-4)


def test_features_are_the_layers_up_to_the_embedding():
    model, x = untrained(width=4, embedding=24), -10 * random(3, 128, 61)
    found = model.features(x)
    assert [tuple(f.shape) for f in found] == [
        (3, 4, 64, 31),
        (3, 16, 64),
        (3, 16, 32),
        (3, 16, 16),
        (3, 24),
    ]
    assert torch.equal(found[-1], model.embed(x))


# What makes a kind


def test_it_names_toots_of_pitches_that_it_never_heard(trained, clips):
    held_out = clips.split()[1]
    named = trained(held_out.log_mel.float()).argmax(1).numpy()
    assert trained.kinds == KINDS and not trained.training
    assert np.mean(named == held_out.controls.kind) > 0.8


def test_its_embedding_puts_a_kind_together(trained, clips):
    held_out = clips.split()[1]
    with torch.no_grad():
        e = trained.embed(held_out.log_mel.float())
    kind = torch.from_numpy(held_out.controls.kind)
    distance = torch.cdist(e, e)
    same = kind[:, None] == kind
    assert distance[same & (distance > 0)].mean() < 0.8 * distance[~same].mean()


# Augmentation


# Bad input


def test_embeddings_are_those_of_any_number_of_clips_in_any_float():
    model = untrained(embedding=8)
    x = -10 * random(70, 128, 40)
    with torch.no_grad():
        torch.testing.assert_close(
            model.embeddings(x.half()), model.embed(x.half().float()), atol=1e-5, rtol=1e-4
        )
