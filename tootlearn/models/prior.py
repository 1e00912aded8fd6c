"""The prior of the residual latent: what the generator samples where the controls leave a sound
open.

It is fitted after training to where the encoder puts sounds (ex-post density estimation: Ghosh et
al. 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor

from tootlearn.models.decoder import Condition

_JITTER = 1e-6  # added to variances, so that identical residuals still have a Cholesky factor


class GaussianPrior:
    """A Gaussian for each of K kinds, on residuals of Z numbers.

    Args:
        mean: (K, Z); `fit` writes into it, as it does into ``scale``.
        scale: (K, Z, Z), lower triangular Cholesky factors of the covariances.
    """

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        self.mean, self.scale = mean, scale

    @torch.no_grad()
    def fit(self, z: Tensor, controls: Condition) -> None:
        """Fit mean and covariance of each kind to residuals (B, Z).

        A kind with Z residuals or fewer, which determine no covariance, is left unchanged.
        """
        for k in range(len(self.mean)):
            of_kind = z[controls.kind == k].double()
            if len(of_kind) > z.shape[1]:
                self.mean[k] = of_kind.mean(0)
                self.scale[k] = torch.linalg.cholesky(
                    of_kind.T.cov() + _JITTER * torch.eye(z.shape[1]).to(of_kind)
                )

    def sample(self, controls: Condition, noise: Tensor) -> Tensor:
        """Standard normal noise (B, Z) to residuals (B, Z); zeros give the mean of the kind."""
        return self.mean[controls.kind] + torch.einsum(
            "bij,bj->bi", self.scale[controls.kind], noise
        )

    def noise(self, controls: Condition, z: Tensor) -> Tensor:
        """The inverse of `sample`: the noise (B, Z) that gives these residuals (B, Z)."""
        deviation = (z - self.mean[controls.kind])[..., None]
        noise: Tensor = torch.linalg.solve_triangular(
            self.scale[controls.kind], deviation, upper=False
        )
        return noise[..., 0]
