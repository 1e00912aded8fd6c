"""How well a prior knows the residual latents of sounds that it was not fitted to.

    python benchmarks/priors.py [--model FILE] [--clips 4800]

The generator's encoder gives a residual (its mean) for every synthetic clip; whole (kind, semitone)
groups are held out. Printed is the mean log-likelihood of the held-out residuals, in nats for each
of their numbers: higher is better, and the difference from the first row is what a prior knows
beyond the mean and variance of all residuals. The priors are one Gaussian for all, a Gaussian for
each kind (which is what models use), and for each kind a Gaussian whose mean is linear in pitch,
duration, brightness and loudness.
"""

import argparse
from pathlib import Path

import torch
from timing import one_machine
from torch import Tensor
from torch.distributions import MultivariateNormal

import tootlearn
from tootlearn.data.clips import Clips, synthesise
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models.decoder import Condition
from tootlearn.models.prior import GaussianPrior


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="the shipped one by default")
    parser.add_argument("--clips", type=int, default=4800)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(one_machine(options.threads))
    generator = tootlearn.load(options.model)
    clips = synthesise(generator.kinds, options.clips, 0, generator.model.front_end)
    learn, held_out = clips.split()
    z, controls = residuals(generator, learn)
    test, test_controls = residuals(generator, held_out)
    print(f"N = {len(test)} held out, {len(z)} to fit to; {test.shape[1]} numbers; nats a number")
    kinds = len(generator.kinds)
    for_all = controls._replace(kind=torch.zeros_like(controls.kind))
    one = test_controls._replace(kind=torch.zeros_like(test_controls.kind))
    weights = linear_means(z, controls, kinds)
    rows = {
        "one Gaussian for all": log_likelihood(z, for_all, test, one, 1),
        "a Gaussian for each kind": log_likelihood(z, controls, test, test_controls, kinds),
        "mean linear in the controls": log_likelihood(
            z - predicted(weights, controls),
            controls,
            test - predicted(weights, test_controls),
            test_controls,
            kinds,
        ),
    }
    for name, value in rows.items():
        print(f"{name:34}{value / test.shape[1]:8.3f}")


@torch.inference_mode()
def residuals(generator: TootGenerator, clips: Clips) -> tuple[Tensor, Condition]:
    """The encoder's means (B, Z), and the controls."""
    controls = Condition.of(clips.controls)
    rows = torch.arange(len(clips)).split(128)
    means = [generator.network.encode(clips.log_mel[r].float(), controls.take(r))[0] for r in rows]
    return torch.cat(means).clone(), controls


def log_likelihood(
    z: Tensor, controls: Condition, test: Tensor, test_controls: Condition, kinds: int
) -> float:
    """Mean log-likelihood, in nats, of test residuals under the prior fitted to ``z``."""
    size = z.shape[1]
    prior = GaussianPrior(torch.zeros(kinds, size), torch.eye(size).repeat(kinds, 1, 1))
    prior.fit(z, controls)
    kind = test_controls.kind
    normal = MultivariateNormal(prior.mean[kind], scale_tril=prior.scale[kind])
    return float(normal.log_prob(test).mean())


def linear_means(z: Tensor, controls: Condition, kinds: int) -> Tensor:
    """Least-squares weights (K, 5, Z) of a constant and the controls, for each kind."""
    rows = [controls.kind == k for k in range(kinds)]
    return torch.stack([torch.linalg.lstsq(terms(controls)[r], z[r]).solution for r in rows])


def predicted(weights: Tensor, controls: Condition) -> Tensor:
    """The means (B, Z) that the weights give for the controls."""
    return torch.einsum("bi,biz->bz", terms(controls), weights[controls.kind])


def terms(controls: Condition) -> Tensor:
    """A constant and the controls (B, 5)."""
    return torch.cat([torch.ones(len(controls.numbers), 1), controls.numbers], 1)


if __name__ == "__main__":
    main()
