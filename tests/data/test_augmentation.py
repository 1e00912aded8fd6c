"""Transformations: each does what it was asked for, as physics has it, and to the controls what its
docstring says.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from tootlearn.controls import ONSET_SAMPLES
from tootlearn.data import augmentation
from tootlearn.dsp import audio, measures
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError

RATE = 22050
FLOOR = float(np.log(1e-5))
few = settings(max_examples=8)


def tones(hertz, seconds=0.8, harmonics=8, fall=1.0):
    """A toot for each pitch: harmonics that fall, in the window of the models, with an onset where
    it belongs.
    """
    time = torch.arange(WINDOW_SAMPLES) / RATE - ONSET_SAMPLES / RATE
    envelope = (time / 0.01).clamp(0, 1) * ((seconds - time) / 0.02).clamp(0, 1)
    rows = []
    for f0 in hertz:
        numbers = torch.arange(1, harmonics + 1)[:, None]
        parts = torch.sin(2 * torch.pi * f0 * numbers * time + numbers**2) / numbers**fall
        rows.append(0.1 * envelope * parts.sum(0))
    return torch.stack(rows)


def noise(count=2, length=WINDOW_SAMPLES, seed=0):
    return torch.randn(count, length, generator=torch.Generator().manual_seed(seed))


def tensor(*values):
    return torch.tensor(values)


@few
@given(st.floats(-30, 30), st.floats(-30, 30))
def test_gain_moves_the_loudness_by_the_decibels_and_nothing_else(one, other):
    wave = tones([220.0, 330.0])
    before, after = (
        measures.measure(x, RATE)
        for x in (wave, augmentation.gain(wave, torch.tensor([one, other])))
    )
    torch.testing.assert_close(
        after.loudness - before.loudness, torch.tensor([one, other]), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(after.duration, before.duration)
    torch.testing.assert_close(after.centroid, before.centroid)


def test_what_is_turned_upside_down_sounds_the_same():
    wave = tones([220.0, 330.0])
    turned = augmentation.invert_polarity(wave, tensor(True, False))
    assert torch.equal(turned, torch.stack([-wave[0], wave[1]]))
    torch.testing.assert_close(FrontEnd()(turned), FrontEnd()(wave), atol=1e-4, rtol=0)


@few
@given(st.integers(-441, 441))
def test_a_shift_moves_the_onset_and_nothing_else(samples):
    wave = tones([220.0, 330.0])
    moved = augmentation.shift(wave, tensor(samples, 0))
    before, after = measures.measure(wave, RATE), measures.measure(moved, RATE)
    torch.testing.assert_close(
        after.onset - before.onset, tensor(samples, 0) / RATE, atol=2e-4, rtol=0
    )
    torch.testing.assert_close(after.duration, before.duration, atol=2e-4, rtol=0)
    torch.testing.assert_close(after.loudness, before.loudness, atol=1e-2, rtol=0)
    assert torch.equal(moved[1], wave[1])


def test_a_shift_brings_silence_and_not_the_other_end():
    moved = augmentation.shift(torch.ones(2, 100), tensor(30, -30))
    assert torch.equal(moved[0], (torch.arange(100) >= 30).float()) and torch.equal(
        moved[1], moved[0].flip(0)
    )


@few
@given(st.floats(-1200, 1200), st.sampled_from([110.0, 233.0, 440.0, 700.0]))
def test_pitch_moves_by_the_cents_and_duration_by_the_ratio(cents, hertz):
    wave = tones([hertz], 0.6)
    moved = augmentation.pitch_shift(wave, tensor(cents))
    ratio = 2 ** (cents / 1200)
    found = measures.tone_f0(moved, RATE, hertz * ratio)
    assert abs(float(measures.cents(found, hertz * ratio))) < 2
    before, after = measures.measure(wave, RATE), measures.measure(moved, RATE)
    assert float(after.duration) == pytest.approx(
        float(before.duration) / ratio, rel=0.01, abs=0.006
    )
    assert float(after.onset) == pytest.approx(ONSET_SAMPLES / RATE, abs=0.006)
    assert float(after.loudness - before.loudness) == pytest.approx(0, abs=0.2)
    octaves = [
        measures.brightness_octaves(m.centroid, f0)
        for m, f0 in ((before, hertz), (after, hertz * ratio))
    ]
    assert float(octaves[1] - octaves[0]) == pytest.approx(0, abs=0.1)


def test_resampling_agrees_with_scipy_and_no_shift_changes_nothing():
    wave = tones([220.0], 0.5)
    torch.testing.assert_close(augmentation.pitch_shift(wave, tensor(0.0)), wave, atol=1e-6, rtol=0)
    octave = augmentation.pitch_shift(wave, tensor(1200.0), anchor=0)[0]
    expected = signal.resample(wave[0].numpy(), WINDOW_SAMPLES // 2)
    assert np.abs(octave[: WINDOW_SAMPLES // 2 - 220].numpy() - expected[:-220]).max() < 1e-5
    assert not octave[WINDOW_SAMPLES // 2 :].any()


def test_what_would_fold_back_is_gone():
    """9 kHz an octave up lies above the Nyquist frequency; an alias would stand at 4.05 kHz."""
    wave = tones([9000.0], harmonics=1)
    assert float(augmentation.pitch_shift(wave, tensor(1200.0)).abs().max()) < 1e-2 * float(
        wave.abs().max()
    )


def test_what_does_not_fit_the_window_ends_in_silence():
    long = torch.sin(0.1 * torch.arange(WINDOW_SAMPLES))[None]
    for cents in (-700.0, -1.0, 1.0, 700.0):
        played = augmentation.pitch_shift(long, tensor(cents))[0]
        last = int(played.nonzero()[-1])
        assert float(played[last - 3 : last + 1].abs().max()) < 1e-3, cents


@few
@given(st.floats(-12, 12))
def test_a_tilt_is_so_many_decibels_an_octave(slope):
    white = noise(1, 1 << 17)
    tilted = augmentation.tilt_spectrum(white, tensor(slope), RATE)
    power = [torch.fft.rfft(x[0]).abs().square() for x in (tilted, white)]
    hertz = torch.arange(len(power[0])) * RATE / white.shape[1]
    bands = torch.tensor([125.0, 250, 500, 1000, 2000, 4000, 8000])
    level = []
    for band in bands:
        inside = (hertz > band / 1.02) & (hertz < band * 1.02)
        level.append(10 * (power[0][inside].sum() / power[1][inside].sum()).log10())
    level = torch.stack(level)
    torch.testing.assert_close(level.diff(), torch.full((6,), slope), atol=0.05, rtol=0.01)
    assert float(level[3]) == pytest.approx(0, abs=0.05)


def test_a_tilt_moves_brightness_and_neither_pitch_nor_onset():
    wave = tones([220.0], fall=1.5)
    before = measures.measure(wave, RATE)
    for slope in (-6.0, 6.0):
        tilted = augmentation.tilt_spectrum(wave, tensor(slope), RATE)
        after = measures.measure(tilted, RATE)
        assert float(after.centroid - before.centroid) * slope > 0
        assert float(measures.cents(measures.tone_f0(tilted, RATE, 220.0), 220.0)) == pytest.approx(
            0, abs=1
        )
        assert float(after.onset) == pytest.approx(float(before.onset), abs=0.004)


@few
@given(st.floats(0.1, 0.6))
def test_a_room_falls_by_60_db_in_its_time(seconds):
    """By Schroeder's integral: the slope of the energy that is still to come."""
    response = augmentation.decays(torch.full((8,), seconds), noise(8, RATE), RATE)
    torch.testing.assert_close(response.norm(dim=1), torch.ones(8), atol=0.1, rtol=0)
    assert float(
        (response[:, 0].square() / response[:, 1:].square().sum(1)).median()
    ) == pytest.approx(1, rel=0.25)
    left = response[:, 1:].square().flip(1).cumsum(1).flip(1).mean(0)
    decibel = 10 * (left / left[0]).log10()
    at = [int((decibel < level).int().argmax()) for level in (-5.0, -25.0)]
    assert 3 * (at[1] - at[0]) / RATE == pytest.approx(seconds, rel=0.1)


