"""The bandwidth extension: what it leaves alone, where it puts what, and how near the shipped one
is to the truth.
"""

import math

import numpy as np
import pytest
import torch

import tootlearn
from tests import needs
from tootlearn.dsp import measures
from tootlearn.dsp.audio import resample
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models import bandwidth, model_file
from tootlearn.models.bandwidth import Bandwidth, HighBand
from tootlearn.models.config import AutoencoderConfig
from tootlearn.models.toot_model import TootModel

RATE = 44100


@pytest.fixture(scope="module")
def shipped() -> Bandwidth:
    return model_file.load_bandwidth()[0].requires_grad_(False)


@pytest.fixture(scope="module")
def g():
    return tootlearn.load()


class Told(Bandwidth):
    """One that knows the truth: the levels of a wave (2 N,), and this share of tone."""

    def __init__(self, true: torch.Tensor, share: float) -> None:
        super().__init__()
        self.true, self.share = true, share

    def forward(self, log_mel, tone, peak=None):
        levels = self.levels(self.stft(self.true))[None, :, : log_mel.shape[2]]
        return HighBand(levels, torch.full_like(levels, self.share))


def horn(
    f0: float, slope: float, seconds: float = 0.6, onset: float = 0.1, top: float = 20000.0
) -> torch.Tensor:
    """Harmonics up to ``top`` Hz, which fall by ``slope`` dB an octave, from ``onset`` s on: at
    44,100 Hz.
    """
    time = torch.arange(int(seconds * RATE), dtype=torch.float64) / RATE
    number = range(1, int(top / f0) + 1)
    wave = sum(
        10 ** (-slope / 20 * math.log2(k)) * torch.sin(2 * math.pi * f0 * k * time + k * k)
        for k in number
    )
    rise = ((time - onset) / 0.002).clamp(0, 1)
    return (0.3 * rise * wave / wave.abs().max()).float()


def note(hz: float) -> torch.Tensor:
    return torch.full((8, 1), math.log2(hz))


def energy(wave: torch.Tensor, low: float, high: float) -> float:
    """dB."""
    power = torch.fft.rfft(wave.double()).abs().square()
    hz = torch.arange(len(power)) * (RATE / len(wave))
    return 10 * math.log10(float(power[(hz >= low) & (hz < high)].sum()) + 1e-20)


# What it leaves alone


