"""The classifier: what must not matter to it does not, what makes a kind does, and it is the same
every time.
"""

import math

import numpy as np
import pytest
import torch

from tootlearn.data.clips import synthesise
from tootlearn.data.recipes import KINDS as KINDS_OF_RECIPES
from tootlearn.dsp.front_end import FrontEnd, FrontEndConfig
from tootlearn.errors import InputError
from tootlearn.models.classifier import Classifier, ClassifierConfig
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


# Augmentation


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


# Bad input


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"steps": 0}, "steps is 1 or more, not 0"),
        ({"batch": 1}, "batch is 2 or more, not 1"),
        ({"width": 0}, "width is 1 or more"),
        ({"embedding": 0}, "embedding is 1 or more"),
        ({"learning_rate": math.nan}, "learning_rate is a positive number"),
        ({"augmentation": -1.0}, "augmentation is 0 or more"),
        ({"dropout": 1.0}, "dropout is 0 or more and below 1"),
        ({"smoothing": -0.1}, "smoothing is 0 or more and below 1"),
        ({"seed": -1}, "seed is 0 to"),
    ],
)
def test_config_says_what_is_allowed(changes, named):
    with pytest.raises(InputError, match=named):
        ClassifierConfig(**changes)


def test_too_few_clips_or_kinds_and_other_front_ends_are_refused(clips):
    with pytest.raises(InputError, match="10 clips of 4 kinds are too few"):
        train_classifier(clips[:10], SHORT)
    with pytest.raises(InputError, match="128 bands, the front end 80"):
        train_classifier(clips, SHORT, FrontEndConfig(mels=80))


def test_embeddings_are_those_of_any_number_of_clips_in_any_float():
    model = untrained(embedding=8)
    x = -10 * random(70, 128, 40)
    with torch.no_grad():
        torch.testing.assert_close(
            model.embeddings(x.half()), model.embed(x.half().float()), atol=1e-5, rtol=1e-4
        )
