"""How well a prior knows the residual latents of sounds that nobody learned from, and what toots it
makes of them.

    python benchmarks/priors.py [--model FILE] [--clips 4800] [--seeds 1 2 3] [--kad] [--toots 120]

The generator's encoder gives a residual (its mean) for every synthetic clip; whole (kind, semitone)
groups are held out. Printed is the mean log-likelihood of the held-out residuals, in nats for each
of their numbers: more is better, and the difference from the first row is what a prior knows beyond
mean and variance of all. Priors:

* one Gaussian for all; a Gaussian for each kind (the one that is shipped);
* for each kind a Gaussian whose mean is linear in pitch, duration, brightness and loudness;
* for each kind a mixture of Gaussians, see `priors.Mixture`;
* a flow that sees kind and controls, see `priors.Flow`; the seeds are those of its weights.

With `--kad`, toots are generated from the priors that a model can have, for the controls of
held-out sounds, and compared with these as sets; the floor is real against real. Beside it stands
how well they follow their controls.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from timing import one_machine
from torch import Tensor
from torch.distributions import MultivariateNormal

import tootlearn
from tootlearn.data.clips import Clips, synthesise
from tootlearn.evaluation.control import control_table
from tootlearn.evaluation.kind_accuracy import judge_of
from tootlearn.evaluation.set_distances import set_table
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models.decoder import Condition
from tootlearn.models.priors import Flow, Gaussian, Mixture

# residuals (B, Z) and their controls -> log-likelihoods (B,)
LogProb = Callable[[Tensor, Condition], Tensor]
SETS = ("kernel audio distance", "density", "coverage")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="the shipped one without it")
    parser.add_argument("--clips", type=int, default=4800)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--kad", action="store_true", help="also generate from each, with the first seed"
    )
    parser.add_argument("--toots", type=int, default=120, help="to generate from each")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(one_machine(options.threads))
    generator = tootlearn.load(options.model)
    clips = synthesise(generator.kinds, options.clips, 0, generator.model.front_end)
    learn, held_out = clips.split()
    z, controls = residuals(generator, learn)
    test, asked = residuals(generator, held_out)
    print(
        f"N = {len(test)} held out, {len(z)} to learn from; {test.shape[1]} numbers; nats a number"
    )
    kinds = len(generator.kinds)
    flows = [flow(z, controls, kinds, seed) for seed in options.seeds]
    fitted = {
        "a Gaussian for each kind": gaussian(z, controls, kinds),
        "a mixture for each kind": Mixture(kinds, z.shape[1]),
    }
    fitted["a mixture for each kind"].fit(z, controls)
    rows = {
        "one Gaussian for all": [for_all(z)],
        "a Gaussian for each kind": [fitted["a Gaussian for each kind"].log_prob],
        "mean linear in the controls": [linear(z, controls)],
        "a mixture for each kind": [fitted["a mixture for each kind"].log_prob],
        "a flow over kind and controls": [own.log_prob for own in flows],
    }
    for name, priors in rows.items():
        values = [float(log_prob(test, asked).mean()) / test.shape[1] for log_prob in priors]
        print(
            f"{name:34}{np.mean(values):8.3f}"
            + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")
        )
    if options.kad:
        generated(
            generator,
            learn,
            held_out,
            fitted | {"a flow over kind and controls": flows[0]},
            options.toots,
        )


def generated(
    generator: TootGenerator,
    learn: Clips,
    held_out: Clips,
    priors: dict[str, Gaussian | Mixture | Flow],
    toots: int,
) -> None:
    """Print likeness and control of toots from each prior."""
    judge, network, floor = judge_of(generator, learn), generator.network, ""
    print(
        f"{'generated':34}{'KAD':>14}{'density':>14}{'coverage':>14}{'f0, cents':>11}{'ms':>7}{'bright':>8}{'loud':>8}"
    )
    for name, prior in priors.items():
        if isinstance(prior, Gaussian):
            network.prior_fitted = None
            network.prior_mean.copy_(prior.mean)
            network.prior_scale.copy_(prior.scale)
        else:
            network.prior_fitted = prior
        sets = set_table(generator, learn, held_out, judge, toots)
        told = [f"{sets[s].value:.3g} ± {sets[s].spread:.2g}" for s in SETS]
        floor = "".join(f"{f'{sets[s].floor:.3g} ± {sets[s].floor_spread:.2g}':>14}" for s in SETS)
        o = control_table(generator, toots, pyin=False)["all"]["generated"]
        numbers = f"{o.f0_median:11.1f}{o.duration_median:7.1f}{o.brightness_rank:8.3f}{o.loudness_rank:8.3f}"
        print(f"{name:34}" + "".join(f"{value:>14}" for value in told) + numbers, flush=True)
    print(
        f"{'real against real':34}{floor}   N = {sets['density'].count} for sets, {toots} for controls"
    )


@torch.inference_mode()
def residuals(generator: TootGenerator, clips: Clips) -> tuple[Tensor, Condition]:
    """The encoder's means (B, Z), and the controls."""
    controls = Condition.of(clips.controls)
    rows = torch.arange(len(clips)).split(128)
    means = [generator.network.encode(clips.log_mel[r].float(), controls.take(r))[0] for r in rows]
    return torch.cat(means).clone(), controls


def gaussian(z: Tensor, controls: Condition, kinds: int) -> Gaussian:
    prior = Gaussian(torch.zeros(kinds, z.shape[1]), torch.eye(z.shape[1]).repeat(kinds, 1, 1))
    prior.fit(z, controls)
    return prior


def flow(z: Tensor, controls: Condition, kinds: int, seed: int) -> Flow:
    torch.manual_seed(seed)
    prior = Flow(kinds, z.shape[1])
    prior.fit(z, controls, seed=seed)
    return prior


def for_all(z: Tensor) -> LogProb:
    fitted = MultivariateNormal(z.mean(0), z.T.cov() + 1e-6 * torch.eye(z.shape[1]))
    return lambda x, _: fitted.log_prob(x)


def linear(z: Tensor, controls: Condition) -> LogProb:
    """For each kind a Gaussian around what is linear in the controls."""

    def terms(given: Condition) -> Tensor:
        return torch.cat([torch.ones(len(given.numbers), 1), given.numbers], 1)

    kinds = int(controls.kind.max()) + 1
    rows = [controls.kind == k for k in range(kinds)]
    # (K, 5, Z)
    weights = torch.stack([torch.linalg.lstsq(terms(controls)[r], z[r]).solution for r in rows])

    def strayed(x: Tensor, given: Condition) -> Tensor:
        return x - torch.einsum("bi,biz->bz", terms(given), weights[given.kind])

    around = gaussian(strayed(z, controls), controls, kinds)
    return lambda x, given: around.log_prob(strayed(x, given), given)


if __name__ == "__main__":
    main()
