"""What sets one kind apart from another, heard in whole toots."""

import math

import numpy as np
import pytest
import torch
from scipy import signal

from tootlearn import rng
from tootlearn.controls import ONSET_SAMPLES
from tootlearn.data import synthesis
from tootlearn.data.recipes import KINDS, RECIPES
from tootlearn.dsp import measures

RATE = synthesis.SAMPLE_RATE


def part(wave: np.ndarray, start: float, end: float) -> np.ndarray:
    """From start to end in s after the onset."""
    return wave[ONSET_SAMPLES + round(start * RATE) : ONSET_SAMPLES + round(end * RATE)].astype(
        np.float64
    )


def f0(wave: np.ndarray, start: float, end: float, guess: float) -> float:
    """Of a part of a toot, in Hz."""
    return float(measures.tone_f0(torch.from_numpy(part(wave, start, end)), RATE, guess))


def level(wave: np.ndarray) -> float:
    """RMS in dB."""
    return 10 * math.log10(np.square(wave).mean())


def cents(found: float, expected: float) -> float:
    return float(measures.cents(found, expected))


@pytest.mark.parametrize("sweep", [-11.0, -1.0, 4.0, 11.0])
@pytest.mark.parametrize("duration", [0.8, 1.5])
def test_a_slide_starts_on_the_pitch_and_ends_its_sweep_away(sweep, duration, recipe):
    recipe("slide_whistle", still=True, sweep=(sweep, sweep))
    wave = synthesis.render("slide_whistle", 700, duration, 0.5, -20, seed=1)
    end = 700 * 2 ** (sweep / 12)
    assert abs(cents(f0(wave, 0.02, 0.15 * duration, 710), 700)) < 3
    assert abs(cents(f0(wave, 0.86 * duration, duration - 0.02, 1.01 * end), end)) < 3
    middle = f0(wave, 0.45 * duration, 0.55 * duration, 700 * 2 ** (sweep / 24))
    assert abs(cents(middle, 700 * 2 ** (sweep / 24))) < 25  # it moves


@pytest.mark.parametrize("name", ["slide_whistle", "bicycle_horn", "trombone", "trumpet"])
def test_natural_toots_have_the_f0_that_bends_tells(name, recipe):
    recipe(name, breath=(-60, -60))
    for i in range(6):
        own = rng.child(11, i)
        pitch, _, brightness, _ = synthesis.draw(KINDS[name], own)
        wave = synthesis.render(name, pitch, 1.2, brightness, -20, own)
        drawn = RECIPES[name].draw(own)
        for start in (0.1, 1.05):
            time = np.linspace(start, start + 0.1, 50)
            expected = (
                pitch
                * 2
                ** synthesis._bend(
                    time, 1.2, drawn, rng.normal(own, rng.Stream.SYNTHESIS_DRIFT, 32)
                ).mean()
            )
            assert abs(cents(f0(wave, start, start + 0.1, 1.02 * expected), expected)) < 15


