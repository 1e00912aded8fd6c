"""Building blocks that encoder and decoder share: modulation, activations, residual blocks,
attention and upsampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tootlearn.models.config import ACTIVATIONS as ACTIVATIONS
from tootlearn.models.config import UPSAMPLERS as UPSAMPLERS
from tootlearn.models.config import check_style

Layer = TypeVar("Layer", bound=nn.Module)


def zeroed(layer: Layer) -> Layer:
    """The layer with all its parameters set to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class FiLM(nn.Module):
    """Feature-wise linear modulation: a condition scales and shifts each channel (Perez et al.
    2018).

    It starts as the identity.

    Args:
        condition: D, size of the condition.
        channels: C.

    Shape: features (B, C, T) and condition (B, D) -> (B, C, T).
    """

    def __init__(self, condition: int, channels: int) -> None:
        super().__init__()
        self.project = zeroed(nn.Linear(condition, 2 * channels))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.project(condition)[..., None].chunk(2, dim=1)  # (B, C, 1) each
        modulated: Tensor = x * (1 + scale) + shift
        return modulated


@dataclass(frozen=True)
class Style:
    """The choices that all convolutions of a network share.

    Args:
        activation: one of :data:`ACTIVATIONS`.
        norm: "batch", "group" (eight groups of channels) or "none".
        dropout: the share of activations that are set to zero in training, at least 0 and below 1
            (Srivastava et al. 2014).

    Raises:
        InputError: values that are not allowed.
    """

    activation: str = "silu"
    norm: str = "group"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_style(self.activation, self.norm, self.dropout)

    def activate(self, channels: int) -> nn.Module:
        """The activation, followed by dropout where its share is not 0."""
        layer = (
            Snake(channels) if self.activation == "snake" else _ACTIVATION_LAYERS[self.activation]()
        )
        return nn.Sequential(layer, nn.Dropout(self.dropout)) if self.dropout else layer

    def normalize(self, channels: int) -> nn.Module:
        """The normalisation layer, (B, C, T) -> (B, C, T)."""
        if self.norm == "batch":
            return nn.BatchNorm1d(channels)
        return nn.GroupNorm(8, channels) if self.norm == "group" else nn.Identity()


class Snake(nn.Module):
    """x + sin^2(a x) / a, which suits periodic functions; a is learned for each channel (Ziyin et
    al. 2020).

    Shape: (B, C, T) -> (B, C, T).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.ones(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        rate = self.rate.abs() + 1e-3
        curved: Tensor = x + (rate * x).sin().square() / rate
        return curved


_ACTIVATION_LAYERS: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "snake": Snake,
}
SMOOTH = Style()  # of the generator and of the default preset
PLAIN = Style("relu", "batch")  # of the baseline


class ResidualBlock(nn.Module):
    """x + conv1x1(silu(conv3(silu(modulated(norm(x)))))).

    The branch starts at zero, so the block starts as the identity. (He et al. 2016; Goyal et al.
    2017.)

    Args:
        channels: C, a multiple of 8.
        condition: size D of the condition that modulates it by FiLM; 0 for none.
        dilation: of the convolution over time.
        style: activation, norm and dropout; the formula shows the default.

    Shape: (B, C, T), and (B, D) if there is a condition -> (B, C, T).
    """

    def __init__(
        self, channels: int, condition: int = 0, dilation: int = 1, style: Style = SMOOTH
    ) -> None:
        super().__init__()
        self.norm = style.normalize(channels)
        self.film = FiLM(condition, channels) if condition else None
        self.first, self.second = style.activate(channels), style.activate(channels)
        self.mix = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.out = zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        h = self.norm(x)
        if self.film is not None and condition is not None:
            h = self.film(h, condition)
        changed: Tensor = x + self.out(self.second(self.mix(self.first(h))))
        return changed


def after_convolution(channels: int, style: Style, residual: int, dilated: bool) -> list[nn.Module]:
    """The layers that follow a convolution.

    Args:
        channels: C.
        style: activation, norm and dropout.
        residual: how many residual blocks; 0 for an activation and a norm instead.
        dilated: whether the dilation doubles from one residual block to the next.
    """
    if residual:
        return [
            ResidualBlock(channels, dilation=2**i if dilated else 1, style=style)
            for i in range(residual)
        ]
    return [style.activate(channels), style.normalize(channels)]


class TimeAttention(nn.Module):
    """Multi-head self-attention over time (Vaswani et al. 2017).

    x + W sum_t' softmax(q_t . k_t' / sqrt(d)) v_t' for each head. A learned position is added to
    queries and keys. W starts at zero, so the layer starts as the identity.

    Args:
        channels: C, a multiple of 8 and of ``heads``.
        frames: T.
        heads: how many, 1 or more.

    Shape: (B, C, T) -> (B, C, T).
    """

    def __init__(self, channels: int, frames: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.place = nn.Parameter(torch.randn(channels, frames) * 0.1)
        self.ask = nn.Conv1d(channels, 2 * channels, 1)
        self.value = nn.Conv1d(channels, channels, 1)
        self.out = zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        projected = (*self.ask(h + self.place).chunk(2, 1), self.value(h))
        query, key, value = (y.unflatten(1, (self.heads, -1)).transpose(2, 3) for y in projected)
        attended = F.scaled_dot_product_attention(query, key, value)  # (B, heads, T, C / heads)
        changed: Tensor = x + self.out(attended.transpose(2, 3).flatten(1, 2))
        return changed


class AttentionPooling(nn.Module):
    """Pooling over time by learned queries, each of which weights the frames in its own way (Lee et
    al. 2019, with one vector a query).

    Without the learned position in the keys the result would not depend on the order of the frames.

    Args:
        channels: C.
        frames: T.
        queries: how many.

    Shape: (B, C, T) -> (B, queries C).
    """

    def __init__(self, channels: int, frames: int, queries: int = 8) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(queries, channels) / math.sqrt(channels))
        self.place = nn.Parameter(torch.randn(channels, frames) * 0.1)
        self.key = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        share = (self.query @ self.key(x + self.place)).softmax(-1)  # (B, queries, T)
        pooled: Tensor = share @ x.transpose(1, 2)
        return pooled.flatten(1)


class SubPixel(nn.Module):
    """A convolution to twice as many channels, which become twice as many frames (Shi et al. 2016).

    Args:
        before: C, channels of the input.
        channels: D, channels of the output.

    Shape: (B, C, T) -> (B, D, 2 T).
    """

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.spread = nn.Conv1d(before, 2 * channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        spread: Tensor = self.spread(x)
        halves: Tensor = spread.unflatten(1, (2, -1))  # (B, 2, D, T)
        return halves.permute(0, 2, 3, 1).flatten(2)


def upsampler(name: str, before: int, channels: int) -> nn.Module:
    """The layer that doubles the frames, by its name in :data:`UPSAMPLERS`: (B, before, T) -> (B,
    channels, 2 T).
    """
    if name == "transposed":
        return nn.ConvTranspose1d(before, channels, 4, stride=2, padding=1)
    if name == "nearest":
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv1d(before, channels, 3, padding=1))
    return SubPixel(before, channels)
