"""The objective of generator and autoencoder: what a step of training minimises, term by term.

The loss is a weighted sum of terms. The main ones are squared errors: "generation" (generator) and
"reconstruction" (autoencoder). `TrainConfig.weights` weighs each term by its name in the log; the
defaults are `config.WEIGHTS`, and a term of weight 0 is not computed. The other networks have their
objectives in `train_vocoder`, `train_bandwidth` and `train_classifier`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from tootlearn import losses, rng
from tootlearn.dsp.mel import mel_frequencies
from tootlearn.losses import perceptual
from tootlearn.losses.multi_resolution_stft import MultiResolutionSTFTLoss
from tootlearn.models.classifier import Classifier
from tootlearn.models.toot_model import TootModel
from tootlearn.rng import Stream
from tootlearn.training import train_classifier
from tootlearn.training.batches import Batch
from tootlearn.training.config import TrainConfig

Features = Callable[[Tensor], Sequence[Tensor]]


class Objective(nn.Module):
    """The loss of a model on a batch, and the terms that it is made of.

    Args:
        model: what is trained.
        config: the weights of the terms, and what else they need.
        features: log-mels (B, M, T) -> features, for the terms that end in "embedding": see
            `listener_features`; None without them.
    """

    def __init__(
        self, model: TootModel, config: TrainConfig, features: Features | None = None
    ) -> None:
        super().__init__()
        front_end = config.front_end
        self.model, self.config, self.features = model, config, features
        self.audibility = perceptual.Audibility(
            mel_frequencies(front_end.mels + 2, front_end.fmin, front_end.fmax)[1:-1]
        )
        self.stft = MultiResolutionSTFTLoss(front_end)

    @classmethod
    def of(
        cls, model: TootModel, config: TrainConfig, device: torch.device, progress: bool = False
    ) -> Objective:
        """On the device, with the features that its losses need."""
        return cls(model, config, listener_features(config, device, progress)).to(device)

    def networks(self) -> list[nn.Module]:
        """Generator and autoencoder: the gradient of each is clipped on its own, so that neither
        takes from the step of the other.
        """
        return [part for part in (self.model.generator, self.model.autoencoder) if part]

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a step, a scalar, and its terms by name, scalars without their weights."""
        terms, weights = self.terms(batch, step), self.weights(step)
        return torch.stack([weights[name] * term for name, term in terms.items()]).sum(), terms

    def weights(self, step: int) -> dict[str, float]:
        """The weights of the terms; those of the divergences change over the first half of
        training, see `TrainConfig`.
        """
        weights, done = self.config.weights, step / self.config.steps
        return weights | {
            "generation_divergence": weights["generation_divergence"]
            * 200 ** max(0.0, 1 - 2 * done),
            "reconstruction_divergence": weights["reconstruction_divergence"] * min(1.0, 2 * done),
        }

    def terms(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The terms that have a weight."""
        compute: dict[str, Callable[[], Tensor]] = {}
        if self.model.generator:
            compute |= self._generation(batch, step)
        if self.model.autoencoder:
            compute |= self._reconstruction(batch, step)
        # losses add powers of all sizes: in 32 bits, whatever the precision of the networks
        with torch.autocast(batch.log_mel.device.type, enabled=False):
            return {name: term() for name, term in compute.items() if self.config.weights[name]}

    def _generation(self, batch: Batch, step: int) -> dict[str, Callable[[], Tensor]]:
        model, seed = self.model, self.config.seed
        assert model.generator is not None
        mean, log_scale = model.generator.encode(batch.encoder_input, batch.controls)
        residual = sample(mean, log_scale, seed, Stream.RESIDUAL_NOISE, step, batch.first)
        drawing = model.generator.decode(batch.controls, residual)
        log_mel = drawing.log_mel.to(batch.log_mel.dtype)
        error = (log_mel - batch.log_mel) / model.normalizer.std
        bend = drawing.notes[:, :, 0] - batch.controls.octave[:, None]
        bend = bend.unflatten(1, (-1, 2)).mean(2)  # (B, T / 4)
        return {
            "generation": lambda: losses.squared_error(
                error, torch.zeros_like(error), batch.weight
            ),
            "generation_bend": lambda: losses.bend_error(bend, batch.bend, batch.bend_weight),
            "generation_divergence": lambda: losses.divergence(mean, log_scale),
            **self._drawing_losses("generation", log_mel, batch, step),
        }

    def _reconstruction(self, batch: Batch, step: int) -> dict[str, Callable[[], Tensor]]:
        model, config = self.model, self.config
        assert model.autoencoder is not None
        x = model.normalizer(batch.log_mel)
        mean, log_scale = model.autoencoder.posterior(model.normalizer(batch.encoder_input))
        z = mean
        if variational := model.autoencoder.config.variational:
            z = sample(mean, log_scale, config.seed, Stream.LATENT_NOISE, step, batch.first)
        y = model.autoencoder.decode(z).to(x.dtype)
        compute = {"reconstruction": lambda: losses.squared_error(y, x, batch.weight)}
        if variational:
            compute["reconstruction_divergence"] = lambda: losses.divergence(
                mean, log_scale, config.free_bits
            )
        log_mel = model.normalizer.inverse(y)
        return compute | self._drawing_losses("reconstruction", log_mel, batch, step)

    def _drawing_losses(
        self, name: str, y: Tensor, batch: Batch, step: int
    ) -> dict[str, Callable[[], Tensor]]:
        """How to compute the losses of what a network drew, log-mels (B, M, T), by the names of
        their terms.
        """
        x, weight = batch.log_mel, batch.weight
        compute: dict[str, Callable[[], Tensor]] = {
            "convergence": lambda: losses.mel_convergence(y, x),
            "stft": lambda: self.stft(y, x, self.config.seed, step),
            "audible": lambda: perceptual.audible_error(y, x, weight, self.audibility),
            "multi_scale": lambda: perceptual.multi_scale_error(y, x, weight),
            "embedding": lambda: self._embedding(y, x, weight),
        }
        return {f"{name}_{loss}": term for loss, term in compute.items()}

    def _embedding(self, y: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        assert self.features is not None
        with torch.no_grad():
            target = self.features(x)
        return perceptual.feature_error(self.features(y), target, weight)


def listener_features(
    config: TrainConfig, device: torch.device, progress: bool = False
) -> Features | None:
    """The features that the embedding losses compare, or None if no such loss has a weight.

    A classifier is trained for them first (`train_classifier.listener`). Where frames overlap by
    three quarters or more it uses every second frame, which costs half.
    """
    parts = {"generation": config.generator, "reconstruction": config.autoencoder}
    if not any(part and config.weights[f"{name}_embedding"] for name, part in parts.items()):
        return None
    front_end = config.front_end
    every = 2 if front_end.n_fft % (4 * front_end.hop) == 0 else 1
    listener = train_classifier.listener(
        replace(front_end, hop=every * front_end.hop), progress=progress
    )
    return functools.partial(_listen, listener.to(device), every)


def _listen(listener: Classifier, every: int, log_mel: Tensor) -> tuple[Tensor, ...]:
    """The features of every so many frames of log-mels (B, M, T), from which the listener has
    learned.
    """
    return listener.features(log_mel[..., ::every])


def sample(
    mean: Tensor, log_scale: Tensor, seed: int, stream: Stream, step: int, first: int = 0
) -> Tensor:
    """A sample (B, Z) of Gaussians with this mean and log standard deviation (B, Z), for a step.

    ``first`` is the place of the first row in the batch of the step, whose noise is the same
    however it is shared.
    """
    count, size = mean.shape
    numbers = rng.normal(seed, rng.at_step(stream, step), (first + count) * size)[first * size :]
    noise = torch.as_tensor(numbers.reshape(count, size), dtype=mean.dtype, device=mean.device)
    return mean + log_scale.exp() * noise
