"""The parts of the synthesiser one by one; `test_synthesis` listens to whole toots."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal, stats

from tootlearn import measures, rng
from tootlearn.controls import LOUDNESS_RANGE
from tootlearn.data import synthesis
from tootlearn.data.recipes import KINDS, RECIPES

RATE = synthesis.SAMPLE_RATE
NAMES = list(KINDS)
RANGES = [field.name for field in dataclasses.fields(RECIPES["trumpet"]) if field.name != "formants"]


def test_every_kind_has_a_recipe_whose_ranges_are_ranges():
    assert list(KINDS) == list(RECIPES)
    for name, kind in KINDS.items():
        assert kind.name == name
        assert all(low <= high for low, high in (getattr(RECIPES[name], r) for r in RANGES))
        assert RECIPES[name].attack[0] > 0 and RECIPES[name].release[0] > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_draws_evenly_from_each_range_independently(name):
    drawn = [RECIPES[name].draw(seed) for seed in range(400)]
    wide = [r for r in RANGES if len(set(getattr(RECIPES[name], r))) == 2]
    shares = np.empty((400, len(wide)))
    for column, r in zip(shares.T, wide, strict=True):
        low, high = getattr(RECIPES[name], r)
        column[:] = [(d[r] - low) / (high - low) for d in drawn]
        assert stats.kstest(column, "uniform").pvalue > 1e-4, r
    correlation = np.corrcoef(shares.T) - np.eye(len(wide))
    assert np.abs(correlation).max() < 4.5 / math.sqrt(400)
    fixed = set(RANGES) - set(wide)
    assert all(d[r] == getattr(RECIPES[name], r)[0] for d in drawn for r in fixed)


@pytest.mark.parametrize("name", NAMES)
def test_controls_are_drawn_as_documented(name):
    kind = KINDS[name]
    pitch, duration, brightness, loudness = np.array([synthesis.draw(kind, rng.child(1, i)) for i in range(400)]).T
    for values, (low, high) in ((pitch, kind.pitch), (duration, kind.duration)):
        assert stats.kstest(np.log(values / low) / np.log(high / low), "uniform").pvalue > 1e-3
    low, high = LOUDNESS_RANGE
    assert stats.kstest((loudness - low) / (high - low), "uniform").pvalue > 1e-3
    assert brightness.min() >= -0.06 and brightness.max() <= 1.06
    low, high = kind.octaves
    assert (pitch * 2 ** (low + (high - low) * brightness) <= 5000 * (1 + 1e-9)).all()


@given(
    st.integers(1, 64),
    st.floats(30, 1600),
    st.floats(0, 0.2),
    st.floats(0, 1),
    st.integers(0, 2**32),
)
def test_clenshaws_sum_equals_the_sum_of_sines(count, f0, swell, turn, seed):
    time = np.arange(3000) / RATE
    hz = f0 * (1 + 0.03 * np.sin(20 * time))  # it bends
    pressure = np.clip(30 * time, 0, 1) * (1 + 0.3 * np.sin(90 * time))
    level = rng.uniform(seed, 0, count)
    theta = 2 * np.pi * (np.cumsum(hz) / RATE + turn)
    number = np.arange(1, count + 1)[:, None]
    direct = (level[:, None] * np.maximum(pressure, 1e-6) ** (1 + swell * number) * np.sin(number * theta)).sum(0)
    found = synthesis._harmonics(hz, pressure, level, swell, turn)
    assert found.dtype == np.float32
    assert np.abs(found - direct).max() < 1e-4 * np.abs(direct).max()


def test_a_glide_comes_from_below_and_vibrato_is_centred_on_the_pitch():
    time = np.arange(2 * RATE) / RATE
    none = {"glide": 0.0, "glide_time": 0.05, "vibrato": 0.0, "vibrato_rate": 5.0}
    assert (synthesis._bend(time, none) == 1).all()
    glide = 1200 * np.log2(synthesis._bend(time, none | {"glide": 100.0}))
    np.testing.assert_allclose(glide, -100 * np.exp(-time / 0.05), atol=1e-9)
    vibrato = 1200 * np.log2(synthesis._bend(time, none | {"vibrato": 20.0}))
    assert np.abs(vibrato[: RATE // 5]).max() == 0
    whole = vibrato[RATE : 2 * RATE]  # five cycles
    assert whole.mean() == pytest.approx(0, abs=1e-6)
    assert whole.max() == pytest.approx(20, rel=1e-3)
    assert np.abs(np.fft.rfft(whole)).argmax() == 5


@pytest.mark.parametrize("kind", ["car_horn", "train_horn"])
def test_notes_of_a_chord_are_detuned_and_late_but_for_the_lowest(kind):
    drawn = {"detune": 8.0, "stagger": 0.05}
    found = [synthesis._notes(KINDS[kind].intervals, drawn, seed) for seed in range(300)]
    ratios, levels, starts = (np.stack(part) for part in zip(*found, strict=True))
    assert (ratios[:, 0] == 1).all() and (starts[:, 0] == 0).all()
    cents = 1200 * np.log2(ratios[:, 1:] / KINDS[kind].intervals[1:])
    assert cents.std() == pytest.approx(8, rel=0.15) and abs(cents.mean()) < 1.5
    assert 0 < starts[:, 1:].min() < 0.002 and 0.048 < starts[:, 1:].max() < 0.05
    assert (20 * np.log10(levels)).std() == pytest.approx(1.5, rel=0.15)


def test_a_resonator_is_loudest_at_its_formant():
    hz = np.geomspace(100, 11000, 4000)
    centres = []
    for seed in range(200):
        gain = 20 * np.log10(synthesis._resonator([(1500.0, 1.0, 9.0)], seed)(hz))
        assert gain.max() == pytest.approx(9, abs=0.01)
        centres.append(np.log2(hz[gain.argmax()] / 1500))
    assert np.std(centres) == pytest.approx(0.1, rel=0.2) and abs(np.mean(centres)) < 0.03
    assert (synthesis._resonator([], 0)(hz) == 1).all()


@given(st.floats(1.2, 12), st.integers(0, 2**32), st.sampled_from([(1.0,), (1.0, 1.25), (1.0, 1.19, 1.5)]))
def test_the_tilt_gives_the_lines_the_centroid_that_was_asked_for(harmonic, seed, intervals):
    frequency = 300 * np.array(intervals)[:, None] * np.arange(1, 31)
    level = rng.uniform(seed, 0, frequency.size).reshape(frequency.shape) + 0.2
    tilt = synthesis._tilt(frequency, level, 300 * harmonic * np.mean(intervals), np.zeros(513))
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
        tilt = synthesis._tilt(440.0 * number[None], np.ones((1, 24)), asked, np.full(513, noise))
        tone = (number[:, None] ** -tilt * np.sin(phase)).sum(0)
        return float(measures.centroid(torch.from_numpy(tone + hiss * tone.std()), RATE))

    assert centroid(level) == pytest.approx(asked, rel=0.03)
    assert centroid(0.0) > 1.03 * asked  # without the allowance it is too bright


@pytest.mark.parametrize("duration", [0.12, 0.5, 1.9])
@pytest.mark.parametrize("attack", [0.008, 0.15])
def test_pressure_rises_from_0_to_1_and_is_down_40_db_at_the_end(duration, attack):
    drawn = {"release": 0.03, "flutter": 0.0, "tremolo": 0.0, "vibrato_rate": 5.0}
    pressure = synthesis._pressure(duration, attack, drawn, seed=0)
    time = np.arange(len(pressure)) / RATE
    assert pressure[0] == 0 and pressure.max() == pytest.approx(1, abs=1e-3)
    assert np.interp(duration, time, pressure) == pytest.approx(0.01, rel=1e-2)
    assert pressure[-1] == 0
    assert pressure[time > time[-1] - 0.003].max() < 10 ** (-70 / 20)
    rise = (pressure > 0.999).argmax() / RATE
    assert rise == pytest.approx(min(attack, 0.4 * duration), rel=0.05)
    assert np.abs(np.diff(pressure)).max() < 1.6 / (0.008 * RATE)  # no jump


def test_flutter_and_tremolo_change_the_pressure_by_what_they_say():
    quiet = {"release": 0.03, "flutter": 0.0, "tremolo": 0.0, "vibrato_rate": 5.0}
    still = synthesis._pressure(1.9, 0.01, quiet, seed=0)
    held = slice(RATE // 2, 3 * RATE // 2)
    tremolo = (synthesis._pressure(1.9, 0.01, quiet | {"tremolo": 0.1}, seed=0) / still.clip(1e-9))[held]
    assert tremolo.max() == pytest.approx(1.1, abs=1e-3) and tremolo.min() == pytest.approx(0.9, abs=1e-3)
    flutter = [
        (synthesis._pressure(1.9, 0.01, quiet | {"flutter": 0.05}, seed=s) / still.clip(1e-9)) for s in range(30)
    ]
    knots = np.stack(flutter)[:, [RATE // 2, RATE, 3 * RATE // 2]]  # where 12 a second has its values
    assert knots.std() == pytest.approx(0.05, rel=0.25)


@pytest.mark.parametrize("focus", [0.0, 0.8])
def test_breath_has_its_colour_and_about_unit_rms(focus):
    colour = synthesis._breath_colour(800, focus, synthesis._resonator(RECIPES["train_horn"].formants, 1))
    noise = synthesis._breath(np.ones(2**17), colour, seed=2)
    assert 0.9 < noise.std() < 1.2
    hz, power = signal.welch(noise, RATE, nperseg=512)
    expected = np.interp(hz, synthesis._GRID, colour) ** 2
    heard = slice(2, 250)
    level = 10 * np.log10(power[heard] / expected[heard] * RATE / 2)
    assert np.abs(level).max() < 3 and abs(level.mean()) < 0.5
    if focus:
        assert hz[power.argmax()] == pytest.approx(800, rel=0.06)
