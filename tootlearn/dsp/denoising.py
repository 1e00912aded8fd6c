"""Cleaning a recording: noise, an offset, clicks at its ends, and peaks beyond full scale.

Noise reduction turns each cell of the STFT down by how much of it is noise. Four things decide how
it sounds:

* the *noise level*: measured where the clip is quiet, or taken from a clip of noise alone. A note
  that is held through the whole clip is as steady as noise; but its harmonics are narrow, and noise
  is smooth over frequency. So the level is measured between the harmonics, and they are kept;
* the *a-priori signal-to-noise ratio*: a single cell of noise is often several times its mean.
  Averaging over the frames before and after tells a tone from such a flicker. Methods for
  telephones may not look ahead;
* the *window*: a long one separates the harmonics of a low note from the noise between them, a
  short one keeps onsets. The result is the mean of both;
* the *rule* from that ratio to a gain: Wiener's, which is best in squared error, or the minimum
  mean-square error of the logarithm of the amplitude (Ephraim and Malah 1985), which lets more
  through.

The noise is assumed to be steady through the clip. A sound that is itself steady noise from end to
end, such as breath in a clip without a pause, is removed as noise: leave some quiet around a toot,
or give a clip of the noise. A clean sound with a pause passes as it is.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from tootlearn.dsp.audio import RATES, STEP_16_BIT
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError

RULES = ("wiener", "log_amplitude")
_WINDOW = 0.093  # s: 2048 samples at 22,050 Hz
_OVERLAP = 4
# frames of the short and the long window: enough to tell a tone from a flicker of noise
_AVERAGED = (9, 5)
# times the noise level: what a mean over so many frames of noise hardly ever passes
_SUBTRACTED = 4.0
_LEAST_PRIOR = 10 ** (-25 / 10)
_QUIET = 0.1  # of the frames are taken to be quiet at first
# of the bins around are below the noise level at first: the troughs between harmonics
_BELOW = 0.25
# times the noise level: a cell with more power is signal. 98 % of the cells of noise have less
_NOISE_CELL = 4.0
_ROUNDS = 5
_LONGER = (1, 2, 4)  # windows that the noise level is measured with, times the window
_PLACES = 33  # at which a band is looked at


def denoise(
    wave: Tensor, sample_rate: int, noise: Tensor | None = None, rule: str = "wiener"
) -> Tensor:
    """Take steady noise out of a sound; held notes stay.

    Args:
        wave: (..., N), each clip with a noise level of its own. Memory is some 120 bytes a sample.
        sample_rate: Hz. The short window is the power of two next to 93 ms, the long one twice
            that; the hop is a quarter of it. The long one is left out where the wave does not last
            two of it, or the noise not one.
        noise: (..., n), noise alone, one short window or more, with leading axes that broadcast to
            the wave's. Without it the level is found in the wave, which has to last two of them: a
            shorter one comes back as it is.
        rule: "wiener" or "log_amplitude".

    Returns:
        (..., N). Silence comes back as silence, and a wave without noise as it is, to rounding.

    Raises:
        InputError: an empty wave, NaN or infinite samples, a noise clip that is too short, an
            unknown rule or sample rate.
    """
    _check(wave, "the wave")
    if rule not in RULES:
        raise InputError(f"there is no rule {rule!r}: give {' or '.join(RULES)}")
    short = _stft(sample_rate).to(wave.device)
    long = Stft(2 * short.n_fft, 2 * short.hop).to(wave.device)
    stfts = [short, long] if wave.shape[-1] >= 2 * long.n_fft else [short]
    if noise is not None:
        _check(noise, "the noise clip", short.n_fft)
        levels = [_level_of(noise, stft) for stft in stfts if noise.shape[-1] >= stft.n_fft]
    elif wave.shape[-1] >= 2 * short.n_fft:
        level = noise_level(wave, sample_rate)
        levels = [level, _level_of_long(level)]
    else:
        return wave
    parts = zip(stfts, levels, _AVERAGED, strict=False)
    done = [_filtered(wave, stft, level, rule, averaged) for stft, level, averaged in parts]
    return torch.stack(done).mean(0)


def _filtered(wave: Tensor, stft: Stft, level: Tensor, rule: str, averaged: int) -> Tensor:
    """A wave (..., N) filtered in one STFT, with the power of the noise (..., F) in it."""
    spectrum = stft.analyze(wave)  # (..., T, F)
    posterior = spectrum.abs().square() / level.unsqueeze(-2).clamp_min(1e-30)
    prior = (_mean_around(posterior, averaged) - _SUBTRACTED).clamp_min(_LEAST_PRIOR)
    gain = wiener_gain(prior) if rule == "wiener" else log_amplitude_gain(prior, posterior)
    return stft.synthesize(spectrum * gain, wave.shape[-1])


def _level_of_long(level: Tensor) -> Tensor:
    """The noise level (..., F) in a window twice as long: twice the power in twice the bins, (...,
    2 F - 1).
    """
    between = (level[..., 1:] + level[..., :-1]) / 2
    return 2 * torch.cat(
        [torch.stack([level[..., :-1], between], -1).flatten(-2), level[..., -1:]], -1
    )


def wiener_gain(prior: Tensor) -> Tensor:
    """The gain of least squared error, xi / (1 + xi), from the a-priori ratio xi of signal power to
    noise power.
    """
    return prior / (1 + prior)


@torch.no_grad()
def log_amplitude_gain(prior: Tensor, posterior: Tensor) -> Tensor:
    """The gain of least squared error of the log-amplitude (MMSE-LSA; Ephraim and Malah 1985, eq.
    20), 1 at most. No gradient passes.

    Args:
        prior: power of the signal over that of the noise, as expected; positive, any shape.
        posterior: power of the cell over that of the noise, as found; the same shape.
    """
    from scipy.special import exp1

    wiener = wiener_gain(prior)
    ratio = (wiener * posterior).clamp_min(1e-10)
    integral = torch.from_numpy(exp1(ratio.cpu().numpy())).to(ratio)
    return (wiener * torch.exp(integral / 2)).clamp_max(1)


def noise_level(wave: Tensor, sample_rate: int) -> Tensor:
    """The power of the noise in a sound, from where it is quiet: in time, and between the
    harmonics.

    The first estimate takes the quietest tenth of the frames and, in these, the lowest quarter of
    the neighbouring bins, each corrected for the quantile of noise that it is. Then, in five
    rounds, the level is the mean of all cells near a bin that have less than four times the level,
    corrected for the part of noise above that. This is done with the short window, and with windows
    twice and four times as long where the wave lasts two of them: the short one finds the pauses,
    the long ones resolve the noise between the harmonics of a low note. The lowest of the three is
    the level.

    Args:
        wave: (..., N), two short windows or more.
        sample_rate: Hz; decides the windows, as in :func:`denoise`.

    Returns:
        (..., F), as the squared magnitude of the STFT with the short window.
    """
    n_fft = _stft(sample_rate).n_fft
    levels = []
    for longer in _LONGER:
        if wave.shape[-1] >= 2 * longer * n_fft:
            stft = Stft(longer * n_fft, longer * n_fft // _OVERLAP).to(wave.device)
            levels.append(_quiet_level(_power_inside(wave, stft))[..., ::longer] / longer)
    if not levels:
        raise InputError(
            f"{wave.shape[-1]} samples are too short to find the noise in: give {2 * n_fft} or more"
        )
    return torch.stack(levels).amin(0)


def _level_of(noise: Tensor, stft: Stft) -> Tensor:
    """The power (..., F) of a clip that is noise alone: its mean over time, and over five bins,
    which calms it.
    """
    power = _power_inside(noise, stft).mean(-2)
    return _mean_around(power.unsqueeze(-1), 5).squeeze(-1)


def _quiet_level(power: Tensor) -> Tensor:
    """The noise level (..., F) of power (..., T, F); see :func:`noise_level`.

    Means over frequency are taken of power times frequency. So they fit white and pink noise, and
    what lies between.
    """
    frames, bins = power.shape[-2:]
    device = power.device
    place = torch.arange(bins, device=device)
    slope = place.clamp_min(1).to(power.dtype)
    nth = max(1, round(_QUIET * frames))
    quiet = power.kthvalue(nth, dim=-2).values / sum(1 / (frames - i) for i in range(nth))
    width = (0.4 * place).round().clamp_min(6)
    around = (
        (place[:, None] + width[:, None] * torch.linspace(-1, 1, _PLACES, device=device))
        .round()
        .long()
    )
    band = (quiet * slope)[..., around.clamp(0, bins - 1)]  # (..., F, places)
    level = band.kthvalue(round(_BELOW * _PLACES), dim=-1).values / slope

    width = torch.minimum((0.3 * place).round().long().clamp_min(3), place.clamp_min(1))
    low, high = (place - width).clamp_min(0), (place + width + 1).clamp_max(bins)
    # the mean of an exponential distribution below the cut
    mean_below_cut = 1 - _NOISE_CELL / math.expm1(_NOISE_CELL)
    for _ in range(_ROUNDS):
        noise = power < _NOISE_CELL * level.unsqueeze(-2)
        total, count = (_running((power * noise).sum(-2) * slope), _running(noise.sum(-2)))
        count = count[..., high] - count[..., low]
        mean = (total[..., high] - total[..., low]) / count.clamp_min(1) / mean_below_cut / slope
        level = torch.where(count > 0, mean.to(level.dtype), level)
    return level


def _running(values: Tensor) -> Tensor:
    """The sums of the first 0, 1, ... of (..., F): (..., F + 1), in double precision."""
    return functional.pad(values.double().cumsum(-1), (1, 0))


def _power_inside(wave: Tensor, stft: Stft) -> Tensor:
    """The power (..., T, F) of the frames that lie in the wave as a whole."""
    edge = stft.n_fft // 2 // stft.hop
    return stft.analyze(wave)[..., edge : wave.shape[-1] // stft.hop + 1 - edge, :].abs().square()


def _mean_around(values: Tensor, width: int) -> Tensor:
    """The mean over ``width`` (odd) values around each along the axis before the last; at the ends
    over those there.
    """
    flat = values.flatten(0, -3) if values.dim() > 2 else values[None]
    return functional.avg_pool2d(
        flat, (width, 1), stride=1, padding=(width // 2, 0), count_include_pad=False
    ).view_as(values)


def _stft(sample_rate: int) -> Stft:
    if not RATES[0] <= sample_rate <= RATES[1]:
        raise InputError(f"a sample rate of {sample_rate} Hz: give {RATES[0]} to {RATES[1]} Hz")
    n_fft = 2 ** round(math.log2(_WINDOW * sample_rate))
    return Stft(n_fft, n_fft // _OVERLAP)


def _check(wave: Tensor, name: str, least: int = 1) -> None:
    if wave.dim() == 0 or wave.shape[-1] == 0:
        raise InputError(f"{name} is empty: give one sample or more")
    if wave.shape[-1] < least:
        raise InputError(
            f"{name} has {wave.shape[-1]} samples: give {least} or more at this sample rate"
        )
    if not bool(wave.isfinite().all()):
        raise InputError(f"{name} has NaN or infinite samples: mend or leave out the recording")


def remove_dc(wave: Tensor) -> Tensor:
    """A wave (..., N) without its mean, which is inaudible but takes headroom, and clicks."""
    _check(wave, "the wave")
    return wave - wave.mean(-1, keepdim=True)


def declick(wave: Tensor, sample_rate: int, seconds: float = 0.003) -> Tensor:
    """Fade in, or out, where a wave does not begin, or end, at zero; elsewhere it stays as it is,
    to the bit.

    A jump from silence to the first sample, or from the last one to silence, is heard as a click.
    Zero is whatever rounds to it in 16 bits.

    Args:
        wave: (..., N); each clip is judged on its own.
        sample_rate: Hz.
        seconds: of the fade, half a period of a cosine; at most half of the wave.
    """
    _check(wave, "the wave")
    count = min(max(round(seconds * sample_rate), 1), max(wave.shape[-1] // 2, 1))
    ramp = (
        1 - torch.cos(math.pi * torch.arange(count, device=wave.device, dtype=wave.dtype) / count)
    ) / 2
    clicks = wave[..., [0, -1]].abs() > STEP_16_BIT / 2
    done = wave.clone()
    done[..., :count] *= torch.where(clicks[..., :1], ramp, 1)
    done[..., wave.shape[-1] - count :] *= torch.where(clicks[..., 1:], ramp.flip(0), 1)
    return done


def true_peak(wave: Tensor) -> Tensor:
    """The largest value (...) of the sound that a wave (..., N) stands for, also between its
    samples; 1 is full scale.

    Oversampled by four as in ITU-R BS.1770-5, annex 2, with a sinc under a Kaiser window in place
    of the filter given there as an example: it leaves the samples themselves as they are, so the
    result is never below the largest. A peak between the oversampled points is missed by 0.7 dB at
    most, near half the sample rate, and by 0.1 dB below a sixth of it.
    """
    _check(wave, "the wave")
    half, factor = 16, 4
    offset = (
        torch.arange(1 - half, half + 1, dtype=torch.float64)
        - torch.arange(factor)[:, None] / factor
    )
    window = torch.kaiser_window(
        2 * half * factor + 1, periodic=False, beta=8.0, dtype=torch.float64
    )
    taps = torch.sinc(offset) * window[((offset + half) * factor).round().long()]  # (4, 2 half)
    # it also swings beyond the ends
    flat = functional.pad(wave.reshape(-1, 1, wave.shape[-1]), (2 * half, 2 * half))
    fine = functional.conv1d(flat, taps.to(wave)[:, None])
    return fine.abs().amax((-1, -2)).view(wave.shape[:-1])


def limit(wave: Tensor, ceiling_db: float = -1.0) -> Tensor:
    """Turn a wave down as a whole so that its true peak is at most the ceiling.

    One gain, not one that ducks under each peak: a toot is one gesture, whose envelope and timbre
    are what it is, and there is no quiet passage that a turned-down peak would save. Its spectrum
    keeps its shape.

    Args:
        wave: (..., N); each clip gets a gain of its own.
        ceiling_db: dB true peak (0 is full scale); -1 leaves room for lossy codecs (EBU R 128).

    Returns:
        (..., N). A wave below the ceiling comes back as it is, to the bit.
    """
    ceiling = 10 ** (ceiling_db / 20)
    peak = true_peak(wave).unsqueeze(-1)
    return torch.where(peak > ceiling, wave * (ceiling * (1 - 1e-6) / peak.clamp_min(1e-30)), wave)


def clean(wave: Tensor, sample_rate: int, noise: Tensor | None = None) -> Tensor:
    """All in order: a wave (..., N) without offset and noise, faded where an end clicks, at most -1
    dB true peak.
    """
    return limit(declick(denoise(remove_dc(wave), sample_rate, noise), sample_rate))
