"""Distances between sounds: known gains first, then other implementations, then what any distance
must satisfy.
"""

import math
import sys

import numpy as np
import pytest
import torch

from tootlearn.dsp import measures
from tootlearn.errors import InputError
from tootlearn.evaluation import metrics


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def magnitudes(*shape, seed=0):
    return 0.1 + 0.9 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def toots(clips=3, samples=20000):
    """Decaying tones in faint noise, with silence at both ends."""
    t = torch.arange(samples) / 22050
    pitch = torch.tensor([110.0, 262.0, 587.0, 880.0])[:clips, None]
    wave = sum(torch.sin(2 * torch.pi * h * pitch * t) / h for h in range(1, 8)) * torch.exp(-3 * t)
    wave = 0.2 * wave + 1e-3 * noise(clips, samples)
    wave[:, :2048] = wave[:, -2048:] = 0
    return wave


def test_gain_of_a_half_is_minus_6_db_of_spectral_convergence():
    reference = magnitudes(2, 513, 20)
    result = metrics.spectral_convergence(0.5 * reference, reference)
    torch.testing.assert_close(result, torch.full((2,), 20 * math.log10(0.5)))
    # relative to the reference, not to the estimate
    result = metrics.spectral_convergence(3 * reference, reference)
    torch.testing.assert_close(result, torch.full((2,), 20 * math.log10(2)))


def test_spectral_convergence_is_ruled_by_the_loud():
    reference, estimate = torch.full((10, 10), 0.01), torch.full((10, 10), 0.02)
    reference[0, 0] = estimate[0, 0] = 1.0
    expected = 20 * math.log10(math.sqrt(99 * 0.01**2) / math.sqrt(1 + 99 * 0.01**2))
    assert float(metrics.spectral_convergence(estimate, reference)) == pytest.approx(
        expected, abs=1e-4
    )


def test_log_spectral_distance_of_a_gain_is_the_gain():
    reference = magnitudes(2, 513, 20)
    for gain in (0.5, 2.0):
        result = metrics.log_spectral_distance(gain * reference, reference)
        torch.testing.assert_close(result, torch.full((2,), 20 * math.log10(2)))


def test_log_spectral_distance_is_floored_80_db_below_the_clips_peak():
    reference = magnitudes(2, 512, 20)
    reference[:, 0, 0] = 1
    reference[:, 256:] = 0.9e-4
    reference[1] *= 1e-3  # each clip has its own peak
    result = metrics.log_spectral_distance(0.5 * reference, reference)
    # half of the bins count
    torch.testing.assert_close(result, torch.full((2,), 20 * math.log10(2) / math.sqrt(2)))
    # twice the floor's height: an estimate of nothing is 6 dB away, not more
    reference[:, 256:] *= 2 / 0.9
    estimate = reference.clone()
    estimate[:, 256:] = 0
    result = metrics.log_spectral_distance(estimate, reference)
    torch.testing.assert_close(result, torch.full((2,), 20 * math.log10(2) / math.sqrt(2)))


def test_log_spectral_distance_averages_the_frames_after_the_root():
    reference = torch.ones(4, 2)
    estimate = torch.tensor([[1.0, 0.1]]).expand(4, 2)
    assert float(metrics.log_spectral_distance(estimate, reference)) == pytest.approx(10)


def test_mel_l1_is_in_natural_logarithms_floored_at_1e_5():
    reference = magnitudes(2, 128, 20)
    torch.testing.assert_close(metrics.mel_l1(math.e * reference, reference), torch.ones(2))
    reference[:, :64] = 1e-6
    torch.testing.assert_close(metrics.mel_l1(math.e * reference, reference), torch.full((2,), 0.5))


