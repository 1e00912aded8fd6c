import math

import numpy as np
import pytest
import torch
from scipy import signal

from tootlearn import rng
from tootlearn.data import synthesis
from tootlearn.dsp import denoising
from tootlearn.dsp.audio import resample
from tootlearn.dsp.denoising import (
    declick,
    denoise,
    limit,
    log_amplitude_gain,
    noise_level,
    remove_dc,
    true_peak,
)
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError

RATE = 22050


def tone(hz: float, seconds: float = 2.0, harmonics: int = 1, rate: int = RATE) -> torch.Tensor:
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    partials = [
        torch.sin(2 * math.pi * k * hz * time + k * k) / k
        for k in range(1, harmonics + 1)
        if k * hz < rate / 2
    ]
    return (0.3 * sum(partials)).float()


def noise(samples: int, seed: int = 1, pink: bool = False) -> torch.Tensor:
    """Noise of unit power; pink from 20 Hz on."""
    white = torch.from_numpy(rng.normal(seed, 0, samples)).float()
    if pink:
        hertz = torch.fft.rfftfreq(samples, 1 / RATE)
        white = torch.fft.irfft(
            torch.fft.rfft(white) * torch.where(hertz < 20, 0, hertz.clamp_min(20).rsqrt()), samples
        )
    return white / white.square().mean().sqrt()


def noisy(clean: torch.Tensor, decibels: float, seed: int = 1, pink: bool = False) -> torch.Tensor:
    level = clean.square().mean(-1, keepdim=True).sqrt() * 10 ** (-decibels / 20)
    return clean + level * noise(clean.shape[-1], seed, pink)


def kept(estimate: torch.Tensor, clean: torch.Tensor) -> float:
    """The share of the energy of a sound that is still there."""
    return float((estimate @ clean / clean.square().sum()) ** 2)


