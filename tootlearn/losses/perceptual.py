"""Losses that know of hearing, to be added to the squared error of log-mels.

`audible_error` counts what is loud enough to be heard, `multi_scale_error` forgives details that
are a little out of place, `feature_error` compares what a trained network makes of two sounds. They
take logarithms of magnitudes, of mel bands or of the bins of an STFT, and are all 0 for equal
sounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tootlearn.losses.log_mel import HIGHEST

SCALES = (1, 2, 4, 8)  # frames and bands that are averaged
# dB: what lies further below the peak of its clip is taken to be below the threshold of hearing
HEARD_RANGE = 60.0
# dB: how far below a tone, at 0 Bark, the noise that it masks lies (Johnston 1988)
TONE_OFFSET = 14.5
# of a band at the default front end's floor: a silent clip has a threshold too
_LEAST_POWER = 1e-10


def a_weighting(hertz: Tensor) -> Tensor:
    """A-weighting: how much quieter than at 1 kHz a frequency is heard, at low levels.

    The formula of IEC 61672-1:2013, whose table 3 it gives to a tenth of a dB.

    Args:
        hertz: (...), 0 or more.

    Returns:
        (...) in dB: 0 at 1 kHz, -inf at 0 Hz.
    """
    f = hertz.double().square()
    poles = (
        (f + 20.598997**2) * (f + 12194.217**2) * ((f + 107.65265**2) * (f + 737.86223**2)).sqrt()
    )
    return (20 * (12194.217**2 * f.square() / poles).log10() + 2.0).to(hertz.dtype)


def bark(hertz: Tensor) -> Tensor:
    """Frequency in Hz -> critical-band rate in Bark (Schroeder, Atal and Hall 1979)."""
    return 7 * (hertz / 650).asinh()


def spreading(distance: Tensor) -> Tensor:
    """How far a sound excites the ear away from its own place (Schroeder, Atal and Hall 1979).

    Args:
        distance: from the masker up to what it masks, Bark.

    Returns:
        dB: 0 at its own place, falling by 10 dB a Bark above and 25 dB a Bark below it.
    """
    shifted = distance + 0.474
    return 15.81 + 7.5 * shifted - 17.5 * (1 + shifted.square()).sqrt()


class Audibility(nn.Module):
    """How much of each band can be heard beside the rest of its frame.

    Levels are A-weighted. What lies below the masked threshold of the target, or `HEARD_RANGE`
    below the peak of its clip, is not heard. The masked threshold is the target's power, spread
    over the critical bands by `spreading`, less 14.5 dB and one more for each Bark: the offset of
    tonal maskers (Johnston 1988), which toots are; that of noise would hide more. The weighting
    stands for the threshold in quiet, whose shape it has about: how loud a clip will be played is
    not known, so that its own peak is all that a threshold can refer to.

    Args:
        frequencies: centres of the M bands or bins in Hz, rising, (M,), M 2 or more. Bands are
            taken to be as wide as they lie apart, and to be divided by their width, as those of
            `mel.Mel` are.
    """

    gain: Tensor
    spread: Tensor

    def __init__(self, frequencies: Tensor) -> None:
        super().__init__()
        hertz = frequencies.double()
        width = torch.gradient(hertz)[0]
        gain = width / width.min() * 10 ** (a_weighting(hertz) / 20)
        place = bark(hertz)
        decibels = spreading(place[:, None] - place) - TONE_OFFSET - place[:, None]
        self.register_buffer("gain", gain.float()[:, None], persistent=False)  # (M, 1)
        # (M masked, M maskers)
        self.register_buffer("spread", (10 ** (decibels / 10)).float(), persistent=False)

    def threshold(self, target: Tensor) -> Tensor:
        """A-weighted power below which nothing is heard, from log magnitudes (..., M, T): (..., M,
        T), positive.
        """
        power = self.power(target)
        quiet = power.amax((-2, -1), keepdim=True) * 10 ** (-HEARD_RANGE / 10)
        return self.spread @ power + quiet + _LEAST_POWER

    def power(self, log_magnitude: Tensor) -> Tensor:
        """A-weighted power of log magnitudes (..., M, T)."""
        return (self.gain * log_magnitude.clamp_max(HIGHEST).exp()).square()

    @torch.no_grad()
    def forward(self, drawn: Tensor, target: Tensor) -> Tensor:
        """The share of each band, of whichever sound has more there, that the target does not hide.

        Args:
            drawn, target: natural logarithms of magnitudes, (..., M, T).

        Returns:
            (..., M, T), 0 to 1, without a gradient: that a sound should be hidden better is nothing
                to learn.
        """
        power = self.power(torch.maximum(drawn, target))
        return power / (power + self.threshold(target))


def audible_error(drawn: Tensor, target: Tensor, weight: Tensor, audibility: Audibility) -> Tensor:
    """Mean squared error of log magnitudes where they can be heard.

    Unlike a difference of excitations or of loudness it leads back a partial that was lost
    altogether: what only one of the sounds has is heard too, and its error still grows with the
    distance.

    Args:
        drawn, target: natural logarithms of magnitudes, (B, M, T).
        weight: of the frames, (B, T).
        audibility: of these bands.

    Returns:
        A scalar, in nats squared.
    """
    heard: Tensor = audibility(drawn, target)
    return (((drawn - target).square() * heard).mean(1) * weight).mean()


def multi_scale_error(
    drawn: Tensor, target: Tensor, weight: Tensor, scales: Sequence[int] = SCALES
) -> Tensor:
    """Mean squared error of log magnitudes averaged over frames and bands, at several scales.

    A level or a colour that is off costs as much at each scale. What is a frame late or a band too
    high costs all at the finest, and at a scale of s frames and bands an s-th or less: where it is
    missing, it stands next to it. As in the losses over several STFTs or mel resolutions (Yamamoto
    et al. 2020, Kumar et al. 2023) no one resolution rules; here it is the drawing that is looked
    at from several distances, since networks that draw log-mels make no wave. Logarithms are
    averaged, not magnitudes: of these one frame of sound would change a whole silent field.

    Args:
        drawn, target: natural logarithms of magnitudes, (B, M, T).
        weight: of the frames, (B, T).
        scales: how many frames and bands are averaged into one, each 1 or more and a multiple of
            the one before.

    Returns:
        A scalar, in nats squared: the mean over the scales. Each scale averages the fields of the
            one before.

    Raises:
        ValueError: for a scale that is no multiple of the one before.
    """
    if any(scale % before for before, scale in pairwise((1, *scales))):
        raise ValueError(f"each scale is a multiple of the one before, not as in {tuple(scales)}")
    strayed, errors = drawn - target, []
    for before, scale in pairwise((1, *scales)):
        if scale > before:  # fields at the edges may be smaller: they are averaged by themselves
            size = scale // before
            strayed = F.avg_pool2d(strayed[:, None], size, ceil_mode=True, count_include_pad=False)[
                :, 0
            ]
            weight = F.avg_pool1d(weight[:, None], size, ceil_mode=True, count_include_pad=False)[
                :, 0
            ]
        errors.append((strayed.square().mean(1) * weight).mean())
    return torch.stack(errors).mean()


def feature_error(drawn: Sequence[Tensor], target: Sequence[Tensor], weight: Tensor) -> Tensor:
    """Mean absolute difference of what the layers of a network make of two sounds, averaged over
    the layers.

    Perceptual losses compare features of a network that was trained for something else (Johnson et
    al. 2016); the absolute difference of every layer is the feature matching of Kumar et al.
    (2019).

    Args:
        drawn, target: features, layer by layer, as `Classifier.features` gives them: first those
            that still have frames, (B, C, M', T / s), then any that have none, (B, ...).
        weight: of the frames, (B, T), for the first.

    Returns:
        A scalar, without a unit.
    """
    (local, *others), (wanted, *their) = drawn, target
    frames = F.adaptive_avg_pool1d(weight[:, None], local.shape[-1])[:, 0]
    errors = [((local - wanted).abs().mean((1, 2)) * frames).mean()]
    errors += [(a - b).abs().mean() for a, b in zip(others, their, strict=True)]
    return torch.stack(errors).mean()
