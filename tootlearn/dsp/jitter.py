"""How steady a held tone is: jitter of its pitch and of its level.

A vocoder that was trained on speech lets held notes wobble. Listeners notice at once, but no
distance between magnitudes shows it.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tootlearn.dsp import measures

WINDOW = 0.02  # s: what changes within that is roughness, not wobble
PERIODS = 4  # at least in a window: its zeros then fall on the neighbours of a harmonic
STEP = 0.001  # s
HARMONICS = 16
SHORTEST = 0.1  # s of track


class Jitter(NamedTuple):
    """Standard deviations about a straight line; each field has the leading shape `(...)`."""

    f0: Tensor  # cents
    level: Tensor  # dB


def jitter(wave: Tensor, sample_rate: float, f0: Tensor | float) -> Jitter:
    """How much f0 and level of a held tone waver, in the middle three fifths of its duration.

    f0 is the frequency of the strongest harmonic, from its phase; level is the power; both over
    Hann windows of 4 periods and at least 20 ms, so changes faster than about 50 Hz are smoothed
    away. A straight line is subtracted: a tone that glides or fades evenly has no jitter. Vibrato
    counts, and so does noise: 30 dB below a tone of 440 Hz, noise adds some tenths of a cent. The
    notes of a chord beat, which counts too. Blind spots: a low pass and clipping leave f0 as it is;
    clipping and noise even out the level and so lower its jitter. Compare sounds that are
    otherwise alike.

    Args:
        wave: (..., N), in [-1, 1].
        sample_rate: Hz.
        f0: (...) or a number: Hz, to within a semitone (see `measures.tone_f0`).

    Returns:
        Jitter, each field (...); nan where less than 0.1 s can be tracked, or there is no f0.
    """
    flat = wave.reshape(math.prod(wave.shape[:-1]), wave.shape[-1]).double()
    guess = torch.as_tensor(f0, dtype=torch.float64).expand(wave.shape[:-1]).flatten().tolist()
    extent = measures.measure(flat, sample_rate)
    pairs = []
    for row, hertz, onset, duration in zip(
        flat, guess, extent.onset.tolist(), extent.duration.tolist(), strict=True
    ):
        first, last = (onset + share * duration for share in (0.2, 0.8))
        measurable = hertz > 0 and math.isfinite(first)
        middle = (
            row[round(first * sample_rate) : round(last * sample_rate)] if measurable else row[:0]
        )
        pairs.append(_jitter(middle, sample_rate, hertz))
    table = torch.tensor(pairs, device=wave.device).to(wave.dtype).reshape(-1, 2)
    return Jitter(*(column.view(wave.shape[:-1]) for column in table.unbind(1)))


def _jitter(wave: Tensor, sample_rate: float, f0: float) -> tuple[float, float]:
    """Jitter in cents and dB of a piece (N,) without attack and release, whose f0 is about f0."""
    step = max(1, round(STEP * sample_rate))
    if not f0 > 0 or len(wave) < (PERIODS / f0 + SHORTEST) * sample_rate:
        return math.nan, math.nan
    # or else other harmonics leak into the strongest
    f0 = float(measures.tone_f0(wave, sample_rate, f0, 100.0))
    length = round(max(PERIODS, math.ceil(WINDOW * f0)) * sample_rate / f0)
    frames = wave.unfold(0, length, step)  # (T, L)
    window = torch.hann_window(length, dtype=torch.float64, device=wave.device)
    harmonic = torch.arange(
        1, max(2, min(HARMONICS + 1, int(sample_rate / 2 / f0))), device=wave.device
    )
    turn = 2j * torch.pi * f0 / sample_rate * harmonic  # of a sample
    spectrum = (
        frames.to(torch.complex128)
        @ (window * (-turn[:, None] * torch.arange(length, device=wave.device)).exp()).T
    )
    best = int(spectrum.abs().square().mean(0).argmax())
    advance = spectrum[1:, best] * spectrum[:-1, best].conj() * (-turn[best] * step).exp()
    difference = advance.angle() / (2 * torch.pi * step) * sample_rate / (best + 1)  # Hz, of f0
    cents = 1200 * (1 + difference / f0).clamp_min(0.5).log2()
    level = 10 * (frames.square() @ window).clamp_min(1e-20).log10()
    return _deviation(cents), _deviation(level)


def _deviation(track: Tensor) -> float:
    """Standard deviation of a track (T,) about its line of least squares."""
    time = torch.linspace(-1, 1, len(track), dtype=track.dtype, device=track.device)
    centred = track - track.mean()
    return float((centred - time * (time @ centred) / (time @ time)).square().mean().sqrt())