def test_a_room_convolves_its_share():
    wave, response = (
        tones([220.0, 330.0]),
        augmentation.decays(tensor(0.3, 0.5), noise(2, 4000), RATE),
    )
    expected = signal.fftconvolve(wave[0].numpy(), response[0].numpy())[:WINDOW_SAMPLES]
    wet = augmentation.reverberate(wave, response, tensor(1.0, 0.0))
    assert np.abs(wet[0].numpy() - expected).max() < 1e-5
    torch.testing.assert_close(wet[1], wave[1])
    half = augmentation.reverberate(wave, response, tensor(0.5, 0.5))
    torch.testing.assert_close(half[0], (wave[0] + wet[0]) / 2, atol=1e-6, rtol=0)
    assert float(measures.duration(wet[0], RATE)) > float(measures.duration(wave[0], RATE)) + 0.1


def test_rooms_come_from_files_from_their_peaks_on(tmp_path):
    impulse = torch.zeros(3000)
    impulse[400], impulse[700] = 0.8, -0.4
    audio.save_audio(tmp_path / "hall.wav", impulse, RATE)
    audio.save_audio(tmp_path / "box.wav", impulse[350:500], RATE)
    rooms = augmentation.read_rooms([str(tmp_path / "hall.wav"), str(tmp_path / "box.wav")], RATE)
    assert rooms.shape == (2, 2600)
    torch.testing.assert_close(rooms.norm(dim=1), torch.ones(2))
    assert (
        float(rooms[0, 300] / rooms[0, 0]) == pytest.approx(-0.5, abs=1e-3)
        and float(rooms[1, 0]) == 1
    )
    audio.save_audio(tmp_path / "silent.wav", torch.zeros(100), RATE)
    with pytest.raises(InputError, match=r"silent\.wav is silent"):
        augmentation.read_rooms([str(tmp_path / "silent.wav")], RATE)


