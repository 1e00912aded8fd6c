"""Distances between two sounds: four of the whole spectrum, and others of one property each.

No single one is enough. Spectral convergence depends on the loudest partials, LSD on the quiet
rest, mel L1 sees nothing finer than a band, and only the multi-resolution distance uses more than
one window. So they are shown side by side.

Those of one property (pitch, envelope, onset) ignore everything else, on purpose.
`benchmarks/metrics.py` makes sounds worse by known amounts and shows which metrics follow; each
docstring names the blind spots.

All are 0 (spectral convergence in dB: -inf) for equal sounds and compare each clip of a batch with
its own counterpart. Silence makes no nan: two silent clips are equal, and spectral convergence from
a silent reference is inf.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tootlearn.dsp import measures
from tootlearn.dsp.audio import resample
from tootlearn.dsp.mel import Mel
from tootlearn.dsp.normalization import log_mel
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError
from tootlearn.losses.multi_resolution_stft import multi_resolution

MEL_FLOOR = 1e-5
LSD_RANGE = 1e-4  # 80 dB
LSD_LOWEST = 1e-8  # the floor where the reference is silent: finite, and far below 16 bits


CEPSTRA = 13  # orders of mel-cepstral distortion
# 40 dB: what is further below the peak has ended, as `measures.duration` has it
ENVELOPE_RANGE = 0.01
ZIMTOHRLI_RATE = 48000  # Hz, the only one that it takes
# s: version 0.2 writes out of bounds for clips of less than some hundredths
ZIMTOHRLI_SHORTEST = 0.5


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
    """Spectral convergence: 20 log10(||estimate - reference|| / ||reference||), Frobenius norms
    (Arik et al. 2018).

    Args:
        estimate: magnitude (..., F, T); the tables take it at 1024 / 256.
        reference: magnitude (..., F, T).

    Returns:
        (...) in dB: -6.02 for an error half the size of the reference, -inf for none, inf where
        only the reference is silent.
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
        (...), 0 or more: 0.115 is 1 dB.
    """
    return (log_mel(estimate, MEL_FLOOR) - log_mel(reference, MEL_FLOOR)).abs().mean((-2, -1))


def compare(
    estimate: Tensor, reference: Tensor, sample_rate: int = 22050, mels: int = 128
) -> Distances:
    """All four distances between waves, the first three at 1024 / 256, with Slaney mels up to half
    the sample rate.

    Args:
        estimate: wave (..., N).
        reference: wave (..., N).
        sample_rate: Hz.
        mels: bands of mel L1.

    Returns:
        Distances, each field (...).
    """
    stft, mel = (
        Stft(1024, 256).to(reference.device),
        Mel(sample_rate, 1024, mels).to(reference.device),
    )
    a, b = stft.magnitude(estimate), stft.magnitude(reference)
    return Distances(
        spectral_convergence=spectral_convergence(a, b),
        log_spectral_distance=log_spectral_distance(a, b),
        mel_l1=mel_l1(mel(a), mel(b)),
        multi_resolution=multi_resolution(estimate, reference),
    )


def mel_cepstral_distortion(estimate: Tensor, reference: Tensor, orders: int = CEPSTRA) -> Tensor:
    """MCD: how far the smooth shapes of two mel spectra are apart, whatever their levels (Kubichek
    1993).

    (10 / ln 10) sqrt(2 sum of (c - c')^2) over cepstra c of the orders 1 to 13, averaged over
    frames. Here c is the cosine series of the natural logarithm of the mels' power over the bands,
    so that MCD is the RMS over bands, in dB, of what a smooth curve shows of the difference. Order
    0 is the level, and left out; frames are compared one to one, without time warping, since ours
    are of one length. Papers differ in bands, orders and cepstra: compare figures only with those
    of one program. Blind spots: level; pitch and its wobble, which hardly change the smooth shape.

    Args:
        estimate: mel bands (..., M, T), before the logarithm.
        reference: mel bands (..., M, T). Both are floored 80 dB below the peak of this one's clip.
        orders: the highest order; M - 1 at most.

    Returns:
        (...) in dB, 0 or more.
    """
    bands = reference.shape[-2]
    floor = (LSD_RANGE * reference.amax((-2, -1), keepdim=True)).clamp_min(LSD_LOWEST)
    decibels = 20 * (torch.maximum(estimate, floor) / torch.maximum(reference, floor)).log10()
    band = (torch.arange(bands, device=reference.device, dtype=reference.dtype) + 0.5) / bands
    order = torch.arange(
        1, min(orders, bands - 1) + 1, device=reference.device, dtype=reference.dtype
    )
    cosines = (torch.pi * order[:, None] * band).cos() * (2**0.5 / bands)
    return (cosines @ decibels).square().sum(-2).sqrt().mean(-1)


class F0Error(NamedTuple):
    """How far two tracks of f0 are apart; each field has the waves' leading shape `(...)`."""

    cents: Tensor  # median over the frames that are voiced in both; nan where none is
    voicing: Tensor  # share of the frames that are voiced in one and not in the other


def f0_error(
    estimate: Tensor,
    reference: Tensor,
    sample_rate: float,
    fmin: float = 30.0,
    fmax: float = 2000.0,
    hop: int = 512,
) -> F0Error:
    """Error of pitch and of voicing (the voicing decision error of Nakatani et al. 2008), by
    `measures.f0_track`.

    Blind spots: noise, a low pass, clipping and smeared phases, none of which move the pitch that
    is heard. Noise as loud as the tone makes frames unvoiced: cents then say nothing or little,
    voicing does.

    Args:
        estimate: wave (..., N).
        reference: wave (..., N).
        sample_rate: Hz.
        fmin, fmax: range of the search in Hz; the narrower, the fewer octave errors.
        hop: samples from frame to frame.

    Returns:
        F0Error, each field (...). The tracker steps by 10 cents: a median of less is no difference
            that it can tell.
    """
    track, true = (
        measures.f0_track(x, sample_rate, fmin, fmax, hop) for x in (estimate, reference)
    )
    voicing = (track.isnan() != true.isnan()).to(reference.dtype).mean(-1)
    return F0Error(measures.cents(track, true).abs().nanmedian(-1).values, voicing)


def envelope_error(estimate: Tensor, reference: Tensor, sample_rate: float) -> Tensor:
    """Mean absolute difference in dB between the 10 ms RMS envelopes (`measures.envelope`).

    Both are floored 40 dB below the peak of the reference's, and only moments at which one of them
    is above count. Blind spot: which frequencies the energy lies at.

    Args:
        estimate: wave (..., N).
        reference: wave (..., N).
        sample_rate: Hz.

    Returns:
        (...) in dB, 0 or more; 0 for two silent waves, inf where only the reference is silent.
    """
    a, b = (measures.envelope(x, sample_rate) for x in (estimate, reference))
    floor = ENVELOPE_RANGE * b.amax(-1, keepdim=True)
    sounding = (a > floor) | (b > floor)
    difference = 20 * (torch.maximum(a, floor) / torch.maximum(b, floor)).log10().abs()
    return difference.where(sounding, 0).sum(-1) / sounding.sum(-1).clamp_min(1)


def onset_error(estimate: Tensor, reference: Tensor, sample_rate: float) -> Tensor:
    """How much earlier or later a sound begins, by `measures.onset`.

    Blind spot: noise. Below -40 dB of the peak it does not count, and above it begins with the
    clip, however loud.

    Args:
        estimate: wave (..., N).
        reference: wave (..., N).
        sample_rate: Hz.

    Returns:
        (...) in ms, 0 or more; nan where one of them is silent.
    """
    return (
        1000
        * (measures.onset(estimate, sample_rate) - measures.onset(reference, sample_rate)).abs()
    )


def zimtohrli(estimate: Tensor, reference: Tensor, sample_rate: int) -> Tensor:
    """The psychoacoustic distance of the package `zimtohrli` (Alakuijala et al. 2025), which aims
    at just-noticeable differences.

    Clips are resampled to 48 kHz, and padded with silence to 0.5 s. Blind spot: level, which it
    normalises; half the amplitude has no distance.

    Args:
        estimate: wave (..., N), in [-1, 1].
        reference: wave (..., N).
        sample_rate: Hz.

    Returns:
        (...), from 0 for equal sounds to 1; a few thousandths are just audible.

    Raises:
        InputError: if the package is not installed.
    """
    try:
        from zimtohrli import Pyohrli
    except ImportError as error:
        raise InputError(
            "zimtohrli is not installed: pip install zimtohrli (wheels for Linux and Windows)"
        ) from error
    pairs = torch.stack(torch.broadcast_tensors(estimate, reference)).detach().cpu().float()
    pairs = torch.nn.functional.pad(
        pairs, (0, max(0, math.ceil(ZIMTOHRLI_SHORTEST * sample_rate) - pairs.shape[-1]))
    )
    pairs = resample(pairs.view(2, -1, pairs.shape[-1]), sample_rate, ZIMTOHRLI_RATE)
    distances = [Pyohrli().distance(a.numpy(), b.numpy()) for a, b in zip(*pairs, strict=True)]
    return torch.tensor(distances, dtype=reference.dtype, device=reference.device).view(
        reference.shape[:-1]
    )


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's rank correlation, with the mean rank for ties.

    Args:
        a: (N,), whatever its unit: only the order counts.
        b: (N,).

    Returns:
        -1 to 1; nan where either is constant, has fewer than 2 values, or holds a nan: a missing
        measurement must not count as agreement.
    """
    from scipy.stats import spearmanr

    x, y = a.detach().cpu().numpy(), b.detach().cpu().numpy()
    if len(x) < 2 or (x == x[0]).all() or (y == y[0]).all():
        return math.nan  # scipy would warn
    return float(spearmanr(x, y, nan_policy="propagate").statistic)
