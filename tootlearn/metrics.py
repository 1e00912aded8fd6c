"""How far a sound is from another: the four distances of every table; how far a set of them is from another; ranks.

No single one is to be trusted. Spectral convergence is ruled by the loudest partials, LSD by the quiet rest, mel L1
sees nothing finer than a band, and only the multi-resolution distance looks through more than one window. So they are
shown side by side.

All are 0 (spectral convergence in dB: -inf) for equal sounds and compare each clip of a batch with its own counterpart.
Silence makes no nan: two silent clips are equal, and by relative measures all else is infinitely far from a silent one.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from tootlearn.mel import Mel
from tootlearn.normalization import log_mel
from tootlearn.stft import Stft

MEL_FLOOR = 1e-5
LSD_RANGE = 1e-4  # 80 dB
LSD_LOWEST = 1e-8  # the floor where the reference is silent: finite, and far below 16 bits
RESOLUTIONS = ((2048, 512), (1024, 256), (512, 128))  # n_fft, hop
MULTI_RESOLUTION_FLOOR = 1e-3
KAD_SCALE = 100  # what the authors' toolkit multiplies the kernel audio distance by


class Distances(NamedTuple):
    """The four distances between waves; each field has the waves' leading shape `(...)`."""

    spectral_convergence: Tensor  # dB
    log_spectral_distance: Tensor  # dB
    mel_l1: Tensor
    multi_resolution: Tensor


def _relative_error(estimate: Tensor, reference: Tensor) -> Tensor:
    """||estimate - reference|| / ||reference|| of each clip: (..., F, T) -> (...); 0 / 0 is 0."""
    error, size = ((x.square().sum((-2, -1))).sqrt() for x in (estimate - reference, reference))
    return (error / size).where(error > 0, 0)


def spectral_convergence(estimate: Tensor, reference: Tensor) -> Tensor:
    """Spectral convergence: 20 log10(||estimate - reference|| / ||reference||), Frobenius norms (Arik et al. 2018).

    Args:
        estimate: magnitude (..., F, T); the tables take it at 1024 / 256.
        reference: magnitude (..., F, T).

    Returns:
        (...) in dB: -6.02 for an error half the size of the reference, -inf for none, inf where only the reference is
        silent.
    """
    return 20 * torch.log10(_relative_error(estimate, reference))


def log_spectral_distance(estimate: Tensor, reference: Tensor) -> Tensor:
    """LSD: the RMS over bins of the difference in dB, averaged over frames (Gray and Markel 1976).

    Args:
        estimate: magnitude (..., F, T).
        reference: magnitude (..., F, T). Both are floored 80 dB below the peak of this one's clip.

    Returns:
        (...) in dB, 0 or more and finite.
    """
    floor = (LSD_RANGE * reference.amax((-2, -1), keepdim=True)).clamp_min(LSD_LOWEST)
    decibels = 20 * (torch.maximum(estimate, floor) / torch.maximum(reference, floor)).log10()
    return decibels.square().mean(-2).sqrt().mean(-1)


def mel_l1(estimate: Tensor, reference: Tensor) -> Tensor:
    """Mean absolute difference of natural-log mels floored at 1e-5.

    Args:
        estimate: mel bands (..., M, T), before the logarithm.
        reference: mel bands (..., M, T).

    Returns:
        (...), 0 or more: .115 is 1 dB.
    """
    return (log_mel(estimate, MEL_FLOOR) - log_mel(reference, MEL_FLOOR)).abs().mean((-2, -1))


def multi_resolution(estimate: Tensor, reference: Tensor) -> Tensor:
    """MR: linear spectral convergence plus mean absolute natural-log magnitude difference, averaged over three STFTs.

    The multi-resolution STFT distance of Yamamoto et al. (2020) at 2048 / 512, 1024 / 256 and 512 / 128, with the
    logarithm floored at a magnitude of 1e-3.

    Args:
        estimate: wave (..., N).
        reference: wave (..., N).

    Returns:
        (...), 0 or more; inf where only the reference is silent.
    """
    total = reference.new_zeros(reference.shape[:-1])
    for n_fft, hop in RESOLUTIONS:
        stft = Stft(n_fft, hop).to(reference.device)
        a, b = stft.magnitude(estimate), stft.magnitude(reference)
        logs = (a.clamp_min(MULTI_RESOLUTION_FLOOR) / b.clamp_min(MULTI_RESOLUTION_FLOOR)).log()
        total = total + _relative_error(a, b) + logs.abs().mean((-2, -1))
    return total / len(RESOLUTIONS)


