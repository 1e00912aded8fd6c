import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import signal, stats

from tootlearn import rng
from tootlearn.controls import ONSET_SAMPLES
from tootlearn.data import synthesis
from tootlearn.data.recipes import KINDS, RECIPES
from tootlearn.dsp import measures
from tootlearn.dsp.config import WINDOW_SAMPLES

RATE = synthesis.SAMPLE_RATE
NAMES = list(KINDS)
SILENT = (-300.0, -300.0)
SET_SEED = 77


def db(ratio: float) -> float:
    return 20 * math.log10(max(float(ratio), 1e-15))


def middle(wave: np.ndarray, seconds: float = 1.5, samples: int = 8192) -> np.ndarray:
    """The samples about the middle of a toot that was asked to last so long."""
    start = ONSET_SAMPLES + (round(seconds * RATE) - samples) // 2
    return wave[start : start + samples].astype(np.float64)


@pytest.fixture(scope="module")
def population():
    """100 natural toots of each kind: waves (B, N), labels, and what was asked for (B, 4)."""
    waves, labels = synthesis.toots(NAMES, 100 * len(NAMES), SET_SEED)
    asked = [
        synthesis.draw(KINDS[NAMES[i % len(NAMES)]], rng.child(SET_SEED, i))
        for i in range(len(waves))
    ]
    return waves, labels, np.array(asked)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("place", "brightness"), [(0, 1.0), (0.43, 0.0), (1, 1.0)])
def test_a_still_toot_is_harmonics_of_the_exact_pitch_below_nyquist_and_nothing_else(
    name, place, brightness, recipe
):
    recipe(name, still=True)
    kind = KINDS[name]
    low, high = kind.pitch
    pitch = low * (high / low) ** place
    wave = middle(synthesis.render(name, pitch, 1.5, brightness, -20, seed=5), samples=4096)
    each = (pitch * np.array(kind.intervals)[:, None] * np.arange(1, 300)).ravel()
    frequency = np.unique(np.round(each[each < 0.97 * RATE / 2], 6))
    phase = 2 * np.pi * np.arange(len(wave))[:, None] * frequency / RATE
    # by PyTorch, which keeps to one thread
    basis = torch.linalg.qr(torch.from_numpy(np.concatenate((np.cos(phase), np.sin(phase)), 1)))[
        0
    ].numpy()
    left = wave - basis @ (basis.T @ wave)
    # a pitch wrong by a twentieth of a cent, or one alias, would show
    assert db(left.std() / wave.std()) < -100
    found = measures.chord_f0(torch.from_numpy(wave), RATE, kind.intervals, pitch * 1.03)
    assert abs(float(measures.cents(found, pitch))) < 1


@pytest.mark.parametrize("name", NAMES)
def test_nothing_sounds_near_the_nyquist_frequency(name, recipe):
    recipe(name, breath=SILENT, chiff=SILENT)
    for i, place in enumerate((0, 0.2, 0.4, 0.6, 0.8, 1)):
        low, high = KINDS[name].pitch
        wave = middle(synthesis.render(name, low * (high / low) ** place, 1.5, 1.06, -20, seed=i))
        spectrum = np.abs(np.fft.rfft(wave * signal.windows.blackmanharris(len(wave))))
        above = np.fft.rfftfreq(len(wave), 1 / RATE) > synthesis._TOP + 150  # jitter has sidebands
        assert db(spectrum[above].max() / spectrum.max()) < -85


@pytest.mark.parametrize("name", NAMES)
def test_the_lowest_note_settles_on_the_pitch(name, recipe):
    # the rest of nature stays
    recipe(name, **dict.fromkeys(("vibrato", "drift", "droop", "sweep"), (0, 0)))
    kind = KINDS[name]
    for i in range(6):
        own = rng.child(3, i)
        pitch, _, brightness, _ = synthesis.draw(kind, own)
        wave = torch.from_numpy(synthesis.render(name, pitch, 1.8, brightness, -20, own))[
            ONSET_SAMPLES + RATE :
        ]
        # the line next to the pitch, which the other notes of a chord leave alone
        spectrum = (wave[:16384] * torch.hann_window(16384)).double()
        hz = torch.fft.rfftfreq(2**19, 1 / RATE)
        near = (hz / pitch - 1).abs() < 0.03
        line = hz[near][torch.fft.rfft(spectrum, n=2**19).abs()[near].argmax()]
        assert abs(float(measures.cents(line, pitch))) < 4
        if len(kind.intervals) == 1:
            assert abs(float(measures.cents(measures.tone_f0(wave, RATE, pitch * 1.02), pitch))) < 3
        else:  # its notes are out of tune with each other by up to 10 cents RMS
            found = measures.chord_f0(wave, RATE, kind.intervals, pitch * 1.02)
            assert abs(float(measures.cents(found, pitch))) < 25


def test_pyin_agrees_on_the_pitch_of_a_trumpet():
    pytest.importorskip("librosa")
    wave = torch.from_numpy(synthesis.render("trumpet", 233.08, 1.0, 0.5, -12, seed=4))
    # it has vibrato
    assert abs(float(measures.cents(measures.median_f0(wave, RATE, 100, 600), 233.08))) < 15


