"""The mel scale: from hundreds of frequency bins to a few bands as the ear groups them, and back.

Up to 1 kHz the Slaney scale is linear, above it is logarithmic. Each band is a triangle over the
bins; the norm divides it by its width, so that a band of noise has the same level wherever it lies.
The way back is under-determined: `Mel.inverse` finds a non-negative magnitude that has those bands
and is smooth between them.
"""

import math

import torch
from torch import Tensor, nn

from tootlearn.dsp.config import check_bands
from tootlearn.errors import InputError

_LINEAR_STEP = 200 / 3  # Hz a mel below the knee
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _LINEAR_STEP
_LOG_STEP = math.log(6.4) / 27  # natural log of the frequency ratio of a mel above the knee
_GROUP = 16  # bands multiplied together in `Mel.into`
# far below any band's energy above the front end's floor, far above float32's smallest numbers
_TINY = 1e-9


def hz_to_mel(hz: Tensor) -> Tensor:
    """Frequency in Hz -> mels on the Slaney scale (Auditory Toolbox, 1998): 1000 Hz is 15 mels."""
    above = _KNEE_MEL + (hz.clamp_min(_KNEE_HZ) / _KNEE_HZ).log() / _LOG_STEP
    return torch.where(hz < _KNEE_HZ, hz / _LINEAR_STEP, above)


def mel_to_hz(mel: Tensor) -> Tensor:
    """Mels on the Slaney scale -> frequency in Hz; the inverse of `hz_to_mel`."""
    above = _KNEE_HZ * ((mel - _KNEE_MEL).clamp_min(0) * _LOG_STEP).exp()
    return torch.where(mel < _KNEE_MEL, mel * _LINEAR_STEP, above)


def mel_frequencies(count: int, fmin: float, fmax: float) -> Tensor:
    """`count` frequencies in Hz from fmin to fmax, equally far apart in mels: (count,), float64."""
    edges = hz_to_mel(torch.tensor([fmin, fmax], dtype=torch.float64))
    return mel_to_hz(torch.linspace(float(edges[0]), float(edges[1]), count, dtype=torch.float64))


def mel_filterbank(
    sample_rate: int, n_fft: int, mels: int, fmin: float = 0.0, fmax: float | None = None
) -> Tensor:
    """The matrix that turns a magnitude spectrum into mel bands.

    Equal to `librosa.filters.mel(sr, n_fft, n_mels, fmin, fmax)` and torchaudio's
    `melscale_fbanks(norm="slaney", mel_scale="slaney")`, transposed.

    Args:
        sample_rate: in Hz.
        n_fft: FFT size in samples.
        mels: number of bands.
        fmin: lower edge of the lowest band, Hz.
        fmax: upper edge of the highest band, Hz; None is half the sample rate.

    Returns:
        (M, F) float32, non-negative.

    Raises:
        InputError: no bands, or edges that are not 0 <= fmin < fmax <= sample_rate / 2.
    """
    fmax = sample_rate / 2 if fmax is None else fmax
    check_bands(sample_rate, mels, fmin, fmax)
    points = mel_frequencies(mels + 2, fmin, fmax)
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    low, centre, high = points[:-2, None], points[1:-1, None], points[2:, None]
    triangles = torch.minimum(
        (bins - low) / (centre - low), (high - bins) / (high - centre)
    ).clamp_min(0)
    return (triangles * 2 / (high - low)).float()