def compare(estimate: Tensor, reference: Tensor, sample_rate: int = 22050, mels: int = 128) -> Distances:
    """All four distances between waves, the first three at 1024 / 256, with Slaney mels up to half the sample rate.

    Args:
        estimate: wave (..., N).
        reference: wave (..., N).
        sample_rate: Hz.
        mels: bands of mel L1.

    Returns:
        Distances, each field (...).
    """
    stft, mel = Stft(1024, 256).to(reference.device), Mel(sample_rate, 1024, mels).to(reference.device)
    a, b = stft.magnitude(estimate), stft.magnitude(reference)
    return Distances(
        spectral_convergence=spectral_convergence(a, b),
        log_spectral_distance=log_spectral_distance(a, b),
        mel_l1=mel_l1(mel(a), mel(b)),
        multi_resolution=multi_resolution(estimate, reference),
    )


def kernel_distance(estimate: Tensor, reference: Tensor) -> float:
    """KAD, the kernel audio distance between two sets of embeddings (Chung et al. 2025, "KAD: No More FAD!").

    100 times the unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, equation 3) under the
    Gaussian kernel exp(-d^2 / (2 s^2)), where s is the median distance between two members of the reference set. Scale
    and kernel are those of the authors' toolkit. Unlike the Frechet distance it does not shrink as sets grow, so sets
    of different sizes can be compared; but it is a draw, with a spread: show N, and the distance of real from real.

    Args:
        estimate: embeddings (A, E) of the sounds that are judged; A is 2 or more.
        reference: embeddings (B, E) of those that they should be like; B is 2 or more.

    Returns:
        Without a unit, at most 200; around 0 for sets of one distribution, and then as often below 0 as above.

    Raises:
        ValueError: if a set has less than 2 members, or holds a nan or an infinity, or the sizes E differ, or most of
            the reference set is one point, which has no scale.
    """
    for name, x in (("estimate", estimate), ("reference", reference)):
        if x.ndim != 2 or len(x) < 2:
            raise ValueError(f"the {name} set is (2 or more, E), not {tuple(x.shape)}")
        if not x.isfinite().all():
            raise ValueError(f"the {name} set has an embedding that is not finite")
    if estimate.shape[1] != reference.shape[1]:
        raise ValueError(f"embeddings have {estimate.shape[1]} and {reference.shape[1]} numbers: not one space")
    a, b = estimate.double(), reference.double()
    bandwidth = torch.pdist(b).median()
    if not bandwidth > 0:
        raise ValueError("most of the reference set is one point: it has no scale to measure a distance on")

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (-torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square() / (2 * bandwidth**2)).exp()

    def within(x: Tensor) -> Tensor:
        return (kernel(x, x).sum() - len(x)) / (len(x) * (len(x) - 1))  # a member is not its own neighbour

    return KAD_SCALE * float(within(a) + within(b) - 2 * kernel(a, b).mean())


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's rank correlation, with the mean rank for ties.

    Args:
        a: (N,), whatever its unit: only the order counts.
        b: (N,).

    Returns:
        -1 to 1; nan where either is constant, shorter than 2, or holds a nan: a missing measurement must not pass for
        agreement.
    """
    if torch.isnan(a).any() or torch.isnan(b).any():
        return torch.nan
    x, y = (ranks - ranks.mean() for ranks in (_ranks(a).double(), _ranks(b).double()))
    return float((x * y).sum() / (x.square().sum() * y.square().sum()).sqrt())


def _ranks(values: Tensor) -> Tensor:
    """Rank of each value from 1 up; equal values share the mean of theirs."""
    below = (values < values[:, None]).sum(1)
    equal = (values == values[:, None]).sum(1)
    return below + (equal + 1) / 2
