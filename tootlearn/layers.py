"""Building blocks that encoder and decoder share, and what the physics of a toot gives the decoder for free.

Two features spare the network from learning what is known: `time_features`, because an attack happens at the
beginning and a release at the end, whatever the duration; and `HarmonicComb`, because a pitch is a row of harmonics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tootlearn.audio import InputError
from tootlearn.front_end import FrontEndConfig
from tootlearn.mel import mel_filterbank

_ATTACKS = (0.006, 0.012, 0.025, 0.05, 0.1, 0.2, 0.4)  # s: time constants after the onset
_RELEASES = (0.004, 0.012, 0.035, 0.1)  # s: widths of the step at the end
_TAILS = (0.02, 0.06, 0.2)  # s: time constants before and after the end
TIME_FEATURES = len(_ATTACKS) + len(_RELEASES) + 2 * len(_TAILS) + 3  # rows of `time_features`

Layer = TypeVar("Layer", bound=nn.Module)


def zeroed(layer: Layer) -> Layer:
    """The layer with all its parameters at zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class FiLM(nn.Module):
    """Feature-wise linear modulation: a condition scales and shifts each channel (Perez et al. 2018).

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
    """What convolutions of a network have in common.

    Args:
        activation: one of :data:`ACTIVATIONS`.
        norm: "batch", "group" (eight groups of channels) or "none".
        dropout: the share of activations that are zeroed in training, 0 to below 1 (Srivastava et al. 2014).

    Raises:
        InputError: values that are not allowed.
    """

    activation: str = "silu"
    norm: str = "group"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise InputError(f"activation is one of {', '.join(ACTIVATIONS)}, not {self.activation!r}")
        if self.norm not in NORMS:
            raise InputError(f"norm is one of {', '.join(NORMS)}, not {self.norm!r}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout is 0 to below 1, not {self.dropout}")

    def activate(self, channels: int) -> nn.Module:
        """The activation, and dropout if there is any."""
        layer = Snake(channels) if self.activation == "snake" else ACTIVATIONS[self.activation]()
        return nn.Sequential(layer, nn.Dropout(self.dropout)) if self.dropout else layer

    def normalize(self, channels: int) -> nn.Module:
        """The normalisation, (B, C, T) -> (B, C, T)."""
        if self.norm == "batch":
            return nn.BatchNorm1d(channels)
        return nn.GroupNorm(8, channels) if self.norm == "group" else nn.Identity()


class Snake(nn.Module):
    """x + sin^2(a x) / a, which can draw what repeats; a is learned, one for each channel (Ziyin et al. 2020).

    Shape: (B, C, T) -> (B, C, T).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.ones(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        rate = self.rate.abs() + 1e-3
        curved: Tensor = x + (rate * x).sin().square() / rate
        return curved


ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "snake": Snake,
}
NORMS = ("batch", "group", "none")
SMOOTH, PLAIN = Style(), Style("relu", "batch")  # the default's and the generator's; the baseline's


class ResidualBlock(nn.Module):
    """x + conv1x1(silu(conv3(silu(modulated(norm(x)))))).

    The branch starts at zero, so the block starts as the identity. (He et al. 2016; Goyal et al. 2017.)

    Args:
        channels: C, a multiple of 8.
        condition: size D of the condition that modulates it by FiLM; 0 for none.
        dilation: of the convolution over time.
        style: its activation, norm and dropout; above are those of the default.

    Shape: (B, C, T) and, if any, (B, D) -> (B, C, T).
    """

    def __init__(self, channels: int, condition: int = 0, dilation: int = 1, style: Style = SMOOTH) -> None:
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
    """What follows a convolution: residual blocks, whose dilation doubles if ``dilated``, or activation and norm."""
    if residual:
        return [ResidualBlock(channels, dilation=2**i if dilated else 1, style=style) for i in range(residual)]
    return [style.activate(channels), style.normalize(channels)]


class TimeAttention(nn.Module):
    """Self-attention over time: each frame takes from all others what is like what it asks for (Vaswani et al. 2017).

    x + W sum_t' softmax(q_t . k_t' / sqrt(d)) v_t' for each head. Where a frame lies is learned and added to queries
    and keys. W starts at zero, so the layer starts as the identity.

    Args:
        channels: C, a multiple of 8 and of ``heads``.
        frames: T.
        heads: that attend by themselves, 1 or more.

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
        asked = self.ask(h + self.place).chunk(2, 1)
        query, key, value = (y.unflatten(1, (self.heads, -1)).transpose(2, 3) for y in (*asked, self.value(h)))
        found = F.scaled_dot_product_attention(query, key, value)  # (B, heads, T, C / heads)
        changed: Tensor = x + self.out(found.transpose(2, 3).flatten(1, 2))
        return changed


class AttentionPooling(nn.Module):
    """Learned queries in the place of a mean over time: each takes the frames that it cares for.

    (Lee et al. 2019, with one vector a query.) Without the place in the keys no order of the frames would be seen.

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
        taken: Tensor = share @ x.transpose(1, 2)
        return taken.flatten(1)


