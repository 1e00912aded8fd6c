"""A level envelope given by the user: how loud a toot is from its beginning to its end.

The level of the wave is measured and replaced by the requested one, by a gain that changes slowly:
pitch, timbre and a trill stay, as do attack and release.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tootlearn.dsp import measures
from tootlearn.errors import InputError

LOWEST = -40.0  # dB: below it, the toot would be over (`measures.duration`)
# points of the envelope, 66 ms: two turns of a trill of 30 Hz, whose level is not followed
_WINDOW = 133
# of the largest amplitude of the first third: there the attack is over. So for the release
_RISEN = 0.5


def parse_envelope(envelope: str | ArrayLike) -> NDArray[np.float64]:
    """An envelope from what a user writes.

    Args:
        envelope: two or more levels in dB, spread evenly over the duration, as ``"0,-6,-12,-3"`` or
            a sequence; or pairs (K, 2) of a share of the duration, 0 to 1 and rising, and a level.
            Levels are -40 to 0, and only their differences count: the loudness of the whole is a
            control of its own.

    Returns:
        (K, 2): shares of the duration, and levels in dB.

    Raises:
        InputError: if the text or the values are not of these forms.
    """
    levels: ArrayLike | Sequence[str] = (
        envelope.split(",") if isinstance(envelope, str) else envelope
    )
    try:
        values = np.asarray(levels, dtype=np.float64)
    except ValueError as error:
        raise InputError(
            f"cannot read {envelope!r} as an envelope: give levels in dB, such as 0,-6,-12,-3"
        ) from error
    if values.ndim == 1:
        values = np.stack([np.linspace(0, 1, len(values)), values], 1)
    if values.ndim != 2 or values.shape[1] != 2 or len(values) < 2:
        raise InputError(
            f"an envelope has two levels or more, or pairs of a share and a level, not {envelope!r}"
        )
    share, level = values.T
    if not ((level >= LOWEST) & (level <= 0)).all():  # NaN fails it too
        raise InputError(f"the levels of an envelope are {LOWEST:g} to 0 dB, not {envelope!r}")
    if not ((share >= 0) & (share <= 1)).all() or (np.diff(share) <= 0).any():
        raise InputError(
            f"the shares of an envelope rise from 0 or more to 1 or less, not {envelope!r}"
        )
    return values


def apply_envelope(wave: Tensor, sample_rate: int, envelope: NDArray[np.float64]) -> Tensor:
    """A toot with another level envelope.

    Args:
        wave: (N,), of one toot. Silence stays.
        sample_rate: Hz.
        envelope: (K, 2) as from `parse_envelope`; linear in dB between its points, and constant
            beyond them.

    Returns:
        (N,): its level over 66 ms follows the envelope, from where the attack reaches half of the
        amplitude of the first third to where the release falls below half of that of the last
        third. Before and after, the gain is that of these two places. The loudness of the whole
        changes.
    """
    rms = measures.envelope(wave, sample_rate).cpu().double().numpy()
    extent = measures.measure(wave, sample_rate)
    if not extent.duration > 0:
        return wave
    step = max(1, round(sample_rate * measures.ENVELOPE_STEP)) / sample_rate
    onset, duration = float(extent.onset), float(extent.duration)
    first, last = round(onset / step), min(round((onset + duration) / step), len(rms) - 1)
    edge = max(1, (last - first) // 3)
    attack, release = rms[first : first + edge + 1], rms[last - edge : last + 1]
    start = first + int(np.argmax(attack >= _RISEN * attack.max()))
    end = last - int(np.argmax(release[::-1] >= _RISEN * release.max()))
    held = np.zeros(len(rms))
    held[start : end + 1] = 1.0
    window = np.ones(_WINDOW)
    power = np.convolve(held * rms**2, window, "same") / np.convolve(held, window, "same").clip(1)
    time = np.arange(start, end + 1) * step
    target = np.interp((time - onset) / duration, *envelope.T)
    gain = target - 10 * np.log10(power[start : end + 1].clip(1e-12))
    # held at its ends
    decibels = np.interp(np.arange(wave.shape[-1]) / sample_rate, time, gain - gain.mean())
    return wave * torch.from_numpy(10 ** (decibels / 20)).to(wave)
