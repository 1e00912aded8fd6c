"""The parts of the synthesiser one by one; `test_synthesis` listens to whole toots."""

import numpy as np
import pytest
from scipy import stats

from tootlearn import rng
from tootlearn.controls import LOUDNESS_RANGE
from tootlearn.data import synthesis
from tootlearn.data.recipes import KINDS, RECIPES

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


def test_hold_and_trill_change_the_pressure_by_what_they_say():
    still, held = pressure(1.9).clip(1e-9), slice(RATE // 2, 3 * RATE // 2)  # a second
    falling = 20 * np.log10((pressure(1.9, hold=9.0) / still)[held])
    np.testing.assert_allclose(falling, -9 * (np.arange(RATE) / RATE + 0.5), atol=2e-5)
    trill = (pressure(1.9, rate=30.0) / still)[held]
    assert (trill == 1).all()  # a rate without a depth
    trill = (pressure(1.9, rate=30.0, trill=0.7) / still)[held]
    assert trill.max() == pytest.approx(1) and trill.min() == pytest.approx(0.3, abs=1e-3)
    assert np.abs(np.fft.rfft(trill - trill.mean())).argmax() == 30