def test_below_the_cross_over_the_wave_is_the_resampled_one(shipped):
    low = resample(horn(300, 6), RATE, RATE // 2)
    wide, plain = shipped.extend(low, note(300)), resample(low, RATE // 2, RATE)
    assert wide.shape == plain.shape == (2 * len(low),)
    assert energy(wide - plain, 0, 10000) < energy(plain, 0, 10000) - 60
    assert energy(wide, 11000, 20000) > energy(plain, 11000, 20000) + 30


def test_silence_stays_silence_and_a_short_wave_is_one(shipped):
    assert not shipped.extend(torch.zeros(5000), note(300)).any()
    for count in (1, 7, 300):
        wave = shipped.extend(torch.ones(count) * 0.1)
        assert wave.shape == (2 * count,) and wave.isfinite().all()


def test_louder_in_is_louder_out(shipped):
    low = resample(horn(300, 6), RATE, RATE // 2)
    quiet, loud = shipped.extend(low * 2**-10, note(300)), shipped.extend(low, note(300))
    assert torch.allclose(quiet * 2**10, loud, atol=1e-5)


def test_a_seed_gives_the_same_noise_and_another_other_noise(shipped):
    low = resample(horn(300, 6), RATE, RATE // 2)
    first, again, other = (shipped.extend(low, note(300), seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    ("wave", "notes", "named"),
    [
        (torch.zeros(2, 9), None, "a wave"),
        (torch.zeros(0), None, "a wave"),
        (torch.ones(9), torch.zeros(3), "notes are"),
        (torch.ones(9), torch.full((3, 1), math.nan), "notes are"),
    ],
)
def test_what_is_no_wave_and_no_notes_is_refused(shipped, wave, notes, named):
    with pytest.raises(InputError, match=named):
        shipped.extend(wave, notes)


# Where it puts what


@pytest.mark.parametrize("tone", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("f0", "slope"), [(110, 3), (300, 9), (1250, 6)])
def test_bands_are_as_loud_as_the_network_says(tone, f0, slope):
    true = horn(f0, slope)
    low = resample(true, RATE, RATE // 2)
    wide = Told(true / low.abs().max(), tone).extend(low, note(f0))
    for start in (11000, 14000, 17000):
        assert abs(energy(wide, start, start + 3000) - energy(true, start, start + 3000)) < 2


@pytest.mark.parametrize("f0", [233.1, 466.2, 1318.5])
def test_harmonics_come_to_lie_on_harmonics(f0):
    true = horn(f0, 6, onset=0)
    low = resample(true, RATE, RATE // 2)
    wide = Told(true / low.abs().max(), 1.0).extend(low, note(f0))

    def on_harmonics(wave: torch.Tensor) -> float:
        power = torch.fft.rfft(wave * torch.hann_window(len(wave))).abs().square()
        hz = torch.arange(len(power)) * (RATE / len(wave))
        high = (hz > 11200) & (hz < 19000)
        near = (hz - f0 * (hz / f0).round()).abs() < 12
        return float(power[high & near].sum() / power[high].sum())

    assert on_harmonics(wide) > 0.98
    # noise is elsewhere too
    assert on_harmonics(Told(true / low.abs().max(), 0.0).extend(low, note(f0))) < 0.5


def test_a_move_follows_a_gliding_note():
    time = torch.arange(RATE, dtype=torch.float64) / RATE
    octave = math.log2(300) + 0.2 * time
    turns = (2**octave / RATE).cumsum(0)
    wave = sum(torch.sin(2 * math.pi * k * turns) for k in range(10, 32)).float() * 0.02
    step = bandwidth.base_frequency(octave[::512, None].float(), None, RATE)
    assert float((step / 2**octave - 1).abs().max()) < 1e-2

    def on_harmonics(moves: torch.Tensor | None) -> float:
        """At .8 s, of what lies from 11 to 15 kHz."""
        moved, _ = bandwidth.moved_up(wave, RATE, moves)
        at, f0 = int(0.8 * RATE), 300 * 2**0.16
        power = (
            torch.fft.rfft(moved[at - 1024 : at + 1024] * torch.hann_window(2048)).abs().square()
        )
        hz = torch.arange(len(power)) * (RATE / 2048)
        high = (hz > 11000) & (hz < 15000)
        near = (hz - f0 * (hz / f0).round()).abs() < f0 / 5
        return float(power[high & near].sum() / power[high].sum())

    assert on_harmonics(step) > 0.9
    assert on_harmonics(None) < 0.6  # by 5,500 Hz throughout


@pytest.mark.parametrize(
    ("ratios", "level", "multiple"),
    [
        ((1,), None, 1),
        ((1, 2), None, 2),
        ((1, 5 / 4), None, 5),
        ((1, 1.2599), None, 5),
        ((1, 1.5), [0.99, 0.01], 3),
    ],
)
def test_a_chord_is_moved_by_what_all_its_notes_share(ratios, level, multiple):
    notes = (220 * torch.tensor(ratios)).log2().expand(6, -1)
    weight = None if level is None else torch.tensor(level)
    step = bandwidth.base_frequency(notes, weight, 1000)
    assert torch.allclose(step, torch.full((1000,), 220.0 * multiple), rtol=1e-4)


def test_what_would_be_moved_beyond_half_the_rate_does_not_come_back():
    time = torch.arange(RATE, dtype=torch.float64) / RATE
    wave = (
        torch.sin(2 * math.pi * 8000 * time).float() + torch.sin(2 * math.pi * 4000 * time).float()
    )
    # by 16 kHz: to 20 kHz, and to 24
    moved = bandwidth.moved_up(wave, RATE, torch.full_like(wave, 8000))[1]
    moved = moved * torch.hann_window(RATE)
    # 24 kHz would be heard at 20.1
    assert energy(moved, 19900, 20050) > energy(moved, 20060, 22050) + 60


@pytest.mark.parametrize("tone", [0.0, 1.0])
def test_nothing_is_heard_above_before_the_attack(tone):
    true = horn(300, 6, onset=0.3)
    low = resample(true, RATE, RATE // 2)
    wide = Told(true / low.abs().max(), tone).extend(low, note(300))
    before, after = int(0.292 * RATE), slice(int(0.31 * RATE), int(0.4 * RATE))
    first = energy(wide[:before], 11500, 20000) - 10 * math.log10(before)
    then = energy(wide[after], 11500, 20000) - 10 * math.log10(after.stop - after.start)
    assert first < then - 45


@pytest.mark.parametrize("rate", [22050, 44100])
@pytest.mark.parametrize("f0", [65, 150, 440, 2093])
def test_tone_is_told_from_noise_whatever_its_pitch_and_rate(f0, rate):
    time = torch.arange(rate, dtype=torch.float64) / rate
    tone = sum(
        torch.sin(2 * math.pi * f0 * k * time + k * k) for k in range(1, int(rate / 2 / f0))
    ).float()
    noise = torch.randn(rate, generator=torch.Generator().manual_seed(f0)) * tone.std()
    found = bandwidth.tone_share(
        torch.stack([tone, noise, tone + noise]), rate, bandwidth.HEARD, 88
    ).mean(2)
    assert float(found[0].min()) > 0.9 and float(found[1].max()) < 0.05
    assert 0.25 < float(found[2].mean()) < 0.7


def test_the_triangles_share_every_bin_between_them():
    extension = Bandwidth()
    assert torch.allclose(extension.between.sum(0), torch.ones(513), atol=1e-6)
    assert torch.allclose(extension.bands.sum(1), torch.ones(10), atol=1e-6)


# The shipped one


@pytest.mark.parametrize("f0", [120, 300, 700])
@pytest.mark.parametrize("slope", [12, 15])
def test_the_shipped_one_goes_on_as_the_spectrum_does(shipped, f0, slope):
    true = horn(f0, slope)
    wide = shipped.extend(resample(true, RATE, RATE // 2), note(f0))
    assert abs(energy(wide, 11000, 20000) - energy(true, 11000, 20000)) < 6
    assert energy(wide, 11000, 14000) > energy(wide, 14000, 17000) > energy(wide, 17000, 20000)


def test_the_shipped_one_is_near_to_held_out_notes(shipped):
    """Instruments at semitones that nobody learned from: the mean error is small, and so is that of
    most notes.
    """
    from tootlearn.data.sound_font import PROGRAMS, open_font, play
    from tootlearn.data.sounds import note_is_held_out

    player = open_font(needs.need_sound_font(), RATE, bright=True)
    errors = []
    for kind in ("trumpet", "muted_trumpet", "trombone", "brass_section"):
        for midi in [m for m in range(50, 80) if note_is_held_out(PROGRAMS[kind], m)]:
            true = play(player, PROGRAMS[kind], midi, 100, 0.5, RATE)
            wide = shipped.extend(
                resample(true, RATE, RATE // 2), note(440 * 2 ** ((midi - 69) / 12))
            )
            errors.append(energy(wide, 11000, 20000) - energy(true, 11000, 20000))
    assert len(errors) == 20
    assert abs(np.mean(errors)) < 3 and np.median(np.abs(errors)) < 4


def test_the_shipped_one_is_small_and_says_where_it_comes_from():
    assert model_file.shipped_bandwidth().stat().st_size < 1e6
    extension, description = model_file.load_bandwidth()
    assert sum(p.numel() for p in extension.parameters()) < 300_000
    assert (
        description["provenance"]["licence"].startswith("MIT")
        and "held out" in description["provenance"]["data"]
    )


# In generation


def test_a_toot_at_44100_hz_has_a_high_band_unless_it_is_left_out(g):
    without = tootlearn.load(bandwidth="none")

    def toot(wide: bool, rate: int = RATE) -> torch.Tensor:
        made = (g if wide else without).generate(
            "trumpet", "A4", 0.5, 0.8, -14, seed=2, sample_rate=rate
        )
        return torch.from_numpy(made)

    wide, narrow = toot(True), toot(False)
    assert energy(narrow, 11100, 22050) < energy(narrow, 0, 11000) - 70
    assert energy(wide, 11100, 22050) > energy(narrow, 11100, 22050) + 25
    assert torch.equal(toot(True, 22050), toot(False, 22050))
    for rate in (32000, 48000):
        other = toot(True, rate)
        assert abs(len(other) / rate - len(wide) / RATE) < 0.01
        assert (
            float((resample(other, rate, RATE)[: len(wide)].norm() / wide.norm()).log().abs())
            < 0.05
        )


@pytest.mark.parametrize("kind", ["car_horn", "tuba", "pea_whistle", "train_horn", "slide_whistle"])
def test_every_sort_of_kind_keeps_its_loudness_and_duration(g, kind):
    low = torch.from_numpy(g.generate(kind, duration=0.6, loudness=-18, seed=5))
    wide = torch.from_numpy(g.generate(kind, duration=0.6, loudness=-18, seed=5, sample_rate=RATE))
    assert wide.isfinite().all()
    assert abs(float(measures.loudness(wide, RATE) - measures.loudness(low, RATE // 2))) < 0.3
    assert abs(float(measures.duration(wide, RATE) - measures.duration(low, RATE // 2))) < 0.01


def test_an_extension_of_another_rate_is_refused(g):
    front_end = FrontEndConfig(16000, fmax=8000.0)
    normalizer = Normalizer(torch.zeros(128, 1), torch.ones(128, 1))
    model = TootModel(front_end, normalizer, g.model.kinds, None, AutoencoderConfig(latent=4))
    with pytest.raises(InputError, match="for 22050 Hz, the model makes 16000 Hz"):
        TootGenerator(model, g.description, bandwidth=g.bandwidth)
