"""Jitter: of tones that waver by a known amount."""

import math

import pytest
import torch

from tootlearn.dsp.jitter import jitter

RATE = 22050


def tone(pitch, cents=0.0, decibels=0.0, rate=5.0, seconds=1.0, glide=0.0, fade=0.0):
    t = torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE
    sway = torch.sin(2 * torch.pi * rate * t)
    phase = 2 * torch.pi * torch.cumsum(pitch * 2 ** ((cents * sway + glide * t) / 1200), 0) / RATE
    wave = sum(torch.sin(h * phase) / h for h in range(1, 10) if 1.1 * h * pitch < RATE / 2)
    return 0.1 * wave * 10 ** ((decibels * sway - fade * t) / 20)


def noise(samples, seed=0):
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("pitch", [58.0, 220.0, 440.0, 1500.0])
def test_a_steady_tone_has_none_even_if_it_glides_and_fades_or_its_pitch_is_a_guess(pitch):
    for wave in (tone(pitch), tone(pitch, glide=30.0, fade=12.0)):
        result = jitter(wave, RATE, pitch * 1.01)
        assert float(result.f0) < 0.5 and float(result.level) < 0.05


@pytest.mark.parametrize("pitch", [58.0, 440.0, 1500.0])
def test_vibrato_and_tremolo_read_their_depth_over_the_root_of_two(pitch):
    result = jitter(tone(pitch, cents=20, decibels=1), RATE, pitch)
    # at 58 Hz the window is 69 ms long
    assert float(result.f0) == pytest.approx(20 / math.sqrt(2), rel=0.08)
    assert float(result.level) == pytest.approx(1 / math.sqrt(2), rel=0.08)
    only_f0, only_level = (
        jitter(tone(pitch, cents=20), RATE, pitch),
        jitter(tone(pitch, decibels=1), RATE, pitch),
    )
    assert float(only_f0.level) < 0.05 and float(only_level.f0) < 0.5


def test_a_missing_fundamental_does_not_matter_and_roughness_is_no_wobble():
    t = torch.arange(RATE, dtype=torch.float64) / RATE
    hollow = sum(torch.sin(2 * torch.pi * 98 * h * t) for h in range(4, 9)) * 0.05
    assert float(jitter(hollow, RATE, 98.0).f0) < 0.3
    slow, fast = (jitter(tone(440.0, 20, 1, rate), RATE, 440.0) for rate in (6, 90))
    assert float(fast.f0) < 0.2 * float(slow.f0) and float(fast.level) < 0.2 * float(slow.level)


def test_noise_30_db_below_makes_a_cent_at_most():
    wave = tone(440.0)
    result = jitter(wave + 10**-1.5 * wave.std() * noise(len(wave)), RATE, 440.0)
    assert 0.05 < float(result.f0) < 1 and float(result.level) < 0.1


def test_attack_and_release_do_not_count():
    wave = tone(330.0) * torch.linspace(0, 8, RATE, dtype=torch.float64).clamp(0, 1)
    wave = torch.nn.functional.pad(wave * wave.flip(0).abs().max(), (4000, 9000))
    assert float(jitter(wave, RATE, 330.0).level) < 0.05


def test_a_batch_is_as_its_clips_alone_and_what_cannot_be_tracked_is_nan():
    waves = torch.zeros(2, 2, RATE)
    waves[0, 0], waves[0, 1] = tone(220.0, cents=10).float(), tone(440.0, decibels=2).float()
    waves[1, 0, :1500] = tone(440.0)[:1500].float()
    f0 = torch.tensor([[220.0, 440.0], [440.0, 440.0]])
    measured = jitter(waves, RATE, f0)
    assert (
        measured.f0.shape == measured.level.shape == (2, 2) and measured.f0.dtype == torch.float32
    )
    for i in range(2):
        alone = jitter(waves[0, i], RATE, float(f0[0, i]))
        torch.testing.assert_close(measured.f0[0, i], alone.f0)
        torch.testing.assert_close(measured.level[0, i], alone.level)
    assert measured.f0[1].isnan().all() and measured.level[1].isnan().all()  # 70 ms, and silence
    assert jitter(waves[0, 0], RATE, math.nan).f0.isnan()
