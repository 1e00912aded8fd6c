"""Sounds made worse by a known amount: turn the knob, watch the metric.

A metric should follow a known change of the sound. Each degradation here has five levels, from just
audible to obvious; a metric that does not follow them is blind to it. `benchmarks/metrics.py` tries
every metric with every degradation.

Each takes waves (..., N) in [-1, 1], the level, the sample rate in Hz and a seed, and returns waves
of that shape. Random numbers do not depend on the level, so levels differ in the amount alone.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from tootlearn import rng
from tootlearn.dsp.stft import Stft
from tootlearn.errors import check_positive

ORDER = 8  # of the low pass: 48 dB an octave
WOBBLE_RATE = 6.0  # Hz
WOBBLE_LEVEL = 0.05  # dB for each cent
UPSAMPLING = 8  # a straight line between samples that close is exact to some 60 dB


def noise(wave: Tensor, decibels: float, sample_rate: float, seed: int = 0) -> Tensor:
    """White noise at ``decibels`` below the RMS of each clip."""
    normal = rng.normal(seed, rng.Stream.DEGRADATION_NOISE, wave.numel())
    white = torch.from_numpy(normal).view(wave.shape).to(wave)
    return wave + 10 ** (-decibels / 20) * wave.square().mean(-1, keepdim=True).sqrt() * white


def low_pass(wave: Tensor, cutoff: float, sample_rate: float, seed: int = 0) -> Tensor:
    """Nothing above the cutoff in Hz, where it is 3 dB down: a Butterworth response of order 8,
    without its phase.
    """
    check_positive("cutoff", cutoff)
    hertz = torch.fft.rfftfreq(
        wave.shape[-1], 1 / sample_rate, dtype=wave.dtype, device=wave.device
    )
    response = (1 + (hertz / cutoff) ** (2 * ORDER)).rsqrt()
    passed: Tensor = torch.fft.irfft(torch.fft.rfft(wave) * response, n=wave.shape[-1])
    return passed


def clipping(wave: Tensor, share: float, sample_rate: float, seed: int = 0) -> Tensor:
    """Cut at a share of the clip's peak."""
    limit = share * wave.abs().amax(-1, keepdim=True)
    return torch.minimum(torch.maximum(wave, -limit), limit)


def wobble(wave: Tensor, cents: float, sample_rate: float, seed: int = 0) -> Tensor:
    """Pitch that varies by ``cents`` to both sides, six times a second, and level that varies by
    0.05 dB for each cent.
    """
    samples = wave.shape[-1]
    turn = (
        2
        * math.pi
        * WOBBLE_RATE
        * torch.arange(samples, dtype=torch.float64, device=wave.device)
        / sample_rate
    )
    # the speed is 1 + excess sin(turn); its integral is where to read
    excess = 2 ** (cents / 1200) - 1
    place = (
        torch.arange(samples, device=wave.device)
        - excess * sample_rate / (2 * math.pi * WOBBLE_RATE) * turn.cos()
    )
    fine = torch.fft.irfft(torch.fft.rfft(wave), n=UPSAMPLING * samples) * UPSAMPLING
    position = (UPSAMPLING * place).clamp(0, UPSAMPLING * samples - 1.001)
    below = position.long()
    moved = torch.lerp(fine[..., below], fine[..., below + 1], (position - below).to(wave.dtype))
    return moved * (10 ** (WOBBLE_LEVEL * cents * turn.sin() / 20)).to(wave.dtype)


def smear(wave: Tensor, share: float, sample_rate: float, seed: int = 0) -> Tensor:
    """Random phase errors, up to ``share`` of half a turn in each bin of an STFT (1024 / 256):
    energy spreads in time.

    At 1 the phases are random. The energy of the clip stays as it was.
    """
    stft = Stft(1024, 256).to(wave.device)
    spectrum = stft(wave)
    uniform = rng.uniform(seed, rng.Stream.DEGRADATION_PHASE, spectrum.numel())
    sign = torch.from_numpy(2 * uniform - 1).view(spectrum.shape)
    off = math.pi * share * sign.to(wave)
    smeared = stft.inverse(spectrum * torch.polar(torch.ones_like(off), off), wave.shape[-1])
    energy = (wave.square().sum(-1, keepdim=True) / smeared.square().sum(-1, keepdim=True)).sqrt()
    return smeared * energy.nan_to_num(0, 0, 0)


class Degradation(NamedTuple):
    """A function, its levels (the mildest first), and their unit."""

    apply: Callable[[Tensor, float, float, int], Tensor]
    levels: tuple[float, ...]
    unit: str


DEGRADATIONS = {
    "noise": Degradation(noise, (40, 30, 20, 10, 0), "dB below the sound"),
    "low pass": Degradation(low_pass, (8000, 4000, 2000, 1000, 500), "Hz"),
    "clipping": Degradation(clipping, (0.8, 0.6, 0.4, 0.2, 0.1), "of the peak"),
    "wobble": Degradation(wobble, (5, 10, 20, 40, 80), "cents"),
    "smear": Degradation(smear, (0.1, 0.2, 0.4, 0.7, 1.0), "of half a turn"),
}
