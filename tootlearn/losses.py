"""What training minimises.

The squared error of standardised log-mels is, up to constants, minus the log-likelihood of a Gaussian of fixed width
about what the network draws. Frames long after the end count little, or silence would be most of what is learned.

Three perceptual losses can be added to it. `audible_error` counts what is loud enough to be heard, `multi_scale_error`
forgives details that are a little out of place, `feature_error` compares what a trained network makes of two sounds.
They take logarithms of magnitudes, of mel bands or of the bins of an STFT, and are all 0 for equal sounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tootlearn.controls import ONSET_SAMPLES

SILENT_WEIGHT = 0.1  # of a frame later than .1 s after the end
PERCEPTUAL = ("audible", "multi_scale", "embedding")  # the losses of `Perceptual`
SCALES = (1, 2, 4, 8)  # frames and bands that are averaged
HEARD_RANGE = 60.0  # dB: what lies further below the peak of its clip is taken to be below the threshold of hearing
TONE_OFFSET = 14.5  # dB: how far below a tone, at 0 Bark, the noise that it masks lies (Johnston 1988)
_HIGHEST = 6.0  # natural log, far above full scale (2.3): an untrained network cannot overflow
_LEAST_POWER = 1e-10  # of a band at the default front end's floor: a silent clip has a threshold too


def frame_weights(duration: Tensor, frames: int, hop: int, sample_rate: int) -> Tensor:
    """How much each frame of the window counts.

    Args:
        duration: of the toots, s, shape (B,).
        frames, hop, sample_rate: of the front end.

    Returns:
        Shape (B, T): 1 until .1 s after the end, .1 after that, scaled to a mean of 1 over the batch.
    """
    time = (torch.arange(frames, device=duration.device) * hop - ONSET_SAMPLES) / sample_rate
    weight = torch.where(time[None] > duration[:, None] + 0.1, SILENT_WEIGHT, 1.0)
    return weight / weight.mean()


def squared_error(x: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error.

    Args:
        x, target: shape (B, M, T), in the same unit.
        weight: of the frames, shape (B, T).

    Returns:
        A scalar.
    """
    return ((x - target).square().mean(1) * weight).mean()


def mel_convergence(log_mel: Tensor, target: Tensor) -> Tensor:
    """Spectral convergence of mel magnitudes: the norm of their difference over the norm of the target's.

    Logarithms give a valley the weight of a peak; this gives the peaks theirs, and with them loudness and brightness.

    Args:
        log_mel, target: natural logarithms, shape (B, M, T).

    Returns:
        A scalar: mean over the batch.
    """
    magnitude = target.exp()
    norm = magnitude.square().sum((1, 2)).sqrt().clamp_min(1e-6)
    drawn = log_mel.clamp_max(_HIGHEST).exp()
    return ((drawn - magnitude).square().sum((1, 2)) + 1e-12).sqrt().div(norm).mean()


