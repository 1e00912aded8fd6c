"""The front end: the one definition of wave -> log-mel, and of log-mel -> magnitude.

Everything that makes or reads features goes through here, and its config travels inside the model
file: two front ends that differ only in the logarithm's floor make features that a model takes for
noise.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tootlearn.dsp.mel import Mel
from tootlearn.dsp.normalization import log_mel
from tootlearn.dsp.stft import Stft
from tootlearn.errors import check_at_least, check_positive

WINDOW_SAMPLES = 45056  # what the models see: 2.04 s at 22,050 Hz, 176 frames at hop 256
# log-mels so near to the floor (0.009 dB) are at it: the normalizer's way there and back rounds
AT_FLOOR = 1e-3
_CHUNK_FRAMES = 448  # frames worked on at a time: their spectra stay in a core's cache


@dataclass(frozen=True)
class FrontEndConfig:
    """What a log-mel is made with.

    Args:
        sample_rate: Hz.
        n_fft: length of window and FFT, samples.
        hop: from frame to frame, samples.
        mels: number of bands.
        fmin: lower edge of the lowest band, Hz.
        fmax: upper edge of the highest band, Hz.
        floor: the smallest band magnitude that is told from silence; a full-scale sine has about
            10.

    Raises:
        InputError: values that do not fit together; the message says which, and what is allowed.
    """

    sample_rate: int = 22050
    n_fft: int = 1024
    hop: int = 256
    mels: int = 128
    fmin: float = 0.0
    fmax: float = 11025.0
    floor: float = 1e-5

    def __post_init__(self) -> None:
        check_at_least("sample_rate", self.sample_rate, 1)
        check_positive("floor", self.floor)
        Stft(self.n_fft, self.hop)
        Mel(self.sample_rate, self.n_fft, self.mels, self.fmin, self.fmax)


class FrontEnd(nn.Module):
    """Wave -> log-mel, and log-mel -> magnitude.

    Args:
        config: what it is made with.

    Example:
        >>> front_end = FrontEnd()
        >>> front_end(torch.zeros(2, WINDOW_SAMPLES)).shape
        torch.Size([2, 128, 176])
    """

    def __init__(self, config: FrontEndConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FrontEndConfig()
        self.stft = Stft(config.n_fft, config.hop)
        self.mel = Mel(config.sample_rate, config.n_fft, config.mels, config.fmin, config.fmax)

    def frames(self, samples: int) -> int:
        """How many frames have their centre inside a wave of so many samples: samples / hop,
        rounded up.
        """
        return -(-samples // self.config.hop)

    def forward(self, wave: Tensor) -> Tensor:
        """Wave (..., N) -> log-mel (..., M, frames(N)): natural logarithm, at least log(floor).

        Differentiable. When no gradient is asked for, the same numbers (to rounding) come several
        times faster.
        """
        if wave.shape[-1] == 0:
            raise ValueError("a wave without samples has no frames")
        differentiate = torch.is_grad_enabled() and wave.requires_grad
        if wave.device.type == "cpu" and wave.dtype == torch.float32 and not differentiate:
            return self._fast(wave)
        magnitude = self.stft.magnitude(wave)[..., : self.frames(wave.shape[-1])]
        return log_mel(self.mel(magnitude), self.config.floor)

    def magnitude(self, log_mel: Tensor, updates: int = 10, start: Tensor | None = None) -> Tensor:
        """Log-mel (..., M, T) -> a magnitude (..., F, T) that has it (`Mel.inverse`); bands at the
        floor are silent.
        """
        audible = log_mel > math.log(self.config.floor) + AT_FLOOR
        return self.mel.inverse(log_mel.exp() * audible, updates, start)

    @torch.no_grad()
    def _fast(self, wave: Tensor) -> Tensor:
        """`forward` on (..., N), a few clips at a time, in buffers that stay in the cache from step
        to step.
        """
        n_fft, hop, mels = self.config.n_fft, self.config.hop, self.config.mels
        clips = wave.reshape(-1, wave.shape[-1])
        frames = self.frames(clips.shape[1])
        size = max(1, min(_CHUNK_FRAMES // frames, len(clips)))
        padded = clips.new_zeros(size, clips.shape[1] + n_fft)
        windowed = clips.new_empty(size * frames, n_fft)
        magnitude = clips.new_empty(size * frames, self.stft.bins)
        bands = clips.new_empty(mels, size * frames)
        out = clips.new_empty(len(clips), mels, frames)
        for start in range(0, len(clips), size):
            n = min(size, len(clips) - start)
            padded[:n, n_fft // 2 : -(n_fft // 2)] = clips[start : start + n]
            overlapping = padded.unfold(1, n_fft, hop)[:, :frames]  # (size, T, n_fft)
            torch.mul(overlapping, self.stft.window, out=windowed.view(size, frames, n_fft))
            parts = torch.view_as_real(torch.fft.rfft(windowed)).square_()
            # three times as fast as abs
            torch.add(parts[..., 0], parts[..., 1], out=magnitude).sqrt_()
            self.mel.into(magnitude, bands)
            bands.clamp_min_(self.config.floor).log_()
            out[start : start + n] = bands.view(mels, size, frames).transpose(0, 1)[:n]
        return out.view(*wave.shape[:-1], self.config.mels, frames)
