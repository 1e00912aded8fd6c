"""The encoder: a 1D CNN that sums up a log-mel spectrogram in a few numbers.

Mel bands are channels and convolutions run over time: (B, M, T) -> (B, Z).
"""

from __future__ import annotations

from torch import Tensor, nn

from tootlearn.layers import ResidualBlock


class Encoder(nn.Module):
    """Log-mel to latent.

    Args:
        channels_in: M, plus whatever is stacked on the bands.
        frames: T; a multiple of stride^len(widths).
        widths: channels of each convolution (kernel 3).
        stride: of each convolution over time.
        residual: residual blocks after each convolution in place of batch normalisation.
        pooling: "mean" over time, which needs latent == widths[-1] or projects; "flatten" keeps the order in time.
        latent: Z.

    Shape: (B, channels_in, T) -> (B, Z).
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
        pooled = widths[-1] if pooling == "mean" else widths[-1] * (frames // stride ** len(widths))
        # The baseline's latent is the pooled vector itself.
        self.project = nn.Identity() if pooling == "mean" and latent == pooled else nn.Linear(pooled, latent)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layers(x)  # (B, C, T / stride^n)
        z: Tensor = self.project(h.mean(-1) if self.pooling == "mean" else h.flatten(1))
        return z
