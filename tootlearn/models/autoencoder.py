"""The plain autoencoder, for *reconstruction*: a sound is encoded as a latent z, and the decoder
gets z and nothing else.

For *generation* see `generator`: there the decoder gets the controls and a small residual latent.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tootlearn.errors import InputError
from tootlearn.models.config import AutoencoderConfig
from tootlearn.models.decoder import Decoder
from tootlearn.models.encoder import Encoder
from tootlearn.models.layers import Style
from tootlearn.models.pca import PCAPath


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
        style = Style(config.activation, config.norm, config.dropout)
        self.encoder = Encoder(
            channels,
            inside,
            config.encoder_widths,
            config.stride,
            config.residual,
            config.pooling,
            latent=2 * config.latent if config.variational else config.latent,
            style=style,
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
            style=style,
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
