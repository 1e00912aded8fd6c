"""Priors of the residual latent: what is drawn where the controls leave a sound open.

A prior turns standard normal numbers, which a seed gives, into residuals as toots have them, and
back. It is fitted after training to where the encoder puts sounds (ex-post density estimation:
Ghosh et al. 2020).
"""

from __future__ import annotations

import math
import warnings
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tootlearn.models.decoder import Condition
from tootlearn.models.layers import zeroed

PRIORS = ("gaussian", "mixture", "flow")
PARTS = 4  # of a mixture, at most

_JITTER = 1e-6  # of a variance, so that residuals which are all the same have a root
_FLOOR = 1e-4  # of the variances of a mixture's parts: none shrinks to a point
_TAIL = 1e-15  # of a quantile


class Prior(Protocol):
    """What each prior can do, for residuals z (B, Z), controls of B and standard normal numbers (B,
    Z).
    """

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
        """From the residuals of sounds; a kind with Z of them or fewer, which determine no
        covariance, stays.
        """
        for k in range(len(self.mean)):
            own = z[controls.kind == k].double()
            if len(own) > z.shape[1]:
                self.mean[k] = own.mean(0)
                self.scale[k] = torch.linalg.cholesky(
                    own.T.cov() + _JITTER * torch.eye(z.shape[1]).to(own)
                )

    def sample(self, controls: Condition, noise: Tensor) -> Tensor:
        """See `Prior`."""
        return self.mean[controls.kind] + torch.einsum(
            "bij,bj->bi", self.scale[controls.kind], noise
        )

    def noise(self, controls: Condition, z: Tensor) -> Tensor:
        """See `Prior`."""
        away = (z - self.mean[controls.kind])[..., None]
        noise: Tensor = torch.linalg.solve_triangular(self.scale[controls.kind], away, upper=False)
        return noise[..., 0]

    def log_prob(self, z: Tensor, controls: Condition) -> Tensor:
        """See `Prior`."""
        normal = torch.distributions.MultivariateNormal(
            self.mean[controls.kind], scale_tril=self.scale[controls.kind]
        )
        return torch.as_tensor(normal.log_prob(z))


