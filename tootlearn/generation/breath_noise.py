"""Breath noise: how noise deviates from its mean in the frames and bands of a log-mel.

The decoder draws the mean. Noise that stays at its mean sounds like a ringing filter, not like
breath.
"""

import math

import torch
from torch import Tensor

from tootlearn import rng


def correlated_noise(seed: int, mels: int, frames: int) -> Tensor:
    """Standard normal noise (M, T) whose neighbouring frames and bands are correlated like those of
    the log-mel of noise.
    """
    white = torch.as_tensor(
        rng.normal(seed, rng.Stream.GENERATION_BREATH, mels * frames), dtype=torch.float32
    ).view(1, 1, mels, frames)
    # unit energy; neighbours correlate by 0.45, as measured at hop n_fft / 4
    taps = torch.tensor([0.24, 0.94, 0.24])
    along_time = torch.nn.functional.conv2d(white, taps.view(1, 1, 1, 3), padding=(0, 1))
    return torch.nn.functional.conv2d(along_time, taps.view(1, 1, 3, 1), padding=(1, 0))[0, 0]


def noise_deviation(bank: Tensor) -> Tensor:
    """The standard deviation (M,) of the log-mel of stationary noise, in natural logarithms.

    Magnitudes of noise are Rayleigh distributed: a variance of 4 / pi - 1 times the squared mean.
    In Hann frames the correlation of neighbouring bins is 0.44 and that of the next 0.03; each
    counts twice in the covariance. Wide bands average many bins, and fluctuate less.

    Args:
        bank: the weights (M, F) of the mel bands.
    """
    covariance = sum(
        share * (bank[:, lag:] * bank[:, : bank.shape[1] - lag]).sum(1)
        for lag, share in ((0, 1), (1, 0.88), (2, 0.06))
    )
    return torch.sqrt((4 / math.pi - 1) * torch.as_tensor(covariance)) / bank.sum(1)
