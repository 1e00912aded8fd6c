"""How well a prior knows the residual latents of sounds that nobody learned from.

    python benchmarks/priors.py [--model FILE] [--clips 4800] [--seeds 1 2 3]

The generator's encoder gives a residual (its mean) for every synthetic clip; whole (kind, semitone) groups are held
out, and a fifth of what is left decides how long a flow learns and how many parts a mixture has. Printed is the mean
log-likelihood of the held-out residuals, in nats for each of their numbers: more is better, and the difference from the
first row is what a prior knows beyond mean and variance of all. Priors:

* one Gaussian for all; a Gaussian for each kind (the one that is shipped);
* for each kind a Gaussian whose mean is linear in pitch, duration, brightness and loudness;
* for each kind a mixture of Gaussians (scikit-learn), with 1 to 6 parts;
* a flow: eight affine coupling layers (Dinh et al. 2017) that see kind and controls.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from timing import one_machine
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

import tootlearn
from tootlearn.data.clips import Clips, synthesise
from tootlearn.decoder import Condition
from tootlearn.generation import TootGenerator

Prior = Callable[[Tensor, Condition], Tensor]  # residuals (B, Z) and their controls -> log-likelihoods (B,)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="the shipped one without it")
    parser.add_argument("--clips", type=int, default=4800)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(one_machine(options.threads))
    generator = tootlearn.load(options.model)
    clips = synthesise(generator.kinds, options.clips, 0, generator.model.front_end)
    learn, held_out = clips.split()
    z, controls = residuals(generator, learn)
    test, asked = residuals(generator, held_out)
    found: dict[str, list[float]] = {}
    for seed in options.seeds:
        order = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))
        train, check = order[len(z) // 5 :], order[: len(z) // 5]
        data = (z[train], take(controls, train), z[check], take(controls, check))
        for name, fit in PRIORS.items():
            found.setdefault(name, []).append(float(fit(*data, seed)(test, asked).mean()) / test.shape[1])
    print(f"N = {len(test)} held out, {len(z)} to learn from; {test.shape[1]} numbers; nats a number")
    for name, values in found.items():
        print(f"{name:34}{np.mean(values):8.3f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.3f}")


@torch.inference_mode()
def residuals(generator: TootGenerator, clips: Clips) -> tuple[Tensor, Condition]:
    """The encoder's means (B, Z), and the controls."""
    controls = Condition.of(clips.controls)
    rows = torch.arange(len(clips)).split(128)
    network = generator.model.generator
    assert network is not None
    means = [network.encode(clips.log_mel[r].float(), take(controls, r))[0] for r in rows]
    return torch.cat(means).clone(), controls


def take(controls: Condition, rows: Tensor) -> Condition:
    return Condition(*(column[rows] for column in controls))


def each_kind(
    z: Tensor, controls: Condition, fit: Callable[[Tensor, Tensor], Callable[[Tensor, Tensor], Tensor]]
) -> Prior:
    """A prior of its own for every kind, fitted to its residuals (B, Z) and numbers (B, 4)."""
    kinds = controls.kind.unique().tolist()
    own = {k: fit(z[controls.kind == k], controls.numbers[controls.kind == k]) for k in kinds}

    def log_prob(x: Tensor, given: Condition) -> Tensor:
        found = x.new_zeros(len(x))
        for k, prior in own.items():
            rows = given.kind == k
            found[rows] = prior(x[rows], given.numbers[rows])
        return found

    return log_prob


def normal(z: Tensor) -> MultivariateNormal:
    return MultivariateNormal(z.mean(0), z.T.cov() + 1e-6 * torch.eye(z.shape[1]))


def for_all(z: Tensor, controls: Condition, *_: object) -> Prior:
    fitted = normal(z)
    return lambda x, given: fitted.log_prob(x)


def gaussian(z: Tensor, controls: Condition, *_: object) -> Prior:
    def fit(own: Tensor, numbers: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        fitted = normal(own)
        return lambda x, _: fitted.log_prob(x)

    return each_kind(z, controls, fit)


def linear(z: Tensor, controls: Condition, *_: object) -> Prior:
    def terms(numbers: Tensor) -> Tensor:
        return torch.cat([torch.ones(len(numbers), 1), numbers], 1)

    def fit(own: Tensor, numbers: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        weights = torch.linalg.lstsq(terms(numbers), own).solution
        fitted = normal(own - terms(numbers) @ weights)
        return lambda x, given: fitted.log_prob(x - terms(given) @ weights)

    return each_kind(z, controls, fit)


def mixture(z: Tensor, controls: Condition, check: Tensor, checked: Condition, seed: int) -> Prior:
    from sklearn.mixture import GaussianMixture

    def of(parts: int) -> Prior:
        def fit(own: Tensor, numbers: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
            fitted = GaussianMixture(parts, reg_covar=1e-4, random_state=seed).fit(own.numpy())
            return lambda x, _: torch.from_numpy(fitted.score_samples(x.numpy())).float()

        return each_kind(z, controls, fit)

    return max((of(parts) for parts in (1, 2, 3, 4, 6)), key=lambda prior: float(prior(check, checked).mean()))


class Coupling(nn.Module):
    """Half of the numbers scale and shift the other half, as the condition says too."""

    def __init__(self, size: int, condition: int, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)
        self.net = nn.Sequential(nn.Linear(size + condition, 48), nn.SiLU(), nn.Linear(48, 2 * size))
        nn.init.zeros_(self.net[2].weight)
        nn.init.zeros_(self.net[2].bias)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.net(torch.cat([x * self.mask, condition], 1)).chunk(2, 1)
        scale, shift = scale.tanh() * (1 - self.mask), shift * (1 - self.mask)
        return x * scale.exp() + shift, scale.sum(1)


def flow(z: Tensor, controls: Condition, check: Tensor, checked: Condition, seed: int) -> Prior:
    torch.manual_seed(seed)
    size, kinds = z.shape[1], int(controls.kind.max()) + 1
    masks = [(torch.arange(size) % 2 == i % 2).float() for i in range(8)]
    layers = nn.ModuleList(Coupling(size, kinds + 4, mask) for mask in masks)
    middle, spread = z.mean(0), z.std(0)

    def log_prob(x: Tensor, given: Condition) -> Tensor:
        condition = torch.cat([nn.functional.one_hot(given.kind, kinds).float(), given.numbers], 1)
        h, volume = (x - middle) / spread, -spread.log().sum()
        for layer in layers:
            h, grown = layer(h, condition)
            volume = volume + grown
        return -0.5 * (h.square() + np.log(2 * np.pi)).sum(1) + volume

    optimizer = torch.optim.AdamW(layers.parameters(), 2e-3, weight_decay=1e-3)
    best, kept = -np.inf, layers.state_dict()
    for step in range(3000):
        rows = torch.randint(len(z), (256,))
        optimizer.zero_grad()
        (-log_prob(z[rows], take(controls, rows)).mean()).backward()
        optimizer.step()
        if step % 50 == 49:
            with torch.no_grad():
                now = float(log_prob(check, checked).mean())
            if now > best:
                best, kept = now, {name: value.clone() for name, value in layers.state_dict().items()}
    layers.load_state_dict(kept)
    return torch.no_grad()(log_prob)


PRIORS = {
    "one Gaussian for all": for_all,
    "a Gaussian for each kind": gaussian,
    "mean linear in the controls": linear,
    "a mixture for each kind": mixture,
    "a flow over kind and controls": flow,
}

if __name__ == "__main__":
    main()