def test_a_stopped_pipe_has_no_even_harmonics(recipe):
    recipe("slide_whistle", still=True, even=(0.0, 0.0))
    pitch = 100 * RATE / 8192
    wave = middle(synthesis.render("slide_whistle", 2 * pitch, 1.5, 0.9, -20, seed=1))
    lines = np.abs(np.fft.rfft(wave))[200::200][:8]
    assert lines[1::2].max() < 1e-5 * lines[0] < 1e-3 * lines[2]


@pytest.mark.parametrize("name", NAMES)
def test_brightness_rises_as_asked(name, recipe):
    recipe(name, still=True)
    kind = KINDS[name]
    pitch = math.sqrt(kind.pitch[0] * kind.pitch[1])
    asked = np.linspace(0, 1, 6)
    waves = torch.stack(
        [torch.from_numpy(synthesis.render(name, pitch, 0.8, b, -20, seed=2)) for b in asked]
    )
    octaves = np.log2(measures.centroid(waves, RATE).numpy() / pitch)
    assert (np.diff(octaves) > 0).all()
    # partials of a chord that coincide, and what swells, take a little off
    assert (
        np.abs(octaves - (kind.octaves[0] + (kind.octaves[1] - kind.octaves[0]) * asked)).max()
        < 0.12
    )


def test_natural_brightness_follows_what_is_asked(population):
    _, labels, asked = population
    for k, name in enumerate(NAMES):
        rows = labels.kind == k
        # much breath leaves no room for the darkest; a slide takes the centroid along
        enough = {"steam_whistle": 0.8, "slide_whistle": 0.7, "tuba": 0.94}.get(name, 0.96)
        assert stats.spearmanr(asked[rows, 2], labels.brightness[rows]).statistic > enough, name
        assert np.median(np.abs(asked[rows, 2] - labels.brightness[rows])) < 0.2, name


def test_brightness_0_and_1_are_the_5th_and_95th_percentile_of_nature(population):
    _, labels, _ = population
    for k, name in enumerate(NAMES):
        low, high = np.percentile(labels.brightness[labels.kind == k], [5, 95])
        error = 0.25 if name == "slide_whistle" else 0.15  # slides up go beyond what is asked
        assert low == pytest.approx(0, abs=error), name
        assert high == pytest.approx(1, abs=error), name


def test_silence_stands_before_the_onset_and_after_the_end(population):
    waves, _, asked = population
    assert waves.shape[1] == WINDOW_SAMPLES
    assert (waves[:, : ONSET_SAMPLES + 1] == 0).all()  # the toot's own first sample is 0
    assert (waves[:, ONSET_SAMPLES + 1] != 0).all()
    for i, (wave, (_, duration, _, _)) in enumerate(zip(waves, asked, strict=True)):
        drawn = RECIPES[NAMES[i % len(NAMES)]].draw(rng.child(SET_SEED, i))
        # from -40 dB, which the fundamental passes at the end, to -80 dB of the pressure; and the
        # quiet of the rise
        tail = (
            drawn["release"] * (math.log(1e4) - math.log(100) / (1 + drawn["swell"]))
            + 0.12 * drawn["attack"]
        )
        assert (wave[ONSET_SAMPLES + math.ceil((duration + tail) * RATE) :] == 0).all()


def test_duration_is_about_what_was_asked(population):
    _, labels, asked = population
    for k, name in enumerate(NAMES):
        wrong = (labels.duration - asked[:, 1])[labels.kind == k]
        assert abs(np.median(wrong)) < 0.012, name
        assert np.percentile(np.abs(wrong), 90) < 0.035, name
        assert np.abs(wrong).max() < 0.055, name
        assert (
            stats.spearmanr(labels.duration[labels.kind == k], asked[labels.kind == k, 1]).statistic
            > 0.99
        )
    onset = measures.onset(population[0], RATE).numpy() * RATE
    assert onset.min() > ONSET_SAMPLES - 0.006 * RATE  # half the window of the envelope
    assert onset.max() < ONSET_SAMPLES + 0.03 * RATE


@pytest.mark.parametrize("name", NAMES)
def test_nothing_clicks(name, recipe):
    recipe(name, breath=SILENT, chiff=SILENT, jitter=(0, 0))
    # no harmonic is there
    highest = signal.firwin(401, 10800, pass_zero=False, fs=RATE, window=("kaiser", 11))
    for i in range(12):
        own = rng.child(8, i)
        pitch, duration, brightness, _ = synthesis.draw(KINDS[name], own)
        wave = synthesis.render(name, pitch, min(duration, 1.2), brightness, -20, own).astype(
            np.float64
        )
        wave /= np.abs(wave).max()
        # a jump by a percent would show
        assert db(np.abs(np.convolve(wave, highest, "same")).max()) < -76
        sounding = np.flatnonzero(wave)
        assert abs(wave[sounding[0]]) < 2e-4 and abs(wave[sounding[-1]]) < 4e-4


