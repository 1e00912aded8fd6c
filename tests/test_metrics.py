"""Distances between sounds: known gains first, then other implementations, then what any distance must satisfy."""

import math

import numpy as np
import pytest
import torch

from tootlearn import metrics


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
    found = metrics.spectral_convergence(0.5 * reference, reference)
    torch.testing.assert_close(found, torch.full((2,), 20 * math.log10(0.5)))
    # relative to the reference, not to the estimate
    found = metrics.spectral_convergence(3 * reference, reference)
    torch.testing.assert_close(found, torch.full((2,), 20 * math.log10(2)))


def test_spectral_convergence_is_ruled_by_the_loud():
    reference, estimate = torch.full((10, 10), 0.01), torch.full((10, 10), 0.02)
    reference[0, 0] = estimate[0, 0] = 1.0
    expected = 20 * math.log10(math.sqrt(99 * 0.01**2) / math.sqrt(1 + 99 * 0.01**2))
    assert float(metrics.spectral_convergence(estimate, reference)) == pytest.approx(expected, abs=1e-4)


def test_log_spectral_distance_of_a_gain_is_the_gain():
    reference = magnitudes(2, 513, 20)
    for gain in (0.5, 2.0):
        found = metrics.log_spectral_distance(gain * reference, reference)
        torch.testing.assert_close(found, torch.full((2,), 20 * math.log10(2)))


def test_log_spectral_distance_is_floored_80_db_below_the_clips_peak():
    reference = magnitudes(2, 512, 20)
    reference[:, 0, 0] = 1
    reference[:, 256:] = 0.9e-4
    reference[1] *= 1e-3  # each clip has its own peak
    found = metrics.log_spectral_distance(0.5 * reference, reference)
    torch.testing.assert_close(found, torch.full((2,), 20 * math.log10(2) / math.sqrt(2)))  # half of the bins count
    reference[:, 256:] *= 2 / 0.9  # twice the floor's height: an estimate of nothing is 6 dB away, not more
    estimate = reference.clone()
    estimate[:, 256:] = 0
    found = metrics.log_spectral_distance(estimate, reference)
    torch.testing.assert_close(found, torch.full((2,), 20 * math.log10(2) / math.sqrt(2)))


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
            np.stack([np.abs(np.fft.rfft(window * np.pad(x, n // 2)[i : i + n])) for i in range(0, len(x) + 1, hop)])
            for x in (estimate, reference)
        )
        logs = np.log(np.maximum(a, 1e-3)) - np.log(np.maximum(b, 1e-3))
        total += np.linalg.norm(a - b) / np.linalg.norm(b) + np.mean(np.abs(logs))
    return total / 3


def test_multi_resolution_equals_its_definition_in_numpy():
    reference = toots()
    estimate = 0.9 * reference + 0.003 * noise(*reference.shape, seed=1)
    expected = [
        numpy_multi_resolution(a.double().numpy(), b.double().numpy()) for a, b in zip(estimate, reference, strict=True)
    ]
    np.testing.assert_allclose(metrics.multi_resolution(estimate, reference), expected, rtol=1e-4)


def test_multi_resolution_equals_auraloss():
    auraloss = pytest.importorskip("auraloss")
    reference = toots(1)
    estimate = reference * (1 + 0.3 * torch.sin(torch.arange(20000) / 500))
    theirs = auraloss.freq.MultiResolutionSTFTLoss([2048, 1024, 512], [512, 256, 128], [2048, 1024, 512], eps=1e-6)
    assert float(metrics.multi_resolution(estimate, reference)) == pytest.approx(
        float(theirs(estimate[None], reference[None])), rel=1e-4
    )


def test_compare_is_the_four_distances_at_1024_256_with_librosas_mels():
    librosa = pytest.importorskip("librosa")
    reference = toots()
    estimate = reference + 0.002 * noise(*reference.shape, seed=1)
    a, b = (
        np.abs(librosa.stft(x.numpy(), n_fft=1024, hop_length=256, pad_mode="constant")) for x in (estimate, reference)
    )
    bank = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=128)
    mel_a, mel_b = (np.log(np.maximum(bank @ x, 1e-5)) for x in (a, b))
    found = metrics.compare(estimate, reference)
    np.testing.assert_allclose(found.mel_l1, np.abs(mel_a - mel_b).mean((1, 2)), rtol=1e-3)
    decibels = 20 * np.log10(np.linalg.norm(a - b, axis=(1, 2)) / np.linalg.norm(b, axis=(1, 2)))
    np.testing.assert_allclose(found.spectral_convergence, decibels, atol=1e-3)
    torch.testing.assert_close(
        found.log_spectral_distance, metrics.log_spectral_distance(torch.tensor(a), torch.tensor(b))
    )
    torch.testing.assert_close(found.multi_resolution, metrics.multi_resolution(estimate, reference))


def test_every_distance_grows_with_the_degradation():
    reference = toots()
    hiss = noise(*reference.shape, seed=2)
    ladder = [metrics.compare(reference + gain * hiss, reference) for gain in (0.0, 1e-4, 1e-3, 1e-2, 1e-1)]
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
    assert from_silence.multi_resolution.eq(math.inf).all()
    assert from_silence.log_spectral_distance.isfinite().all() and (from_silence.log_spectral_distance > 40).all()
    lost = metrics.compare(silence, sound)
    torch.testing.assert_close(lost.spectral_convergence, torch.zeros(2), atol=1e-4, rtol=0)
    assert all(x.isfinite().all() and (x > 0).all() for x in lost[1:])


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlation_equals_scipys_with_and_without_ties(seed):
    stats = pytest.importorskip("scipy.stats")
    a, b = noise(40, seed=seed), noise(40, seed=seed + 100)
    b = b + 0.7 * a
    assert metrics.rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-9)
    a, b = (2 * a).round(), (2 * b).round()
    assert metrics.rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-9)


def test_rank_correlation_sees_order_only_and_does_not_hide_what_is_missing():
    a = noise(30)
    assert metrics.rank_correlation(a, a.exp()) == pytest.approx(1)
    assert metrics.rank_correlation(a, -(a**3)) == pytest.approx(-1)
    assert math.isnan(metrics.rank_correlation(a, torch.ones(30)))
    a[3] = math.nan
    assert math.isnan(metrics.rank_correlation(a, torch.arange(30)))


# Distance of sets


def test_kernel_distance_by_hand():
    """Sets {0, 2} and {0, 1}: the bandwidth is 1, the kernel exp(-d^2 / 2)."""
    within = math.exp(-2) + math.exp(-1 / 2)
    between = (1 + math.exp(-1 / 2) + math.exp(-2) + math.exp(-1 / 2)) / 4
    a, b = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [1.0]])
    assert metrics.kernel_distance(a, b) == pytest.approx(100 * (within - 2 * between))


