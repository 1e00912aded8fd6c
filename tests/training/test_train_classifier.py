"""Training of the classifier: the same every time, what it augments, and the listener."""

import math

import pytest
import torch

from tootlearn.data.clips import synthesise
from tootlearn.data.recipes import KINDS as KINDS_OF_RECIPES
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError
from tootlearn.models.config import ClassifierConfig
from tootlearn.training import train_classifier as classifier_training
from tootlearn.training.train_classifier import (
    CHANCES,
    augmented,
    listener,
    noise_texture,
    train_classifier,
)

KINDS = ("car_horn", "slide_whistle", "tuba", "pea_whistle")
SHORT = ClassifierConfig(steps=60, batch=24, width=8, embedding=16, augmentation=0.2)


@pytest.fixture(scope="module")
def clips():
    return synthesise(KINDS, 240, 3, FrontEnd(), progress=False)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def toot(floor: float = math.log(1e-5)) -> torch.Tensor:
    """One clip of 60 loud frames, (1, 128, 176)."""
    x = torch.full((1, 128, 176), floor)
    x[:, 10:100, 20:80] = -6 * random(90, 60)
    return x


def test_the_same_seed_gives_the_same_classifier_and_leaves_the_global_state_alone(clips):
    config = ClassifierConfig(steps=3, batch=8, width=4, embedding=8)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = train_classifier(clips, config)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    again, other = (
        train_classifier(clips, config),
        train_classifier(clips, ClassifierConfig(3, 8, 3e-3, 4, 8, seed=1)),
    )
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)
    )
    assert not torch.equal(first.squeeze.weight, other.squeeze.weight)


def test_the_listener_knows_all_kinds_through_any_front_end_and_is_the_same_every_time():
    config, front_end = (
        ClassifierConfig(steps=2, batch=8, width=4, embedding=8),
        FrontEndConfig(hop=512, mels=20),
    )
    first = listener(front_end, config, clips=24)
    assert listener(front_end, config, clips=24) is first  # trained once a process
    classifier_training._listener.cache_clear()
    again = listener(front_end, config, clips=24)
    assert first.kinds == tuple(KINDS_OF_RECIPES) and not first.training
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)
    )
    assert not any(p.requires_grad for p in first.parameters())
    other = listener(front_end, config, clips=24, seed=1)
    assert not torch.equal(first.squeeze.weight, other.squeeze.weight)
    x = toot()[:, :20, ::2].requires_grad_()
    first.embed(x).square().sum().backward()
    assert x.grad.abs().sum() > 0


def test_a_listener_at_another_rate_than_the_synthesisers_is_refused():
    with pytest.raises(InputError, match="at 22050 Hz, and this front end works at 44100 Hz"):
        listener(FrontEndConfig(sample_rate=44100))


def test_strength_0_changes_nothing_but_the_level():
    x = toot()
    same = augmented(x, random(1, CHANCES), noise_texture(FrontEndConfig(), 0), 0.0)
    torch.testing.assert_close(same.clamp_min(-11), (x - x.max()).clamp_min(-11), atol=1e-3, rtol=0)


def test_augmented_clips_are_finite_differ_and_have_noise_where_it_was_quiet():
    x = toot().roll(-18, 2).expand(32, -1, -1)
    found = augmented(x, random(32, CHANCES), noise_texture(FrontEndConfig(), 0))
    assert found.shape == x.shape and found.isfinite().all()
    assert len(found.flatten(1).unique(dim=0)) == 32
    peak, quiet = found.amax((1, 2)), found[:, :, 120:].amax((1, 2))
    assert (quiet - peak).max() > -0.5 and (quiet - peak).min() < -4


def test_chances_are_independent_of_the_other_clips():
    x, chances, texture = (
        toot().expand(4, -1, -1),
        random(4, CHANCES),
        noise_texture(FrontEndConfig(), 0),
    )
    torch.testing.assert_close(
        augmented(x, chances, texture)[2:3], augmented(x[2:3], chances[2:3], texture)
    )


def test_noise_texture_strays_about_its_mean_as_rayleigh_noise_does():
    texture = noise_texture(FrontEndConfig(), 1)
    assert texture.shape == (128, 2048)
    torch.testing.assert_close(texture.mean(1), torch.zeros(128), atol=1e-4, rtol=0)
    # one bin: the logarithm of a Rayleigh variable has a standard deviation of pi / sqrt(24); of
    # two or more, less
    assert 0.4 < float(texture[5].std()) < math.pi / math.sqrt(24)
    assert texture[120].std() < 0.5 * texture[5].std()


def test_too_few_clips_or_kinds_and_other_front_ends_are_refused(clips):
    with pytest.raises(InputError, match="10 clips of 4 kinds are too few"):
        train_classifier(clips[:10], SHORT)
    with pytest.raises(InputError, match="128 bands, the front end 80"):
        train_classifier(clips, SHORT, FrontEndConfig(mels=80))
