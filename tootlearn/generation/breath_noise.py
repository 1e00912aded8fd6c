"""The texture of breath: how noise strays from its mean in the frames and bands of a log-mel.

A decoder draws the mean; noise that stays at its mean sounds like a filter that rings, not like
breath.
"""

import math

import torch
from torch import Tensor

from tootlearn import rng


def correlated_noise(seed: int, mels: int, frames: int) -> Tensor:
    """Unit normal noise (M, T), correlated as the log-mels of noise are over neighbouring frames
    and bands.
    """
    white = torch.as_tensor(
        rng.normal(seed, rng.Stream.GENERATION_BREATH, mels * frames), dtype=torch.float32
    ).view(1, 1, mels, frames)
    # unit energy; neighbours correlate by .45, as measured at hop n_fft / 4
    taps = torch.tensor([0.24, 0.94, 0.24])
    along_time = torch.nn.functional.conv2d(white, taps.view(1, 1, 1, 3), padding=(0, 1))
    return torch.nn.functional.conv2d(along_time, taps.view(1, 1, 3, 1), padding=(1, 0))[0, 0]


def noise_deviation(bank: Tensor) -> Tensor:
    """How much the log-mel of stationary noise fluctuates: standard deviation in each band (M,),
    natural log.

    Magnitudes of noise are Rayleigh distributed: a variance of 4 / pi - 1 times the squared mean.
    Hann frames correlate neighbouring bins by .44 and the next by .03. Wide bands average many
    bins, and are calmer.
    """
    covariance = sum(
        share * (bank[:, lag:] * bank[:, : bank.shape[1] - lag]).sum(1)
        for lag, share in ((0, 1), (1, 0.88), (2, 0.06))
    )
    return torch.sqrt((4 / math.pi - 1) * torch.as_tensor(covariance)) / bank.sum(1)