def numpy_multi_resolution(estimate, reference):
    total = 0.0
    for n, hop in ((2048, 512), (1024, 256), (512, 128)):
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
        a, b = (
            np.stack(
                [
                    np.abs(np.fft.rfft(window * np.pad(x, n // 2)[i : i + n]))
                    for i in range(0, len(x) + 1, hop)
                ]
            )
            for x in (estimate, reference)
        )
        logs = np.log(np.maximum(a, 1e-3)) - np.log(np.maximum(b, 1e-3))
        total += np.linalg.norm(a - b) / np.linalg.norm(b) + np.mean(np.abs(logs))
    return total / 3


def test_multi_resolution_equals_its_definition_in_numpy():
    reference = toots()
    estimate = 0.9 * reference + 0.003 * noise(*reference.shape, seed=1)
    expected = [
        numpy_multi_resolution(a.double().numpy(), b.double().numpy())
        for a, b in zip(estimate, reference, strict=True)
    ]
    np.testing.assert_allclose(metrics.multi_resolution(estimate, reference), expected, rtol=1e-4)


def test_multi_resolution_equals_auraloss():
    auraloss = pytest.importorskip("auraloss")
    reference = toots(1)
    estimate = reference * (1 + 0.3 * torch.sin(torch.arange(20000) / 500))
    theirs = auraloss.freq.MultiResolutionSTFTLoss(
        [2048, 1024, 512], [512, 256, 128], [2048, 1024, 512], eps=1e-6
    )
    assert float(metrics.multi_resolution(estimate, reference)) == pytest.approx(
        float(theirs(estimate[None], reference[None])), rel=1e-4
    )


def test_compare_is_the_four_distances_at_1024_256_with_librosas_mels():
    librosa = pytest.importorskip("librosa")
    reference = toots()
    estimate = reference + 0.002 * noise(*reference.shape, seed=1)
    a, b = (
        np.abs(librosa.stft(x.numpy(), n_fft=1024, hop_length=256, pad_mode="constant"))
        for x in (estimate, reference)
    )
    bank = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=128)
    mel_a, mel_b = (np.log(np.maximum(bank @ x, 1e-5)) for x in (a, b))
    result = metrics.compare(estimate, reference)
    np.testing.assert_allclose(result.mel_l1, np.abs(mel_a - mel_b).mean((1, 2)), rtol=1e-3)
    decibels = 20 * np.log10(np.linalg.norm(a - b, axis=(1, 2)) / np.linalg.norm(b, axis=(1, 2)))
    np.testing.assert_allclose(result.spectral_convergence, decibels, atol=1e-3)
    torch.testing.assert_close(
        result.log_spectral_distance,
        metrics.log_spectral_distance(torch.tensor(a), torch.tensor(b)),
    )
    torch.testing.assert_close(
        result.multi_resolution, metrics.multi_resolution(estimate, reference)
    )


def test_every_distance_grows_with_the_degradation():
    reference = toots()
    hiss = noise(*reference.shape, seed=2)
    ladder = [
        metrics.compare(reference + gain * hiss, reference)
        for gain in (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
    ]
    for values in zip(*ladder, strict=True):
        assert (torch.stack(values).diff(dim=0) > 0).all()
    assert all(x.eq(0).all() for x in ladder[0][1:])
    assert ladder[0].spectral_convergence.eq(-math.inf).all()


def test_a_batch_is_compared_as_its_clips_alone():
    reference = toots(4).view(2, 2, -1).clone()
    reference[1] *= 0.01
    estimate = reference + 1e-3 * noise(*reference.shape, seed=3)
    together = metrics.compare(estimate, reference)
    for i in range(2):
        for j in range(2):
            alone = metrics.compare(estimate[i, j], reference[i, j])
            for a, b in zip(together, alone, strict=True):
                assert a.shape == (2, 2)
                torch.testing.assert_close(a[i, j], b, rtol=1e-4, atol=1e-5)


def test_silence_makes_no_nan():
    silence, sound = torch.zeros(2, 8000), toots(2, 8000)
    equal = metrics.compare(silence, silence)
    assert equal.spectral_convergence.eq(-math.inf).all()
    assert all(x.eq(0).all() for x in equal[1:])
    from_silence = metrics.compare(sound, silence)
    assert from_silence.spectral_convergence.eq(math.inf).all()
    assert from_silence.multi_resolution.isfinite().all()
    assert (from_silence.multi_resolution > 1000).all()
    assert (
        from_silence.log_spectral_distance.isfinite().all()
        and (from_silence.log_spectral_distance > 40).all()
    )
    lost = metrics.compare(silence, sound)
    torch.testing.assert_close(lost.spectral_convergence, torch.zeros(2), atol=1e-4, rtol=0)
    assert all(x.isfinite().all() and (x > 0).all() for x in lost[1:])


def test_rank_correlation_gives_ties_their_mean_rank():
    a, b = torch.tensor([1.0, 2, 2, 3]), torch.tensor([10.0, 20, 30, 40])
    # ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5)
    assert metrics.rank_correlation(a, b) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_rank_correlation_sees_order_only_and_does_not_hide_what_is_missing():
    a = noise(30)
    assert metrics.rank_correlation(a, a.exp()) == pytest.approx(1)
    assert metrics.rank_correlation(a, -(a**3)) == pytest.approx(-1)
    assert math.isnan(metrics.rank_correlation(a, torch.ones(30)))
    a[3] = math.nan
    assert math.isnan(metrics.rank_correlation(a, torch.arange(30)))


# One property each


def curves(order, decibels, bands=40):
    """A mel spectrum, and one that differs by a cosine of this order over the bands, of so many dB
    at its crest.
    """
    reference = magnitudes(2, bands, 7)
    cosine = torch.cos(torch.pi * order * (torch.arange(bands) + 0.5) / bands)
    return reference * 10 ** (decibels * cosine[:, None] / 20), reference


@pytest.mark.parametrize(("order", "seen"), [(0, 0), (1, 1), (7, 1), (13, 1), (14, 0), (30, 0)])
def test_mel_cepstral_distortion_is_the_rms_of_what_is_smooth_but_no_level(order, seen):
    result = metrics.mel_cepstral_distortion(*curves(order, 6.0))
    torch.testing.assert_close(
        result, torch.full((2,), seen * 6 / math.sqrt(2)), atol=1e-4, rtol=1e-4
    )


def test_mel_cepstral_distortion_is_kubicheks_formula_on_scipys_cosine_transform():
    fft = pytest.importorskip("scipy.fft")
    a, b = magnitudes(3, 80, 9).double(), magnitudes(3, 80, 9, seed=1).double()
    # c of ln power = c0 + 2 sum c cos: the DCT-II of scipy is 2 sum x cos, so the coefficient is
    # that over 2 M
    c, d = (fft.dct(np.log(x.numpy() ** 2), axis=1)[:, 1:14] / (2 * 80) for x in (a, b))
    expected = 10 / math.log(10) * np.sqrt(2 * ((c - d) ** 2).sum(1)).mean(1)
    np.testing.assert_allclose(metrics.mel_cepstral_distortion(a, b), expected, rtol=1e-9)


def test_mel_cepstral_distortion_is_floored_80_db_below_the_peak_of_the_reference():
    reference = torch.ones(1, 40, 5)
    reference[:, 20:] = 0.5e-4
    torch.testing.assert_close(
        metrics.mel_cepstral_distortion(reference.clamp_min(1e-4), reference), torch.zeros(1)
    )


def harmonic(pitch, seconds=0.6, rate=22050, cents=0.0):
    t = torch.arange(round(seconds * rate)) / rate
    phase = torch.cumsum(pitch * 2 ** (cents * torch.sin(2 * torch.pi * 6 * t) / 1200), 0) / rate
    return 0.1 * sum(torch.sin(2 * torch.pi * h * phase) / h for h in range(1, 8))


def test_f0_error_is_the_interval_and_voicing_the_share_that_lost_its_tone():
    pytest.importorskip("librosa")
    reference = torch.stack([harmonic(220.0), harmonic(220.0)])
    lost = reference[0].clone()
    lost[len(lost) // 2 :] = 1e-3 * noise(len(lost) - len(lost) // 2)
    measured = metrics.f0_error(
        torch.stack([harmonic(220 * 2 ** (0.5 / 12)), lost]), reference, 22050, 100.0, 500.0
    )
    assert float(measured.cents[0]) == pytest.approx(50, abs=10) and float(measured.cents[1]) <= 10
    assert float(measured.voicing[0]) < 0.1 and float(measured.voicing[1]) == pytest.approx(
        0.5, abs=0.15
    )
    silent = metrics.f0_error(torch.zeros(6000), reference[0, :6000], 22050, 100.0, 500.0)
    assert silent.cents.isnan() and silent.voicing > 0.8


def test_f0_error_grows_with_vibrato():
    pytest.importorskip("librosa")
    measured = [
        float(
            metrics.f0_error(harmonic(330.0, cents=c), harmonic(330.0), 22050, 200.0, 500.0).cents
        )
        for c in (0, 40, 120)
    ]
    assert measured[0] == 0 and measured[0] < measured[1] < measured[2]


def test_envelope_error_of_a_gain_is_the_gain_and_silence_around_it_does_not_count():
    reference = torch.nn.functional.pad(harmonic(300.0), (9000, 30000))
    result = metrics.envelope_error(
        torch.stack([reference, 0.5 * reference, 2 * reference]), reference, 22050
    )
    torch.testing.assert_close(
        result, 20 * math.log10(2) * torch.tensor([0.0, 1, 1]), atol=0.15, rtol=0
    )
    hiss = reference + 1e-3 * float(reference.abs().max()) * noise(len(reference))  # below 40 dB
    assert float(metrics.envelope_error(hiss, reference, 22050)) < 0.05
    assert float(metrics.envelope_error(torch.zeros(100), torch.zeros(100), 22050)) == 0
    assert float(metrics.envelope_error(torch.ones(100), torch.zeros(100), 22050)) == math.inf


def test_envelope_error_sees_a_tail_that_the_reference_lacks():
    reference = torch.nn.functional.pad(harmonic(300.0), (0, 13230))
    echo = reference + 0.1 * reference.roll(13230)  # 20 dB above the floor, as long as the sound
    assert float(metrics.envelope_error(echo, reference, 22050)) == pytest.approx(10, abs=0.5)


def test_onset_error_is_the_delay_either_way():
    sound = torch.nn.functional.pad(harmonic(300.0), (2000, 4000))
    later = sound.roll(221)
    expected = torch.tensor([221 / 22.05] * 2)
    result = metrics.onset_error(torch.stack([sound, later]), torch.stack([later, sound]), 22050)
    torch.testing.assert_close(result, expected, atol=0.5, rtol=0)
    assert metrics.onset_error(torch.zeros(8000), sound[:8000], 22050).isnan()


def test_onset_error_is_by_the_onset_of_measures():
    pair = noise(2, 9000) * torch.linspace(0, 1, 9000) ** 2
    apart = measures.onset(pair, 22050).diff().abs() * 1000
    torch.testing.assert_close(metrics.onset_error(pair[:1], pair[1:], 22050), apart)


def test_zimtohrli_grows_with_noise_and_survives_short_clips():
    pytest.importorskip("zimtohrli")
    reference = toots(2)
    ladder = [
        metrics.zimtohrli(reference + gain * noise(*reference.shape, seed=2), reference, 22050)
        for gain in (0.0, 1e-3, 1e-2, 1e-1)
    ]
    assert (
        ladder[0].shape == (2,)
        and ladder[0].eq(0).all()
        and (torch.stack(ladder).diff(dim=0) > 0).all()
    )
    # its blind spot, as documented
    assert metrics.zimtohrli(0.5 * reference, reference, 22050).max() < ladder[1].min()
    for samples in (0, 1, 100):  # the library itself writes out of bounds here
        short = reference[:, 3000 : 3000 + samples]
        assert metrics.zimtohrli(short, short, 22050).eq(0).all()


def test_zimtohrli_that_is_missing_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "zimtohrli", None)
    with pytest.raises(InputError, match="pip install zimtohrli"):
        metrics.zimtohrli(torch.zeros(9), torch.zeros(9), 22050)
