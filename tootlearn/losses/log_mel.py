"""What training minimises: the plain losses (those that know of hearing: `perceptual`; of waves:
`waveform`).

The squared error of standardised log-mels is, up to constants, minus the log-likelihood of a
Gaussian of fixed width about what the network draws. Frames long after the end count little, or
silence would be most of what is learned.

It looks at each band of each frame alone. `mel_convergence` looks at a clip as a whole, and three
losses at time: `envelope_error` at the level of each frame, `difference_error` at the way from
frame to frame, `onset_error` at where something begins. All are 0 for equal drawings.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tootlearn.controls import ONSET_SAMPLES

SILENT_WEIGHT = 0.1  # of a frame later than .1 s after the end
HIGHEST = 6.0  # natural log, far above full scale (2.3): an untrained network cannot overflow
# Losses that judge any drawing: `criterion.Criterion` names a term after what was drawn and one of
# these.
OF_DRAWINGS = (
    *("l1", "convergence", "envelope", "difference", "onset", "stft"),
    *("audible", "multi_scale", "embedding"),
)


def frame_weights(duration: Tensor, frames: int, hop: int, sample_rate: int) -> Tensor:
    """How much each frame of the window counts.

    Args:
        duration: of the toots, s, shape (B,).
        frames, hop, sample_rate: of the front end.

    Returns:
        Shape (B, T): 1 until .1 s after the end, .1 after that, scaled to a mean of 1 over the
            batch.
    """
    time = (torch.arange(frames, device=duration.device) * hop - ONSET_SAMPLES) / sample_rate
    weight = torch.where(time[None] > duration[:, None] + 0.1, SILENT_WEIGHT, 1.0)
    return weight / weight.mean()


def squared_error(x: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error.

    Args:
        x, target: shape (B, M, T), in the same unit.
        weight: of the frames, shape (B, T).

    Returns:
        A scalar.
    """
    return ((x - target).square().mean(1) * weight).mean()


def absolute_error(x: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean absolute error: what is far off counts less than in `squared_error`, what is
    nearly right more.

    Args:
        x, target: shape (B, M, T), in the same unit.
        weight: of the frames, shape (B, T).

    Returns:
        A scalar, in that unit; between log-mels .115 is 1 dB.
    """
    return ((x - target).abs().mean(1) * weight).mean()


def mel_convergence(log_mel: Tensor, target: Tensor) -> Tensor:
    """Spectral convergence of mel magnitudes: the norm of their difference over the norm of the
    target's.

    Logarithms give a valley the weight of a peak; this gives the peaks theirs, and with them
    loudness and brightness.

    Args:
        log_mel, target: natural logarithms, shape (B, M, T).

    Returns:
        A scalar: mean over the batch.
    """
    magnitude = target.exp()
    norm = magnitude.square().sum((1, 2)).sqrt().clamp_min(1e-6)
    drawn = log_mel.clamp_max(HIGHEST).exp()
    return ((drawn - magnitude).square().sum((1, 2)) + 1e-12).sqrt().div(norm).mean()


def envelope_error(log_mel: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error of the level of each frame: half the logarithm of the sum of its bands'
    squares.

    Args:
        log_mel, target: natural logarithms, shape (B, M, T).
        weight: of the frames, shape (B, T).

    Returns:
        A scalar, in nats squared: a gain g costs (ln g)^2, whatever the sound. Blind to which band
            sounds.
    """
    drawn, level = (0.5 * (2 * x).logsumexp(1) for x in (log_mel, target))
    return ((drawn - level).square() * weight).mean()


def difference_error(log_mel: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error of the first differences in time of each band: how it moves, not where it
    is.

    Args:
        log_mel, target: natural logarithms, shape (B, M, T), T 2 or more.
        weight: of the frames, shape (B, T); a step from frame to frame counts as the lesser of the
            two.

    Returns:
        A scalar, in nats a frame, squared. A gain or a colour that stays costs nothing.
    """
    return ((log_mel - target).diff(dim=2).square().mean(1) * _step_weights(weight)).mean()


def onset_strength(log_mel: Tensor) -> Tensor:
    """Spectral flux: how much the bands rise from frame to frame, those that fall left out (Dixon
    2006).

    As `librosa.onset.onset_strength(S=log_mel, center=False)` has it, whose first frame is left
    out.

    Args:
        log_mel: natural logarithms, shape (..., M, T).

    Returns:
        Shape (..., T - 1): mean over the bands, in nats a frame, 0 or more.
    """
    return log_mel.diff(dim=-1).clamp_min(0).mean(-2)


def onset_error(log_mel: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error of `onset_strength`: where something begins, and how suddenly.

    Args: as `difference_error`.

    Returns:
        A scalar, in nats a frame, squared. What decays, and which band it is that rises, costs
        nothing.
    """
    strayed = onset_strength(log_mel) - onset_strength(target)
    return (strayed.square() * _step_weights(weight)).mean()


def _step_weights(weight: Tensor) -> Tensor:
    """Of the steps between frames of these weights (B, T): (B, T - 1)."""
    return torch.minimum(weight[:, 1:], weight[:, :-1])


def bend_error(drawn: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error of f0 in octaves, all of shape (B, T), where there is a weight (0 or
    more); a scalar.
    """
    return ((drawn - target).square() * weight).sum() / (weight > 0).sum().clamp_min(1)


def divergence(mean: Tensor, log_scale: Tensor, free: float = 0.0) -> Tensor:
    """Kullback-Leibler divergence of Gaussians (B, Z) from the standard normal, in nats: summed
    over Z, mean over B.

    Args:
        mean, log_scale: mean and log standard deviation, shape (B, Z).
        free: nats of each number that cost nothing (free bits: Kingma et al. 2016); the number's
            mean over the batch is compared with it.

    Returns:
        A scalar, Z free or more (Kingma and Welling 2014, appendix B).
    """
    each = 0.5 * (mean.square() + (2 * log_scale).exp() - 1 - 2 * log_scale)
    return each.mean(0).clamp_min(free).sum()