class Mixture(nn.Module):
    """A mixture of Gaussians for each of K kinds, of one to `PARTS` parts by the Bayesian
    information criterion.

    One of the normal numbers says which part: its quantile falls into one of the parts' shares of 0
    to 1, and where it lies in there is a quantile again, that is a normal number for the part. So Z
    numbers are enough, the same give the same residual, and no draw is thrown away.
    """

    weight: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, kinds: int, size: int) -> None:
        super().__init__()
        weight = torch.zeros(kinds, PARTS)
        weight[:, 0] = 1.0
        self.register_buffer("weight", weight)
        self.register_buffer("mean", torch.zeros(kinds, PARTS, size))
        self.register_buffer("scale", torch.eye(size).repeat(kinds, PARTS, 1, 1))

    @torch.no_grad()
    def fit(self, z: Tensor, controls: Condition) -> None:
        """By expectation and maximisation (scikit-learn's); a kind with Z sounds or fewer stays."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        for k in range(len(self.mean)):
            own = z[controls.kind == k].cpu().double().numpy()
            if len(own) <= z.shape[1]:
                continue
            able = [n for n in range(1, PARTS + 1) if n * z.shape[1] < len(own)]
            with warnings.catch_warnings():
                # of residuals that are all the same
                warnings.simplefilter("ignore", ConvergenceWarning)
                fitted = [
                    GaussianMixture(n, reg_covar=_FLOOR, random_state=0).fit(own) for n in able
                ]
            best = fitted[int(np.argmin([mixture.bic(own) for mixture in fitted]))]
            order = np.argsort(-best.weights_)
            count = len(order)
            self.weight[k] = 0.0
            self.weight[k, :count] = torch.from_numpy(best.weights_[order])
            self.mean[k, :count] = torch.from_numpy(best.means_[order])
            self.scale[k, :count] = torch.linalg.cholesky(
                torch.from_numpy(best.covariances_[order])
            )

    def sample(self, controls: Condition, noise: Tensor) -> Tensor:
        """See `Prior`."""
        upper = self.weight[controls.kind].double().cumsum(1)  # (B, P)
        quantile = _quantile(noise[:, 0])
        part = (quantile[:, None] >= upper).sum(1).clamp_max(PARTS - 1)
        # rounding, at the upper end
        part = torch.minimum(part, (self.weight[controls.kind] > 0).sum(1) - 1)
        share, below, above = self._place(controls, part)
        first = _normal((quantile - below) / share, (_quantile(-noise[:, 0]) - above) / share)
        inside = torch.cat([first[:, None].to(noise), noise[:, 1:]], 1)
        scale = self.scale[controls.kind, part]
        return self.mean[controls.kind, part] + torch.einsum("bij,bj->bi", scale, inside)

    def noise(self, controls: Condition, z: Tensor) -> Tensor:
        """See `Prior`; of the part that the residual is likeliest of."""
        part = self._each(z, controls).argmax(1)
        away = (z - self.mean[controls.kind, part])[..., None]
        inside = torch.linalg.solve_triangular(self.scale[controls.kind, part], away, upper=False)[
            ..., 0
        ]
        share, below, above = self._place(controls, part)
        first = _normal(
            below + share * _quantile(inside[:, 0]), above + share * _quantile(-inside[:, 0])
        )
        return torch.cat([first[:, None].to(z), inside[:, 1:]], 1)

    def log_prob(self, z: Tensor, controls: Condition) -> Tensor:
        """See `Prior`."""
        return self._each(z, controls).logsumexp(1)

    def _place(self, controls: Condition, part: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of the part of each (B,): its share, and the sums of those before and behind it."""
        weight, part = self.weight[controls.kind].double(), part[:, None]
        none = weight.new_zeros(len(weight), 1)
        before = torch.cat([none, weight[:, :-1].cumsum(1)], 1)
        behind = torch.cat([weight[:, 1:].flip(1).cumsum(1).flip(1), none], 1)
        return (
            weight.gather(1, part)[:, 0],
            before.gather(1, part)[:, 0],
            behind.gather(1, part)[:, 0],
        )

    def _each(self, z: Tensor, controls: Condition) -> Tensor:
        """Log of weight times density of each part, (B, P)."""
        normal = torch.distributions.MultivariateNormal(
            self.mean[controls.kind], scale_tril=self.scale[controls.kind]
        )
        return torch.as_tensor(normal.log_prob(z[:, None])) + self.weight[controls.kind].log()


def _quantile(normal: Tensor) -> Tensor:
    """Standard normal numbers to their quantiles, in float64."""
    return torch.as_tensor(torch.special.ndtr(normal.double())).clamp(_TAIL, 1 - _TAIL)


def _normal(below: Tensor, above: Tensor) -> Tensor:
    """Standard normal numbers, by the share that lies below and that above: the smaller one is
    exact.
    """
    low, high = (torch.special.ndtri(share.clamp(_TAIL, 1 - _TAIL)) for share in (below, above))
    return torch.where(below < above, low, -high)


