"""The parts of the synthesiser one by one; `test_synthesis` listens to whole toots."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal, stats

from tootlearn import rng
from tootlearn.controls import LOUDNESS_RANGE
from tootlearn.data import acoustics, synthesis
from tootlearn.data.recipes import KINDS, RECIPES
from tootlearn.dsp import measures
from tootlearn.dsp.front_end import WINDOW_SAMPLES

RATE = synthesis.SAMPLE_RATE
NAMES = list(KINDS)
# no change of any kind in what a recipe draws
_ZERO = [
    "glide",
    "vibrato",
    "tremolo",
    "flutter",
    "hold",
    "droop",
    "sweep",
    "drift",
    "trill",
    "swell",
    "breath_lead",
]
STILL = dict.fromkeys(_ZERO, 0.0)
STILL |= {"glide_time": 0.05, "vibrato_rate": 5.0, "attack": 0.01, "release": 0.03}
RANGES = [
    field.name
    for field in dataclasses.fields(RECIPES["trumpet"])
    if field.name not in ("formants", "centroid")
]


def test_every_kind_has_a_recipe_whose_ranges_are_ranges():
    assert list(KINDS) == list(RECIPES)
    for name, kind in KINDS.items():
        assert kind.name == name
        assert all(low <= high for low, high in (getattr(RECIPES[name], r) for r in RANGES))
        assert RECIPES[name].attack[0] > 0 and RECIPES[name].release[0] > 0
        assert (RECIPES[name].trill[1] > 0) == (kind.trill > 0)
        assert (RECIPES[name].sweep != (0, 0)) == kind.slide


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
    pitch, duration, brightness, loudness = np.array(
        [synthesis.draw(kind, rng.child(1, i)) for i in range(400)]
    ).T
    for values, (low, high) in ((pitch, kind.pitch), (duration, kind.duration)):
        assert stats.kstest(np.log(values / low) / np.log(high / low), "uniform").pvalue > 1e-3
    low, high = LOUDNESS_RANGE
    assert stats.kstest((loudness - low) / (high - low), "uniform").pvalue > 1e-3
    assert brightness.min() >= -0.06 and brightness.max() <= 1.06
    low, high = kind.octaves
    assert (pitch * 2 ** (low + (high - low) * brightness) <= 5000 * (1 + 1e-9)).all()


@pytest.mark.parametrize("name", [n for n in NAMES if RECIPES[n].centroid])
def test_two_of_three_toots_have_their_centroid_where_the_body_holds_it(name):
    kind, (low, high) = KINDS[name], RECIPES[name].centroid
    pitch, _, brightness, _ = np.array(
        [synthesis.draw(kind, rng.child(2, i)) for i in range(600)]
    ).T
    asked = pitch * 2 ** (kind.octaves[0] + (kind.octaves[1] - kind.octaves[0]) * brightness)
    held = (asked > 0.999 * low) & (asked < 1.001 * high)
    assert held.mean() > 0.55
    # and the others are anywhere
    assert brightness[~held].min() < 0.1 and brightness[~held].max() > 0.9


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


def bend(time: np.ndarray, duration: float = 2.0, seed: int = 0, **drawn: float) -> np.ndarray:
    """`synthesis._bend` in cents."""
    return 1200 * synthesis._bend(
        time, duration, STILL | drawn, rng.normal(seed, rng.Stream.SYNTHESIS_DRIFT, 32)
    )


def pressures(
    duration: float, seed: int = 0, rate: float = 0.0, **drawn: float
) -> tuple[np.ndarray, np.ndarray]:
    """`synthesis._pressure` of a toot that is still but for this; ``rate`` is the trill's."""
    return synthesis._pressure(
        duration, STILL | drawn, rate, rng.normal(seed, rng.Stream.SYNTHESIS_FLUTTER, 64)
    )


def pressure(duration: float, seed: int = 0, rate: float = 0.0, **drawn: float) -> np.ndarray:
    """That of the tone."""
    return pressures(duration, seed, rate, **drawn)[0]


