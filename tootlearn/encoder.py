"""The encoder: a 1D CNN that sums up a log-mel spectrogram in a few numbers.

Mel bands are channels and convolutions run over time: (B, M, T) -> (B, Z).
"""

from __future__ import annotations

from torch import Tensor, nn

from tootlearn.audio import InputError
from tootlearn.layers import ResidualBlock


class Encoder(nn.Module):
    """Log-mel to latent.

    Args:
        channels_in: M, plus whatever is stacked on the bands.
        frames: T.
        widths: channels of each convolution (kernel 3); multiples of 8 with residual blocks.
        stride: of each convolution over time.
        residual: residual blocks after each convolution in place of ReLU and batch normalisation.
        pooling: "mean" over time; or "flatten", which keeps the order in time and needs T as a multiple of
            stride^len(widths).
        latent: Z; where it is not what pooling leaves, a linear layer projects.

    Shape: (B, channels_in, T) -> (B, Z).

    Raises:
        InputError: if "flatten" does not go with T.
    """

    def __init__(
        self,
        channels_in: int,
        frames: int,
        widths: tuple[int, ...] = (32, 64, 128),
        stride: int = 1,
        residual: int = 0,
        pooling: str = "mean",
        latent: int = 128,
    ) -> None:
        super().__init__()
        shrink = stride ** len(widths)
        if pooling == "flatten" and frames % shrink:
            raise InputError(
                f"{len(widths)} convolutions of stride {stride} need a multiple of {shrink} frames, not {frames}: "
                "take another hop, fewer convolutions or a smaller stride"
            )
        layers: list[nn.Module] = []
        before = channels_in
        for width in widths:
            layers += [nn.Conv1d(before, width, 3, stride=stride, padding=1)]
            layers += (
                [ResidualBlock(width) for _ in range(residual)] if residual else [nn.ReLU(), nn.BatchNorm1d(width)]
            )
            before = width
        self.layers = nn.Sequential(*layers)
        self.pooling = pooling
        pooled = widths[-1] if pooling == "mean" else widths[-1] * (frames // shrink)
        # The baseline's latent is the pooled vector itself.
        self.project = nn.Identity() if pooling == "mean" and latent == pooled else nn.Linear(pooled, latent)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layers(x)  # (B, C, T / stride^n)
        z: Tensor = self.project(h.mean(-1) if self.pooling == "mean" else h.flatten(1))
        return z