def test_kernel_distance_of_one_distribution_is_around_zero_whatever_the_sizes():
    draws = [metrics.kernel_distance(noise(12, 3, seed=i), noise(30, 3, seed=1000 + i)) for i in range(300)]
    error = np.std(draws) / math.sqrt(len(draws))
    assert abs(np.mean(draws)) < 3 * error and error < 0.2  # the biased estimate would be about 8 too high
    assert min(draws) < 0 < max(draws)


def test_kernel_distance_grows_with_a_shift_and_with_a_change_of_spread():
    a, b = noise(200, 4), noise(200, 4, seed=1)
    shifted = [metrics.kernel_distance(a + shift, b) for shift in (0, 0.25, 0.5, 1, 2, 4)]
    wider = [metrics.kernel_distance(a * factor, b) for factor in (1, 1.5, 2, 3)]
    narrower = [metrics.kernel_distance(a * factor, b) for factor in (1, 0.6, 0.3)]
    for grows in (shifted, wider, narrower):
        assert all(first + 1 < then for first, then in zip(grows, grows[1:], strict=False))
    assert metrics.kernel_distance(a + 1e3, b) < 200


def test_kernel_distance_knows_no_order_scale_place_or_rotation():
    a, b = noise(20, 5).double(), 1.3 * noise(30, 5, seed=1).double() + 0.4
    found = metrics.kernel_distance(a, b)
    turn = torch.linalg.qr(noise(5, 5, seed=2).double())[0]
    for x, y in ((a.flip(0), b.roll(3, 0)), (70 * a, 70 * b), (a + 9, b + 9), (a @ turn, b @ turn)):
        assert metrics.kernel_distance(x, y) == pytest.approx(found, abs=1e-9)


def test_kernel_distance_takes_its_scale_from_the_reference():
    narrow, wide = noise(50, 2), 5 * noise(50, 2, seed=1)
    bandwidth = float(torch.pdist(wide).median())

    def kernel(x, y):
        return np.exp(-((x[:, None] - y[None]) ** 2).sum(-1) / (2 * bandwidth**2))

    a, b = narrow.double().numpy(), wide.double().numpy()
    off = ~np.eye(50, dtype=bool)
    expected = kernel(a, a)[off].mean() + kernel(b, b)[off].mean() - 2 * kernel(a, b).mean()
    assert metrics.kernel_distance(narrow, wide) == pytest.approx(100 * expected, rel=1e-5)
    assert metrics.kernel_distance(wide, narrow) != pytest.approx(100 * expected, rel=0.1)


@pytest.mark.parametrize(
    ("estimate", "reference", "named"),
    [
        (noise(1, 3), noise(9, 3), "estimate set is"),
        (noise(9, 3), noise(1, 3), "reference set is"),
        (noise(9), noise(9), "estimate set is"),
        (noise(9, 3), noise(9, 4), "3 and 4 numbers"),
        (noise(9, 3) * math.nan, noise(9, 3), "estimate set has an embedding that is not finite"),
        (noise(9, 3), noise(9, 3) / 0, "reference set has an embedding that is not finite"),
        (noise(9, 3), torch.ones(9, 3), "one point"),
    ],
)
def test_kernel_distance_refuses_what_has_none(estimate, reference, named):
    with pytest.raises(ValueError, match=named):
        metrics.kernel_distance(estimate, reference)
