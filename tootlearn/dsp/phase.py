"""Phase reconstruction: from a magnitude spectrogram to a wave.

The magnitude says how loud each frequency is and when; a wave also needs each frame's phases to
agree with its neighbours'. Griffin-Lim starts anywhere and repeats: find the nearest spectrogram
that some wave has, keep its phase, put the magnitude back. Ridge integration starts where that
arrives late, if ever: a spectral peak is a partial, a partial's phase advances by its frequency,
and the bins around it follow it. A few rounds of Griffin-Lim then smooth the seams.

The reconstructions have one signature, f(magnitude (..., F, T), stft, *, iterations, length) ->
wave (..., length). They are deterministic, treat each clip of a batch as if it
were alone, turn silence into exact silence, and pass no gradient.

Inside, the layout is frame-major, (B, T, F), and phase is counted in turns (1 = 2 pi). It is the
phase of a frame centred on its middle sample: a frame that begins half a window earlier differs by
the factor (-1)^bin, which is put in at the end. So the phase is smooth over a peak.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tootlearn.dsp.stft import Stft

MOMENTUM = 0.99
# width of the Gaussian that is nearest to a Hann window, in n_fft^2 (Prusa et al. 2017, table I)
_HANN_GAMMA = 0.25645
# of the clip's peak: what lies more than 100 dB below it has no slope worth following
_RELATIVE_FLOOR = 1e-5
_SAME_RIDGE = 2.5  # bins: peaks of successive frames that lie farther apart are not one partial


def griffin_lim(
    magnitude: Tensor, stft: Stft, *, iterations: int = 32, length: int | None = None, seed: int = 0
) -> Tensor:
    """Alternate between the spectrograms that waves have and those of the given magnitude, from
    random phases.

    Args:
        magnitude: (..., F, T), non-negative.
        stft: the transform that the magnitude comes from.
        iterations: rounds, each of which costs one inverse STFT and one STFT; 0 or more.
        length: samples of the wave, as in `Stft.inverse`; (T - 1) * hop by default.
        seed: of the phases to start from, which are the same for every clip of a batch.

    Returns:
        (..., length).

    Source: Griffin and Lim, Signal estimation from modified short-time Fourier transform, 1984.
    """
    return fast_griffin_lim(
        magnitude, stft, iterations=iterations, length=length, seed=seed, momentum=0.0
    )


def fast_griffin_lim(
    magnitude: Tensor,
    stft: Stft,
    *,
    iterations: int = 32,
    length: int | None = None,
    seed: int = 0,
    momentum: float = MOMENTUM,
) -> Tensor:
    """Griffin-Lim with momentum: each round goes on in the direction of the last one.

    Args and Returns as `griffin_lim`; `momentum` is 0 or more and below 1, and counts as in librosa
    and torchaudio.

    Source: Perraudin, Balazs and Soendergaard, A fast Griffin-Lim algorithm, 2013.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum lies in [0, 1), not {momentum}")
    generator = torch.Generator().manual_seed(seed)
    phase = torch.rand(magnitude.shape[-1], magnitude.shape[-2], generator=generator).to(
        magnitude.device
    )

    def start(target: Tensor) -> Tensor:
        return _with_phase(target, phase)

    return _reconstruct(magnitude, stft, start, iterations, length, momentum)


def ridge_integration(
    magnitude: Tensor, stft: Stft, *, iterations: int = 2, length: int | None = None
) -> Tensor:
    """Integrate phase along spectral peaks (see `ridge_phase`), then do a few rounds of fast
    Griffin-Lim.

    Args and Returns as `griffin_lim`. At a clean partial 0 iterations are already right; 2 to 8
    mend onsets and crossings.
    """

    def start(target: Tensor) -> Tensor:
        return ridge_phase(target, stft)

    return _reconstruct(magnitude, stft, start, iterations, length, MOMENTUM)


@torch.no_grad()
def _reconstruct(
    magnitude: Tensor,
    stft: Stft,
    start: Callable[[Tensor], Tensor],
    iterations: int,
    length: int | None,
    momentum: float,
) -> Tensor:
    """The frame around every reconstruction: magnitude (..., F, T) -> wave (..., length)."""
    bins, frames = magnitude.shape[-2:]
    if bins != stft.bins or frames < 1:
        raise ValueError(
            f"the magnitude has shape (..., {stft.bins}, T >= 1), not {tuple(magnitude.shape)}"
        )
    if iterations < 0:
        raise ValueError(f"iterations are 0 or more, not {iterations}")
    length = stft.samples(frames, length)
    targets = magnitude.reshape(-1, bins, frames).transpose(1, 2)  # (B, T, F)
    waves = magnitude.new_empty(len(targets), length)
    # On a CPU one clip at a time: it stays in the cache, and not a bit of its samples depends on
    # the batch.
    step = 1 if magnitude.device.type == "cpu" else max(1, len(targets))
    for first in range(0, len(targets), step):
        rows = slice(first, first + step)
        target = targets[rows].contiguous()
        spectrum = iterate(start(target), target, stft, iterations, length, momentum)
        waves[rows] = stft.synthesize(spectrum, length)
    return waves.view(*magnitude.shape[:-2], length)


