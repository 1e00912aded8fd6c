"""Degradations: each does what it says, by the amount that it says."""

import math

import pytest
import torch

from tootlearn.dsp.jitter import jitter
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError
from tootlearn.evaluation.degradations import DEGRADATIONS, clipping, low_pass, noise, smear, wobble

RATE = 22050


def tone(frequency, seconds=1.0, amplitude=0.5):
    t = torch.arange(round(seconds * RATE)) / RATE
    return amplitude * torch.sin(2 * torch.pi * frequency * t)


def decibels(a, b):
    return 10 * torch.log10(a.square().sum(-1) / b.square().sum(-1))


@pytest.mark.parametrize("snr", [40.0, 0.0])
def test_noise_is_so_far_below_each_clip_and_flat(snr):
    waves = torch.stack([tone(440), 0.01 * tone(100)])
    added = noise(waves, snr, RATE) - waves
    torch.testing.assert_close(decibels(waves, added), torch.full((2,), snr), atol=0.3, rtol=0)
    power = Stft(1024, 256).magnitude(added[0]).square().mean(-1)
    assert 0.7 < float(power[5:250].mean() / power[260:505].mean()) < 1.4


def test_low_pass_keeps_what_is_below_and_kills_what_is_above():
    for frequency, expected in ((500, 0), (1000, -3.01), (2000, -48)):
        wave = tone(frequency, 1.0) * torch.hann_window(RATE)
        assert float(decibels(low_pass(wave, 1000.0, RATE), wave)) == pytest.approx(
            expected, abs=0.6
        )
    click = torch.zeros(4096)
    click[2048] = 1
    assert int(low_pass(click, 1000.0, RATE).argmax()) == 2048  # no delay
    with pytest.raises(InputError, match="cutoff is a positive"):
        low_pass(click, 0.0, RATE)


def test_clipping_is_at_a_share_of_each_clips_own_peak():
    waves = torch.stack([tone(441), 0.1 * tone(441)])
    result = clipping(waves, 0.4, RATE)
    torch.testing.assert_close(result.amax(-1), 0.4 * waves.abs().amax(-1), rtol=1e-6, atol=0)
    torch.testing.assert_close(-result.amin(-1), result.amax(-1))
    small = waves.abs() < 0.4 * waves.abs().amax(-1, keepdim=True)
    assert torch.equal(result[small], waves[small])


@pytest.mark.parametrize("cents", [5.0, 80.0])
def test_wobble_reads_as_jitter_of_its_depth(cents):
    result = jitter(wobble(tone(440, 1.5), cents, RATE), RATE, 440.0)
    assert float(result.f0) == pytest.approx(cents / math.sqrt(2), rel=0.08)
    assert float(result.level) == pytest.approx(0.05 * cents / math.sqrt(2), rel=0.1)


def test_no_wobble_is_the_wave_itself():
    wave = tone(3000) * torch.hann_window(RATE)
    assert float(decibels(wobble(wave, 0.0, RATE) - wave, wave)) < -50


def test_smear_keeps_energy_and_starts_before_the_sound():
    click = torch.zeros(2, 8192)
    click[:, 4096] = 0.7
    result = smear(click, 1.0, RATE)
    torch.testing.assert_close(result.square().sum(-1), click.square().sum(-1))
    assert float(result[0, 3600:4096].square().sum() / result[0].square().sum()) > 0.2
    assert result[:, :2500].abs().max() < 1e-4  # no farther than a window
    torch.testing.assert_close(smear(click, 0.0, RATE), click, atol=1e-5, rtol=0)
    assert smear(torch.zeros(4096), 1.0, RATE).eq(0).all()


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_ladder_departs_from_the_sound_step_by_step(name):
    degrade, levels, unit = DEGRADATIONS[name]
    wave = torch.stack([sum(tone(220 * h, amplitude=0.2 / h) for h in range(1, 40)), tone(700)])
    wave = wave * torch.hann_window(RATE).sqrt()
    steps = torch.stack([decibels(degrade(wave, level, RATE, 3) - wave, wave) for level in levels])
    assert len(levels) == 5 and unit
    assert (steps[:, 0].diff() > 0).all()  # the bare tone hears no low pass
    assert torch.equal(degrade(wave, levels[1], RATE, 3), degrade(wave, levels[1], RATE, 3))
    same = degrade(wave, levels[1], RATE, 3).equal(degrade(wave, levels[1], RATE, 4))
    assert same == (name in ("low pass", "clipping", "wobble"))
    assert degrade(wave.double(), levels[1], RATE, 3).dtype == torch.float64
