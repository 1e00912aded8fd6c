"""The plain autoencoder, for *reconstruction*: a sound is encoded as a latent z, and the decoder
gets z and nothing else.

For *generation* see `generator`: there the decoder gets the controls and a small residual latent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tootlearn.errors import InputError, check_at_least, check_choice
from tootlearn.models.decoder import Decoder
from tootlearn.models.encoder import POOLINGS, Encoder
from tootlearn.models.layers import UPSAMPLERS, Style
from tootlearn.models.pca import PCAPath


@dataclass(frozen=True)
class AutoencoderConfig:
    """The plain autoencoder; the defaults are the baseline.

    Args:
        latent: Z, the numbers that the decoder gets.
        encoder_widths: channels of the encoder's convolutions.
        stride: of the encoder's convolutions over time.
        pooling: "mean" over time, "attention", or "flatten"; see `Encoder`.
        decoder_start: channels of the vector once it is expanded over time.
        decoder_widths: channels after each doubling of the frames.
        residual: residual blocks after each convolution; 0 for an activation and a norm instead.
        patch: how many neighbouring frames the convolutions read and write as one, which saves time
            by the same factor.
        upsampling: what doubles the frames: "transposed" convolution, "nearest" frame and
            convolution, or "subpixel".
        dilated: whether the dilation doubles from one residual block to the next.
        attention: heads of a self-attention over time in encoder and decoder, where frames are
            fewest; 0 for none.
        activation: "relu", "leaky_relu", "gelu", "silu" or "snake".
        norm: "batch", "group" or "none".
        dropout: share of the activations that are set to zero in training.
        linear: whether there is a parallel path of principal components, to which encoder and
            decoder only add.
        variational: whether the encoder gives a distribution, of which the decoder gets a sample in
            training.

    Raises:
        InputError: values that are not allowed; the message says what is.
    """

    latent: int = 128
    encoder_widths: tuple[int, ...] = (32, 64, 128)
    stride: int = 1
    pooling: str = "mean"
    decoder_start: int = 128
    decoder_widths: tuple[int, ...] = (64, 32)
    residual: int = 0
    patch: int = 1
    upsampling: str = "transposed"
    dilated: bool = False
    attention: int = 0
    activation: str = "relu"
    norm: str = "batch"
    dropout: float = 0.0
    linear: bool = False
    variational: bool = False

    def __post_init__(self) -> None:
        check_choice("pooling", self.pooling, POOLINGS)
        check_choice("upsampling", self.upsampling, UPSAMPLERS)
        for name in ("latent", "stride", "patch", "decoder_start"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("residual", "attention"):
            check_at_least(name, getattr(self, name), 0)
        for name in ("encoder_widths", "decoder_widths"):
            widths = getattr(self, name)
            if not widths:
                raise InputError(f"{name} has one number or more, not none")
            for width in widths:
                check_at_least(f"each of {name}", width, 1)
            if (self.residual or self.norm == "group") and any(width % 8 for width in widths):
                raise InputError(
                    f"with residual blocks or group norm {name} are multiples of 8, not {widths}"
                )
        attended = {
            "the last of encoder_widths": self.encoder_widths[-1],
            "decoder_start": self.decoder_start,
        }
        for name, channels in attended.items() if self.attention else ():
            if channels % 8 or channels % self.attention:
                raise InputError(
                    f"with {self.attention} heads of attention {name} is a multiple of 8 and of "
                    f"{self.attention}, not {channels}"
                )
        _ = self.style  # raises for what is not allowed

    @property
    def style(self) -> Style:
        """Activation, norm and dropout."""
        return Style(self.activation, self.norm, self.dropout)


class Autoencoder(nn.Module):
    """Standardised log-mel -> z -> standardised log-mel; the decoder gets only z.

    With ``linear``, principal components carry the sound from end to end, and encoder and decoder
    add what is not linear. Their contributions are scaled by gains, one for each number of z and
    one for each band, that start at zero (as Bachlechner et al. 2021 start every layer), so that
    the model is PCA before the first step.

    Args:
        config: its sizes.
        mels: M.
        frames: T.

    Shape: (B, M, T) -> (B, M, T); `encode` gives (B, Z).

    Raises:
        InputError: if T is not the multiple that patch, strides and doublings need.
    """

    def __init__(self, config: AutoencoderConfig, mels: int, frames: int) -> None:
        super().__init__()
        self.config = config
        if frames % config.patch:
            raise InputError(
                f"patch must divide the {frames} frames, which {config.patch} does not"
            )
        channels, inside = mels * config.patch, frames // config.patch
        self.encoder = Encoder(
            channels,
            inside,
            config.encoder_widths,
            config.stride,
            config.residual,
            config.pooling,
            latent=2 * config.latent if config.variational else config.latent,
            style=config.style,
            dilated=config.dilated,
            attention=config.attention,
        )
        self.decoder = Decoder(
            config.latent,
            channels,
            inside,
            config.decoder_widths,
            config.decoder_start,
            config.residual,
            config.upsampling,
            style=config.style,
            dilated=config.dilated,
            attention=config.attention,
        )
        self.linear = PCAPath(mels, frames, config.latent) if config.linear else None
        if config.linear:
            self.encoder_gain = nn.Parameter(torch.zeros(config.latent))
            self.decoder_gain = nn.Parameter(torch.zeros(mels, 1))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, M, T) -> mean of z and log of its standard deviation, each (B, Z).

        Without ``variational`` the standard deviation is zero, and its log -inf.
        """
        # (B, M p, T / p)
        patches = x.unflatten(2, (-1, self.config.patch)).transpose(2, 3).flatten(1, 2)
        numbers = self.encoder(patches)
        mean, log_scale = numbers.chunk(2, 1) if self.config.variational else (numbers, None)
        if self.linear:
            mean = self.linear.encode(x) + self.encoder_gain * mean
        if log_scale is None:
            return mean, torch.full_like(mean, -math.inf)
        return mean, (log_scale - 2).clamp(-8, 2)

    def encode(self, x: Tensor) -> Tensor:
        """(B, M, T) -> (B, Z)."""
        return self.posterior(x)[0]

    def decode(self, z: Tensor) -> Tensor:
        """(B, Z) -> (B, M, T)."""
        patches = self.decoder(z).unflatten(1, (-1, self.config.patch))  # (B, M, p, T / p)
        x: Tensor = patches.transpose(2, 3).flatten(2)
        return self.linear.decode(z) + self.decoder_gain * x if self.linear else x

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))