def iterate(
    spectrum: Tensor,
    magnitude: Tensor,
    stft: Stft,
    iterations: int,
    length: int,
    momentum: float,
) -> Tensor:
    """Rounds of fast Griffin-Lim on (B, T, F): project, go on by the momentum, put a magnitude
    there.
    """
    amplitude = torch.stack((magnitude, magnitude), -1)  # for the real and the imaginary part
    previous: Tensor | None = None
    for _ in range(iterations):
        projected = stft.project(spectrum, length)
        ahead = projected
        if previous is not None:
            ahead = torch.sub(projected, previous, alpha=momentum / (1 + momentum))
        spectrum = ahead.sgn()
        torch.view_as_real(spectrum).mul_(amplitude)
        previous = projected
    return spectrum


def ridge_phase(magnitude: Tensor, stft: Stft) -> Tensor:
    """Give a magnitude the phases that its peaks imply.

    A batched relative, without a heap, of phase gradient heap integration (Prusa, Balazs and
    Soendergaard, A noniterative method for reconstruction of phase from STFT magnitude, 2017):
    where that walks from bin to bin in the order of loudness, this goes from peak to peak through
    time, and from each peak outwards through frequency.

    Args:
        magnitude: (B, T, F), non-negative.
        stft: the transform that it comes from.

    Returns:
        Complex (B, T, F) of that magnitude.
    """
    return with_turns(magnitude, ridge_turns(magnitude, stft), stft)


def ridge_turns(
    magnitude: Tensor, stft: Stft, *, loudest: Tensor | None = None, before: Tensor | None = None
) -> Tensor:
    """The phases of `ridge_phase`: magnitude (B, T, F) -> turns (B, T, F).

    Args:
        magnitude, stft: as for `ridge_phase`.
        loudest: the largest of the whole clip, where the magnitude is a part of it.
        before: turns of the first frame (B, F), where they are known.
    """
    peak = region_peaks(magnitude)
    logarithm = floored_log(magnitude, loudest)
    frequency = peak_frequencies(magnitude, logarithm, peak, stft)
    spread = spread_in_frequency(logarithm, peak, stft)
    if before is not None:
        spread[:, 0] = before
    return integrate_in_time(frequency, spread, peak, stft)


def with_turns(magnitude: Tensor, turns: Tensor, stft: Stft) -> Tensor:
    """Complex (B, T, F) of a magnitude and phases (B, T, F) in turns, each of a frame centred on
    its middle sample.
    """
    centring = 1 - 2 * (torch.arange(stft.bins, device=magnitude.device) % 2)  # (-1)^bin
    return _with_phase(magnitude * centring, turns)


def floored_log(magnitude: Tensor, loudest: Tensor | None = None) -> Tensor:
    """Natural logarithm of a magnitude (B, T, F), floored 100 dB below each clip's peak, or
    ``loudest`` if given.
    """
    loudest = magnitude.amax((1, 2), keepdim=True) if loudest is None else loudest
    return torch.maximum(magnitude, _RELATIVE_FLOOR * loudest + 1e-30).log()


def region_peaks(magnitude: Tensor) -> Tensor:
    """For every bin the peak that lies uphill of it: (..., F) -> (..., F) int64, bins.

    A frame falls into regions, from valley to valley, with one peak in each.
    """
    # from this bin to the next; not beyond a frame's last
    rising = torch.zeros_like(magnitude, dtype=torch.bool)
    rising[..., :-1] = magnitude[..., 1:] > magnitude[..., :-1]
    summit = ~rising
    summit[..., 1:] &= rising[..., :-1]
    # where a region begins: the rise after a fall, and every frame's first bin
    valley = rising.clone()
    valley[..., 1:] &= ~rising[..., :-1]
    valley[..., 0] = True
    bins = torch.arange(magnitude.shape[-1], device=magnitude.device).expand(magnitude.shape)
    region = valley.view(-1).cumsum(0, dtype=torch.int32) - 1  # counted through all frames
    return bins.masked_select(summit).index_select(0, region).view(magnitude.shape)