@few
@given(st.floats(-5, 60), st.floats(0, 0.5))
def test_the_snr_is_the_one_asked_for(snr, slope):
    """While the toot lasts; silence around it does not count as signal."""
    wave = tones([220.0, 330.0], 0.3)
    loudness = measures.loudness(wave, RATE)
    hiss = augmentation.coloured(noise(), torch.full((2, 1), slope))
    added = augmentation.add_noise(wave, hiss, loudness, tensor(snr, snr)) - wave
    found = loudness - audio.rms_db(added)
    torch.testing.assert_close(found, tensor(snr, snr), atol=0.1, rtol=0)


def test_the_snr_agrees_with_torchaudio():
    """Of a signal that fills the window both definitions are one."""
    from torchaudio.functional import add_noise

    wave = torch.sin(0.1 * torch.arange(WINDOW_SAMPLES))[None]
    hiss = augmentation.coloured(noise(1), tensor([0.5]))
    ours = augmentation.add_noise(wave, hiss, audio.rms_db(wave), tensor(12.0))
    torch.testing.assert_close(ours, add_noise(wave, hiss, tensor(12.0)), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("slope", "expected"), [(0.0, 0.0), (0.5, -3.01), (1.0, -6.02)])
def test_noise_falls_by_its_slope(slope, expected):
    power = (
        torch.fft.rfft(augmentation.coloured(noise(1, 1 << 17), tensor([slope]))).abs().square()[0]
    )
    octaves = [power[1 << i : 2 << i].mean() for i in range(9, 16)]
    steps = 10 * torch.stack(octaves).log10().diff()
    torch.testing.assert_close(steps, torch.full((6,), expected), atol=0.3, rtol=0)