class Coupling(nn.Module):
    """Half of the numbers scale and shift the other half, as a condition says too (Dinh et al.
    2017).

    It starts as the identity.

    Args:
        size: Z.
        condition: D, size of the condition.
        odd: which half is moved.
    """

    mask: Tensor

    def __init__(self, size: int, condition: int, odd: int) -> None:
        super().__init__()
        self.register_buffer("mask", (torch.arange(size) % 2 == odd).float(), persistent=False)
        self.net = nn.Sequential(
            nn.Linear(size + condition, 48), nn.SiLU(), zeroed(nn.Linear(48, 2 * size))
        )

    def moves(self, kept: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Log scale and shift (B, Z), 0 where the numbers are kept."""
        scale, shift = self.net(torch.cat([kept * self.mask, condition], 1)).chunk(2, 1)
        return scale.tanh() * (1 - self.mask), shift * (1 - self.mask)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.moves(x, condition)
        return x * scale.exp() + shift, scale.sum(1)

    def inverse(self, y: Tensor, condition: Tensor) -> Tensor:
        """(B, Z) back: what is kept says how the rest was moved."""
        scale, shift = self.moves(y, condition)
        return (y - shift) * (-scale).exp()


class Flow(nn.Module):
    """Affine couplings between residuals and standard normal numbers, which see kind and controls.

    It is fitted by maximum likelihood, and keeps the step at which the fifth of the sounds that it
    does not learn from is likeliest.
    """

    LAYERS, KIND = 8, 8  # couplings; numbers of a kind's embedding
    middle: Tensor
    spread: Tensor

    def __init__(self, kinds: int, size: int) -> None:
        super().__init__()
        self.kind = nn.Embedding(kinds, self.KIND)
        self.layers = nn.ModuleList(
            Coupling(size, self.KIND + 4, i % 2) for i in range(self.LAYERS)
        )
        self.register_buffer("middle", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))

    def fit(self, z: Tensor, controls: Condition, steps: int = 3000, seed: int = 0) -> None:
        """See `Prior`. Some seconds for a thousand steps; torch's global random state stays as it
        was.

        With Z sounds or fewer it stays.
        """
        if len(z) <= z.shape[1]:
            return
        chance = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(z), generator=chance).to(z.device)
        checked = max(1, len(z) // 5)
        check, learn = order[:checked], order[checked:]
        self.middle.copy_(z.mean(0))
        self.spread.copy_(z.std(0).clamp_min(_JITTER**0.5))
        with torch.enable_grad(), torch.inference_mode(False):
            optimizer = torch.optim.AdamW(self.parameters(), 2e-3, weight_decay=1e-3)
            best, kept = (
                -math.inf,
                {name: value.clone() for name, value in self.state_dict().items()},
            )
            for step in range(steps):
                rows = learn[
                    torch.randint(len(learn), (min(256, len(learn)),), generator=chance).to(
                        z.device
                    )
                ]
                optimizer.zero_grad()
                (-self.log_prob(z[rows], controls.take(rows)).mean()).backward()
                optimizer.step()
                if step % 50 == 49 or step == steps - 1:
                    with torch.no_grad():
                        now = float(self.log_prob(z[check], controls.take(check)).mean())
                    if now > best:
                        best, kept = (
                            now,
                            {name: value.clone() for name, value in self.state_dict().items()},
                        )
        self.load_state_dict(kept)
        self.requires_grad_(False)

    def sample(self, controls: Condition, noise: Tensor) -> Tensor:
        """See `Prior`."""
        condition, h = self._condition(controls), noise
        for layer in reversed(list(self.layers)):
            assert isinstance(layer, Coupling)
            h = layer.inverse(h, condition)
        return self.middle + self.spread * h

    def noise(self, controls: Condition, z: Tensor) -> Tensor:
        """See `Prior`."""
        return self._to_noise(z, controls)[0]

    def log_prob(self, z: Tensor, controls: Condition) -> Tensor:
        """See `Prior`."""
        h, volume = self._to_noise(z, controls)
        return volume - 0.5 * (h.square() + math.log(2 * math.pi)).sum(1)

    def _to_noise(self, z: Tensor, controls: Condition) -> tuple[Tensor, Tensor]:
        """Normal numbers (B, Z), and by how much they lie denser than residuals, log (B,)."""
        condition = self._condition(controls)
        h, volume = (z - self.middle) / self.spread, -self.spread.log().sum()
        for layer in self.layers:
            h, grown = layer(h, condition)
            volume = volume + grown
        return h, volume

    def _condition(self, controls: Condition) -> Tensor:
        return torch.cat([self.kind(controls.kind), controls.numbers], 1)
