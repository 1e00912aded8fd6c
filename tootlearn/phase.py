"""Phase reconstruction: from a magnitude spectrogram to a wave.

The magnitude says how loud each frequency is and when; a wave also needs each frame's phases to agree with its neighbours'.
Griffin-Lim starts anywhere and repeats: find the nearest spectrogram that some wave has, keep its phase, put the magnitude back.
Ridge integration starts where that ends up only after hundreds of rounds: a spectral peak is a partial, a partial's phase
advances by its frequency, and the bins around it follow it. A few rounds of Griffin-Lim then smooth the seams.

All functions have one signature, f(magnitude (..., F, T), stft, *, iterations, length) -> wave (..., length). They treat each
clip of a batch on its own, are deterministic, and turn silence into exact silence.

Layout is frame-major, (B, T, F). Phase is counted in turns (1 = 2 pi), and is that of a frame centred on its middle sample: the
factor (-1)^bin of a frame that begins half a window earlier is taken out, so that the phase is smooth over a peak.
"""

import math

import torch
from torch import Tensor

from tootlearn.stft import Stft

MOMENTUM = 0.99
_HANN_GAMMA = 0.25645  # the Gaussian nearest to a Hann window, per n_fft^2 (Prusa, Balazs and Soendergaard 2017)
_DYNAMIC_RANGE = 1e-5  # -100 dB below the clip's peak: what lies deeper has no slope worth following
_SAME_RIDGE = 2.5  # bins: peaks of successive frames that are farther apart are not one partial


def griffin_lim(magnitude: Tensor, stft: Stft, *, iterations: int = 32, length: int | None = None, seed: int = 0) -> Tensor:
    """Griffin and Lim's alternating projections (1984) from random phases.

    Args:
        magnitude: (..., F, T), non-negative.
        stft: the transform that the magnitude comes from.
        iterations: rounds; each costs one STFT and one inverse.
        length: samples of the wave, as in `Stft.inverse`; (T - 1) * hop by default.
        seed: of the phases to start from, the same for every clip of a batch.

    Returns:
        (..., length).
    """
    target = _clips(magnitude)
    return _wave(_iterate(_random_phase(target, seed), target, stft, iterations, length, 0.0), magnitude, stft, length)


def fast_griffin_lim(
    magnitude: Tensor, stft: Stft, *, iterations: int = 32, length: int | None = None, seed: int = 0, momentum: float = MOMENTUM
) -> Tensor:
    """Griffin-Lim with momentum (Perraudin, Balazs and Soendergaard 2013), as in librosa and torchaudio; see `griffin_lim`."""
    target = _clips(magnitude)
    return _wave(_iterate(_random_phase(target, seed), target, stft, iterations, length, momentum), magnitude, stft, length)


def ridge_integration(magnitude: Tensor, stft: Stft, *, iterations: int = 2, length: int | None = None) -> Tensor:
    """Integrate phase along spectral peaks, then a few rounds of fast Griffin-Lim; arguments as in `griffin_lim`."""
    target = _clips(magnitude)
    return _wave(_iterate(ridge_phase(target, stft), target, stft, iterations, length, MOMENTUM), magnitude, stft, length)


def _clips(magnitude: Tensor) -> Tensor:
    """(..., F, T) -> frame-major (B, T, F)."""
    return magnitude.reshape(-1, *magnitude.shape[-2:]).transpose(1, 2).contiguous()


def _wave(spectrum: Tensor, like: Tensor, stft: Stft, length: int | None) -> Tensor:
    """Frame-major (B, T, F) -> wave (..., length) with the leading axes of `like`."""
    wave = stft.synthesize(spectrum, length)
    return wave.reshape(*like.shape[:-2], wave.shape[-1])


def _random_phase(magnitude: Tensor, seed: int) -> Tensor:
    turns = torch.rand(magnitude.shape[1:], generator=torch.Generator().manual_seed(seed)).to(magnitude.device)
    return _with_phase(magnitude, turns)


def _with_phase(magnitude: Tensor, turns: Tensor) -> Tensor:
    angle = (turns - turns.floor()) * (2 * math.pi)
    return torch.complex(angle.cos() * magnitude, angle.sin() * magnitude)


