"""The vocoder: a small network that restores what the mel bands have lost, so that ridge
integration can make a wave.

A wide band does not tell where in it a harmonic lies, but the narrow bands below do, because the
harmonics of a tone are multiples of one frequency. The network learns such relations. For each
frame it computes a factor for every bin of the smooth magnitude that the mel inversion starts from;
the inversion then makes sure that the bands are matched. The phase is integrated, not learned: a
network that treats all times alike cannot count the cycles of a steady tone.

What the ear notices first in a held note is its frequency, and ridge integration reads that from
the shape of a peak. Training therefore asks for the right shapes (`train_vocoder.peak_error`), not
only for small errors.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.phase import ridge_integration
from tootlearn.models.config import VocoderConfig

ITERATIONS = 4  # of fast Griffin-Lim after the ridges
_RANGE = 12.0  # nats (104 dB) below a clip's peak: levels are clamped there
_FACTOR = (-9.0, 4.0)  # nats: the smallest and the largest factor


class Block(nn.Module):
    """x + scale * linear(gelu(linear(norm(depthwise convolution(x))))): ConvNeXt over time (Liu et
    al. 2022).

    Args:
        width: C.
        hidden: channels between the two linear layers.
        kernel: frames of the convolution, odd.

    Shape: (B, T, C) -> (B, T, C).
    """

    def __init__(self, width: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand, self.project = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        h = self.mix(x.transpose(1, 2)).transpose(1, 2)
        changed: Tensor = x + self.scale * self.project(F.gelu(self.expand(self.norm(h))))
        return changed


class Vocoder(nn.Module):
    """Log-mel -> magnitude -> wave.

    A clip is processed relative to its peak, so a louder input gives a louder output. Untrained it
    is the plain mel inversion.

    Args:
        front_end: how the log-mels are made; the vocoder suits no other front end.
        config: its size.

    Example:
        >>> vocoder = Vocoder(FrontEndConfig())
        >>> vocoder.wave(torch.zeros(2, 128, 10)).shape
        torch.Size([2, 2304])
    """

    def __init__(self, front_end: FrontEndConfig, config: VocoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or VocoderConfig()
        self.front_end = FrontEnd(front_end)
        self.enter = nn.Linear(front_end.mels, config.width)
        self.blocks = nn.ModuleList(
            Block(config.width, config.hidden, config.kernel) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(config.width)
        self.widen = nn.Linear(config.width, config.wide)
        self.draw = nn.Linear(config.wide, self.front_end.stft.bins)
        nn.init.zeros_(self.draw.weight)
        nn.init.zeros_(self.draw.bias)

    @property
    def reach(self) -> int:
        """How many frames before and after it each frame of the magnitude depends on."""
        return self.config.blocks * (self.config.kernel // 2)

    def forward(self, log_mel: Tensor, peak: Tensor | None = None) -> Tensor:
        """Log-mel (..., M, T) -> magnitude (..., F, T), differentiable. Bands at the front end's
        floor are silent.

        Args:
            log_mel: of a clip, or of a part of it.
            peak: the largest value in the whole clip, where ``log_mel`` is a part of it.
        """
        x = log_mel.reshape(-1, *log_mel.shape[-2:])
        peak = x.amax((1, 2), keepdim=True) if peak is None else peak
        relative = (x - peak).clamp_min(-_RANGE) * (2 / _RANGE) + 1  # -1 to 1
        h = self.enter(relative.transpose(1, 2))
        for block in self.blocks:
            h = block(h)
        factor = self.draw(F.gelu(self.widen(self.norm(h)))).transpose(1, 2)
        # powers of all sizes: in the precision of the input, whatever that of the network
        with torch.autocast(x.device.type, enabled=False):
            factor = factor.to(x.dtype).clamp(*_FACTOR).exp()
            start = self.front_end.mel.smooth(x.exp()) * factor
            magnitude = self.front_end.magnitude(x, self.config.updates, start)
        return magnitude.view(*log_mel.shape[:-2], *magnitude.shape[1:])

    @torch.no_grad()
    def wave(
        self, log_mel: Tensor, *, iterations: int = ITERATIONS, length: int | None = None
    ) -> Tensor:
        """Log-mel (..., M, T) -> wave (..., length), by `phase.ridge_integration`."""
        return ridge_integration(
            self(log_mel), self.front_end.stft, iterations=iterations, length=length
        )
