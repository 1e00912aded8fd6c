"""Principal components as a path through the autoencoder: a linear model that the network improves
on.

A clip has M x T numbers (22,528), and so has a component: 64 of them would make up most of the
model file. Bands and frames are therefore projected first on the directions in which
clips vary most, each axis by itself, and the components are computed in these coordinates
(multilinear PCA: Lu et al. 2008). 64 x 32 coordinates lose next to nothing
(`benchmarks/reconstruction.py` prints both).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn


class PCAPath(nn.Module):
    """Clip -> z -> clip by whitened principal components: each number of z has mean 0 and variance
    1.

    It is fitted by :meth:`fit`, not by gradients. Before that, it decodes everything to zeros.

    Args:
        mels, frames: M and T.
        latent: Z, the number of components.
        coordinates: (R, S), how many directions of bands and of frames are kept, at most M and T.

    Shape: `encode` maps (B, M, T) to (B, Z), `decode` maps (B, Z) to (B, M, T).
    """

    mean: Tensor
    bands: Tensor
    times: Tensor
    components: Tensor
    scale: Tensor

    def __init__(
        self, mels: int, frames: int, latent: int, coordinates: tuple[int, int] = (64, 32)
    ) -> None:
        super().__init__()
        rows, columns = min(coordinates[0], mels), min(coordinates[1], frames)
        self.register_buffer("mean", torch.zeros(mels, frames))
        self.register_buffer("bands", torch.zeros(mels, rows))
        self.register_buffer("times", torch.zeros(frames, columns))
        self.register_buffer("components", torch.zeros(rows * columns, latent))
        self.register_buffer("scale", torch.ones(latent))

    def encode(self, x: Tensor) -> Tensor:
        z: Tensor = self.coordinates(x) @ self.components / self.scale
        return z

    def decode(self, z: Tensor) -> Tensor:
        core = (z * self.scale) @ self.components.T
        x: Tensor = (
            self.bands @ core.unflatten(1, (self.bands.shape[1], -1)) @ self.times.T + self.mean
        )
        return x

    def coordinates(self, x: Tensor) -> Tensor:
        """(B, M, T) -> (B, R S)."""
        core: Tensor = self.bands.T @ (x - self.mean) @ self.times
        return core.flatten(1)

    @torch.no_grad()
    def fit(self, clips: Tensor, standardise: Callable[[Tensor], Tensor]) -> None:
        """Compute the components of clips.

        Args:
            clips: (N, M, T), of any dtype. If N is Z or less, the last components are 0.
            standardise: applied to each batch of clips, in float32, first.
        """

        def batches() -> Iterator[Tensor]:
            return (standardise(part.float()) for part in clips.split(256))

        self.mean.copy_(torch.stack([x.sum(0) for x in batches()]).sum(0) / len(clips))
        across, along = (
            torch.zeros(len(self.bands), len(self.bands)),
            torch.zeros(len(self.times), len(self.times)),
        )
        for x in batches():
            x = x - self.mean
            across += torch.einsum("bmt,bnt->mn", x, x)
            along += torch.einsum("bmt,bms->ts", x, x)
        self.bands.copy_(largest(across, self.bands.shape[1])[1])
        self.times.copy_(largest(along, self.times.shape[1])[1])
        between = torch.zeros(len(self.components), len(self.components))
        for x in batches():
            coordinates = self.coordinates(x)
            between += coordinates.T @ coordinates
        variance, components = largest(between / len(clips), len(self.scale))
        real = variance > 1e-6 * variance[0]
        self.components[:, : len(variance)] = components * real
        self.scale[: len(variance)] = torch.where(real, variance.clamp_min(1e-12).sqrt(), 1.0)


def largest(covariance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` largest eigenvalues of a symmetric matrix (N, N), at most N, and their
    eigenvectors (N, count).
    """
    values, vectors = torch.linalg.eigh(covariance.double())
    return values.flip(0)[:count].float(), vectors.flip(1)[:, :count].float()