def test_a_trill_interrupts_the_tone_at_its_rate_and_depth(recipe):
    for depth in (0.5, 0.9):
        recipe("pea_whistle", still=True, trill=(depth, depth), swell=(0, 0))
        wave = synthesis.render("pea_whistle", 2400, 1.4, 0.3, -20, seed=2)
        # one second
        envelope = np.abs(signal.hilbert(part(wave, 0.1, 1.3)))[RATE // 10 : RATE // 10 + RATE]
        smooth = signal.sosfiltfilt(signal.butter(4, 200, output="sos", fs=RATE), envelope)[
            2000:-2000
        ]
        assert smooth.min() / smooth.max() == pytest.approx(1 - depth, abs=0.03)
        assert (
            np.abs(np.fft.rfft(envelope - envelope.mean())).argmax() == KINDS["pea_whistle"].trill
        )


@pytest.mark.parametrize("name", KINDS)
def test_only_a_kind_with_a_trill_is_interrupted(name):
    wave = synthesis.render(name, math.sqrt(math.prod(KINDS[name].pitch)), 1.4, 0.4, -20, seed=3)
    power = np.square(part(wave, 0.3, 1.3))
    slow = signal.resample_poly(
        signal.sosfiltfilt(signal.butter(4, 36, output="sos", fs=RATE), power), 1, 100
    )
    depth = np.abs(np.fft.rfft(slow - slow.mean()))[30 - 1 : 30 + 2].max() / slow.sum()
    assert (depth > 0.2) == (KINDS[name].trill == 30)


@pytest.mark.parametrize("hold", [0.0, 6.0, 18.0])
def test_a_bulb_empties_by_so_many_decibels_a_second(hold, recipe):
    recipe("bicycle_horn", still=True, hold=(hold, hold), swell=(0, 0))
    wave = synthesis.render("bicycle_horn", 300, 1.4, 0.5, -20, seed=1)
    fall = level(part(wave, 0.1, 0.2)) - level(part(wave, 1.1, 1.2))
    assert fall == pytest.approx(hold, abs=0.02)


def test_an_emptying_bulb_grows_darker(recipe):
    recipe("bicycle_horn", still=True, hold=(18, 18), swell=(0.05, 0.05))
    wave = synthesis.render("bicycle_horn", 300, 1.4, 0.7, -20, seed=1)
    early, late = (
        float(measures.centroid(torch.from_numpy(part(wave, start, start + 0.3)), RATE))
        for start in (0.1, 1.0)
    )
    assert late < 0.95 * early


def test_droop_flattens_the_note_as_the_bulb_empties(recipe):
    recipe("bicycle_horn", still=True, hold=(12, 12), droop=(20, 20))
    wave = synthesis.render("bicycle_horn", 300, 1.4, 0.5, -20, seed=1)
    for start in (0.1, 1.1):
        expected = -20 * 12 / 6 * (start + 0.1)
        assert cents(f0(wave, start, start + 0.2, 300), 300) == pytest.approx(expected, abs=3)


def test_chiff_is_noise_that_is_gone_after_the_attack(recipe):
    chiffs = []
    for seed in range(8):
        waves = []
        for decibel in (-20.0, -300.0):
            recipe("trumpet", still=True, chiff=(decibel, decibel), attack=(0.005, 0.005))
            wave = synthesis.render("trumpet", 400, 0.8, 0.5, -20, seed)
            waves.append(wave / part(wave, 0.5, 0.7).std())  # of unit RMS where both are the same
        chiffs.append(waves[0] - waves[1])
    powers = {
        t: np.mean([np.square(part(c, t - 0.01, t + 0.01)).mean() for c in chiffs])
        for t in (0.03, 0.13)
    }
    for time, power in powers.items():  # a time constant of .04 s
        assert 10 * math.log10(power) == pytest.approx(
            -20 - 20 * math.log10(math.e) * time / 0.04, abs=2
        )
    assert max(level(part(c, 0.6, 0.8)) for c in chiffs) < -90
    likeness = np.corrcoef([part(c, 0.005, 0.1) for c in chiffs]) - np.eye(8)
    assert np.abs(likeness).max() < 0.3  # not a tone


@pytest.mark.parametrize("name", ["ship_horn", "tuba", "trombone", "french_horn"])
def test_the_lowest_notes_are_in_tune(name, recipe):
    recipe(name, breath=(-60, -60), shimmer=(0, 0), jitter=(0, 0))
    low = KINDS[name].pitch[0]
    for seed in range(4):
        wave = synthesis.render(name, low, 1.8, (0.1, 0.4, 0.7, 1.0)[seed], -20, seed)
        assert abs(cents(f0(wave, 0.5, 1.7, 1.03 * low), low)) < 20
        clean = part(wave, 0.5, 1.5)
        power = np.abs(np.fft.rfft(clean * np.hanning(len(clean)))) ** 2
        hz = np.fft.rfftfreq(len(clean), 1 / RATE)
        assert power[hz < 0.9 * low].sum() < 1e-3 * power.sum()  # nothing below the fundamental