class Mel(nn.Module):
    """Magnitude -> mel bands and back.

    Args: as `mel_filterbank`.

    Raises:
        InputError: as `mel_filterbank`, and when a band is so narrow that no bin falls into it.

    Example:
        >>> mel = Mel(22050, 1024, 128)
        >>> mel(torch.ones(513, 10)).shape, mel.inverse(torch.ones(128, 10)).shape
        (torch.Size([128, 10]), torch.Size([513, 10]))
    """

    bank: Tensor
    interpolation: Tensor

    def __init__(
        self, sample_rate: int, n_fft: int, mels: int, fmin: float = 0.0, fmax: float | None = None
    ) -> None:
        super().__init__()
        bank = mel_filterbank(sample_rate, n_fft, mels, fmin, fmax)
        empty = int((bank.sum(1) == 0).sum())
        if empty:
            raise InputError(
                f"{empty} of {mels} mel bands hold no bin of n_fft {n_fft}: take fewer or a "
                "larger n_fft"
            )
        self.register_buffer("bank", bank, persistent=False)
        centres = mel_frequencies(mels + 2, fmin, sample_rate / 2 if fmax is None else fmax)[1:-1]
        bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
        self.register_buffer(
            "interpolation", _linear_interpolation(centres, bins).float(), persistent=False
        )
        self._groups = _groups(bank)

    def forward(self, magnitude: Tensor) -> Tensor:
        """Magnitude (..., F, T) -> mel bands (..., M, T)."""
        return (magnitude.transpose(-1, -2) @ self.bank.T).transpose(-1, -2)

    def into(self, magnitude: Tensor, out: Tensor) -> None:
        """`forward`, frame-major (T, F), into a buffer (M, T): a third of the time, but no
        gradient.

        A band is zero but for a few bins, so neighbouring bands are multiplied with only the bins
        that they reach.
        """
        for bands, bins in self._groups:
            torch.mm(self.bank[bands, bins], magnitude[:, bins].T, out=out[bands])

    def smooth(self, mel: Tensor) -> Tensor:
        """Each band's mean magnitude, interpolated over frequency in the log: (..., M, T) -> (...,
        F, T), positive.
        """
        means = mel.transpose(-1, -2) / self.bank.sum(1)  # (..., T, M)
        return (means.clamp_min(_TINY).log() @ self.interpolation).exp().transpose(-1, -2)

    def inverse(self, mel: Tensor, updates: int = 10, start: Tensor | None = None) -> Tensor:
        """A magnitude that has these mel bands.

        Multiplicative updates, each of which lowers the Kullback-Leibler divergence between the
        given bands and the magnitude's (Lee and Seung 2001), and keeps it positive. They change a
        band as a whole: the detail within it is that of the start. Bins outside of every band
        become zero.

        Args:
            mel: (..., M, T), non-negative.
            updates: at least 1; 5 to 10 are enough.
            start: (..., F, T), positive where there is sound; by default `smooth`.

        Returns:
            (..., F, T), non-negative; exactly zero in frames whose bands are zero. Differentiable.

        Raises:
            ValueError: fewer than 1 update.
        """
        if updates < 1:
            raise ValueError(f"the inverse of the mel bands needs 1 update or more, not {updates}")
        magnitude = self.smooth(mel) if start is None else start
        for _ in range(updates):
            magnitude = self.fitted(magnitude, mel)
        return magnitude

    def fitted(self, magnitude: Tensor, mel: Tensor) -> Tensor:
        """One update of `inverse`: magnitude (..., F, T) nearer to having the bands mel (..., M,
        T).
        """
        # (..., T, F), (..., T, M)
        frames, target = magnitude.transpose(-1, -2), mel.transpose(-1, -2)
        share: Tensor = (target / (frames @ self.bank.T + _TINY)) @ (
            self.bank / self.bank.sum(0).clamp_min(_TINY)
        )
        return (frames * share).transpose(-1, -2)


def _groups(bank: Tensor) -> list[tuple[slice, slice]]:
    """Cut the bands into groups of neighbours: (bands, bins that they reach) of each."""
    groups = []
    for start in range(0, len(bank), _GROUP):
        bands = slice(start, min(start + _GROUP, len(bank)))
        reached = bank[bands].any(0).nonzero()
        groups.append((bands, slice(int(reached[0]), int(reached[-1]) + 1)))
    return groups


def _linear_interpolation(known: Tensor, wanted: Tensor) -> Tensor:
    """Positions (K,) and (W,) -> weights (K, W) by which values at `known` give those at `wanted`,
    held at the ends.
    """
    if len(known) == 1:
        return torch.ones(1, len(wanted), dtype=known.dtype)
    right = torch.searchsorted(known, wanted).clamp(1, len(known) - 1)
    part = ((wanted - known[right - 1]) / (known[right] - known[right - 1])).clamp(0, 1)
    weights = known.new_zeros(len(known), len(wanted))
    column = torch.arange(len(wanted))
    weights[right - 1, column] = 1 - part
    weights[right, column] = part
    return weights
