"""The encoder: a 1D CNN that compresses a log-mel spectrogram to a few numbers.

Mel bands are channels and convolutions run over time: (B, M, T) -> (B, Z).
"""

from __future__ import annotations

from torch import Tensor, nn

from tootlearn.errors import InputError
from tootlearn.models.layers import PLAIN, AttentionPooling, Style, TimeAttention, after_convolution


class Encoder(nn.Module):
    """Log-mel to latent.

    Args:
        channels_in: M, plus the channels that are stacked on the bands.
        frames: T.
        widths: channels of each convolution (kernel 3); multiples of 8 where there are blocks,
            group norm or attention.
        stride: of each convolution over time.
        residual: residual blocks after each convolution; 0 for an activation and a norm instead.
        pooling: "mean" over time; "attention", by eight learned queries; or "flatten", which keeps
            all frames and needs T to be a multiple of stride^len(widths).
        latent: Z. A linear layer projects to it, unless mean pooling leaves just so many numbers.
        style: activation, norm and dropout.
        dilated: whether the dilation doubles from one residual block to the next.
        attention: heads of a self-attention over time after the last convolution; 0 for none.

    Shape: (B, channels_in, T) -> (B, Z).

    Raises:
        InputError: if T is not the multiple that "flatten" needs.
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
        style: Style = PLAIN,
        dilated: bool = False,
        attention: int = 0,
    ) -> None:
        super().__init__()
        shrink = stride ** len(widths)
        if pooling == "flatten" and frames % shrink:
            raise InputError(
                f"{len(widths)} convolutions of stride {stride} need a multiple of {shrink} "
                f"frames, not {frames}: use another hop, fewer convolutions or a smaller stride"
            )
        layers: list[nn.Module] = []
        before, left = channels_in, frames
        for width in widths:
            layers += [nn.Conv1d(before, width, 3, stride=stride, padding=1)]
            layers += after_convolution(width, style, residual, dilated)
            before, left = width, -(-left // stride)
        if attention:
            layers += [TimeAttention(before, left, attention)]
        self.layers = nn.Sequential(*layers)
        self.pool = AttentionPooling(before, left) if pooling == "attention" else None
        self.pooling = pooling
        pooled = before * {"mean": 1, "attention": 8, "flatten": left}[pooling]
        # The baseline's latent is the pooled vector itself.
        self.project = (
            nn.Identity() if pooling == "mean" and latent == pooled else nn.Linear(pooled, latent)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.layers(x)  # (B, C, T / stride^n)
        pooled = (
            self.pool(h) if self.pool else h.mean(-1) if self.pooling == "mean" else h.flatten(1)
        )
        z: Tensor = self.project(pooled)
        return z
