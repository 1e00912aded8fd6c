"""The magnitude of a drawing whose notes are known.

For low notes, and where there is no vocoder: wide bands cannot tell where in them a harmonic lies,
and a short window cannot tell the harmonics of a low note apart. So the mel inversion starts from
the harmonics themselves, under a window that resolves them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import AT_FLOOR, FrontEnd
from tootlearn.models.decoder import Drawing
from tootlearn.models.harmonic_comb import harmonic_magnitude

LONGEST_WINDOW = 4096  # samples


def resolving(config: FrontEndConfig, lowest: float) -> int:
    """The n_fft that has four bins or more between harmonics of ``lowest`` Hz: the config's,
    doubled as often as needed and while it is below `LONGEST_WINDOW`."""
    n_fft = config.n_fft
    while n_fft < min(4 * config.sample_rate / lowest, LONGEST_WINDOW):
        n_fft *= 2
    return n_fft


def expected(
    log_mel: Tensor,
    drawing: Drawing,
    front_end: FrontEnd,
    wider: float,
    frames: slice = slice(None),
) -> Tensor:
    """The magnitude to start from: harmonics and noise at the levels that the bands say.

    Args:
        log_mel: (M, T), the drawing's, perhaps with noise on it.
        drawing: of one toot.
        front_end: whose window resolves the harmonics.
        wider: by which its n_fft is that of the drawing's front end.
        frames: which of them are wanted.

    Returns:
        (F, T'), positive.
    """
    tone, noise = _parts(log_mel, drawing, wider, frames)
    # two frames share their notes
    rows, place = (torch.arange(log_mel.shape[1], device=log_mel.device)[frames] // 2).unique(
        return_inverse=True
    )
    notes = drawing.notes[0, rows]
    per_note = harmonic_magnitude(
        2 ** notes.flatten(), front_end.config.sample_rate, front_end.config.n_fft
    ).unflatten(0, notes.shape)
    lines = torch.einsum("tnf,n->ft", per_note, drawing.level[0])[:, place]  # (F, T')
    bands = front_end.mel
    return bands.smooth(tone) * lines / bands.smooth(bands(lines)) + bands.smooth(noise)


def magnitude(
    log_mel: Tensor,
    drawing: Drawing,
    front_end: FrontEnd,
    wider: float,
    frames: slice = slice(None),
) -> Tensor:
    """The magnitude (F, T') that is nearest to `expected` and has the bands of the log-mel."""
    tone, noise = _parts(log_mel, drawing, wider, frames)
    floor = math.log(front_end.config.floor)
    target = torch.where(log_mel[:, frames] > floor + AT_FLOOR, (tone + noise).log(), floor)
    return front_end.magnitude(
        target[None], start=expected(log_mel, drawing, front_end, wider, frames)[None]
    )[0]


def _parts(log_mel: Tensor, drawing: Drawing, wider: float, frames: slice) -> tuple[Tensor, Tensor]:
    """Tone and noise (M, T') as a window shows them that is so many times wider."""
    mel, breath = log_mel[:, frames].exp(), drawing.breath[0, :, frames]
    # Twice the window shows a tone twice as high, noise by a root, and twice as many bins of noise
    # in a band.
    return wider * mel * (1 - breath), wider**1.5 * mel * breath