def test_a_toot_longer_than_the_window_is_cut():
    long = synthesis.render("trumpet", 300, 5.0, 0.5, -20, seed=0)
    assert long.shape == (WINDOW_SAMPLES,)
    assert np.abs(long[-2000:]).max() > 0.01


def test_loudness_is_exact_but_where_the_peak_would_pass_full_scale(population):
    waves, labels, asked = population
    peak = waves.abs().amax(1).double().numpy()
    assert peak.max() < 1
    free = peak < synthesis.PEAK * (1 - 1e-6)
    assert free.mean() > 0.6 and (~free).any()
    np.testing.assert_allclose(labels.loudness[free], asked[free, 3], atol=1e-4)
    np.testing.assert_allclose(peak[~free], synthesis.PEAK, rtol=1e-6)
    assert (labels.loudness[~free] < asked[~free, 3] + 1e-4).all()


@pytest.mark.parametrize("name", NAMES)
def test_loudness_scales_the_wave_and_changes_nothing_else(name):
    quiet, loud = (
        synthesis.render(name, 410, 0.4, 0.5, level, seed=9).astype(np.float64)
        for level in (-36, -24)
    )
    np.testing.assert_allclose(loud, quiet * 10 ** (12 / 20), rtol=1e-5, atol=1e-9)


def test_breath_is_as_far_below_the_tone_as_the_recipe_says(recipe):
    for level in (-30.0, -15.0):
        recipe("trumpet", still=True, breath=(level, level))
        wave = synthesis.render("trumpet", 400, 1.5, 0.7, -20, seed=3)
        found = measures.harmonic_to_noise_ratio(torch.from_numpy(wave), RATE, 400.0)
        assert float(found) == pytest.approx(-level, abs=2)


def test_breath_may_lead_the_tone(recipe):
    energy = {}
    for lead in (0.0, 0.9):
        recipe("steam_whistle", breath=(-20, -20), breath_lead=(lead, lead), attack=(0.1, 0.1))
        waves = [synthesis.render("steam_whistle", 700, 0.8, 0.5, -20, seed) for seed in range(8)]
        energy[lead] = np.square(
            np.stack(waves)[:, ONSET_SAMPLES : ONSET_SAMPLES + 220].astype(np.float64)
        ).sum()
    assert energy[0.9] > 10 * energy[0.0]


def test_labels_are_the_measures(population):
    waves, labels, asked = population
    np.testing.assert_array_equal(labels.kind, np.arange(len(waves)) % len(NAMES))
    np.testing.assert_array_equal(labels.pitch, asked[:, 0])
    np.testing.assert_allclose(labels.duration, measures.duration(waves, RATE), rtol=1e-6)
    np.testing.assert_allclose(labels.loudness, measures.loudness(waves, RATE), rtol=1e-6)
    for i in range(8):  # alone, by the definition
        kind = KINDS[NAMES[labels.kind[i]]]
        octaves = math.log2(float(measures.centroid(waves[i], RATE)) / labels.pitch[i])
        expected = (octaves - kind.octaves[0]) / (kind.octaves[1] - kind.octaves[0])
        assert labels.brightness[i] == pytest.approx(expected, abs=1e-5)


def test_a_toot_is_the_same_whatever_count_and_start(population):
    waves, labels, asked = population
    part, own = synthesis.toots(NAMES, 7, SET_SEED, start=9)
    assert torch.equal(part, waves[9:16])
    np.testing.assert_array_equal(own.kind, labels.kind[9:16])
    np.testing.assert_allclose(own.brightness, labels.brightness[9:16], rtol=1e-5)
    # Python's floats: NumPy's would make the gain double precision, and a last bit another
    alone = synthesis.render(NAMES[9 % len(NAMES)], *asked[9].tolist(), seed=rng.child(SET_SEED, 9))
    assert np.array_equal(alone, waves[9])


def test_the_same_seed_gives_the_same_bits_in_another_process(population):
    program = (
        "import hashlib, torch; torch.set_num_threads(1); from tootlearn.data import synthesis;"
        f"waves, _ = synthesis.toots({NAMES}, 4, {SET_SEED});"
        "print(hashlib.sha256(waves.numpy().tobytes()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == hashlib.sha256(population[0][:4].numpy().tobytes()).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_other_seeds_make_other_toots_of_the_same_controls(name):
    waves = np.stack([synthesis.render(name, 405, 0.4, 0.5, -20, seed) for seed in range(4)])
    heard = waves[:, ONSET_SAMPLES + 1000 : ONSET_SAMPLES + 8000]
    likeness = np.corrcoef(heard) - np.eye(4)
    assert np.abs(likeness).max() < 0.97
    assert torch.from_numpy(waves).sub(torch.from_numpy(waves[:1])).abs().amax(1)[1:].min() > 0.01


def test_no_toots_are_no_toots():
    waves, labels = synthesis.toots(NAMES, 0, 1)
    assert waves.shape == (0, WINDOW_SAMPLES) and len(labels) == 0
