"""From mel bands to what a network learns from, logarithms of zero mean and unit variance, and
back.
"""

from typing import Self

import torch
from torch import Tensor, nn

_LEAST_STD = 1e-3


def log_mel(mel: Tensor, floor: float) -> Tensor:
    """Natural logarithm of mel bands, which are raised to `floor` first: silence is log(floor), not
    minus infinity.
    """
    return mel.clamp_min(floor).log()


class Normalizer(nn.Module):
    """Standardise log-mels with one mean and one standard deviation a band, and undo it.

    The statistics are those of the training data, and travel with the model: a reconstruction with
    the statistics of the original sound would show a loudness and timbre that the model never knew.

    Args:
        mean: (M, 1).
        std: (M, 1), positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        if mean.shape != std.shape or mean.ndim != 2 or mean.shape[1] != 1:
            raise ValueError(
                f"mean and std have shape (M, 1), not {tuple(mean.shape)} and {tuple(std.shape)}"
            )
        if not (
            bool(torch.isfinite(mean).all())
            and bool(torch.isfinite(std).all())
            and bool((std > 0).all())
        ):
            raise ValueError(
                "the mean must be finite, and the standard deviation finite and positive"
            )
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    @classmethod
    def fit(cls, x: Tensor, weight: Tensor | None = None) -> Self:
        """Measure the statistics of training data.

        Args:
            x: log-mels (B, M, T).
            weight: (B, T), how much each frame counts, non-negative; None counts all the same.

        Returns:
            A normalizer after which `x` has zero mean and unit variance in each band; a band that
            does not vary is divided by 1e-3.

        Raises:
            ValueError: shapes that do not fit, or weights without a positive sum.
        """
        if x.ndim != 3 or (weight is not None and weight.shape != (x.shape[0], x.shape[2])):
            shapes = tuple(x.shape) if weight is None else (tuple(x.shape), tuple(weight.shape))
            raise ValueError(f"x has shape (B, M, T) and weight (B, T), not {shapes}")
        share = torch.ones(x.shape[0], x.shape[2]) if weight is None else weight
        share = share.to(x.device, torch.float64)  # (B, T)
        if not bool(share.sum() > 0):
            raise ValueError("the frames' weights must have a positive sum")
        share = share / share.sum()
        # A band at a time, (B, T): in float64 all of them together would take four times the memory
        # that x does.
        mean = torch.stack([(band * share).sum() for band in x.unbind(1)])  # (M,)
        pairs = zip(x.unbind(1), mean, strict=True)
        variance = torch.stack([((band - m).square() * share).sum() for band, m in pairs])
        return cls(
            mean[:, None].to(x.dtype), variance.sqrt().clamp_min(_LEAST_STD)[:, None].to(x.dtype)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Log-mels (..., M, T) -> zero mean and unit variance (..., M, T)."""
        return (x - self.mean) / self.std

    def inverse(self, x: Tensor) -> Tensor:
        """Standardised (..., M, T) -> log-mels (..., M, T)."""
        return x * self.std + self.mean
