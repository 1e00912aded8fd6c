"""What is measured on one sound: when it lasts, how loud and bright it is, and its pitch.

These are the definitions behind the controls. The synthesiser labels its sounds with them and the
evaluation checks generated sounds with them, so that both speak of the same thing. All take a wave
(N,) or a batch (..., N).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

ENVELOPE_STEP = 0.0005  # s between two points of the envelope
ENVELOPE_STEPS = 20  # steps in its window: 10 ms
THRESHOLD = 0.01  # -40 dB below the peak: the sound begins and ends here
LOWEST_BIN = 30.0  # Hz: what lies below is no brightness but offset and rumble
CENTROID_FFT, CENTROID_HOP = 1024, 256
FRAMES_AT_ONCE = 128  # frames and their spectra fit the cache
STEADY = 8192 / 22050  # s: the longest window that pitch is fitted in
HARMONICS = 16
# half width of a harmonic in bins of the window: a Hann window leaks less than -50 dB beyond
LOBE = 4


class Measures(NamedTuple):
    """What one pass over a batch of waves measures; each field has the waves' leading shape
    `(...)`.
    """

    onset: Tensor  # s
    duration: Tensor  # s
    loudness: Tensor  # dBFS
    centroid: Tensor  # Hz


def _energy(wave: Tensor, sample_rate: float) -> tuple[Tensor, int]:
    """Energy up to each point of the envelope's grid, (..., K + 1), and the grid's step in samples.

    In float64: windows 80 dB below the peak are differences of it.
    """
    step = max(1, round(sample_rate * ENVELOPE_STEP))
    short = -wave.shape[-1] % step if wave.shape[-1] else step
    blocks = functional.pad(wave, (0, short)).unfold(-1, step, step).square().sum(-1)
    return functional.pad(blocks.double().cumsum(-1), (1, 0)), step


def _rms(energy: Tensor, step: int) -> Tensor:
    """The envelope (..., K + 1) from the running energy: windows are centred, and find silence
    beyond the ends.
    """
    half = ENVELOPE_STEPS // 2
    before = functional.pad(energy[..., : energy.shape[-1] - half], (half, 0))[
        ..., : energy.shape[-1]
    ]
    reach = (
        torch.arange(energy.shape[-1], device=energy.device)
        .add(half)
        .clamp_max(energy.shape[-1] - 1)
    )
    return ((energy[..., reach] - before).clamp_min(0) / (ENVELOPE_STEPS * step)).sqrt()


def envelope(wave: Tensor, sample_rate: float) -> Tensor:
    """RMS over 10 ms, every 0.5 ms (both rounded to whole samples: 220 and 11 at 22,050 Hz).

    Args:
        wave: (..., N), in [-1, 1].
        sample_rate: Hz.

    Returns:
        (..., K + 1): point k is centred on sample `k * round(sample_rate * 0.0005)`; K steps cover
        the wave. Beyond its ends lies silence.
    """
    return _rms(*_energy(wave, sample_rate)).to(wave.dtype)


def _extent(energy: Tensor, step: int, samples: int) -> tuple[Tensor, Tensor]:
    """First and last crossing of the threshold in steps, (...); equal where the wave is silent."""
    level = _rms(energy, step)
    peak = level.amax(-1, keepdim=True)
    level = level / peak.clamp_min(torch.finfo(level.dtype).tiny)
    above = (level >= THRESHOLD).to(torch.uint8)
    last_point = level.shape[-1] - 1

    def crossing(inside: Tensor, outside: Tensor) -> Tensor:
        inside, outside = inside[..., None], outside.clamp(0, last_point)[..., None]
        high, low = level.gather(-1, inside), level.gather(-1, outside)
        part = ((high - THRESHOLD) / (high - low).clamp_min(torch.finfo(level.dtype).tiny)).clamp(
            0, 1
        )
        return (inside + part * (outside - inside)).squeeze(-1)

    first, last = above.argmax(-1), last_point - above.flip(-1).argmax(-1)
    start = crossing(first, first - 1)
    end = crossing(last, last + 1).clamp_max(samples / step)
    audible = peak.squeeze(-1) > 0
    return start.where(audible, 0), end.where(audible, 0)


def _level(energy: Tensor, step: int, start: Tensor, end: Tensor) -> Tensor:
    """Mean square from start to end, in dB: (...); -inf where they are equal."""
    bounds = torch.stack((start, end), -1)
    below = bounds.floor().long().clamp_max(energy.shape[-1] - 2)
    at, after = energy.gather(-1, below), energy.gather(-1, below + 1)
    inside = (at + (after - at) * (bounds - below)).diff(dim=-1).squeeze(-1)
    return 10 * torch.log10(inside / (end - start) / step).where(end > start, -torch.inf)


def _centroid(wave: Tensor, sample_rate: float, start: Tensor, end: Tensor) -> Tensor:
    """Centroid (B,) in Hz of the mean magnitude of the frames whose centre lies from start to end
    (B,), in samples.
    """
    padded = functional.pad(wave, (CENTROID_FFT // 2, CENTROID_FFT // 2))
    frames = padded.unfold(-1, CENTROID_FFT, CENTROID_HOP)  # (B, T, n_fft), a view
    centre = torch.arange(frames.shape[1], device=wave.device) * CENTROID_HOP
    chosen = (centre >= start[:, None]) & (centre <= end[:, None]) & (end > start)[:, None]
    # a click may lie between the centres of two frames: the nearest one always counts
    nearest = ((start + end) / 2 / CENTROID_HOP).round().long().clamp_max(frames.shape[1] - 1)
    chosen[torch.arange(len(wave), device=wave.device), nearest] |= end > start
    clip, frame = chosen.nonzero(as_tuple=True)
    hertz = torch.arange(CENTROID_FFT // 2 + 1, device=wave.device, dtype=wave.dtype) * (
        sample_rate / CENTROID_FFT
    )
    counted = (hertz >= LOWEST_BIN).to(wave.dtype)
    # (F, 2): magnitude, and magnitude times frequency
    sums = torch.stack((counted, counted * hertz), -1)
    window = torch.hann_window(CENTROID_FFT, device=wave.device, dtype=wave.dtype)
    total = wave.new_zeros(len(wave), 2)
    for i in range(0, len(clip), FRAMES_AT_ONCE):
        part = slice(i, i + FRAMES_AT_ONCE)
        spectrum = torch.fft.rfft(frames[clip[part], frame[part]] * window)
        magnitude = (spectrum.real.square() + spectrum.imag.square()).sqrt()  # twice as fast as abs
        total.index_add_(0, clip[part], magnitude @ sums)
    return total[:, 1] / total[:, 0]


def measure(wave: Tensor, sample_rate: float) -> Measures:
    """Onset, duration, loudness and centroid in one pass, each as the function of that name defines
    it.

    Args:
        wave: (..., N), in [-1, 1].
        sample_rate: Hz.

    Returns:
        Measures with fields of shape (...). A silent wave has onset nan, duration 0, loudness -inf
        and centroid nan.
    """
    energy, step = _energy(wave, sample_rate)
    start, end = _extent(energy, step, wave.shape[-1])
    steps = end - start
    flat = wave.reshape(steps.numel(), wave.shape[-1])
    bright = _centroid(flat, sample_rate, start.flatten() * step, end.flatten() * step).view(
        steps.shape
    )
    return Measures(
        onset=(start * (step / sample_rate)).where(steps > 0, torch.nan).to(wave.dtype),
        duration=(steps * (step / sample_rate)).to(wave.dtype),
        loudness=_level(energy, step, start, end).to(wave.dtype),
        centroid=bright,
    )


def onset(wave: Tensor, sample_rate: float) -> Tensor:
    """When the 10 ms RMS envelope first crosses -40 dB below its peak: (...) in s.

    0 where the wave starts above that; nan for silence.
    """
    energy, step = _energy(wave, sample_rate)
    start, end = _extent(energy, step, wave.shape[-1])
    return (start * (step / sample_rate)).where(end > start, torch.nan).to(wave.dtype)


def duration(wave: Tensor, sample_rate: float) -> Tensor:
    """From the first to the last crossing of -40 dB below the peak of the 10 ms RMS envelope: (...)
    in s.

    Crossings are interpolated between the points of `envelope`; a wave that is cut while it sounds
    ends with its last sample. An abrupt edge inside the wave adds the half window by which the
    envelope runs ahead of it: 5 ms. Silence lasts 0.
    """
    energy, step = _energy(wave, sample_rate)
    start, end = _extent(energy, step, wave.shape[-1])
    return ((end - start) * (step / sample_rate)).to(wave.dtype)


def loudness(wave: Tensor, sample_rate: float) -> Tensor:
    """RMS over the duration: (...) in dBFS, so that a full-scale sine is at -3.01; -inf for
    silence.
    """
    energy, step = _energy(wave, sample_rate)
    return _level(energy, step, *_extent(energy, step, wave.shape[-1])).to(wave.dtype)


def centroid(wave: Tensor, sample_rate: float) -> Tensor:
    """Spectral centroid within the duration: (...) in Hz; nan for silence.

    The centre of mass of the magnitude (as in librosa: not of the power) averaged over the frames,
    Hann 1024 / 256, whose centre lies within the duration, so that loud frames count more; bins
    below 30 Hz are left out.
    """
    return measure(wave, sample_rate).centroid


def brightness_octaves(centroid: Tensor, f0: Tensor | float) -> Tensor:
    """Octaves from f0 up to a centroid, both in Hz (broadcast); the control `brightness` scales it
    to 0 to 1.
    """
    return torch.log2(centroid / f0)


def cents(pitch: Tensor | float, reference: Tensor | float) -> Tensor:
    """The interval from `reference` to `pitch`, both in Hz (broadcast): 100 is a semitone up, 1200
    an octave.
    """
    return 1200 * torch.log2(torch.as_tensor(pitch) / torch.as_tensor(reference))


def f0_track(
    wave: Tensor, sample_rate: float, fmin: float = 30.0, fmax: float = 2000.0, hop: int = 256
) -> Tensor:
    """f0 over time by probabilistic YIN (Mauch and Dixon 2014) as in librosa: the reference; slow,
    in 10 cent steps.

    Args:
        wave: (..., N).
        sample_rate: Hz.
        fmin, fmax: range of the search in Hz. A frame holds 4 to 8 periods of `fmin`.
        hop: samples between two frames.

    Returns:
        (..., 1 + N // hop) in Hz, nan where nothing is voiced. Frame t is centred on sample `t *
        hop`. A pitch outside of the range is not told from its nearest end.
    """
    import librosa

    frame = 2 ** math.ceil(math.log2(4 * sample_rate / fmin))
    array = wave.detach().cpu().numpy()
    f0, _, _ = librosa.pyin(
        array, fmin=fmin, fmax=fmax, sr=sample_rate, frame_length=frame, hop_length=hop
    )
    return torch.from_numpy(f0).to(wave)


def median_f0(wave: Tensor, sample_rate: float, fmin: float = 30.0, fmax: float = 2000.0) -> Tensor:
    """Median of `f0_track` over the voiced frames: (...) in Hz; nan where no frame is."""
    return f0_track(wave, sample_rate, fmin, fmax, hop=512).nanmedian(-1).values


def _steady_spectrum(wave: Tensor, sample_rate: float) -> tuple[Tensor, Tensor, float]:
    """Magnitude (B, F) of the middle of each wave (B, N), the window's length in samples (B,), and
    bins for one Hz.

    The Hann window spans the middle 80 % of the energy, 0.37 s at most, which passes over a sharp
    attack, a long tail or noise around a short sound; zero padding to 8 times that interpolates the
    spectrum.
    """
    longest = round(STEADY * sample_rate)
    size = 2 ** math.ceil(math.log2(8 * longest))
    energy, step = _energy(wave, sample_rate)
    bounds = energy[..., -1:] * energy.new_tensor([0.1, 0.9])
    start, end = torch.searchsorted(energy, bounds).mul(step).unbind(-1)
    length = (end - start).clamp(step, longest)
    middle = (start + end) / 2
    first = (middle - longest / 2).floor().long()
    index = first[:, None] + torch.arange(longest + 1, device=wave.device)
    away = (index - middle[:, None]) / length[:, None]
    window = (
        torch.cos(torch.pi * away.clamp(-0.5, 0.5)).square()
        * (index >= 0)
        * (index < wave.shape[-1])
    )
    segment = functional.pad(wave, (0, 1)).gather(-1, index.clamp(0, wave.shape[-1]))
    return torch.fft.rfft(segment * window.to(wave.dtype), n=size).abs(), length, size / sample_rate


def chord_f0(
    wave: Tensor,
    sample_rate: float,
    ratios: Sequence[float],
    guess: Tensor | float,
    span_cents: float = 150.0,
) -> Tensor:
    """Lowest note of a steady chord of known intervals, near a known pitch: the comb that catches
    most of the spectrum.

    Magnitudes are compressed over 40 dB, so that weak harmonics have a say, and harmonic h counts 1
    / h. The search goes over the span in steps of 4 cents, then in steps of a quarter around the
    best. On steady tones it errs by a cent at most (by a few for notes below 60 Hz shorter than 0.2
    s), 100 times as fast as pyin. But what it finds always lies within the span: it refines a pitch
    and does not judge whether there is one.

    Args:
        wave: (..., N).
        sample_rate: Hz.
        ratios: f0 of each note over that of the lowest, such as (1, 5 / 4, 3 / 2).
        guess: (...) or a number: where to search, in Hz.
        span_cents: how far to search on both sides.

    Returns:
        (...) in Hz; nan for silence.
    """
    flat = wave.reshape(math.prod(wave.shape[:-1]), wave.shape[-1])
    about = (
        torch.as_tensor(guess, device=wave.device, dtype=torch.float64)
        .expand(wave.shape[:-1])
        .reshape(-1, 1)
    )
    magnitude, _, bins_per_hertz = _steady_spectrum(flat, sample_rate)
    peak = magnitude.amax(-1, keepdim=True)
    compressed = torch.log1p(magnitude / (0.01 * peak).clamp_min(torch.finfo(wave.dtype).tiny))
    harmonic = torch.arange(1, HARMONICS + 1, device=wave.device, dtype=torch.float64)
    # (H,)
    multiple = (
        torch.as_tensor(ratios, device=wave.device, dtype=torch.float64)[:, None] * harmonic
    ).flatten()
    # a harmonic counts for every candidate or for none, or else candidates would win by having more
    # of them
    counts = (about * 2 ** (span_cents / 1200) * multiple < sample_rate / 2) / harmonic.repeat(
        len(ratios)
    )

    def salience(candidates: Tensor) -> Tensor:  # (B, C) in Hz -> (B, C)
        position = candidates[..., None] * multiple * bins_per_hertz  # (B, C, H)
        below = position.long().clamp(0, compressed.shape[-1] - 2)
        part = (position - below).to(wave.dtype)
        at, after = (compressed.gather(-1, (below + i).flatten(1)).view_as(below) for i in (0, 1))
        return ((at + (after - at) * part) * counts[:, None]).sum(-1)

    for reach, points in ((span_cents, 2 * math.ceil(span_cents / 4) + 1), (6.0, 49)):
        offset = torch.linspace(-reach, reach, points, device=wave.device, dtype=torch.float64)
        candidates = about * 2 ** (offset / 1200)
        about = candidates.gather(-1, salience(candidates).argmax(-1, keepdim=True))
    return about.where(peak > 0, torch.nan).view(wave.shape[:-1]).to(wave.dtype)


def tone_f0(
    wave: Tensor, sample_rate: float, guess: Tensor | float, span_cents: float = 150.0
) -> Tensor:
    """f0 of a single steady tone near a known pitch: `chord_f0` of one note."""
    return chord_f0(wave, sample_rate, (1.0,), guess, span_cents)


def harmonic_to_noise_ratio(wave: Tensor, sample_rate: float, f0: Tensor | float) -> Tensor:
    """Power of the harmonics of a steady tone over the power of all else, between f0 / 2 and the
    Nyquist frequency.

    The noise between the harmonics also stands for the noise beneath them. Vibrato counts as noise,
    and the leakage of the window ends the scale at some 45 dB. A blind spot: a low pass raises it,
    since it takes noise and few harmonics.

    Args:
        wave: (..., N).
        sample_rate: Hz.
        f0: (...) or a number: Hz, to within a fraction of a percent (see `tone_f0`).

    Returns:
        (...) in dB; -inf where no harmonic stands out; nan for silence.
    """
    flat = wave.reshape(math.prod(wave.shape[:-1]), wave.shape[-1])
    pitch = (
        torch.as_tensor(f0, device=wave.device, dtype=wave.dtype)
        .expand(wave.shape[:-1])
        .reshape(-1, 1)
    )
    magnitude, length, bins_per_hertz = _steady_spectrum(flat, sample_rate)
    power = magnitude.square()
    hertz = torch.arange(power.shape[-1], device=wave.device, dtype=wave.dtype) / bins_per_hertz
    # half of the spectrum is left to the noise
    lobe = torch.minimum(LOBE * sample_rate / length[:, None], pitch / 4)
    counted = hertz >= pitch / 2
    harmonic = (hertz - pitch * (hertz / pitch).round()).abs() <= lobe
    tone, between = ((power * (counted & part)).sum(-1) for part in (harmonic, ~harmonic))
    under = between * (counted & harmonic).sum(-1) / (counted & ~harmonic).sum(-1)
    ratio = 10 * torch.log10((tone - under).clamp_min(0) / (between + under))
    return ratio.view(wave.shape[:-1]).to(wave.dtype)
