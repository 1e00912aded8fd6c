"""The front end: the one definition of wave -> log-mel, and of log-mel -> magnitude.

Everything that makes or reads features goes through here, and its config travels inside the model
file: two front ends that differ only in the logarithm's floor make features that a model takes for
noise.
"""

import math

import torch
from torch import Tensor, nn

from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.mel import Mel
from tootlearn.dsp.normalization import log_mel
from tootlearn.dsp.stft import Stft

# log-mels so near to the floor (0.009 dB) are at it: the normalizer's way there and back rounds
AT_FLOOR = 1e-3
_CHUNK_FRAMES = 448  # frames worked on at a time: their spectra stay in a core's cache


class FrontEnd(nn.Module):
    """Wave -> log-mel, and log-mel -> magnitude.

    Args:
        config: what it is made with.

    Example:
        >>> front_end = FrontEnd()
        >>> front_end(torch.zeros(2, 45056)).shape
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