@few
@given(st.floats(0.6, 1.6))
def test_a_stretch_makes_the_duration_so_much_longer(factor):
    """Frames above a level are counted, in the log-mel of a toot."""
    front_end = FrontEnd()
    log_mel = front_end(tones([220.0], 0.7))
    longer = augmentation.stretch(log_mel, tensor(factor), ONSET_SAMPLES / 256, FLOOR)

    def frames(x):  # from the first to the last that is no 40 dB below the loudest
        level = x[0].logsumexp(0)
        above = (level > level.max() - 4.6).nonzero()
        return int(above[0]), int(above[-1] - above[0])

    (start, before), (start_, after) = frames(log_mel), frames(longer)
    assert abs(after - before * factor) <= 2 and abs(start_ - start) <= 1
    # where harmonics share a band, frames differ
    one, other = (x[0, :, 20:36].mean(1) for x in (log_mel, longer))
    loud = one > one.max() - 5
    # neither pitch nor level moves
    torch.testing.assert_close(one[loud], other[loud], atol=0.05, rtol=0)


def test_after_a_shortened_sound_that_filled_the_window_stands_the_floor():
    x = torch.zeros(1, 2, 100)
    short = augmentation.stretch(x, tensor(0.5), 2.0, FLOOR)[0, 0]
    assert bool((short[:50] == 0).all()) and torch.equal(short[51:], torch.full((49,), FLOOR))
    torch.testing.assert_close(
        augmentation.stretch(x + torch.arange(100.0), tensor(1.0), 2.0, 9.0)[0, 0],
        torch.arange(100.0),
    )


def test_a_mix_of_two_toots_of_one_pitch_lies_between_them():
    """A dark soft toot and a bright loud one; what is measured is the magnitude that has the mixed
    mels.
    """
    waves = torch.cat([tones([220.0], fall=2.2) / 1.5, tones([220.0], fall=1.0)])
    front_end = FrontEnd()
    a, b = front_end(waves).split(1)
    hertz = torch.linspace(0, RATE / 2, 513)

    def loudness_and_octaves(log_mel):
        magnitude = front_end.magnitude(log_mel)[0, :, 20:60]
        centroid = (magnitude.sum(1) * hertz).sum() / magnitude.sum()
        return 20 * magnitude.norm().log10(), (centroid / 220).log2()

    (soft, dark), (loud, bright) = loudness_and_octaves(a), loudness_and_octaves(b)
    assert 3 < loud - soft < 6 and 0.4 < bright - dark < 1
    for share in (0.2, 0.5):
        level, octaves = loudness_and_octaves(augmentation.mix(a, b, tensor(share)))
        assert -1 < level - (soft + share * (loud - soft)) < 0.01
        assert float(octaves) == pytest.approx(float(dark + share * (bright - dark)), abs=0.1)
    assert torch.equal(augmentation.mix(a, b, tensor(0.0)), a)


@few
@given(st.floats(0, 0.5), st.floats(0, 1), st.sampled_from([1, 2]))
def test_a_mask_hides_the_share_in_one_piece(share, place, dim):
    x = torch.rand(2, 40, 60) + 1
    fill = torch.linspace(-1, -2, 40)[:, None]
    masked = augmentation.mask(x, tensor(share, 0.0), tensor(place, place), dim, fill)
    assert torch.equal(masked[1], x[1])
    hidden = (masked[0] != x[0]).all(2 - dim)  # frames, or bands
    count = x.shape[dim]
    assert int(hidden.sum()) == round(share * count)
    assert int(hidden.int().diff().abs().sum()) <= 2
    assert torch.equal(
        masked[0], torch.where(hidden[:, None] if dim == 1 else hidden, fill.expand(40, 60), x[0])
    )


def test_the_mask_reaches_both_ends():
    x = torch.zeros(2, 10, 20)
    hidden = augmentation.mask(x, tensor(0.2, 0.2), tensor(0.0, 1.0), 2, tensor(1.0))[:, 0]
    assert hidden[0, :4].all() and hidden[1, 16:].all() and int(hidden.sum()) == 8
