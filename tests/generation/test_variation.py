"""Variations and morphs: what stays, what moves, and how far. On the model that ships."""

from itertools import pairwise

import numpy as np
import pytest
import torch

import tootlearn
from tootlearn import rng
from tootlearn.controls import ControlRequest, Controls
from tootlearn.dsp import measures
from tootlearn.errors import InputError
from tootlearn.generation import variation
from tootlearn.generation.inversion import Inversion
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.generation.variation import changed_controls, from_controls, morph, vary
from tootlearn.models.decoder import Condition

RATE = 22050


@pytest.fixture(scope="module")
def g() -> TootGenerator:
    return tootlearn.load()


@pytest.fixture(scope="module")
def horn(g) -> Inversion:
    return from_controls(g, g.controls("train_horn", 262.0, 0.6, 0.5, -20), 5)


def residuals(g, monkeypatch, sound: Inversion, **options) -> torch.Tensor:
    """The residuals of variations, which are not rendered."""
    result = []
    monkeypatch.setattr(
        g,
        "render",
        lambda controls, residual, *_, **__: result.append(residual) or np.zeros(1, "f4"),
    )
    list(vary(g, sound, **options))
    return torch.cat(result)


# Variations


def test_nothing_changed_is_the_sound_itself(g, horn):
    (toot,) = vary(g, horn, 1, seed=3, amount=0)
    same = g.render(horn.controls, horn.residual, toot.seed)
    assert len(toot.wave) == len(same)
    # rounding of the residual, there and back
    assert np.abs(toot.wave - same).max() < 0.02 * np.abs(same).max()
    assert toot.kind == "train_horn" and toot.controls == horn.controls


def test_variation_i_is_the_same_whatever_the_count(g, horn):
    few, many = list(vary(g, horn, 1, seed=3)), list(vary(g, horn, 2, seed=3))
    assert np.array_equal(few[0].wave, many[0].wave) and not np.array_equal(
        many[0].wave, many[1].wave
    )


def test_the_amount_is_how_far_residuals_stray_and_all_is_a_draw_from_the_prior(
    g, horn, monkeypatch
):
    strayed = []
    for amount in (0.0, 0.2, 0.5, 1.0):
        result = residuals(g, monkeypatch, horn, count=20, seed=2, amount=amount)
        strayed.append(float((result - horn.residual).square().sum(1).mean()))
    assert strayed[0] < 1e-8 and all(a < b for a, b in pairwise(strayed))
    drawn = [g.residual(horn.controls, rng.child(2, i)) for i in range(20)]
    torch.testing.assert_close(result, torch.cat(drawn))


def test_half_way_residuals_are_distributed_as_the_prior(g, monkeypatch):
    """Of sounds that the prior drew: their noise stays standard normal, also for another kind."""
    noise, low = [], ControlRequest("tuba", 100.0)
    for i in range(40):
        sound = from_controls(g, g.controls("trumpet", 400.0, 0.5, 0.5, -18), i)
        z = residuals(g, monkeypatch, sound, count=8, seed=i, amount=0.6, changes=low)
        condition = Condition.of(changed_controls(g, sound, low))
        noise.append(g.network.prior.noise(condition._replace(kind=condition.kind.repeat(8)), z))
    together = torch.cat(noise)
    assert together.mean(0).abs().max() < 0.5 and float(together.mean().abs()) < 0.15
    assert float(together.std()) == pytest.approx(1, abs=0.12)


def test_a_changed_control_moves_and_the_others_stay(g, horn):
    (low,) = vary(g, horn, 1, seed=1, amount=0)
    (high,) = vary(g, horn, 1, seed=1, amount=0, changes=ControlRequest(pitch="E4"))
    intervals = g.model.kinds[g.kinds.index("train_horn")].intervals
    for toot, pitch in ((low, 262.0), (high, 329.63)):
        wave = torch.from_numpy(toot.wave)
        assert abs(measures.cents(measures.chord_f0(wave, RATE, intervals, pitch), pitch)) < 30
        assert float(measures.duration(wave, RATE)) == pytest.approx(0.6, abs=0.06)
        assert float(measures.loudness(wave, RATE)) == pytest.approx(-20, abs=0.5)


