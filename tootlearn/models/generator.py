"""The generator: controls and a residual latent to a log-mel, with the encoder and the prior of
that residual.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tootlearn.controls import LOUDNESS_RANGE, Kind
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.models.config import GeneratorConfig
from tootlearn.models.decoder import Condition, ConditionalDecoder, Drawing
from tootlearn.models.encoder import Encoder
from tootlearn.models.layers import SMOOTH
from tootlearn.models.prior import GaussianPrior


class Generator(nn.Module):
    """Controls and a residual latent -> log-mel; a conditional variational autoencoder (Sohn et al.
    2015).

    The encoder is for training, and for finding the residual of a given sound. The prior is fitted
    after training, see `prior.GaussianPrior`.

    Args:
        config: its sizes.
        front_end: what the log-mels are made with.
        frames: T, a multiple of 4 and of 2^len(encoder_widths).
        kinds: one or more.

    Raises:
        InputError: if T is no such multiple.
    """

    prior_mean: Tensor
    prior_scale: Tensor

    def __init__(
        self, config: GeneratorConfig, front_end: FrontEndConfig, frames: int, kinds: Sequence[Kind]
    ) -> None:
        super().__init__()
        self.config = config
        # all controls but loudness are stacked on the bands as constant channels
        stacked = front_end.mels + len(kinds) + 3
        self.encoder = Encoder(
            stacked, frames, config.encoder_widths, 2, 1, "flatten", 2 * config.residual, SMOOTH
        )
        self.decoder = ConditionalDecoder(
            front_end,
            frames,
            kinds,
            config.residual,
            config.width,
            config.blocks,
            config.conditioning,
        )
        count, size = len(kinds), config.residual
        self.register_buffer("prior_mean", torch.zeros(count, size))
        self.register_buffer("prior_scale", torch.eye(size).repeat(count, 1, 1))

    def encode(self, log_mel: Tensor, controls: Condition) -> tuple[Tensor, Tensor]:
        """Log-mel (B, M, T) -> mean and log standard deviation of the residual, each (B, Z).

        The loudness is removed first, and what the floor hides in the quietest toot is hidden in
        all, so that the residual does not depend on how loud a toot was.
        """
        quietest = self.decoder.log_floor - LOUDNESS_RANGE[0] * (math.log(10) / 20)
        level = (log_mel - controls.gain[:, None, None]).clamp_min(quietest) / 4 + 1
        columns = [controls.shares(len(self.prior_mean)), controls.numbers[:, :3]]
        constant = torch.cat(columns, 1)[..., None].expand(-1, -1, level.shape[2])
        mean, log_scale = self.encoder(torch.cat([level, constant], 1)).chunk(2, 1)
        return mean, log_scale.clamp(-6, 2)

    def decode(self, controls: Condition, z: Tensor) -> Drawing:
        """Controls and residual (B, Z) -> log-mel and its parts, see `Drawing`."""
        drawing: Drawing = self.decoder(controls, z)
        return drawing

    @property
    def prior(self) -> GaussianPrior:
        """The distribution of the residuals of each kind."""
        return GaussianPrior(self.prior_mean, self.prior_scale)

    @torch.no_grad()
    def fit_prior(self, log_mel: Tensor, controls: Condition, rows: Tensor | None = None) -> None:
        """Fit the prior to the residuals of training sounds.

        Args:
            log_mel: (B, M, T), of any float type.
            controls: those of the sounds.
            rows: a mask (B,) of the sounds to use; None uses all.
        """
        which = torch.arange(len(log_mel), device=log_mel.device)
        which = which if rows is None else which[rows]
        chosen = controls.take(which)
        parts = torch.arange(len(which), device=log_mel.device).split(128)
        z = torch.cat(
            [self.encode(log_mel[which[part]].float(), chosen.take(part))[0] for part in parts]
        )
        self.prior.fit(z, chosen)