def test_a_glide_comes_from_below_and_vibrato_is_centred_on_the_pitch():
    time = np.arange(2 * RATE) / RATE
    assert (bend(time) == 0).all()
    np.testing.assert_allclose(bend(time, glide=100.0), -100 * np.exp(-time / 0.05), atol=1e-9)
    vibrato = bend(time, vibrato=20.0)
    assert np.abs(vibrato[: RATE // 5]).max() == 0
    whole = vibrato[RATE : 2 * RATE]  # five cycles
    assert whole.mean() == pytest.approx(0, abs=1e-6)
    assert whole.max() == pytest.approx(20, rel=1e-3)
    assert np.abs(np.fft.rfft(whole)).argmax() == 5


@pytest.mark.parametrize("sweep", [-11.0, 0.5, 7.0])
@pytest.mark.parametrize("duration", [0.3, 1.5])
def test_a_slide_is_held_then_moved_then_held_again(sweep, duration):
    time = np.linspace(0, 1.2 * duration, 1000)
    found = bend(time, duration, sweep=sweep)
    assert (found[time <= 0.15 * duration] == 0).all()
    np.testing.assert_allclose(found[time >= 0.85 * duration], 100 * sweep)
    assert (np.diff(found) * np.sign(sweep) >= 0).all()
    assert np.interp(duration / 2, time, found) == pytest.approx(50 * sweep, rel=1e-2)


def test_drift_wanders_by_its_standard_deviation_slowly():
    time = np.arange(0, 2, 0.01)
    found = np.stack([bend(time, drift=8.0, seed=seed) for seed in range(400)])
    knots = found[:, ::20]  # five a second
    assert knots.std() == pytest.approx(8, rel=0.07) and abs(knots.mean()) < 0.6
    correlation = np.corrcoef(knots.T) - np.eye(10)
    assert np.abs(correlation).max() < 0.2
    np.testing.assert_allclose(found[:, 10], (found[:, 0] + found[:, 20]) / 2)  # a line between


def test_f0_droops_by_what_it_says_when_the_pressure_halves():
    time = np.arange(RATE) / RATE
    found = bend(time, droop=20.0, hold=12.0)
    assert found[RATE // 2] == pytest.approx(-20)  # 6 dB later
    np.testing.assert_allclose(np.diff(found), -40 / RATE, rtol=1e-6)
    assert (bend(time, droop=20.0) == 0).all()  # nothing empties


def test_bends_are_those_of_the_toots_and_flat_before_the_onset():
    time = np.array([-0.02, 0.0, 0.3, 1.0])
    found = synthesis.bends(NAMES, 8, 5, 10, time)
    assert found.shape == (8, 4) and np.array_equal(found[:, 0], found[:, 1])
    for i, row in zip(range(10, 18), found, strict=True):
        name, own = NAMES[i % len(NAMES)], rng.child(5, i)
        duration = synthesis.draw(KINDS[name], own)[1]
        drift = rng.normal(own, rng.Stream.SYNTHESIS_DRIFT, 32)
        expected = synthesis._bend(time[1:], duration, RECIPES[name].draw(own), drift)
        np.testing.assert_array_equal(row[1:], expected)


@pytest.mark.parametrize("kind", ["car_horn", "train_horn"])
def test_notes_of_a_chord_are_detuned_and_late_but_for_the_lowest(kind):
    drawn = {"detune": 8.0, "stagger": 0.05, "balance": 3.0}
    found = [
        synthesis._notes(KINDS[kind].intervals, drawn, c) for c in synthesis._chances(range(300))
    ]
    ratios, levels, starts = (np.stack(part) for part in zip(*found, strict=True))
    assert (ratios[:, 0] == 1).all() and (starts[:, 0] == 0).all()
    cents = 1200 * np.log2(ratios[:, 1:] / KINDS[kind].intervals[1:])
    assert cents.std() == pytest.approx(8, rel=0.15) and abs(cents.mean()) < 1.5
    assert 0 < starts[:, 1:].min() < 0.002 and 0.048 < starts[:, 1:].max() < 0.05
    decibel = 20 * np.log10(levels)
    assert decibel[:, 1:].std() == pytest.approx(3, rel=0.15) and decibel[:, 0].min() >= 0


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


@pytest.mark.parametrize("duration", [0.12, 0.5, 1.9])
@pytest.mark.parametrize("attack", [0.008, 0.15])
@pytest.mark.parametrize("swell", [0.0, 0.2])
def test_the_fundamental_lasts_as_long_as_asked_from_40_db_to_40_db(duration, attack, swell):
    found = pressure(duration, attack=attack, swell=swell)
    time = np.arange(len(found)) / RATE
    assert found[0] == 0 and found.max() == pytest.approx(1, abs=1e-3) and found[-1] == 0
    heard = time[found ** (1 + swell) > 0.01]
    assert heard[-1] - heard[0] == pytest.approx(duration, abs=3 / RATE)
    assert found[time > time[-1] - 0.003].max() < 10 ** (-70 / 20)
    rise = (found > 0.999).argmax() / RATE
    assert rise == pytest.approx(min(attack, 0.4 * duration), rel=0.05)
    assert np.abs(np.diff(found)).max() < 1.6 / (0.008 * RATE)  # no jump


def test_a_lead_shortens_the_rise():
    for lead in (0.0, 0.6):
        tone, breath = pressures(1.0, attack=0.1, breath_lead=lead)
        assert (tone > 0.999).argmax() / RATE == pytest.approx(0.1, rel=0.05)
        assert (breath > 0.999).argmax() / RATE == pytest.approx(0.1 * (1 - lead), rel=0.05)
        np.testing.assert_array_equal(tone[RATE // 9 :], breath[RATE // 9 :])


def test_flutter_and_tremolo_change_the_pressure_by_what_they_say():
    still = pressure(1.9).clip(1e-9)
    held = slice(RATE // 2, 3 * RATE // 2)
    tremolo = (pressure(1.9, tremolo=0.1) / still)[held]
    assert tremolo.max() == pytest.approx(1.1, abs=1e-3) and tremolo.min() == pytest.approx(
        0.9, abs=1e-3
    )
    flutter = [pressure(1.9, seed, flutter=0.05) / still for seed in range(30)]
    # where 12 a second has its values
    knots = np.stack(flutter)[:, [RATE // 2, RATE, 3 * RATE // 2]]
    assert knots.std() == pytest.approx(0.05, rel=0.25)


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


def test_hold_and_trill_change_the_pressure_by_what_they_say():
    still, held = pressure(1.9).clip(1e-9), slice(RATE // 2, 3 * RATE // 2)  # a second
    falling = 20 * np.log10((pressure(1.9, hold=9.0) / still)[held])
    np.testing.assert_allclose(falling, -9 * (np.arange(RATE) / RATE + 0.5), atol=2e-5)
    trill = (pressure(1.9, rate=30.0) / still)[held]
    assert (trill == 1).all()  # a rate without a depth
    trill = (pressure(1.9, rate=30.0, trill=0.7) / still)[held]
    assert trill.max() == pytest.approx(1) and trill.min() == pytest.approx(0.3, abs=1e-3)
    assert np.abs(np.fft.rfft(trill - trill.mean())).argmax() == 30


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
