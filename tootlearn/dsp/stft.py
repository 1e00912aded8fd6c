"""The short-time Fourier transform and its least-squares inverse.

Frame t is the wave around sample t * hop, under a Hann window; its spectrum says which frequencies
sound there. Neighbouring frames overlap, so a spectrogram holds more numbers than its wave, and
most spectrograms belong to no wave at all: `project` finds the nearest one that does, which is what
every phase reconstruction leans on.

Public results have the field's layout (..., F, T). Inside, frames lie next to each other, (..., T,
F): that is how the FFT reads and writes them, and turning the axes is only a view.
"""

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional

from tootlearn.dsp.config import check_window

_LEAST_WINDOW_SUM = 0.01


class Stft(nn.Module):
    """Hann-windowed STFT, zero-padded so that frame t is centred on sample t * hop, and its
    inverse.

    Equal to `torch.stft(center=True, pad_mode="constant")` and to `librosa.stft` with the same
    parameters.

    Args:
        n_fft: window length and FFT size in samples, even.
        hop: samples from frame to frame; divides n_fft, and is at most half of it.

    Raises:
        InputError: sizes that do not fit together.

    Example:
        >>> stft = Stft(1024, 256)
        >>> spectrum = stft(torch.zeros(4, 22050))
        >>> spectrum.shape, stft.inverse(spectrum, length=22050).shape
        (torch.Size([4, 513, 87]), torch.Size([4, 22050]))
    """

    window: Tensor

    def __init__(self, n_fft: int = 1024, hop: int = 256) -> None:
        super().__init__()
        check_window(n_fft, hop)
        self.n_fft = n_fft
        self.hop = hop
        self.bins = n_fft // 2 + 1
        self.register_buffer(
            "window", torch.hann_window(n_fft, dtype=torch.float64).float(), persistent=False
        )

    def forward(self, wave: Tensor) -> Tensor:
        """Wave (..., N) -> complex spectrum (..., F, T) with F = n_fft // 2 + 1 and T = 1 + N //
        hop.
        """
        return self.analyze(wave).transpose(-1, -2)

    def magnitude(self, wave: Tensor) -> Tensor:
        """Wave (..., N) -> magnitude of its spectrum (..., F, T). The gradient where it is zero is
        zero.
        """
        return self.analyze(wave).abs().transpose(-1, -2)

    def inverse(self, spectrum: Tensor, length: int | None = None) -> Tensor:
        """The wave whose STFT is nearest to a spectrum in the least-squares sense (Griffin and Lim
        1984, eq. 6).

        The inverse of a wave's own STFT is that wave, to rounding. One exception, by choice:
        samples that only the outermost tail of the last window sees fade out, where dividing by
        almost nothing would make a click of any error. With an overlap of 4 or more that needs a
        length more than a hop beyond the last centre.

        Args:
            spectrum: complex (..., F, T).
            length: samples to return; (T - 1) * hop by default, at most n_fft // 2 - 1 more (what
                the last frame reaches).

        Returns:
            (..., length).

        Raises:
            ValueError: the spectrum does not have F bins, or the length is beyond the last frame.
        """
        if spectrum.shape[-2] != self.bins:
            raise ValueError(f"n_fft {self.n_fft} needs {self.bins} bins, not {spectrum.shape[-2]}")
        return self.synthesize(spectrum.transpose(-1, -2), length)

    def analyze(self, wave: Tensor) -> Tensor:
        """`forward` with frames next to each other: wave (..., N) -> complex (..., T, F)."""
        padded = functional.pad(wave, (self.n_fft // 2, self.n_fft // 2))
        return self._spectra(padded)

    def synthesize(self, spectrum: Tensor, length: int | None = None) -> Tensor:
        """`inverse` with frames next to each other: complex (..., T, F) -> wave (..., length)."""
        length = self.samples(spectrum.shape[-2], length)
        return self._overlap_add(spectrum, length)[..., self.n_fft // 2 : self.n_fft // 2 + length]

    def project(self, spectrum: Tensor, length: int | None = None) -> Tensor:
        """The nearest spectrum that some wave of that length has: complex (..., T, F) -> (..., T,
        F).
        """
        padded = self._overlap_add(spectrum, self.samples(spectrum.shape[-2], length))
        return self._spectra(padded)

    def samples(self, frames: int, length: int | None = None) -> int:
        """The length of a wave with so many frames: what is asked for, if the frames reach so far,
        or (T - 1) * hop.
        """
        if length is None:
            return (frames - 1) * self.hop
        if not 0 <= length <= self.reach(frames):
            raise ValueError(
                f"{frames} frames give 0 to {self.reach(frames)} samples, not {length}"
            )
        return length

    def reach(self, frames: int) -> int:
        """The longest wave that so many frames determine, in samples."""
        return (frames - 1) * self.hop + self.n_fft // 2 - 1

    def _spectra(self, padded: Tensor) -> Tensor:
        frames: Tensor = padded.unfold(-1, self.n_fft, self.hop) * self.window  # (..., T, n_fft)
        spectrum: Tensor = torch.fft.rfft(frames)
        return spectrum

    def _overlap_add(self, spectrum: Tensor, length: int) -> Tensor:
        """Complex (..., T, F) -> the padded wave (..., (T - 1) * hop + n_fft), zero outside of
        `length` samples.
        """
        frames, overlap = spectrum.shape[-2], self.n_fft // self.hop
        pieces: Tensor = torch.fft.irfft(spectrum, n=self.n_fft) * self.window  # (..., T, n_fft)
        pieces = pieces.unflatten(-1, (overlap, self.hop))
        total = pieces.new_zeros(*spectrum.shape[:-2], frames + overlap - 1, self.hop)
        for shift in range(overlap):
            total[..., shift : shift + frames, :] += pieces[..., shift, :]
        scale = _synthesis_scale(self.n_fft, self.hop, frames, length, total.dtype, total.device)
        return (total * scale).flatten(-2)


@functools.lru_cache(maxsize=16)
def _synthesis_scale(
    n_fft: int, hop: int, frames: int, length: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """One over the sum of the squared windows on each sample, 0 outside of the wave: (T + overlap -
    1, hop).
    """
    # the cached tensor must also serve later calls that need gradients
    with torch.inference_mode(False):
        overlap = n_fft // hop
        squares = torch.hann_window(n_fft, dtype=torch.float64).square().view(overlap, hop)
        total = squares.new_zeros(frames + overlap - 1, hop)
        for shift in range(overlap):
            total[shift : shift + frames] += squares[shift]
        scale = 1 / total.clamp_min(_LEAST_WINDOW_SUM)
        samples = scale.view(-1)
        samples[: n_fft // 2] = 0
        samples[n_fft // 2 + length :] = 0
        return scale.to(device, dtype)