def _iterate(spectrum: Tensor, magnitude: Tensor, stft: Stft, iterations: int, length: int | None, momentum: float) -> Tensor:
    """Rounds of (fast) Griffin-Lim on (B, T, F): project, extrapolate by the momentum, put the magnitude back."""
    previous = None
    for _ in range(iterations):
        projected = stft.project(spectrum, length)
        ahead = projected if previous is None else projected - (momentum / (1 + momentum)) * previous
        spectrum, previous = ahead.sgn() * magnitude, projected
    return spectrum


def ridge_phase(magnitude: Tensor, stft: Stft) -> Tensor:
    """Magnitude (B, T, F) -> complex spectrum (B, T, F) with that magnitude and phases integrated along its peaks."""
    step = stft.hop / stft.n_fft  # turns from frame to frame, per bin
    gamma = _HANN_GAMMA * stft.n_fft**2
    peak_magnitude = magnitude.amax((1, 2), keepdim=True)
    log = torch.maximum(magnitude, _DYNAMIC_RANGE * peak_magnitude + 1e-30).log()
    owner = peak_owners(magnitude)
    frequency = peak_frequencies(magnitude, log, stft).gather(-1, owner) + owner * step
    across = spread_in_frequency(log, stft)
    across = across - across.gather(-1, owner)
    now = frequency[:, 1:]
    before = frequency[:, :-1].gather(-1, owner[:, 1:])
    change = before - now
    advance = now + change * ((change.abs() <= _SAME_RIDGE * step) * 0.5) + across[:, 1:]
    phase = torch.empty_like(magnitude)
    phase[:, 0] = across[:, 0]
    for t in range(1, magnitude.shape[1]):
        phase[:, t] = phase[:, t - 1].gather(-1, owner[:, t]) + advance[:, t - 1]
    sign = 1 - 2 * (torch.arange(magnitude.shape[-1], device=magnitude.device) % 2)
    return _with_phase(magnitude * sign, phase)


def peak_owners(magnitude: Tensor) -> Tensor:
    """(B, T, F) -> (B, T, F) int64: for every bin, the bin of the peak that is uphill of it."""
    bins = torch.arange(magnitude.shape[-1], device=magnitude.device)
    rising = torch.zeros_like(magnitude, dtype=torch.bool)
    rising[..., :-1] = magnitude[..., 1:] > magnitude[..., :-1]
    peak = ~rising
    peak[..., 1:] &= rising[..., :-1]
    below = torch.cummax(peak * bins, -1).values
    above = (len(bins) - 1) - torch.cummax((peak * (len(bins) - 1 - bins)).flip(-1), -1).values.flip(-1)
    return torch.where(rising, above, below)


def peak_frequencies(magnitude: Tensor, log: Tensor, stft: Stft) -> Tensor:
    step = stft.hop / stft.n_fft
    gamma = _HANN_GAMMA * stft.n_fft**2
    a, b, c = magnitude[..., :-2], magnitude[..., 1:-1], magnitude[..., 2:]
    ratio = torch.maximum(a, c) / (b + 1e-20)
    by_ratio = torch.copysign(((2 * ratio - 1) / (ratio + 1)).clamp(0, 0.5), c - a) * step
    by_slope = (log[..., 2:] - log[..., :-2]) / 2 * (stft.hop * stft.n_fft / gamma) / (2 * math.pi)
    offset = torch.zeros_like(magnitude)
    offset[..., 1:-1] = (by_ratio + by_slope) / 2
    return offset


def spread_in_frequency(log: Tensor, stft: Stft) -> Tensor:
    gamma = _HANN_GAMMA * stft.n_fft**2
    d_frame = torch.zeros_like(log)
    d_frame[:, 1:-1] = log[:, 2:] - log[:, :-2]
    slope = torch.zeros_like(log)
    slope[..., 1:] = d_frame[..., 1:] + d_frame[..., :-1]
    return slope.cumsum(-1) * (-0.25 * gamma / (stft.n_fft * stft.hop) / (2 * math.pi))
