"""Pieces of sounds, as recordings of them may sound: what a vocoder learns from."""

from __future__ import annotations

import torch
from torch import Tensor

from tootlearn import rng

_STEP = 42  # stream of random numbers
_ROOMS, _REVERB = 64, 6000  # impulse responses, and how long they are (samples)
_QUIET = 10 ** (-50 / 20)  # of a wave's peak: pieces begin where it is louder


class Pieces:
    """Short pieces of sounds, drawn anew for each step: two at once, in a room, with noise, at any
    level.

    Args:
        waves: (B, N), int16, none of them silent.
        sample_rate: Hz.
        count: pieces a step.
        length: of a piece, samples, at most N.
        share: of the pieces that are put in a room; as many get noise, and three quarters as many a
            second sound.
        seed: of all that is drawn; a step's pieces follow from it and the step alone.
    """

    def __init__(
        self,
        waves: Tensor,
        sample_rate: int,
        count: int,
        length: int,
        share: float = 0.4,
        seed: int = 0,
    ) -> None:
        self.count, self.length, self.share, self.seed = count, length, share, seed
        loud = waves.abs() > _QUIET * 32767
        self.ends = waves.shape[1] - loud.flip(1).int().argmax(1)  # after the last loud sample
        self.starts = loud.int().argmax(1)
        self.waves = waves
        generator = torch.Generator().manual_seed(seed)
        seconds = torch.arange(_REVERB) / sample_rate
        # 60 dB in .08 to .64 s
        fall = 6.9 / (0.08 * 8 ** torch.rand(_ROOMS, 1, generator=generator))
        rooms = torch.randn(_ROOMS, _REVERB, generator=generator) * (-fall * seconds).exp()
        self.padded = 1 << (self.length + _REVERB).bit_length()
        self.rooms = torch.fft.rfft(rooms / rooms.norm(dim=1, keepdim=True), n=self.padded)

    def __call__(self, step: int) -> Tensor:
        """The pieces of a step: (count, length), float32, peaks 0 to 30 dB below full scale."""
        count, length, share = self.count, self.length, self.share
        generator = torch.Generator().manual_seed(rng.child(rng.child(self.seed, _STEP), step))

        def chance(columns: int = 1) -> Tensor:
            return torch.rand(count, columns, generator=generator)

        rows = (chance()[:, 0] * len(self.waves)).long()
        first = (self.starts[rows] - length // 4).clamp_min(0)
        spare = (self.ends[rows] - length * 2 // 3 - first).clamp_min(1)
        first = (first + chance()[:, 0] * spare).long().clamp_max(self.waves.shape[1] - length)
        x = self.waves[rows[:, None], first[:, None] + torch.arange(length)].float() / 32767
        x = x + (chance() < 0.75 * share) * chance() * x.roll(1, 0)  # another sound
        wet = torch.fft.irfft(
            torch.fft.rfft(x, n=self.padded) * self.rooms[(chance()[:, 0] * _ROOMS).long()],
            n=self.padded,
        )
        x = x + (chance() < share) * 0.7 * chance() * wet[:, :length]
        level = x.square().mean(1, keepdim=True).sqrt() * 10 ** (-(6 + 50 * chance()) / 20)
        x = x + (chance() < share) * level * self._noise(1.2 * chance(), generator)
        level = 10 ** (-1.5 * chance()) / x.abs().amax(1, keepdim=True).clamp_min(1e-4)
        pieces: Tensor = x * level
        return pieces

    def _noise(self, slope: Tensor, generator: torch.Generator) -> Tensor:
        """Noise whose amplitude falls by this power of the frequency, (B, 1): (B, length), of unit
        RMS.
        """
        white = torch.fft.rfft(torch.randn(len(slope), self.length, generator=generator))
        share = torch.arange(white.shape[1]).clamp_min(1) / white.shape[1]
        coloured = torch.fft.irfft(white * share**-slope, n=self.length)
        noise: Tensor = coloured / coloured.std(1, keepdim=True)
        return noise