def si_sdr(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Scale-invariant signal-to-distortion ratio in dB, (..., N) -> (...)."""
    target = clean * ((estimate * clean).sum(-1) / clean.square().sum(-1)).unsqueeze(-1)
    error = (estimate - target).square().sum(-1)
    return 10 * (target.square().sum(-1) / error.clamp_min(1e-20)).log10()


@pytest.fixture(scope="module")
def toots() -> torch.Tensor:
    """One of each of the twelve kinds, in windows of 2.04 s."""
    return synthesis.toots(list(synthesis.KINDS), 12, seed=31)[0]


# What is kept


@pytest.mark.parametrize("rule", denoising.RULES)
@pytest.mark.parametrize("decibels", [0, 10, 29])
@pytest.mark.parametrize("hz", [55.0, 110.0, 440.0, 3000.0])
def test_a_held_tone_is_kept(hz, decibels, rule):
    clean = tone(hz)
    assert 0.95 < kept(denoise(noisy(clean, decibels), RATE, rule=rule), clean) < 1.05
    clean[: RATE // 2] = clean[-RATE // 2 :] = 0  # held for 1 s
    assert 0.95 < kept(denoise(noisy(clean, decibels), RATE, rule=rule), clean) < 1.05


@pytest.mark.parametrize("hz", [40.0, 110.0, 440.0])
def test_the_harmonics_of_a_note_that_fills_the_clip_are_no_noise(hz):
    """At 40 Hz they are nearer to each other than the window can tell: its level alone would take
    most of the note.
    """
    clean = tone(hz, harmonics=30)
    assert kept(denoise(noisy(clean, 29), RATE), clean) > 0.995
    assert float(si_sdr(denoise(clean, RATE), clean)) > 60


@pytest.mark.parametrize("rule", denoising.RULES)
def test_a_clean_sound_passes(toots, rule):
    assert float(si_sdr(denoise(toots, RATE, rule=rule), toots).min()) > 60


def test_silence_stays_silent():
    assert not denoise(torch.zeros(2, RATE), RATE).any()
    assert not denoise(torch.zeros(RATE), RATE, noise=noise(4000)).any()
    assert not denoise(torch.zeros(RATE), RATE, noise=torch.zeros(4000)).any()


# What is taken out


@pytest.mark.parametrize(("pink", "left"), [(False, 0.02), (True, 0.06)])
def test_noise_alone_nearly_vanishes(pink, left):
    clip = 0.1 * noise(2 * RATE, pink=pink)
    assert float(denoise(clip, RATE).norm() / clip.norm()) < left


@pytest.mark.parametrize(("pink", "gain"), [(False, 14.0), (True, 11.0)])
def test_toots_come_out_cleaner(toots, pink, gain):
    """Bounds 2 dB below what it does; with the noise given, it does not do worse."""
    mixed = noisy(toots, 5, pink=pink)
    blind = si_sdr(denoise(mixed, RATE), toots)
    assert float(blind.mean()) > 5 + gain
    given = (mixed - toots)[..., : RATE // 2]
    assert (
        float(si_sdr(denoise(mixed, RATE, noise=given), toots).mean()) > float(blind.mean()) - 0.3
    )


@pytest.mark.parametrize("pink", [False, True])
@pytest.mark.parametrize("hz", [None, 50.0, 440.0])
def test_the_level_of_noise_is_found_under_a_note_that_fills_the_clip(hz, pink):
    clip = noise(2 * RATE, pink=pink)
    true = Stft(2048, 512).magnitude(clip).square().mean(-1)
    result = noise_level(clip if hz is None else clip + 30 * tone(hz, harmonics=20), RATE)
    if hz is None:
        assert abs(float((result[8:-8] / true[8:-8]).log10().mean())) < 0.02  # a fifth of a decibel
    octaves = [
        (result[..., k : 2 * k].mean() / true[..., k : 2 * k].mean()).log10() * 10
        for k in (8, 32, 128, 512)
    ]
    assert max(abs(float(error)) for error in octaves) < 1.5  # dB


def test_hum_is_taken_out_where_the_noise_is_given_and_else_kept():
    hum = tone(150.0, 3.0)
    clip = hum + 0.01 * noise(3 * RATE)
    assert kept(denoise(clip[: 2 * RATE], RATE), hum[: 2 * RATE]) > 0.95
    assert (
        float(
            denoise(clip[: 2 * RATE], RATE, noise=clip[2 * RATE :]).norm() / clip[: 2 * RATE].norm()
        )
        < 0.1
    )


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 96000])
def test_any_sample_rate(rate):
    clean = torch.cat([torch.zeros(rate // 2), tone(440.0, 1.0, 8, rate)])
    assert float(si_sdr(denoise(noisy(clean, 10), rate), clean)) > 20


# The rules


def test_the_log_amplitude_rule_is_the_mean_of_the_logarithm():
    """Of a complex normal signal under noise, given the mix, the mean is w x and the variance w:
    drawn here.
    """
    prior, posterior = torch.tensor([0.1, 1.0, 1.0, 10.0]), torch.tensor([1.0, 0.5, 4.0, 8.0])
    w = (prior / (1 + prior))[:, None]
    drawn = torch.from_numpy(rng.normal(5, 0, 400_000)).view(2, 1, -1) * (w / 2).sqrt()
    amplitude = torch.hypot(w * posterior.sqrt()[:, None] + drawn[0], drawn[1])
    wanted = amplitude.log().mean(-1).exp() / posterior.sqrt()
    torch.testing.assert_close(
        log_amplitude_gain(prior, posterior), wanted.float(), rtol=0.01, atol=0
    )


def test_gains_rise_with_the_ratio_to_one():
    prior = torch.logspace(-3, 6, 50)
    for gain in (denoising.wiener_gain(prior), log_amplitude_gain(prior, prior + 1)):
        assert (
            bool((gain.diff() >= 0).all())
            and float(gain[0]) > 0
            and float(gain[-1]) == pytest.approx(1, abs=1e-4)
        )


# Shapes and input


def test_each_clip_of_a_batch_is_cleaned_on_its_own(toots):
    batch = torch.stack(
        [noisy(toots[0], 5), 30 * noisy(toots[5], 20, seed=2), torch.zeros(toots.shape[1])]
    )
    together = denoise(batch.view(3, 1, -1), RATE)
    assert together.shape == (3, 1, toots.shape[1]) and together.dtype == torch.float32
    for one, clip in zip(together[:, 0], batch, strict=True):
        torch.testing.assert_close(one, denoise(clip, RATE), rtol=1e-5, atol=1e-6)


def test_a_clip_that_is_too_short_to_tell_comes_back_as_it_is():
    for samples in (1, 100, 2047, 4095):
        clip = noise(samples)
        assert torch.equal(denoise(clip, RATE), clip)
    assert float(denoise(noise(4096), RATE).norm() / noise(4096).norm()) < 0.5


@pytest.mark.parametrize("samples", [1, 100, 2047, 2048, 3000])
def test_with_the_noise_given_any_length_will_do(samples):
    clip = denoise(10 * tone(440.0)[:samples] + 0.01, RATE, noise=0.01 * noise(5000))
    assert clip.shape == (samples,) and bool(clip.isfinite().all())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: denoise(torch.zeros(0), RATE), "the wave is empty"),
        (lambda: denoise(torch.tensor(1.0), RATE), "the wave is empty"),
        (lambda: denoise(torch.tensor([0.0, math.nan]), RATE), "NaN"),
        (lambda: denoise(torch.ones(9), RATE, rule="lsa"), "'lsa': give wiener or log_amplitude"),
        (lambda: denoise(torch.ones(9), 3), "3 Hz: give 1000 to"),
        (
            lambda: denoise(torch.ones(9), RATE, noise=torch.ones(2047)),
            "2047 samples: give 2048 or more",
        ),
        (
            lambda: denoise(torch.ones(9), RATE, noise=torch.full((4096,), math.inf)),
            "the noise clip has NaN",
        ),
        (lambda: noise_level(torch.ones(4095), RATE), "4095 samples are too short"),
        (lambda: limit(torch.zeros(2, 0)), "empty"),
        (lambda: remove_dc(torch.zeros(0)), "empty"),
        (lambda: declick(torch.zeros(0), RATE), "empty"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


# Offset, ends, peaks


def test_all_is_mended_in_an_order_that_works():
    """With the offset in it the wave would seem to click at both ends, and the offset would pass
    for a held note.
    """
    sound = torch.cat([torch.zeros(RATE // 2), 4 * tone(440.0, 1.0), torch.zeros(RATE // 2)])
    done = denoising.clean(0.5 + noisy(sound, 20), RATE)
    assert abs(float(done.mean())) < 1e-3 and float(si_sdr(done, sound)) > 30
    assert float(true_peak(done)) <= 10 ** (-1 / 20)


def test_an_offset_goes_and_nothing_else():
    clean = torch.stack([tone(441.0), tone(882.0)])  # whole periods
    torch.testing.assert_close(
        remove_dc(clean + torch.tensor([[0.2], [-0.1]])), clean, rtol=0, atol=1e-6
    )


def test_only_an_end_that_jumps_is_faded():
    smooth = torch.sin(math.pi * torch.arange(1001) / 1000).float()
    smooth[-1] = 0  # sin(pi) is not, in floats
    cut = smooth[:600]
    assert torch.equal(declick(smooth, RATE), smooth)
    done = declick(cut, RATE)
    assert done[-1] == 0 and torch.equal(done[: 600 - 66], cut[: 600 - 66])
    assert float(done.diff().abs().max()) < 0.05  # the jump was .95
    both = declick(torch.stack([smooth[:600], smooth[1001 - 600 :]]), RATE)
    torch.testing.assert_close(both[1], both[0].flip(0), rtol=0, atol=1e-6)
    assert torch.equal(declick(torch.ones(1), RATE), torch.zeros(1))


def test_a_peak_between_the_samples_is_seen():
    """At a quarter of the rate and 45 degrees every sample is .707 of the peak: 3 dB that a sample
    meter misses.
    """
    fade = torch.sin(math.pi * torch.arange(2000) / 2000) ** 2
    wave = fade * torch.sin(math.pi / 2 * torch.arange(2000) + math.pi / 4)
    assert float(wave.abs().max()) == pytest.approx(0.7071, abs=1e-3)
    assert float(true_peak(wave)) == pytest.approx(1, abs=2e-3)
    assert float(true_peak(limit(wave))) == pytest.approx(10 ** (-1 / 20), abs=1e-5)


def test_true_peak_against_scipy():
    for seed in range(5):
        wave = signal.sosfilt(
            signal.butter(4, 0.8, output="sos"), rng.normal(seed, 0, 3000)
        ) * np.hanning(3000)
        fine = signal.resample_poly(
            wave, 4, 1, window=signal.firwin(1025, 0.25, window=("kaiser", 8.0))
        )
        assert float(true_peak(torch.from_numpy(wave))) == pytest.approx(
            np.abs(fine).max(), rel=0.01
        )


def test_true_peak_is_never_below_the_largest_sample():
    for samples in (1, 2, 3, 50):
        wave = noise(samples, seed=samples)
        assert float(true_peak(wave)) >= float(wave.abs().max()) * (1 - 1e-6)
    assert float(true_peak(torch.zeros(5))) == 0


def test_a_peak_before_the_first_sample_is_seen():
    """A tone at half of the rate that begins at once and decays: the sound swings up before its
    first sample.
    """
    wave = (-0.9) ** torch.arange(60.0)
    before = -torch.arange(1, 4)[:, None] / 4
    wanted = (wave * torch.sinc(before - torch.arange(60))).sum(1).abs().max()
    assert float(wanted) > 1.3  # by an endless sinc; the filter's is short
    assert float(true_peak(wave)) > 1.2


@pytest.mark.parametrize("ceiling", [-6.0, -1.0, 0.0])
def test_the_ceiling_holds_and_below_it_nothing_changes(ceiling):
    wave = torch.stack([noise(500, seed) * 2.0**-seed for seed in range(8)])
    done = limit(wave, ceiling)
    below = true_peak(wave) <= 10 ** (ceiling / 20)
    assert below.any() and not below.all()
    assert torch.equal(done[below], wave[below])
    assert float(true_peak(done).max()) <= 10 ** (ceiling / 20)
    turned = done[~below] / wave[~below]
    torch.testing.assert_close(turned, turned[:, :1].expand_as(turned))  # one gain: the shape stays


def test_a_limited_wave_does_not_clip_after_resampling():
    wave = limit(2 * tone(5000.0, 0.2), 0.0)
    assert float(resample(wave, RATE, 48000).abs().max()) <= 1.01
