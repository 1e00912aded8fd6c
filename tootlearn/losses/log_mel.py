"""The plain losses, which compare log-mels band by band.

Minimising the squared error of standardised log-mels means maximising a Gaussian likelihood of
fixed variance whose mean is the network's output. It looks at each band of each frame alone;
`mel_convergence` looks at a clip as a whole. Both are 0 for equal log-mels. Frames long after the
end of a toot count little, or silence would be most of what is learned.

`perceptual` has the losses that follow hearing, `multi_resolution_stft` the one that compares
waves.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tootlearn.controls import ONSET_SAMPLES

SILENT_WEIGHT = 0.1  # of a frame later than 0.1 s after the end
HIGHEST = 6.0  # natural log, far above full scale (2.3): an untrained network cannot overflow


def frame_weights(duration: Tensor, frames: int, hop: int, sample_rate: int) -> Tensor:
    """How much each frame of the window counts.

    Args:
        duration: of the toots, s, shape (B,).
        frames, hop, sample_rate: of the front end.

    Returns:
        Shape (B, T): 1 until 0.1 s after the end, 0.1 after that, scaled to a mean of 1 over the
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
