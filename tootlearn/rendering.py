"""Rendering: from a log-mel that was drawn to a wave that can be heard."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn.decoder import Drawing
from tootlearn.front_end import AT_FLOOR, WINDOW_SAMPLES, FrontEnd
from tootlearn.layers import harmonic_magnitude
from tootlearn.phase import ridge_integration
from tootlearn.vocoder import Vocoder

PHASE_ITERATIONS = 4
PEAK = 0.98  # a toot that would pass it is turned down: nothing is clipped
_QUIET = 10 ** (-60 / 20)  # where a toot is cut: below its peak
_FADE = 0.005  # s


class Renderer:
    """Log-mels of a window to waves.

    Args:
        front_end: what the log-mels are made with.
        vocoder: what restores their magnitude; None: the mel inversion without learning.
        device: what it runs on.
    """

    def __init__(self, front_end: FrontEnd, vocoder: Vocoder | None, device: torch.device) -> None:
        self.front_end, self.vocoder, self.device = front_end, vocoder, device
        self._front_ends = {front_end.config.n_fft: front_end}

    def __call__(self, log_mel: Tensor, drawing: Drawing) -> Tensor:
        """Log-mel (M, T) to a wave (WINDOW_SAMPLES,): by the vocoder, or, where its window cannot tell the harmonics
        of the drawing (of one toot) apart, by :meth:`drawn_to_wave`."""
        speaks = self.vocoder and self._resolving(2 ** float(drawing.notes.min())) is self.front_end
        return self.to_wave(log_mel) if speaks else self.drawn_to_wave(log_mel, drawing)

    def to_wave(self, log_mel: Tensor) -> Tensor:
        """Log-mel (M, T) of a window to a wave (WINDOW_SAMPLES,): magnitude (by the vocoder, if any), then phase."""
        front_end = self.front_end
        return with_phase((self.vocoder or front_end.magnitude)(log_mel[None]), front_end)

    def drawn_to_wave(self, log_mel: Tensor, drawing: Drawing) -> Tensor:
        """:meth:`to_wave` of what the decoder drew, with its harmonics where the decoder knows them to be.

        For low notes, and where there is no vocoder: wide bands cannot tell where in them a harmonic lies, and a short
        window cannot tell the harmonics of a low note apart. So the mel inversion starts from the harmonics themselves,
        under a window that resolves them.

        Args:
            log_mel: (M, T), the drawing's, perhaps with noise on it.
            drawing: of one toot.

        Returns:
            (WINDOW_SAMPLES,).
        """
        notes, breath, mel = drawing.notes[0], drawing.breath[0], log_mel.exp()  # (T / 2, notes), (M, T), (M, T)
        front_end = self._resolving(2 ** float(drawing.notes.min()))
        wider = front_end.config.n_fft / self.front_end.config.n_fft
        # Twice the window shows a tone twice as high, noise by a root, and twice as many bins of noise in a band.
        tone, noise = wider * mel * (1 - breath), wider**1.5 * mel * breath
        each = harmonic_magnitude(2 ** notes.flatten(), front_end.config).unflatten(0, notes.shape)
        lines = torch.einsum("tnf,n->ft", each, drawing.level[0]).repeat_interleave(2, dim=1)  # (F, T)
        bands = front_end.mel
        start = bands.smooth(tone) * lines / bands.smooth(bands(lines)) + bands.smooth(noise)
        floor = math.log(front_end.config.floor)
        target = torch.where(log_mel > floor + AT_FLOOR, (tone + noise).log(), floor)
        wave = with_phase(front_end.magnitude(target[None], start=start[None]), front_end)
        # Under a short window the harmonics of a low note run into each other: only now is its level the drawing's.
        gain = float(mel.norm() / self.front_end(wave).exp().norm())
        return wave * gain

    def _resolving(self, lowest: float) -> FrontEnd:
        """The front end with a window of four bins or more between harmonics of ``lowest`` Hz, at most 4096 samples."""
        config = self.front_end.config
        n_fft = config.n_fft
        while n_fft < min(4 * config.sample_rate / lowest, 4096):
            n_fft *= 2
        if n_fft not in self._front_ends:
            self._front_ends[n_fft] = FrontEnd(replace(config, n_fft=n_fft)).to(self.device)
        return self._front_ends[n_fft]


def with_phase(magnitude: Tensor, front_end: FrontEnd) -> Tensor:
    """Magnitude (1, F, T) to a wave (WINDOW_SAMPLES,)."""
    waves = ridge_integration(magnitude, front_end.stft, iterations=PHASE_ITERATIONS, length=WINDOW_SAMPLES)
    return waves[0]


def cut(wave: Tensor, sample_rate: int) -> NDArray[np.float32]:
    """From the first to the last sample within 60 dB of the peak, with short fades; turned down if it would clip.

    Silence becomes one silent sample.
    """
    peak = float(wave.abs().max())
    loud = (wave.abs() >= _QUIET * peak).nonzero()
    if peak == 0:
        return np.zeros(1, dtype=np.float32)
    toot = wave[int(loud[0]) : int(loud[-1]) + 1] * min(1.0, PEAK / peak)
    fade = min(int(_FADE * sample_rate), len(toot) // 2)
    ramp = torch.linspace(0, 1, fade + 2, device=wave.device)[1:-1]
    toot[:fade] *= ramp
    toot[len(toot) - fade :] *= ramp.flip(0)
    return np.asarray(toot.cpu().numpy(), dtype=np.float32)
