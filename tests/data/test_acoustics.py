"""The signals that toots are made of, against sums and spectra computed in plain ways."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from tootlearn import rng
from tootlearn.data import acoustics, synthesis
from tootlearn.data.recipes import RECIPES
from tootlearn.dsp import measures
from tootlearn.dsp.config import WINDOW_SAMPLES

RATE = synthesis.SAMPLE_RATE


@given(
    st.integers(1, 64),
    st.floats(30, 1600),
    st.floats(0, 0.2),
    st.floats(0, 1),
    st.integers(0, 2**32),
)
def test_the_sum_by_groups_equals_the_sum_of_sines(count, f0, swell, turn, seed):
    time = np.arange(3000) / RATE
    hz = f0 * (1 + 0.03 * np.sin(20 * time))  # it bends
    pressure = np.clip(30 * time, 0, 1) * (1 + 0.3 * np.sin(90 * time))
    level = rng.uniform(seed, 0, count)
    turns = np.cumsum(hz) / RATE + turn
    number = np.arange(1, count + 1)[:, None]
    direct = (
        level[:, None]
        * np.maximum(pressure, 1e-6) ** (1 + swell * number)
        * np.sin(2 * np.pi * number * turns)
    ).sum(0)
    found = acoustics.harmonics(turns, pressure.astype(np.float32), level, swell, np.ones((1, 200)))
    assert found.dtype == np.float32
    assert np.abs(found - direct).max() < 1e-4 * np.abs(direct).max()


def test_a_resonator_is_loudest_at_its_formant():
    hz = np.geomspace(100, 11000, 4000)
    centres = []
    for seed in range(200):
        gain = 20 * np.log10(
            acoustics.resonator([(1500.0, 1.0, 9.0)], 0.1 * rng.normal(seed, 9, 4))(hz)
        )
        assert gain.max() == pytest.approx(9, abs=0.01)
        centres.append(np.log2(hz[gain.argmax()] / 1500))
    assert np.std(centres) == pytest.approx(0.1, rel=0.2) and abs(np.mean(centres)) < 0.03
    assert (acoustics.resonator([], np.zeros(4))(hz) == 1).all()


@given(
    st.floats(1.2, 12),
    st.integers(0, 2**32),
    st.sampled_from([(1.0,), (1.0, 1.25), (1.0, 1.19, 1.5)]),
)
def test_the_tilt_gives_the_lines_the_centroid_that_was_asked_for(harmonic, seed, intervals):
    frequency = 300 * np.array(intervals)[:, None] * np.arange(1, 31)
    level = rng.uniform(seed, 0, frequency.size).reshape(frequency.shape) + 0.2
    tilt = acoustics.tilt(frequency, level, 300 * harmonic * np.mean(intervals), np.zeros(513))
    line = level * np.arange(1, 31) ** -tilt
    centroid = float((line * frequency).sum() / line.sum())
    assert centroid == pytest.approx(300 * harmonic * np.mean(intervals), rel=2e-3)


@pytest.mark.parametrize(("noise_db", "asked"), [(-40, 2500), (-30, 3000)])
def test_the_tilt_allows_for_the_breath(noise_db, asked):
    number = np.arange(1, 25)
    level = 10 ** (noise_db / 20)
    phase = 2 * np.pi * 440 * number[:, None] * np.arange(2 * RATE) / RATE
    hiss = rng.normal(0, 1, 2 * RATE) * level

    def centroid(noise: float) -> float:
        tilt = acoustics.tilt(440.0 * number[None], np.ones((1, 24)), asked, np.full(513, noise))
        tone = (number[:, None] ** -tilt * np.sin(phase)).sum(0)
        return float(measures.centroid(torch.from_numpy(tone + hiss * tone.std()), RATE))

    assert centroid(level) == pytest.approx(asked, rel=0.03)
    assert centroid(0.0) > 1.03 * asked  # without the allowance it is too bright


def test_what_wanders_meets_its_numbers_without_a_kink():
    random = rng.normal(0, 1, 60).reshape(2, 30)
    place = np.linspace(0, 28, 28 * 50 + 1)
    found = acoustics.wandering(place, random)
    np.testing.assert_allclose(found[:, ::50], random[:, :29])
    np.testing.assert_allclose(found[:, 25::50], (random[:, :28] + random[:, 1:29]) / 2)
    slope = np.diff(found) * 50
    # the steepest of a smooth step
    assert np.abs(np.diff(slope)).max() < 6 * np.abs(np.diff(random)).max() / 50 * 2.1
    np.testing.assert_array_equal(
        acoustics.wandering(np.array([29.0, 40.0]), random[0]), random[0, [29, 29]]
    )


def test_groups_of_partials_shimmer_by_their_decibels_each_on_its_own():
    time = np.arange(30) / 16  # where the numbers are
    gains = [acoustics.shimmer(time, 1.5, rng.normal(seed, 1, 256)) for seed in range(40)]
    decibel = 20 * np.log10(np.stack(gains))
    assert decibel.shape == (40, 8, 30) and decibel.std() == pytest.approx(1.5, rel=0.05)
    assert np.abs(np.corrcoef(decibel.transpose(1, 0, 2).reshape(8, -1)) - np.eye(8)).max() < 0.13
    turns, loud = 300 * np.arange(8192) / RATE, np.ones(8192, dtype=np.float32)
    level, steps = np.ones(9), np.ones((3, 400))  # three groups of three
    whole = acoustics.harmonics(turns, loud, level, 0.0, steps)
    steps[1] = 0.5
    quieter = acoustics.harmonics(turns, loud, level, 0.0, steps)
    direct = 0.5 * np.sin(2 * np.pi * turns * np.arange(4, 7)[:, None]).sum(0)
    np.testing.assert_allclose(whole - quieter, direct, atol=1e-4)


def test_lines_join_points_and_turns_count_the_cycles_of_f0():
    time = acoustics.points(1000)
    np.testing.assert_allclose(
        acoustics.joined(3 * time, 1000), 3 * np.arange(1000) / RATE, atol=1e-6
    )
    found = acoustics.turns(200 + 5000 * time, 1000)  # a straight glide: its integral is a parabola
    sample = np.arange(1000) / RATE
    np.testing.assert_allclose(found, 200 * sample + 2500 * sample**2, atol=1e-9)


@pytest.mark.parametrize("focus", [0.0, 0.8])
def test_breath_has_its_colour_and_about_unit_rms(focus):
    colour = acoustics.breath_colour(
        800,
        focus,
        4000,
        acoustics.resonator(RECIPES["train_horn"].formants, 0.1 * rng.normal(1, 9, 4)),
    )
    noise = acoustics.breath(
        np.ones(WINDOW_SAMPLES - 512, dtype=np.float32), colour, seed=2, stream=0
    )
    assert 0.9 < noise.std() < 1.2
    hz, power = signal.welch(noise, RATE, nperseg=512)
    expected = np.interp(hz, acoustics.GRID, colour) ** 2
    heard = slice(2, 250)
    level = 10 * np.log10(power[heard] / expected[heard] * RATE / 2)
    assert np.abs(level).max() < 3 and abs(level.mean()) < 0.5
    if focus:
        assert hz[power.argmax()] == pytest.approx(800, rel=0.06)