def test_another_kind_takes_pitch_and_duration_into_its_range(g):
    tuba = from_controls(g, g.controls("tuba", 60.0, 1.5, 0.5, -18), 1)
    result = changed_controls(g, tuba, ControlRequest("bicycle_horn"))
    assert (result.pitch[0], result.duration[0]) == (180, 0.7)
    assert (
        result.brightness == tuba.controls.brightness and result.loudness == tuba.controls.loudness
    )
    beyond = Inversion(
        Controls(*(np.array([v]) for v in (8, 1100.0, 0.5, 1.1, -18.0))), tuba.residual, 0.0
    )
    # of its own kind, the pitch that was measured stays
    assert changed_controls(g, beyond, ControlRequest(duration=0.4)).pitch == 1100


# Morphs


def measured(g, toots) -> np.ndarray:
    """Pitch in cents, duration in s, octaves to the centroid and loudness of toots of one note:
    (steps, 4).
    """
    rows = []
    for toot in toots:
        wave, pitch = torch.from_numpy(toot.wave), float(toot.controls.pitch[0])
        f0 = measures.tone_f0(wave, RATE, pitch)
        result = measures.measure(wave, RATE)
        octaves = measures.brightness_octaves(result.centroid, pitch)
        rows.append(
            [
                float(x)
                for x in (measures.cents(f0, 440.0), result.duration, octaves, result.loudness)
            ]
        )
    return np.array(rows)


@pytest.mark.parametrize(
    "ends",
    [
        (("trumpet", 400.0, 0.4, 0.3, -26), ("tuba", 150.0, 0.9, 0.8, -14)),
        (("french_horn", 300.0, 0.8, 0.2, -16), ("car_horn", 420.0, 0.5, 0.8, -30)),
        (("pea_whistle", 2400.0, 0.4, 0.5, -24), ("trombone", 330.0, 0.9, 0.4, -20)),
        # one clips, were it not turned down
        (("ship_horn", 100.0, 1.2, 0.7, -6), ("trumpet", 300.0, 0.6, 0.2, -9)),
    ],
)
def test_every_measure_changes_monotonically(g, ends):
    """Steps back are at most 5 cents, 2 ms, 0.02 octaves and 0.05 dB; ends differ by far more."""
    first, last = (from_controls(g, g.controls(*asked), seed) for seed, asked in enumerate(ends))
    toots = list(morph(g, first, last, 6, seed=2))
    result = measured(g, toots)
    steps = np.diff(result, axis=0) * np.sign(result[-1] - result[0])
    assert (steps.min(0) > [-5, -0.002, -0.02, -0.05]).all(), steps
    assert (np.abs(result[-1] - result[0]) > [200, 0.05, 0.1, 1]).all()
    assert all(np.abs(toot.wave).max() < 0.99 for toot in toots)


def test_the_ends_of_a_morph_are_its_sounds(g):
    first, last = (
        from_controls(g, g.controls(kind, 300.0, 0.4, 0.5, -20), 1)
        for kind in ("trumpet", "french_horn")
    )
    toots = list(morph(g, first, last, 2, seed=4))
    for toot, sound in zip(toots, (first, last), strict=True):
        whole = g.render(sound.controls, sound.residual, 4)
        both = min(len(whole), len(toot.wave))
        assert abs(len(whole) - len(toot.wave)) < 0.01 * RATE
        assert np.abs(toot.wave[:both] - whole[:both]).max() < 0.05 * np.abs(whole).max()
        assert toot.kind == "trumpet-french_horn"


def test_between_is_geometric_in_pitch_and_time_and_even_in_the_rest(g):
    first, last = (
        g.controls("trumpet", 200.0, 0.25, 0.2, -30),
        g.controls("tuba", 50.0, 1.0, 0.8, -10),
    )
    half = variation.between(first, last, 0.5)
    np.testing.assert_allclose(
        [half.pitch[0], half.duration[0], half.brightness[0]], [100, 0.5, 0.5]
    )
    assert half.loudness == -20 and half.kind == first.kind
    assert variation.between(first, last, 0.6).kind == last.kind


# What is refused


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"count": 0}, "1 variation or more"),
        ({"amount": 1.5}, "amount 1.5 .* 0 to 1"),
        ({"changes": ControlRequest("trumpt")}, "did you mean trumpet"),
        ({"changes": ControlRequest(pitch=3000)}, "train_horn: pitch 3000 Hz"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_wrong_argument_is_named_before_a_toot_is_made(g, horn, options, named):
    with pytest.raises(InputError, match=named):
        vary(g, horn, **({"count": 2} | options))


def test_a_morph_has_two_ends(g, horn):
    with pytest.raises(InputError, match="2 steps or more"):
        morph(g, horn, horn, 1)
