"""What is known about a toot before anything is learned, as input to the decoder.

`time_features` say where the attack and the release are, whatever the duration; `HarmonicComb` says
which mel bands the harmonics of a pitch fall into.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.mel import mel_filterbank

_ATTACKS = (0.006, 0.012, 0.025, 0.05, 0.1, 0.2, 0.4)  # s: time constants after the onset
_RELEASES = (0.004, 0.012, 0.035, 0.1)  # s: widths of the step at the end
_TAILS = (0.02, 0.06, 0.2)  # s: time constants before and after the end
TIME_FEATURES = len(_ATTACKS) + len(_RELEASES) + 2 * len(_TAILS) + 3  # rows of `time_features`


def time_features(time: Tensor, duration: Tensor) -> Tensor:
    """The position of each frame relative to the onset and the end of a toot.

    Args:
        time: s since the onset, negative before it, shape (T,).
        duration: s, positive, shape (B,).

    Returns:
        Shape (B, 20, T), each in [-1, 1] and continuous in time and duration: exponential decays
        since the onset, steps at the end, exponential rises before it and decays after it, the
        elapsed share of the duration, the side of the onset, and 1.
    """
    since = time.clamp_min(0)[None]  # (1, T)
    past = time[None] - duration[:, None]  # (B, T): s after the end
    rows = [torch.exp(-since / tau).expand_as(past) for tau in _ATTACKS]
    rows += [torch.tanh(past / width) for width in _RELEASES]
    rows += [torch.exp(past.clamp_max(0) / tau) for tau in _TAILS]
    rows += [torch.exp(-past.clamp_min(0) / tau) for tau in _TAILS]
    rows += [
        (since / duration[:, None]).clamp_max(1),
        torch.tanh(time / 0.01).expand_as(past),
        torch.ones_like(past),
    ]
    return torch.stack(rows, 1)


class HarmonicComb(nn.Module):
    """The mel bands of a harmonic tone, from a table with a row for each pitch.

    The mel filterbank is applied to the magnitude spectrum, under a Hann window, of harmonics of
    amplitude 1 at multiples of f0. Rows are 10 cents apart and interpolated linearly, so that the
    result is differentiable with respect to the pitch. Harmonics that are too close for the window
    to resolve (4 bins) add up as magnitudes, without beating.

    Args:
        front_end: gives window and bands.
        low, high: range of f0, Hz, 0 < low < high; values outside are clamped to it.

    Shape: log2 of f0 in Hz (...) -> mel bands (..., M), non-negative magnitudes.
    """

    STEPS = 120  # rows an octave
    table: Tensor

    def __init__(self, front_end: FrontEndConfig, low: float = 20.0, high: float = 8000.0) -> None:
        super().__init__()
        self.low = math.log2(low)
        rows = int((math.log2(high) - self.low) * self.STEPS) + 2
        f0 = 2 ** (self.low + torch.arange(rows, dtype=torch.float64) / self.STEPS)
        bank = mel_filterbank(
            front_end.sample_rate, front_end.n_fft, front_end.mels, front_end.fmin, front_end.fmax
        )
        table = harmonic_magnitude(f0, front_end.sample_rate, front_end.n_fft) @ bank.T  # (rows, M)
        self.register_buffer("table", table, persistent=False)

    def forward(self, octave: Tensor) -> Tensor:
        position = ((octave - self.low) * self.STEPS).clamp(0.0, len(self.table) - 1.001)
        row = position.floor().long()
        part = (position - row)[..., None]
        return torch.lerp(self.table[row], self.table[row + 1], part)


def harmonic_magnitude(f0: Tensor, sample_rate: int, n_fft: int) -> Tensor:
    """The magnitude spectrum of harmonics of amplitude 1 under a Hann window, for pitches whose
    harmonics are resolved.

    Args:
        f0: Hz, shape (P,).
        sample_rate: Hz.
        n_fft: length of the frame, samples.

    Returns:
        Magnitudes, shape (P, F), float32, on the device of f0.
    """
    bins = n_fft // 2 + 1
    exact = f0.cpu().double()  # some devices have no float64
    number = torch.arange(1, int(sample_rate / 2 / float(exact.min())) + 1)
    place = exact[:, None] * number * (n_fft / sample_rate)  # (P, K), in bins
    nearest = place.round().long()
    amplitude = (place < bins - 1) * (n_fft / 4)  # none at or above the Nyquist frequency
    spectrum = place.new_zeros(len(f0), bins + 8)  # four bins of margin at both ends
    off = nearest - place  # (P, K), in [-1/2, 1/2]
    sine = amplitude * (math.pi * off).sin().abs() / math.pi
    for offset in range(-3, 4):  # the Hann window's transform is sinc(x) / (1 - x^2)
        x = off + offset
        poles = (x * (1 - x * x)).abs()
        limit = amplitude * (1.0 if offset == 0 else 0.5)  # at x = 0, and at x = -1 and 1
        spectrum.scatter_add_(
            1,
            (nearest + offset + 4).clamp(0, bins + 7),
            torch.where(poles > 1e-7, sine / poles, limit),
        )
    return spectrum[:, 4:-4].float().to(f0.device)