def peak_frequencies(magnitude: Tensor, log_magnitude: Tensor, peak: Tensor, stft: Stft) -> Tensor:
    """For every bin its peak's frequency, in turns a hop: (B, T, F).

    Where a partial lies between bins is estimated twice, and the mean is taken, since the errors
    are opposed: from the ratio of the peak to its larger neighbour (exact for a steady sine under a
    Hann window; Grandke 1983), and from the slope of the log-magnitude over frequency, which is
    proportional to the distance (exact for a Gaussian window; Prusa et al. 2017).
    """
    step = stft.hop / stft.n_fft  # turns a hop, per bin
    left, centre, right = magnitude[..., :-2], magnitude[..., 1:-1], magnitude[..., 2:]
    ratio = torch.maximum(left, right) / (centre + 1e-20)
    by_ratio = torch.copysign(((2 * ratio - 1) / (ratio + 1)).clamp(0, 0.5), right - left)  # bins
    slope = (log_magnitude[..., 2:] - log_magnitude[..., :-2]) / 2
    by_slope = slope / (_HANN_GAMMA * 2 * math.pi)  # bins
    offset = torch.zeros_like(magnitude)
    offset[..., 1:-1] = (by_ratio + by_slope) * (step / 2)
    return offset.gather(-1, peak) + peak * step


def spread_in_frequency(log_magnitude: Tensor, peak: Tensor, stft: Stft) -> Tensor:
    """How far every bin's phase is ahead of its peak's, in turns: (B, T, F).

    The derivative of phase over frequency is minus gamma times that of log-magnitude over time
    (Prusa et al. 2017): before a sound's centre of mass the phase rises over the bins, after it the
    phase falls. Integrated by the trapezoidal rule.
    """
    growth = torch.zeros_like(log_magnitude)  # per two frames
    growth[:, 1:-1] = log_magnitude[:, 2:] - log_magnitude[:, :-2]
    integral = torch.zeros_like(log_magnitude)
    integral[..., 1:] = growth[..., 1:] + growth[..., :-1]
    integral = integral.cumsum(-1)
    # growth is over two frames, and two are summed
    per_bin = -_HANN_GAMMA * stft.n_fft / stft.hop / (2 * math.pi) / 4
    return (integral - integral.gather(-1, peak)) * per_bin


def integrate_in_time(frequency: Tensor, spread: Tensor, peak: Tensor, stft: Stft) -> Tensor:
    """Advance each peak's phase from the same bin of the frame before: phase in turns, (B, T, F).

    Args:
        frequency: of each bin's peak, in turns a hop, (B, T, F).
        spread: how far each bin's phase is ahead of its peak's, in turns, (B, T, F).
        peak: each bin's peak, (B, T, F).
        stft: the transform.
    """
    advance = advances(frequency, peak, stft)
    phase = spread.clone()
    phase[:, 1:] += advance - advance.round()  # whole turns would cost a long sound its precision
    frames, peaks = phase.unbind(1), peak.unbind(1)
    for t in range(1, len(frames)):
        frames[t].add_(frames[t - 1].gather(-1, peaks[t]))
    return phase


def advances(frequency: Tensor, peak: Tensor, stft: Stft) -> Tensor:
    """How far each bin's peak turns from one frame to the next: frequency and peak (B, T, F) ->
    turns (B, T - 1, F).

    On a steady ridge that bin advances by the ridge's frequency, of which the mean of both frames
    is taken. On a sliding one it advances by (f + s^2 b) / (1 + s^2), where f is the ridge's
    frequency, b the bin's own and s the slide in bins a hop times gamma / (n_fft hop): so has a
    linear chirp under a Gaussian window. Without it fast slides lose 10 dB and more. A jump of more
    than 2.5 bins is no slide: a new partial begins, and its own frequency holds.
    """
    step = stft.hop / stft.n_fft  # turns a hop, per bin
    now = frequency[:, 1:]
    change = frequency[:, :-1].gather(-1, peak[:, 1:]) - now
    change = change * (change.abs() <= _SAME_RIDGE * step)
    ridge = now + change / 2
    squared = (change * (_HANN_GAMMA / step**2)).square()  # s^2
    return ridge + squared / (1 + squared) * (peak[:, 1:] * step - ridge)


def _with_phase(magnitude: Tensor, turns: Tensor) -> Tensor:
    """Real magnitude (B, T, F), of either sign, and phase in turns (broadcast) -> complex (B, T,
    F).
    """
    angle = (turns - turns.floor()) * (2 * math.pi)
    return torch.complex(angle.cos() * magnitude, angle.sin() * magnitude)