class SubPixel(nn.Module):
    """A convolution to twice as many channels, which become twice as many frames (Shi et al. 2016).

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
    """What doubles the frames: (B, before, T) -> (B, channels, 2 T); see :data:`UPSAMPLERS`."""
    if name == "transposed":
        return nn.ConvTranspose1d(before, channels, 4, stride=2, padding=1)
    if name == "nearest":
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv1d(before, channels, 3, padding=1))
    return SubPixel(before, channels)


UPSAMPLERS = ("transposed", "nearest", "subpixel")


def time_features(time: Tensor, duration: Tensor) -> Tensor:
    """Where in a toot each frame lies.

    Args:
        time: s since the onset, negative before it, shape (T,).
        duration: s, positive, shape (B,).

    Returns:
        Shape (B, 20, T), each in [-1, 1] and continuous in time and duration: exponential decays since the onset,
        steps at the end, exponential rises before it and decays after it, the share of the duration gone, the side
        of the onset, and 1.
    """
    since = time.clamp_min(0)[None]  # (1, T)
    past = time[None] - duration[:, None]  # (B, T): s after the end
    rows = [torch.exp(-since / tau).expand_as(past) for tau in _ATTACKS]
    rows += [torch.tanh(past / width) for width in _RELEASES]
    rows += [torch.exp(past.clamp_max(0) / tau) for tau in _TAILS]
    rows += [torch.exp(-past.clamp_min(0) / tau) for tau in _TAILS]
    rows += [(since / duration[:, None]).clamp_max(1), torch.tanh(time / 0.01).expand_as(past), torch.ones_like(past)]
    return torch.stack(rows, 1)


class HarmonicComb(nn.Module):
    """What the mel bands of a harmonic tone look like: one row of a table for each pitch.

    The magnitude spectrum of harmonics of amplitude 1 at multiples of f0, seen through the Hann window, is summed by
    the mel filterbank. Rows are 10 cents apart and interpolated linearly, so that the result is differentiable in the
    pitch. Harmonics closer than the window can resolve (4 bins) add up as magnitudes, without their beating.

    Args:
        front_end: whose window and bands.
        low, high: range of f0, Hz, 0 < low < high; what lies outside is held at the ends.

    Shape: log2 of f0 in Hz (...) -> mel bands (..., M), non-negative magnitudes.
    """

    STEPS = 120  # rows an octave
    table: Tensor

    def __init__(self, front_end: FrontEndConfig, low: float = 20.0, high: float = 8000.0) -> None:
        super().__init__()
        self.low = math.log2(low)
        rows = int((math.log2(high) - self.low) * self.STEPS) + 2
        f0 = 2 ** (self.low + torch.arange(rows, dtype=torch.float64) / self.STEPS)
        bank = mel_filterbank(front_end.sample_rate, front_end.n_fft, front_end.mels, front_end.fmin, front_end.fmax)
        table = harmonic_magnitude(f0, front_end) @ bank.T  # (rows, M)
        self.register_buffer("table", table, persistent=False)

    def forward(self, octave: Tensor) -> Tensor:
        position = ((octave - self.low) * self.STEPS).clamp(0.0, len(self.table) - 1.001)
        row = position.floor().long()
        part = (position - row)[..., None]
        return torch.lerp(self.table[row], self.table[row + 1], part)


def harmonic_magnitude(f0: Tensor, front_end: FrontEndConfig) -> Tensor:
    """What a Hann frame shows of harmonics of amplitude 1, where they are resolved.

    Args:
        f0: Hz, shape (P,).
        front_end: its sample rate and n_fft.

    Returns:
        Magnitudes, shape (P, F), float32, on the device of f0.
    """
    bins = front_end.n_fft // 2 + 1
    exact = f0.cpu().double()  # there are devices without float64
    number = torch.arange(1, int(front_end.sample_rate / 2 / float(exact.min())) + 1)
    place = exact[:, None] * number * (front_end.n_fft / front_end.sample_rate)  # (P, K), in bins
    nearest = place.round().long()
    amplitude = (place < bins - 1) * (front_end.n_fft / 4)  # none at or above the Nyquist frequency
    spectrum = place.new_zeros(len(f0), bins + 8)  # four bins of margin at both ends
    off = nearest - place  # (P, K), in [-1/2, 1/2]
    sine = amplitude * (math.pi * off).sin().abs() / math.pi
    for offset in range(-3, 4):  # the Hann window's transform is sinc(x) / (1 - x^2)
        x = off + offset
        poles = (x * (1 - x * x)).abs()
        limit = amplitude * (1.0 if offset == 0 else 0.5)  # at x = 0, and at x = -1 and 1
        spectrum.scatter_add_(
            1, (nearest + offset + 4).clamp(0, bins + 7), torch.where(poles > 1e-7, sine / poles, limit)
        )
    return spectrum[:, 4:-4].float().to(f0.device)
