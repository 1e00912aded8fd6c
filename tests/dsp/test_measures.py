"""What is measured on one sound, against closed forms first."""

import math

import numpy as np
import pytest
import torch

from tootlearn.dsp import measures

RATE = 22050


def tone(frequency, seconds=1.0, rate=RATE, amplitude=0.5):
    return amplitude * torch.sin(
        2 * torch.pi * frequency * torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    )


def comb(frequency, ratios=(1.0,), seconds=1.0, harmonics=12, seed=0):
    """A chord of harmonics falling off as 1 / h, in random phases, at about half of full scale."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE
    wave = torch.zeros_like(t)
    for ratio in ratios:
        for h in range(1, harmonics + 1):
            if h * ratio * frequency < RATE / 2:
                phase = torch.rand(1, generator=generator, dtype=torch.float64)
                wave += torch.sin(2 * torch.pi * (h * ratio * frequency * t + phase)) / h
    return 0.5 * wave / wave.abs().max()


def noise(samples, seed=0):
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_duration_and_onset_of_an_adsr_are_its_closed_form(rate):
    lead, attack, hold, decay, sustain, tau = 0.1, 0.04, 0.05, 0.03, 0.2, 0.05
    low = 0.6
    t = torch.arange(round(rate * 1.2), dtype=torch.float64) / rate - lead
    release = attack + hold + decay + sustain
    knots = [0, attack, attack + hold, attack + hold + decay, release]
    shape = torch.from_numpy(np.interp(t.numpy(), knots, [0, 1, 1, low, low], left=0))
    shape = torch.where(t > release, low * torch.exp(-(t - release) / tau), shape)
    wave = 0.5 * shape * (-1) ** torch.arange(len(t))  # its square is the envelope's: no ripple

    window = 20 * round(rate * 0.0005) / rate
    # while a linear attack enters the window, its energy grows as the cube; an exponential keeps
    # its slope
    first = lead + (3 * window * (0.01 * attack) ** 2) ** (1 / 3) - window / 2
    half = window / tau
    last = lead + release + tau * math.log(low / 0.01 * math.sqrt(math.sinh(half) / half))

    assert float(measures.onset(wave, rate)) == pytest.approx(first, abs=3e-4)
    assert float(measures.duration(wave, rate)) == pytest.approx(last - first, abs=3e-4)


def test_envelope_is_the_rms_of_10_ms_around_each_point():
    wave = noise(3000)
    measured = measures.envelope(wave, RATE)
    padded = torch.nn.functional.pad(wave, (110, 220))
    expected = [
        padded[11 * k : 11 * k + 220].square().mean().sqrt()
        for k in range(math.ceil(3000 / 11) + 1)
    ]
    torch.testing.assert_close(measured, torch.stack(expected))


def test_an_abrupt_tone_lasts_half_a_window_longer_at_each_end():
    wave = torch.nn.functional.pad(tone(1000, 0.3), (4000, 9000))
    assert float(measures.duration(wave, RATE)) == pytest.approx(0.3 + 220 / RATE, abs=1e-3)
    assert float(measures.onset(wave, RATE)) == pytest.approx(4000 / RATE - 110 / RATE, abs=5e-4)


def test_a_tone_that_fills_the_wave_lasts_as_long_as_the_wave():
    measured = measures.measure(tone(441, 0.37), RATE)
    assert float(measured.onset) == 0
    assert float(measured.duration) == pytest.approx(round(0.37 * RATE) / RATE, abs=1e-9)


def test_a_quiet_tail_counts_above_40_db_and_not_below():
    for level_db, expected in ((-39.0, 1.5), (-41.0, 0.5)):
        wave = torch.cat(
            (tone(1000, 0.5), tone(1000, 1.0) * 10 ** (level_db / 20), torch.zeros(5000))
        )
        assert float(measures.duration(wave, RATE)) == pytest.approx(expected, abs=0.006)


def test_shift_and_gain_leave_duration_and_centroid():
    sound = comb(300, seconds=0.4) * torch.hann_window(round(0.4 * RATE), dtype=torch.float64)
    waves = torch.stack(
        [
            torch.nn.functional.pad(sound * gain, (k, 9216 - k))
            for k, gain in ((1024, 1), (5120, 0.01))
        ]
    )
    measured = measures.measure(waves, RATE)
    assert float(measured.duration[0] - measured.duration[1]) == pytest.approx(0, abs=5e-4)
    assert float(measured.onset[1] - measured.onset[0]) == pytest.approx(4096 / RATE, abs=5e-4)
    assert float(measured.loudness[0] - measured.loudness[1]) == pytest.approx(40, abs=0.01)
    assert float(measured.centroid[0] / measured.centroid[1]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("amplitude", [1.0, 0.1])
def test_loudness_is_the_rms_over_the_duration(amplitude):
    rms = 20 * math.log10(amplitude / math.sqrt(2))
    assert float(measures.loudness(tone(441, 1.0, amplitude=amplitude), RATE)) == pytest.approx(
        rms, abs=0.001
    )
    # silence around it does not count but for the two half windows
    wave = torch.nn.functional.pad(tone(441, 0.5, amplitude=amplitude), (8000, 20000))
    edges = 10 * math.log10(0.5 / float(measures.duration(wave, RATE)))
    assert float(measures.loudness(wave, RATE)) == pytest.approx(rms + edges, abs=0.002)


def faded(wave):
    """With soft ends: an abrupt edge is a click, whose spectrum is bright."""
    t = torch.arange(len(wave), dtype=torch.float64) / RATE
    return wave * torch.sin(torch.pi / 2 * (10 * torch.minimum(t, t.flip(0))).clamp(0, 1)).square()


def test_centroid_of_two_harmonics_is_their_centre_of_magnitude():
    f = 20 * RATE / 1024  # on a bin
    wave = faded(tone(f, 2.0, amplitude=0.4) + tone(3 * f, 2.0, amplitude=0.2))
    assert float(measures.centroid(wave, RATE)) == pytest.approx(5 / 3 * f, rel=0.005)
    assert float(measures.brightness_octaves(measures.centroid(wave, RATE), f)) == pytest.approx(
        math.log2(5 / 3), abs=0.01
    )


def test_centroid_ignores_offset_and_what_lies_beyond_the_duration():
    f = 20 * RATE / 1024
    clean = tone(f, 2.0)
    assert float(measures.centroid(faded(clean + 0.3), RATE)) == pytest.approx(f, rel=0.005)
    tail = torch.cat((faded(clean), 5e-4 * noise(2 * RATE)))
    assert float(measures.centroid(tail, RATE)) == pytest.approx(f, rel=0.005)


def test_centroid_equals_librosas_of_the_mean_spectrum():
    librosa = pytest.importorskip("librosa")
    wave = noise(RATE) * torch.linspace(1, 0.2, RATE, dtype=torch.float64) * 0.1
    spectrum = np.abs(
        librosa.stft(wave.numpy(), n_fft=1024, hop_length=256, pad_mode="constant")
    ).mean(1, keepdims=True)
    spectrum[:2] = 0  # 0 and 21.5 Hz
    expected = librosa.feature.spectral_centroid(S=spectrum, sr=RATE, n_fft=1024).item()
    assert float(measures.centroid(wave, RATE)) == pytest.approx(expected, rel=1e-6)


def test_a_click_between_two_frames_has_a_centroid():
    wave = torch.zeros(4096)
    wave[1024 + 128] = 0.5
    measured = measures.measure(wave, RATE)
    assert float(measured.centroid) == pytest.approx(RATE / 4, rel=0.01)  # flat spectrum
    assert float(measured.duration) == pytest.approx(0.01, abs=0.001)


@pytest.mark.parametrize("shape", [(0,), (1,), (5000,), (3, 5000)])
def test_silence_is_measured_as_documented(shape):
    measured = measures.measure(torch.zeros(shape), RATE)
    assert measured.duration.shape == shape[:-1]
    assert measured.duration.eq(0).all()
    assert measured.onset.isnan().all() and measured.centroid.isnan().all()
    assert measured.loudness.eq(-math.inf).all()
    assert measures.onset(torch.zeros(shape), RATE).isnan().all()
    assert measures.loudness(torch.zeros(shape), RATE).eq(-math.inf).all()
    assert measures.tone_f0(torch.zeros(shape), RATE, 100.0).isnan().all()
    assert measures.harmonic_to_noise_ratio(torch.zeros(shape), RATE, 100.0).isnan().all()


def test_a_batch_is_measured_as_its_clips_alone():
    pitch = torch.tensor([[50.0, 130.0, 333.0], [90.0, 210.0, 700.0]])
    waves = torch.zeros(2, 3, 12000)
    for i, f in enumerate(pitch.flatten().tolist()):
        waves.view(6, -1)[i, 500 * i : 500 * i + 5000 + 900 * i] = comb(
            f, seconds=(5000 + 900 * i) / RATE
        ).float()
    waves[0, 1] = 0
    together = (
        *measures.measure(waves, RATE),
        measures.onset(waves, RATE),
        measures.duration(waves, RATE),
        measures.loudness(waves, RATE),
        measures.tone_f0(waves, RATE, pitch * 1.02),
        measures.harmonic_to_noise_ratio(waves, RATE, pitch),
    )
    for i in range(2):
        for j in range(3):
            wave, f = waves[i, j], float(pitch[i, j])
            alone = (
                *measures.measure(wave, RATE),
                measures.onset(wave, RATE),
                measures.duration(wave, RATE),
                measures.loudness(wave, RATE),
                measures.tone_f0(wave, RATE, f * 1.02),
                measures.harmonic_to_noise_ratio(wave, RATE, f),
            )
            for a, b in zip(together, alone, strict=True):
                torch.testing.assert_close(a[i, j], b, equal_nan=True, rtol=1e-5, atol=1e-5)


def test_cents():
    assert float(measures.cents(440 * 2 ** (1 / 12), 440)) == pytest.approx(100, abs=1e-3)
    assert float(measures.cents(110.0, torch.tensor(220.0))) == -1200


@pytest.mark.parametrize("ratios", [(1,), (1, 1.26), (1, 5 / 4, 3 / 2), (1, 1.19, 1.5, 1.78)])
@pytest.mark.parametrize("snr_db", [40, 12])
def test_chord_f0_finds_the_lowest_note_within_3_cents(ratios, snr_db):
    pitch = torch.tensor([60.0, 87.3, 155.6, 311.1, 523.0, 900.0])
    guess = pitch * 2 ** (torch.tensor([90, -110, 35, -60, 120, -20]) / 1200)
    waves = torch.stack([comb(float(f), ratios, seed=i) for i, f in enumerate(pitch)])
    waves += (
        10 ** (-snr_db / 20) * waves.square().mean(1, keepdim=True).sqrt() * noise(waves.shape[1])
    )
    measured = measures.chord_f0(waves.float(), RATE, ratios, guess)
    assert measures.cents(measured, pitch).abs().max() < 3


def test_chord_f0_uses_the_intervals():
    # with the wrong ratios the comb slips: what it is told matters
    wave = comb(220, (1, 5 / 4, 3 / 2)).float()
    right = measures.chord_f0(wave, RATE, (1, 5 / 4, 3 / 2), 225.0)
    wrong = measures.chord_f0(wave, RATE, (1.06, 5 / 4 * 1.06, 3 / 2 * 1.06), 225.0)
    assert abs(float(measures.cents(right, 220.0))) < 1
    assert float(measures.cents(wrong, 220.0)) == pytest.approx(-100.9, abs=1)


def test_tone_f0_hears_a_short_note_in_long_noise_and_no_fundamental():
    wave = torch.nn.functional.pad(comb(147, seconds=0.2), (12000, 30000))
    wave += 0.03 * wave.std() * noise(len(wave))
    assert abs(float(measures.cents(measures.tone_f0(wave, RATE, 151.0), 147.0))) < 3
    hollow = sum(tone(98.0 * h, amplitude=0.1) for h in range(3, 9))
    assert abs(float(measures.cents(measures.tone_f0(hollow, RATE, 95.0), 98.0))) < 1


def test_tone_f0_stays_within_the_span():
    measured = measures.tone_f0(comb(200), RATE, 250.0, span_cents=100)
    assert abs(float(measures.cents(measured, 250.0))) <= 106


def test_pyin_tracks_from_40_hz_up_and_leaves_silence_unvoiced():
    pytest.importorskip("librosa")
    wave = torch.zeros(2, round(1.2 * RATE))
    for row, f in zip(wave, (40.5, 466.2), strict=True):
        row[: round(0.7 * RATE)] = comb(f, seconds=0.7).float()
    track = measures.f0_track(wave, RATE, hop=1024)
    assert track.shape == (2, 1 + wave.shape[1] // 1024)
    assert track[:, -4:].isnan().all()
    assert measures.cents(track[:, 8], torch.tensor([40.5, 466.2])).abs().max() < 8
    median = measures.median_f0(wave, RATE)
    assert measures.cents(median, torch.tensor([40.5, 466.2])).abs().max() < 8
    assert measures.median_f0(torch.zeros(2048), RATE).isnan()


@pytest.mark.parametrize("pitch", [55.0, 400.0])
@pytest.mark.parametrize("snr_db", [0, 15, 30])
def test_harmonic_to_noise_ratio_of_a_tone_in_known_noise(pitch, snr_db):
    wave = comb(pitch, seconds=1.5)
    wave = wave + 10 ** (-snr_db / 20) * wave.square().mean().sqrt() * noise(len(wave), seed=4)
    assert float(measures.harmonic_to_noise_ratio(wave, RATE, pitch)) == pytest.approx(
        snr_db, abs=1
    )
