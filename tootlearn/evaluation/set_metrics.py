"""Distances between two sets of sounds by their embeddings: fidelity, variety and novelty.

Rows are embeddings of sounds, such as those of `classifier.Classifier.embed`, or any other. A
figure means little alone: it is a random draw, and most figures depend on the number of sounds. So
`against_floor` gives each with N and beside the same distance of real sounds from real ones.

All are blind to what the embedding is blind to. The project's own classifier was trained to tell
kinds: it ignores level, almost ignores pitch, and hardly sees smeared phases or a wobble of a few
cents (`benchmarks/metrics.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tootlearn import rng

KAD_SCALE = 100  # what the authors' toolkit multiplies the kernel audio distance by
NEIGHBOURS = 5  # of density and coverage, as the authors have it


def kernel_distance(estimate: Tensor, reference: Tensor) -> float:
    """KAD, the kernel audio distance between two sets of embeddings (Chung et al. 2025, "KAD: No
    More FAD!").

    100 times the unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012,
    equation 3) under the Gaussian kernel exp(-d^2 / (2 s^2)), where s is the median distance
    between two members of the reference set. Scale and kernel are those of the authors' toolkit.
    Unlike the Frechet distance it does not shrink as sets grow, so sets of different sizes can be
    compared; but it is a draw, with a spread: show N, and the distance of real from real.

    Args:
        estimate: embeddings (A, E) of the sounds that are judged; A is 2 or more.
        reference: embeddings (B, E) of those that they should be like; B is 2 or more.

    Returns:
        Without a unit, at most 200; around 0 for sets of one distribution, and then as often below
        0 as above.

    Raises:
        ValueError: if a set has less than 2 members, or holds a nan or an infinity, or the sizes E
            differ, or most of the reference set is one point, which has no scale.
    """
    a, b = _sets(estimate, reference)
    bandwidth = torch.pdist(b).median()
    if not bandwidth > 0:
        raise ValueError(
            "most of the reference set is one point: it has no scale to measure a distance on"
        )

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (-_apart(x, y).square() / (2 * bandwidth**2)).exp()

    def within(x: Tensor) -> Tensor:
        # a member is not its own neighbour
        return (kernel(x, x).sum() - len(x)) / (len(x) * (len(x) - 1))

    return KAD_SCALE * float(within(a) + within(b) - 2 * kernel(a, b).mean())


def frechet_distance(estimate: Tensor, reference: Tensor) -> float:
    """FAD, the Frechet audio distance between two sets of embeddings (Kilgour et al. 2019).

    ||m_a - m_b||^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of means m and covariances C, as if both
    sets were Gaussian. The last trace is the nuclear norm of the product of the centred sets, so no
    matrix root is taken. It is biased: sets of one distribution are the farther apart the smaller
    they are. Compare only at one N.

    Args:
        estimate: embeddings (A, E) of the sounds that are judged; A is 2 or more.
        reference: embeddings (B, E) of those that they should be like; B is 2 or more.

    Returns:
        The unit of the embeddings, squared; 0 for equal sets.

    Raises:
        ValueError: as for `kernel_distance`, but that a set may be one point.
    """
    a, b = _sets(estimate, reference)
    shift = (a.mean(0) - b.mean(0)).square().sum()
    a, b = ((x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (a, b))
    spread = a.square().sum() + b.square().sum()
    root_a, root_b = (torch.linalg.qr(x, mode="r").R for x in (a, b))  # R^T R is the covariance
    return max(0.0, float(shift + spread - 2 * torch.linalg.svdvals(root_a @ root_b.T).sum()))


def density(estimate: Tensor, reference: Tensor, neighbours: int = NEIGHBOURS) -> float:
    """How deep the judged sounds lie among real ones (Naeem et al. 2020): fidelity, not variety.

    Around each real sound lies a ball up to its k-th nearest real neighbour. Density is the mean
    number of balls that a judged sound lies in, over k. Blind spot: what makes sounds alike raises
    it. Sounds that are all one and the same typical sound have the highest; noise, clipping, wobble
    and smeared phases may raise it too. Never read it alone.

    Args:
        estimate: embeddings (A, E) of the sounds that are judged.
        reference: embeddings (B, E) of real ones, more than ``neighbours``.
        neighbours: k.

    Returns:
        0 or more: 1 on average for sets of one distribution, and more where they crowd together.

    Raises:
        ValueError: as for `kernel_distance`, or if there are not more than k real sounds.
    """
    inside = _inside(estimate, reference, neighbours)
    return float(inside.double().sum(0).mean()) / neighbours


def coverage(estimate: Tensor, reference: Tensor, neighbours: int = NEIGHBOURS) -> float:
    """The share of real sounds that have a judged one in their ball, see `density` (Naeem et al.
    2020): variety.

    A set that misses a kind of sound covers less, however good the rest is. Blind spot: faults that
    move every sound a little, such as clipping, wobble and smeared phases, hardly change it.

    Args:
        estimate: embeddings (A, E) of the sounds that are judged.
        reference: embeddings (B, E) of real ones, more than ``neighbours``.
        neighbours: k.

    Returns:
        0 to 1; for sets of one distribution and N sounds each 1 - (N - 1) ... (N - k) / ((2 N - 1)
        ... (2 N - k)) on average, 0.97 for k = 5 and large N.

    Raises:
        ValueError: as for `density`.
    """
    return float(_inside(estimate, reference, neighbours).any(1).double().mean())


def nearest_distance(estimate: Tensor, training: Tensor) -> Tensor:
    """Distance of each judged sound from the nearest training sound: does a generator copy?

    Set it beside the distances of held-out real sounds from the same training sounds, see
    `copied_share`. A classifier's embeddings are trained to ignore how two toots of a kind differ:
    use flattened log-mels here. It does not measure quality: a bad sound may be as near as a good
    one.

    Args:
        estimate: (A, E).
        training: (B, E).

    Returns:
        (A,), in the unit of the embeddings; 0 for a copy.

    Raises:
        ValueError: if a set is empty, or as for `kernel_distance`.
    """
    a, b = _sets(estimate, training, least=1)
    return _apart(a, b).amin(1).to(estimate.dtype)


def copied_share(estimate: Tensor, held_out: Tensor, share: float = 0.05) -> float:
    """How many judged sounds are nearer to a training sound than nearly all held-out real ones are.

    Args:
        estimate: `nearest_distance` of the judged sounds, (A,).
        held_out: that of real sounds that were held out of training, (B,).
        share: of the held-out sounds that set the limit.

    Returns:
        0 to 1: about ``share`` where judged sounds are as new as held-out ones, more where some are
            copies.
    """
    return float((estimate < held_out.quantile(share)).double().mean())


@dataclass(frozen=True)
class SetDistance:
    """A distance of a set from real sounds, beside the same distance of other real sounds from
    these.

    Args:
        value: mean over drawings.
        spread: standard deviation of one drawing; 0 where each takes all judged sounds, and their
            distance asks for no reference.
        floor, floor_spread: the same for real sounds against real ones, which no generator can be
            expected to beat.
        count: N of each side of each drawing.
    """

    value: float
    spread: float
    floor: float
    floor_spread: float
    count: int


def against_floor(
    distance: Callable[[Tensor, Tensor], float],
    estimate: Tensor,
    real: Tensor,
    rounds: int = 20,
    seed: int = 0,
) -> SetDistance:
    """A distance of a set from real sounds, and the floor: that of other real sounds from the same
    ones.

    Real sounds are halved at random, many times. One half is the reference; as many judged sounds,
    and the other half, are compared with it. So all have one N, and no sound meets itself. Halvings
    overlap: the spread is that of one drawing, not the error of the mean.

    Args:
        distance: such as `kernel_distance`.
        estimate: embeddings (A, E) of the sounds that are judged; A is 2 or more.
        real: embeddings (B, E); B is 4 or more.
        rounds: drawings.
        seed: of the drawings.

    Returns:
        SetDistance, with N the smaller of A and B / 2.

    Raises:
        ValueError: if there are too few sounds, or ``distance`` refuses them.
    """
    if len(estimate) < 2 or len(real) < 4:
        raise ValueError(
            f"give 2 sounds or more to judge and 4 real ones or more, not {len(estimate)} and "
            f"{len(real)}"
        )
    count = min(len(estimate), len(real) // 2)
    values = []
    for i in range(rounds):
        order = _shuffled(real, seed, 2 * i)
        chosen = _shuffled(estimate, seed, 2 * i + 1)
        reference, other = real[order[:count]], real[order[count : 2 * count]]
        values.append((distance(estimate[chosen[:count]], reference), distance(other, reference)))
    (value, floor), (spread, floor_spread) = np.mean(values, 0).tolist(), np.std(values, 0).tolist()
    return SetDistance(value, spread, floor, floor_spread, count)


def _shuffled(embeddings: Tensor, seed: int, step: int) -> Tensor:
    """The indices of the rows of (A, E) in random order."""
    words = rng.words(seed, rng.at_step(rng.Stream.SET_HALVES, step), len(embeddings))
    return torch.from_numpy(np.argsort(words, kind="stable")).to(embeddings.device)


def _sets(estimate: Tensor, reference: Tensor, least: int = 2) -> tuple[Tensor, Tensor]:
    """Both sets in double precision, after checking that they are finite and of one space."""
    for name, x in (("estimate", estimate), ("reference", reference)):
        if x.ndim != 2 or len(x) < least:
            raise ValueError(f"the {name} set is ({least} or more, E), not {tuple(x.shape)}")
        if not x.isfinite().all():
            raise ValueError(f"the {name} set has an embedding that is not finite")
    if estimate.shape[1] != reference.shape[1]:
        raise ValueError(
            f"embeddings have {estimate.shape[1]} and {reference.shape[1]} numbers: not one space"
        )
    return estimate.double(), reference.double()


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances (A, B), without the rounding of the short cut by matrix product."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _inside(estimate: Tensor, reference: Tensor, neighbours: int) -> Tensor:
    """(B, A): whether each judged sound lies in the ball of each real one."""
    a, b = _sets(estimate, reference)
    if not 1 <= neighbours < len(b):
        raise ValueError(
            f"{neighbours} neighbours want more than as many real sounds, not {len(b)}"
        )
    radius = _apart(b, b).kthvalue(neighbours + 1, dim=1).values  # the first is itself
    return _apart(b, a) < radius[:, None]
