"""Liveliness: waves that move by known amounts."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import tootlearn
from tootlearn import rng
from tootlearn.data.recipes import KINDS
from tootlearn.errors import InputError
from tootlearn.evaluation import liveliness
from tootlearn.evaluation.liveliness import (
    LINE_RATE,
    MEASURES,
    is_near,
    liveliness_table,
    measure_liveliness,
    recorded,
)

RATE = 22050
TIME = np.arange(2 * RATE) / RATE
WANDERING = ("wander_slow_db", "wander_mid_db", "wander_fast_db")


def tone(level_db=0.0, cents=0.0, f0: float = 330.0, count: int = 12) -> np.ndarray:
    """Harmonics k of f0 at 1 / k for two seconds, with a level in dB and a bend in cents, both
    perhaps over time.
    """
    turns = np.cumsum(f0 * 2 ** (np.broadcast_to(cents, TIME.shape) / 1200)) / RATE
    number = np.arange(1, count + 1)[:, None]
    return 10 ** (level_db / 20) * (np.sin(2 * np.pi * number * turns) / number).sum(0)


def found(wave: np.ndarray, f0: float | None = None) -> dict[str, float]:
    return measure_liveliness(torch.from_numpy(0.1 * wave), f0)


def noise(seed: int = 0) -> np.ndarray:
    """White, of unit RMS."""
    return rng.normal(seed, 9, len(TIME))


def test_a_still_tone_does_not_move():
    still = found(tone(), 330.0)
    assert max(still[name] for name in WANDERING) < 0.05
    assert still["partial_db"] < 0.02 and still["partial_cents"] < 0.02
    assert still["centroid_octaves"] < 0.01 and still["harmonic_cents"] < 0.5
    assert max(still[f"noise_{band}_db"] for band in ("mid", "high")) < -75
    assert still["attack_ms"] < 10


@pytest.mark.parametrize(("rate", "name"), [(3, WANDERING[0]), (10, WANDERING[1])])
@pytest.mark.parametrize("depth", [0.5, 3.0])
def test_modulation_of_the_level_is_found_at_its_rate(rate, name, depth):
    moving = found(tone(depth * np.sin(2 * np.pi * rate * TIME)))
    assert moving[name] == pytest.approx(depth / math.sqrt(2), rel=0.12)
    others = set(WANDERING) - {name}
    assert max(moving[other] for other in others) < 0.2 * depth


def test_a_line_over_time_is_no_wandering_and_partials_move_by_their_standard_deviation():
    falling = found(tone(-6 * TIME))
    assert max(falling[name] for name in WANDERING) < 0.1
    slow = found(tone(2 * np.sin(2 * np.pi * 2 * TIME)))
    assert slow["partial_db"] == pytest.approx(2 / math.sqrt(2), rel=0.1)


@pytest.mark.parametrize("depth", [3.0, 12.0])
def test_vibrato_is_found_in_cents(depth):
    bent = found(tone(cents=depth * np.sin(2 * np.pi * 2 * TIME)))
    assert bent["partial_cents"] == pytest.approx(depth / math.sqrt(2), rel=0.1)


def test_a_centroid_that_moves_by_an_octave_is_found():
    share = 0.5 + 0.5 * np.sin(2 * np.pi * 2 * TIME)
    wave = np.sin(2 * np.pi * 500 * TIME) + share * np.sin(2 * np.pi * 2000 * TIME)
    octaves = np.log2((500 + share * 2000) / (1 + share))
    assert found(wave)["centroid_octaves"] == pytest.approx(octaves.std(), rel=0.1)


@pytest.mark.parametrize("level", [-60, -40, -25])
def test_noise_between_partials_is_found_at_its_level(level):
    wave = tone()
    noisy = found(wave + 10 ** (level / 20) * wave.std() * noise())
    for name, (low, high) in {"low": (60, 300), "mid": (500, 2000), "top": (5000, 10000)}.items():
        share = 10 * math.log10((high - low) / (RATE / 2))
        # the median of few periodograms lies below their mean
        assert noisy[f"noise_{name}_db"] == pytest.approx(level + share, abs=2.5)


def test_the_tilt_is_that_of_the_partials():
    steps = 100 * np.arange(1, 100)[:, None]
    wave = (np.sin(2 * np.pi * steps * TIME + steps**2) * (steps / 100) ** -1.5).sum(0)
    # power by third octaves gains the bandwidth, 3 dB an octave
    assert found(wave)["tilt_db"] == pytest.approx(-9 + 3, abs=0.5)


def test_partials_that_stray_from_multiples_of_f0_are_found():
    straying = np.array([0, 30, -30, 20, -20])
    hertz = 200 * np.arange(1, 6) * 2 ** (straying / 1200)
    wave = np.sin(2 * np.pi * hertz[:, None] * TIME).sum(0)
    assert found(wave, 200.0)["harmonic_cents"] == pytest.approx(straying.std(), rel=0.05)
    assert math.isnan(found(wave)["harmonic_cents"])
    low = tone(f0=41.0, count=30)
    assert found(low, 41.0)["harmonic_cents"] < 1
    # a strong line between multiples is no multiple
    assert found(low + 2 * np.sin(2 * np.pi * 1.4 * 41 * TIME), 41.0)["harmonic_cents"] > 20


def test_a_ripple_at_a_quarter_of_the_frame_rate_is_a_line():
    floor = 0.1 * np.convolve(noise(), np.ones(200), "same") / math.sqrt(200)
    quiet = found(tone(floor))["line_db"]
    assert abs(quiet) < 9
    assert found(tone(floor + 0.3 * np.sin(2 * np.pi * LINE_RATE * TIME)))["line_db"] > quiet + 15
    assert abs(found(tone(floor + 0.3 * np.sin(2 * np.pi * 9 * TIME)))["line_db"]) < 9


def test_an_attack_lasts_as_long_as_it_rises():
    for seconds in (0.05, 0.4):
        rise = np.minimum(TIME / seconds, 1)
        assert found(tone() * rise)["attack_ms"] == pytest.approx(600 * seconds, abs=6)


def test_level_and_silence_around_a_toot_change_nothing():
    wave = tone(np.sin(2 * np.pi * 3 * TIME)) + 0.01 * noise()
    alone, framed = found(wave), found(0.01 * np.pad(wave, 3000))
    for name in set(MEASURES) - {"attack_ms"}:
        np.testing.assert_allclose(framed[name], alone[name], rtol=0.05, atol=0.3)


def test_what_is_too_short_to_measure_is_nan():
    short = found(tone()[: RATE // 20])
    assert set(short) == set(MEASURES)
    assert all(math.isnan(short[name]) for name in MEASURES if name != "attack_ms")
    medium = found(tone()[: RATE // 4])
    assert math.isnan(medium["line_db"]) and not math.isnan(medium["tilt_db"])


@pytest.mark.parametrize(
    "wave",
    [
        torch.zeros(RATE),
        torch.full((RATE,), math.nan),
        torch.cat((torch.ones(RATE), torch.tensor([math.inf]))),
        torch.ones(2, RATE),
        torch.zeros(0),
    ],
)
def test_no_sound_is_an_error(wave: Tensor):
    with pytest.raises(InputError, match="wave must be one toot"):
        measure_liveliness(wave)


def test_what_is_near_recordings():
    quartiles = (1.0, 2.0, 5.0)
    near = {0.9: False, 1.1: True, 2.9: True, 4.9: True, 5.1: False, math.nan: False}
    assert {x: is_near("partial_db", x, quartiles) for x in near} == near
    assert is_near("partial_db", 1.4, (2.0, 2.0, 2.0)) and not is_near("partial_db", 1.3, (2, 2, 2))
    for value, expected in ((-25.9, True), (-26.1, False), (-14.1, True), (math.nan, False)):
        assert is_near("noise_mid_db", value, (-21.0, -20.0, -19.0)) == expected


def test_recordings_are_of_kinds_and_measures_that_exist():
    table = recorded()
    assert set(table) == set(KINDS)
    for rows in table.values():
        assert set(rows) <= set(MEASURES)
        assert all(
            low <= median <= high and count > 0 for low, median, high, count in rows.values()
        )


def test_a_table_has_a_model_beside_the_synthesiser_and_recordings():
    g = tootlearn.load()
    table = liveliness_table(g, len(g.kinds), seed=5)
    assert set(table) == set(g.kinds)
    row = table["train_horn"]["noise_mid_db"]
    assert row["binding"] and row["recordings"] == 10 and row["recorded"] == -20.2
    assert not table["train_horn"]["attack_ms"]["binding"]
    assert not table["pea_whistle"]["noise_mid_db"]["binding"]  # three recordings
    assert "near" not in table["train_horn"]["line_db"]
    near = [who for who in ("generated", "synthesiser") if abs(row[who] + 20.2) <= 6]
    assert row["near"] == near
    with pytest.raises(InputError, match="count is"):
        liveliness_table(g, 3)


def test_a_toot_that_is_too_short_is_not_in_the_median():
    rows = [dict.fromkeys(MEASURES, value) for value in (1.0, math.nan, 3.0)]
    none = [dict.fromkeys(MEASURES, math.nan)]
    table = liveliness._beside_recordings("tuba", {"generated": rows, "synthesiser": none})
    assert table["partial_db"]["generated"] == 2 and math.isnan(table["partial_db"]["synthesiser"])
    assert table["partial_db"]["near"] == ["generated"]
    assert table["partial_cents"]["binding"]


def test_a_kind_that_the_synthesiser_does_not_know_is_measured_alone(monkeypatch):
    monkeypatch.setattr(liveliness, "RECIPES", {})
    table = liveliness.liveliness_table(tootlearn.load("tiny"), 12, 3)
    row = table["trumpet"]["tilt_db"]
    assert math.isfinite(row["generated"]) and math.isnan(row["synthesiser"])
