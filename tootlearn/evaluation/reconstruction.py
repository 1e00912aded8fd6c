"""How well a model reconstructs, beside what needs no network.

It is measured on whole (kind, pitch) groups that training never saw. A network has to beat PCA with
as many numbers, the nearest training clip and the mean.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tootlearn.data.clips import Clips
from tootlearn.errors import InputError
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.losses.log_mel import frame_weights, squared_error
from tootlearn.models.autoencoder import Autoencoder


def reconstruction_table(generator: TootGenerator, clips: Clips) -> dict[str, dict[str, float]]:
    """Errors on held-out groups: the model's autoencoder, PCA of the same size, the nearest
    training clip and the mean.

    Args:
        generator: a model with an autoencoder.
        clips: its training set and held-out set together; they are split here as they were in
            training.

    Returns:
        For each row: "error", the weighted mean squared error of standardised log-mels; "lsd", the
        log-spectral distance of the mels in dB; "count", N.

    Raises:
        InputError: if there is no autoencoder.
    """
    model, autoencoder = generator.model, autoencoder_of(generator)
    learn, held_out = clips.split()
    train, test = (model.normalizer(part.log_mel.float()) for part in (learn, held_out))
    with torch.inference_mode():
        ours = torch.cat([autoencoder(x) for x in test.split(128)])
        path = autoencoder.linear
        linear = path.decode(path.encode(test)) if path else None
    size = generator.latent
    decoded = {f"autoencoder, {size} numbers": ours}
    if linear is not None:
        decoded["its principal components alone"] = linear
    decoded |= {
        f"PCA, {size} numbers": pca(train, test, size),
        "nearest training clip": nearest_clips(train, test),
        "mean": train.mean(0).expand_as(test),
    }
    duration = torch.as_tensor(held_out.controls.duration, dtype=torch.float32)
    weight = frame_weights(
        duration, test.shape[2], model.front_end.config.hop, model.front_end.config.sample_rate
    )
    table = {}
    for name, x in decoded.items():
        decibel = (x - test) * model.normalizer.std * (20 / np.log(10))
        lsd = (decibel.square().mean(1).sqrt() * weight).mean()
        table[name] = {
            "error": float(squared_error(x, test, weight)),
            "lsd": float(lsd),
            "count": len(test),
        }
    return table


def autoencoder_of(generator: TootGenerator) -> Autoencoder:
    """The model's autoencoder.

    Raises:
        InputError: if it has none.
    """
    if generator.model.autoencoder is None:
        raise InputError("this model has no autoencoder: it generates, but does not reconstruct")
    return generator.model.autoencoder


def pca(train: Tensor, test: Tensor, size: int) -> Tensor:
    """Test clips (B, M, T) through the first ``size`` principal components of the training clips
    (A, M, T).

    Fewer than ``size`` if there are not that many clips or numbers. The randomised SVD (Halko et
    al. 2011) finds them to within what its oversampling leaves; torch's global random state stays
    as it was.
    """
    mean = train.flatten(1).mean(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the randomised SVD draws from the global generator
        rank = min(size + 16, len(train), train[0].numel())
        basis = torch.svd_lowrank(train.flatten(1) - mean, q=rank, niter=4)[2][:, :size]
    return ((test.flatten(1) - mean) @ basis @ basis.T + mean).view_as(test)


def nearest_clips(train: Tensor, test: Tensor) -> Tensor:
    """For each test clip (B, M, T) the training clip (of A) at the least Euclidean distance."""
    return train[torch.cdist(test.flatten(1), train.flatten(1)).argmin(1)]
