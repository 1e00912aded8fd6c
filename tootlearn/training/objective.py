"""The criterion: what a step of training minimises, term by term.

Generator and autoencoder each have a squared error, "generation" and "reconstruction", and whatever
else has a weight in `TrainConfig.weights`, whose keys are the names of the terms in the log. A term
of no weight is not computed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from tootlearn import rng
from tootlearn.dsp.mel import mel_frequencies
from tootlearn.losses import log_mel as losses
from tootlearn.losses import perceptual
from tootlearn.losses.balancer import Balancer
from tootlearn.losses.multi_resolution_stft import Waveform
from tootlearn.models.classifier import Classifier
from tootlearn.models.toot_model import TootModel
from tootlearn.training import train_classifier
from tootlearn.training.batches import Batch
from tootlearn.training.config import TrainConfig


class Criterion(nn.Module):
    """The loss of a step, and the terms it is made of.

    Args:
        config: what is trained, and the weights. With ``config.balance`` they are shares of the
            gradient at the drawing: the generator's log-mels, the autoencoder's standardised ones.
        features: log-mels (B, M, T) -> features, for the terms that end in "embedding"; None
            without them.

    Its state, what the balancer has measured, belongs into the checkpoint.
    """

    def __init__(
        self, config: TrainConfig, features: Callable[[Tensor], Sequence[Tensor]] | None = None
    ) -> None:
        super().__init__()
        front_end = config.front_end
        self.config, self.features = config, features
        self.audibility = perceptual.Audibility(
            mel_frequencies(front_end.mels + 2, front_end.fmin, front_end.fmax)[1:-1]
        )
        self.waveform = Waveform(front_end)
        self.balancer = Balancer(tuple(config.weights)) if config.balance else None

    @classmethod
    def of(cls, config: TrainConfig, device: torch.device, progress: bool = False) -> Criterion:
        """On the device; where an embedding has a weight, a classifier is trained first
        (`classifier.listener`).

        It hears every second frame where frames overlap by three quarters or more: that will do,
        and costs half.
        """
        features = None
        parts = {"generation": config.generator, "reconstruction": config.autoencoder}
        if any(part and config.weights[f"{drawing}_embedding"] for drawing, part in parts.items()):
            front_end = config.front_end
            every = 2 if front_end.n_fft % (4 * front_end.hop) == 0 else 1
            judge = train_classifier.listener(
                replace(front_end, hop=every * front_end.hop), progress=progress
            )
            features = functools.partial(_heard, judge.to(device), every)
        return cls(config, features).to(device)

    def forward(
        self, model: TootModel, batch: Batch, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a step, a scalar, and its terms by name, scalars without their weights."""
        terms, drawings = self.terms(model, batch, step)
        weights: dict[str, float | Tensor] = {**self.weights(step)}
        if self.balancer:
            weights |= self.balancer(terms, drawings, self.weights(step))
        return torch.stack([weights[name] * term for name, term in terms.items()]).sum(), terms

    def weights(self, step: int) -> dict[str, float]:
        """Those of the config; the divergences' change in the first half of training (see
        `TrainConfig`).
        """
        weights, done = self.config.weights, step / self.config.steps
        return weights | {
            "generation_divergence": weights["generation_divergence"]
            * 200 ** max(0.0, 1 - 2 * done),
            "reconstruction_divergence": weights["reconstruction_divergence"] * min(1.0, 2 * done),
        }

    def terms(
        self, model: TootModel, batch: Batch, step: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The terms that have a weight and, of the same names as the squared errors, what the
        networks drew.
        """
        made: dict[str, Callable[[], Tensor]] = {}
        drawings: dict[str, Tensor] = {}
        if model.generator:
            mean, log_scale = model.generator.encode(batch.heard, batch.controls)
            drawing = model.generator.decode(
                batch.controls,
                drawn(
                    mean, log_scale, self.config.seed, rng.Stream.RESIDUAL_NOISE, step, batch.first
                ),
            )
            log_mel = drawing.log_mel.to(batch.log_mel.dtype)
            strayed = (log_mel - batch.log_mel) / model.normalizer.std
            # (B, T / 4)
            bend = (
                (drawing.notes[:, :, 0] - batch.controls.octave[:, None])
                .unflatten(1, (-1, 2))
                .mean(2)
            )
            drawings["generation"] = log_mel
            made |= {
                "generation": lambda: losses.squared_error(
                    strayed, torch.zeros_like(strayed), batch.weight
                ),
                "generation_bend": lambda: losses.bend_error(bend, batch.bend, batch.bend_weight),
                "generation_divergence": lambda: losses.divergence(mean, log_scale),
            }
            made |= self._of_drawing("generation", log_mel, batch, step)
        if model.autoencoder:
            x = model.normalizer(batch.log_mel)
            z, z_log_scale = posterior = model.autoencoder.posterior(model.normalizer(batch.heard))
            if model.autoencoder.config.variational:
                made["reconstruction_divergence"] = lambda: losses.divergence(
                    *posterior, self.config.free_bits
                )
                z = drawn(
                    z, z_log_scale, self.config.seed, rng.Stream.LATENT_NOISE, step, batch.first
                )
            y = model.autoencoder.decode(z).to(x.dtype)
            drawings["reconstruction"] = y
            made["reconstruction"] = lambda: losses.squared_error(y, x, batch.weight)
            made |= self._of_drawing("reconstruction", model.normalizer.inverse(y), batch, step)
        # losses add powers of all sizes: in 32 bits whatever the precision of the networks
        with torch.autocast(batch.log_mel.device.type, enabled=False):
            return {
                name: make() for name, make in made.items() if self.config.weights[name]
            }, drawings

    def _of_drawing(
        self, name: str, y: Tensor, batch: Batch, step: int
    ) -> dict[str, Callable[[], Tensor]]:
        """How to compute the losses of a drawing, log-mels (B, M, T), by the names of their terms."""
        x, weight = batch.log_mel, batch.weight
        made: dict[str, Callable[[], Tensor]] = {
            "l1": lambda: losses.absolute_error(y, x, weight),
            "convergence": lambda: losses.mel_convergence(y, x),
            "envelope": lambda: losses.envelope_error(y, x, weight),
            "difference": lambda: losses.difference_error(y, x, weight),
            "onset": lambda: losses.onset_error(y, x, weight),
            "stft": lambda: self.waveform(y, x, self.config.seed, step),
            "audible": lambda: perceptual.audible_error(y, x, weight, self.audibility),
            "multi_scale": lambda: perceptual.multi_scale_error(y, x, weight),
            "embedding": lambda: self._embedding(y, x, weight),
        }
        return {f"{name}_{loss}": make for loss, make in made.items()}

    def _embedding(self, y: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        assert self.features is not None
        with torch.no_grad():
            wanted = self.features(x)
        return perceptual.feature_error(self.features(y), wanted, weight)


def _heard(listener: Classifier, every: int, log_mel: Tensor) -> tuple[Tensor, ...]:
    """What a listener makes of log-mels (B, M, T), which has learned from every so many frames of
    such.
    """
    return listener.features(log_mel[..., ::every])


def drawn(
    mean: Tensor, log_scale: Tensor, seed: int, stream: rng.Stream, step: int, first: int = 0
) -> Tensor:
    """A draw (B, Z) from Gaussians of this mean and log standard deviation (B, Z), for a step.

    ``first`` is the place of their first row in the batch of the step, whose noise is the same
    however it is shared.
    """
    size = mean.shape[1]
    noise = rng.normal(seed, rng.at_step(stream, step), (first + len(mean)) * size)[
        first * size :
    ].reshape(mean.shape)
    return mean + log_scale.exp() * torch.as_tensor(noise, dtype=mean.dtype, device=mean.device)


def clip_gradients(model: TootModel, largest: float) -> None:
    """Scale the gradient of each network down to this norm, if it is longer: neither takes from the
    other's step.
    """
    for network in (model.generator, model.autoencoder):
        if network:
            torch.nn.utils.clip_grad_norm_(network.parameters(), largest)
