"""How loud a sound is to a listener: ITU-R BS.1770, integrated over a clip.

`measures.loudness` is the level of a sound, which the control of that name sets. This module
weights frequencies as the ear does, by a standard of broadcasting, so that sounds of different
kinds can be played equally loud.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK, OVERLAP = 0.4, 4  # s, and how many blocks begin within one
OFFSET = -0.691  # dB: so that a sine of 997 Hz reads its RMS
SILENCE = -70.0  # LUFS: blocks below never count
QUIET = -10.0  # LU: nor do those that lie this far below the mean of the rest


def k_weighting(sample_rate: float) -> NDArray[np.float64]:
    """The two filters of BS.1770-5, annex 1, as second-order sections (2, 6) for scipy: a head, and
    a high pass.

    The standard gives coefficients for 48 kHz. They are bilinear transforms of analogue filters
    whose corner frequency, gain and Q follow from them; those are transformed for any rate here (as
    in De Man 2018).
    """
    k, q = math.tan(math.pi * 1681.974450955533 / sample_rate), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    norm = 1 + k / q + k * k
    head = [high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k]
    head += [norm, 2 * (k * k - 1), 1 - k / q + k * k]
    k, q = math.tan(math.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    norm_low = 1 + k / q + k * k
    low = [norm_low, -2 * norm_low, norm_low, norm_low, 2 * (k * k - 1), 1 - k / q + k * k]
    return np.array([np.array(head) / norm, np.array(low) / norm_low])


def integrated_loudness(wave: Tensor, sample_rate: float) -> Tensor:
    """Loudness of a mono clip after ITU-R BS.1770-5: K-weighted, in blocks of 0.4 s, gated at -70
    LUFS and at -10 LU.

    A clip shorter than a block has no loudness by the standard: it gets its K-weighted RMS,
    ungated, on the same scale. The gates skip pauses, but not the block that a short sound shares
    with silence: compare clips of equal length.

    Args:
        wave: (..., N), in [-1, 1].
        sample_rate: Hz.

    Returns:
        (...) in LUFS: -3.01 for a sine of 997 Hz at full scale (-2.98 at 22,050 Hz, where the
        bilinear transform is coarser); -inf for silence and for what the gates shut out.
    """
    from scipy.signal import sosfilt

    if not wave.shape[-1]:
        return wave.new_full(wave.shape[:-1], -torch.inf)
    weighted = sosfilt(k_weighting(sample_rate), wave.detach().cpu().double().numpy())
    power = torch.from_numpy(weighted).to(wave.device).square()
    step = round(sample_rate * BLOCK / OVERLAP)
    if power.shape[-1] < OVERLAP * step:
        return _level(power.mean(-1)).to(wave.dtype)
    block = power.unfold(-1, OVERLAP * step, step).mean(-1)  # (..., blocks)
    counted = _level(block) >= SILENCE
    mean = (block * counted).sum(-1, keepdim=True) / counted.sum(-1, keepdim=True)
    counted &= _level(block) >= _level(mean) + QUIET
    total, count = (block * counted).sum(-1), counted.sum(-1)
    return _level(total / count.clamp_min(1)).to(wave.dtype)


def _level(power: Tensor) -> Tensor:
    return OFFSET + 10 * power.log10()