def bend_error(drawn: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error of f0 in octaves, all of shape (B, T), where there is a weight (0 or more); a scalar."""
    return ((drawn - target).square() * weight).sum() / (weight > 0).sum().clamp_min(1)


def divergence(mean: Tensor, log_scale: Tensor, free: float = 0.0) -> Tensor:
    """Kullback-Leibler divergence of Gaussians (B, Z) from the standard normal, in nats: summed over Z, mean over B.

    Args:
        mean, log_scale: mean and log standard deviation, shape (B, Z).
        free: nats of each number that cost nothing (free bits: Kingma et al. 2016); the number's mean over the batch
            is compared with it.

    Returns:
        A scalar, Z free or more (Kingma and Welling 2014, appendix B).
    """
    each = 0.5 * (mean.square() + (2 * log_scale).exp() - 1 - 2 * log_scale)
    return each.mean(0).clamp_min(free).sum()


def a_weighting(hertz: Tensor) -> Tensor:
    """A-weighting: how much quieter than at 1 kHz a frequency is heard, at low levels.

    The formula of IEC 61672-1:2013, whose table 3 it gives to a tenth of a dB.

    Args:
        hertz: (...), 0 or more.

    Returns:
        (...) in dB: 0 at 1 kHz, -inf at 0 Hz.
    """
    f = hertz.double().square()
    poles = (f + 20.598997**2) * (f + 12194.217**2) * ((f + 107.65265**2) * (f + 737.86223**2)).sqrt()
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

    Levels are A-weighted. What lies below the masked threshold of the target, or `HEARD_RANGE` below the peak of its
    clip, is not heard. The masked threshold is the target's power, spread over the critical bands by `spreading`, less
    14.5 dB and one more for each Bark: the offset of tonal maskers (Johnston 1988), which toots are; that of noise
    would hide more. The weighting stands for the threshold in quiet, whose shape it has about: how loud a clip will be
    played is not known, so that its own peak is all that a threshold can refer to.

    Args:
        frequencies: centres of the M bands or bins in Hz, rising, (M,), M 2 or more. Bands are taken to be as wide as
            they lie apart, and to be divided by their width, as those of `mel.Mel` are.
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
        self.register_buffer("spread", (10 ** (decibels / 10)).float(), persistent=False)  # (M masked, M maskers)

    def threshold(self, target: Tensor) -> Tensor:
        """A-weighted power below which nothing is heard, from log magnitudes (..., M, T): (..., M, T), positive."""
        power = self.power(target)
        quiet = power.amax((-2, -1), keepdim=True) * 10 ** (-HEARD_RANGE / 10)
        return self.spread @ power + quiet + _LEAST_POWER

    def power(self, log_magnitude: Tensor) -> Tensor:
        """A-weighted power of log magnitudes (..., M, T)."""
        return (self.gain * log_magnitude.clamp_max(_HIGHEST).exp()).square()

    @torch.no_grad()
    def forward(self, drawn: Tensor, target: Tensor) -> Tensor:
        """The share of each band, of whichever sound has more there, that the target does not hide.

        Args:
            drawn, target: natural logarithms of magnitudes, (..., M, T).

        Returns:
            (..., M, T), 0 to 1, without a gradient: that a sound should be hidden better is nothing to learn.
        """
        power = self.power(torch.maximum(drawn, target))
        return power / (power + self.threshold(target))


def audible_error(drawn: Tensor, target: Tensor, weight: Tensor, audibility: Audibility) -> Tensor:
    """Mean squared error of log magnitudes where they can be heard.

    Unlike a difference of excitations or of loudness it leads back a partial that was lost altogether: what only one of
    the sounds has is heard too, and its error still grows with the distance.

    Args:
        drawn, target: natural logarithms of magnitudes, (B, M, T).
        weight: of the frames, (B, T).
        audibility: of these bands.

    Returns:
        A scalar, in nats squared.
    """
    heard: Tensor = audibility(drawn, target)
    return (((drawn - target).square() * heard).mean(1) * weight).mean()


def multi_scale_error(drawn: Tensor, target: Tensor, weight: Tensor, scales: Sequence[int] = SCALES) -> Tensor:
    """Mean squared error of log magnitudes averaged over frames and bands, at several scales.

    A level or a colour that is off costs as much at each scale. What is a frame late or a band too high costs all at
    the finest, and at a scale of s frames and bands an s-th or less: where it is missing, it stands next to it. As in
    the losses over several STFTs or mel resolutions (Yamamoto et al. 2020, Kumar et al. 2023) no one resolution rules;
    here it is the drawing that is looked at from several distances, since networks that draw log-mels make no wave.
    Logarithms are averaged, not magnitudes: of these one frame of sound would change a whole silent field.

    Args:
        drawn, target: natural logarithms of magnitudes, (B, M, T).
        weight: of the frames, (B, T).
        scales: how many frames and bands are averaged into one, each 1 or more.

    Returns:
        A scalar, in nats squared: the mean over the scales.
    """
    strayed, errors = drawn - target, []
    for scale in scales:  # fields at the edges may be smaller: they are averaged by themselves
        coarse = F.avg_pool2d(strayed[:, None], scale, ceil_mode=True, count_include_pad=False)[:, 0]
        frames = F.avg_pool1d(weight[:, None], scale, ceil_mode=True, count_include_pad=False)[:, 0]
        errors.append((coarse.square().mean(1) * frames).mean())
    return torch.stack(errors).mean()


def feature_error(drawn: Sequence[Tensor], target: Sequence[Tensor], weight: Tensor) -> Tensor:
    """Mean absolute difference of what the layers of a network make of two sounds, averaged over the layers.

    Perceptual losses compare features of a network that was trained for something else (Johnson et al. 2016); the
    absolute difference of every layer is the feature matching of Kumar et al. (2019).

    Args:
        drawn, target: features, layer by layer, as `Classifier.features` gives them: first those that still have
            frames, (B, C, M', T / s), then any that have none, (B, ...).
        weight: of the frames, (B, T), for the first.

    Returns:
        A scalar, without a unit.
    """
    (local, *others), (wanted, *their) = drawn, target
    frames = F.adaptive_avg_pool1d(weight[:, None], local.shape[-1])[:, 0]
    errors = [((local - wanted).abs().mean((1, 2)) * frames).mean()]
    errors += [(a - b).abs().mean() for a, b in zip(others, their, strict=True)]
    return torch.stack(errors).mean()


class Perceptual(nn.Module):
    """Those of the perceptual losses that are asked for.

    Args:
        names: out of :data:`PERCEPTUAL`.
        frequencies: centres of the M mel bands, Hz, (M,).
        features: log-mels (B, M, T) -> features, for "embedding"; None without it.
    """

    def __init__(
        self,
        names: Sequence[str],
        frequencies: Tensor,
        features: Callable[[Tensor], Sequence[Tensor]] | None = None,
    ) -> None:
        super().__init__()
        self.names = tuple(names)
        self.audibility = Audibility(frequencies)
        self.features = features

    def forward(self, drawn: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """The losses by name, from log-mels (B, M, T) and weights of frames (B, T)."""
        terms: dict[str, Tensor] = {}
        if "audible" in self.names:
            terms["audible"] = audible_error(drawn, target, weight, self.audibility)
        if "multi_scale" in self.names:
            terms["multi_scale"] = multi_scale_error(drawn, target, weight)
        if "embedding" in self.names:
            assert self.features is not None
            with torch.no_grad():
                wanted = self.features(target)
            terms["embedding"] = feature_error(self.features(drawn), wanted, weight)
        return terms
