"""Priors of the residual latent: what is drawn where the controls leave a sound open.

A prior turns standard normal numbers, which a seed gives, into residuals as toots have them, and back. It is fitted
after training to where the encoder puts sounds (ex-post density estimation: Ghosh et al. 2020).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from tootlearn.decoder import Condition

_JITTER = 1e-6  # of a variance, so that residuals which are all the same have a root


class Prior(Protocol):
    """What each prior can do, for residuals z (B, Z), controls of B and standard normal numbers (B, Z)."""

    def fit(self, z: Tensor, controls: Condition) -> None:
        """Set it from the residuals of sounds."""

    def sample(self, controls: Condition, noise: Tensor) -> Tensor:
        """Noise to residuals; the same noise gives the same residual, and 0 the one in the middle."""

    def noise(self, controls: Condition, z: Tensor) -> Tensor:
        """The inverse: from what noise residuals would have been drawn."""

    def log_prob(self, z: Tensor, controls: Condition) -> Tensor:
        """Log-likelihood (B,) in nats."""


class Gaussian:
    """A Gaussian for each of K kinds.

    Args:
        mean: (K, Z); `fit` writes into it, as into the next.
        scale: (K, Z, Z), lower triangular roots of the covariances.
    """

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        self.mean, self.scale = mean, scale

    @torch.no_grad()
    def fit(self, z: Tensor, controls: Condition) -> None:
        """From the residuals of sounds; a kind with Z of them or fewer, which determine no covariance, stays."""
        for k in range(len(self.mean)):
            own = z[controls.kind == k].double()
            if len(own) > z.shape[1]:
                self.mean[k] = own.mean(0)
                self.scale[k] = torch.linalg.cholesky(own.T.cov() + _JITTER * torch.eye(z.shape[1]).to(own))

    def sample(self, controls: Condition, noise: Tensor) -> Tensor:
        """See `Prior`."""
        return self.mean[controls.kind] + torch.einsum("bij,bj->bi", self.scale[controls.kind], noise)

    def noise(self, controls: Condition, z: Tensor) -> Tensor:
        """See `Prior`."""
        away = (z - self.mean[controls.kind])[..., None]
        noise: Tensor = torch.linalg.solve_triangular(self.scale[controls.kind], away, upper=False)
        return noise[..., 0]

    def log_prob(self, z: Tensor, controls: Condition) -> Tensor:
        """See `Prior`."""
        normal = torch.distributions.MultivariateNormal(self.mean[controls.kind], scale_tril=self.scale[controls.kind])
        return torch.as_tensor(normal.log_prob(z))
