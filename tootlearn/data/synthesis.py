"""Toots from their physics: seeded recipes with measured labels.

Every toot is a blown (or hit, or squeezed) resonator. Three ideas carry all kinds:

* **Pressure.** One curve p(t) from 0 to 1 rises, swells and falls. It sets the level, and, because a reed or a lip
  clips harder the harder it is blown, the balance of the harmonics: harmonic k sounds as p^(1 + k swell).
* **Source and resonator.** The source's harmonics fall as k^-tilt; the horn's resonances shape them. Brightness is
  solved for: the tilt is found at which the spectral centroid is the one that was asked for.
* **Breath.** Turbulence adds noise, coloured by the same resonances.

The sum over harmonics, sum_k a_k z^k of z = rho e^(i theta), is a polynomial. It is cut into about sqrt(K) groups:
one matrix product gives all of them from the first powers of z, and Horner's scheme in a higher power joins them
(M. S. Paterson and L. J. Stockmeyer, 1973). That takes two square roots of K complex products a sample, and one sine
and cosine. Harmonics stop below the Nyquist frequency.

What a recipe is asked for and what it gives differ by the randomness of nature, so the labels of a toot are
*measured* on its wave (`tootlearn.measures`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn import measures, rng
from tootlearn.controls import LOUDNESS_RANGE, ONSET_SAMPLES, Controls, Kind
from tootlearn.data import recipes
from tootlearn.data.recipes import KINDS, RECIPES
from tootlearn.front_end import WINDOW_SAMPLES

SAMPLE_RATE = 22050
PEAK = 0.98  # full scale is never reached: a louder toot is turned down
_TOP = 0.96 * SAMPLE_RATE / 2  # Hz: no harmonic above
_GRID = np.maximum(np.linspace(0, SAMPLE_RATE / 2, 513), 1.0)  # Hz: where colours of noise are described
_STEP = 32  # samples between two points of what changes slowly: 1.5 ms
_BLOCK = 4096  # samples whose powers fit the cache
_ROOM = WINDOW_SAMPLES - ONSET_SAMPLES
_AT_ONCE = 16  # toots of a batch
_LENGTHS = tuple(2048 * n for n in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24))  # that the FFT likes; more than a window

_CONTROLS, _NOTES, _FLUTTER, _BREATH, _FORMANTS, _DRIFT, _JITTER, _SHIMMER, _RIPPLE = range(2, 11)  # streams
_LATE = _NOTES + 100

Array = NDArray[np.float64]
Signal = NDArray[np.float32]


class _Chance(NamedTuple):
    """The random numbers that a toot is made of: uniform ones, then normal ones."""

    controls: Array
    recipe: Array
    late: Array
    notes: Array
    formants: Array
    flutter: Array
    drift: Array
    jitter: Array
    shimmer: Array
    ripple: Array


def _chances(seeds: Sequence[int]) -> list[_Chance]:
    """The random numbers of each toot."""
    each = np.array(seeds)
    even = [(_CONTROLS, 6), (recipes.STREAM, len(recipes.NAMES)), (_LATE, 5)]
    normal = [(_NOTES, 10), (_FORMANTS, 4), (_FLUTTER, 64), (_DRIFT, 32)]
    normal += [(_JITTER, 128), (_SHIMMER, 256), (_RIPPLE, 64)]
    columns = [rng.uniform(each, *which) for which in even] + [rng.normal(each, *which) for which in normal]
    return [_Chance(*rows) for rows in zip(*columns, strict=True)]


def draw(kind: Kind, seed: int) -> tuple[float, float, float, float]:
    """Pitch (Hz), duration (s), brightness (0 to 1) and loudness (dBFS) as they occur in nature.

    Pitch and duration are even in the logarithm, the others over their range; brightness runs a little over both
    ends, and less high where a high note has no room for harmonics below 5 kHz. Where the recipe knows where the kind's
    body holds the centroid, half of the toots have theirs there, whatever their pitch.
    """
    return _natural(kind, rng.uniform(seed, _CONTROLS, 6))


def _natural(kind: Kind, u: Array) -> tuple[float, float, float, float]:
    pitch = kind.pitch[0] * (kind.pitch[1] / kind.pitch[0]) ** u[0]
    duration = kind.duration[0] * (kind.duration[1] / kind.duration[0]) ** u[1]
    low, high = kind.octaves
    most = min(1.06, (np.log2(5000 / pitch) - low) / (high - low))
    loudness = LOUDNESS_RANGE[0] + (LOUDNESS_RANGE[1] - LOUDNESS_RANGE[0]) * u[3]
    brightness = -0.06 + (most + 0.06) * u[2]
    body = RECIPES[kind.name].centroid if kind.name in RECIPES else None
    if body and u[4] < 0.5:
        octaves = np.log2(body[0] * (body[1] / body[0]) ** u[5] / pitch)
        brightness = min(max((octaves - low) / (high - low), -0.06), most)
    return float(pitch), float(duration), float(brightness), float(loudness)


def render(
    kind: str, pitch: float, duration: float, brightness: float, loudness: float, seed: int
) -> NDArray[np.float32]:
    """One toot from its controls.

    Args:
        kind: a name out of :data:`KINDS`.
        pitch: Hz.
        duration: s; a toot that reaches beyond the window is cut.
        brightness: 0 to 1 over the kind's natural range; no darker than the breath leaves it.
        loudness: dBFS; less where the peak would pass full scale.
        seed: of everything that the controls leave open.

    Returns:
        Wave, shape (WINDOW_SAMPLES,), at 22,050 Hz: 512 samples of silence, the toot, silence.
    """
    wave = torch.zeros(1, WINDOW_SAMPLES)
    peak = _place(_blow(kind, pitch, duration, brightness, seed, _chances([seed])[0]), wave[0])
    _bring(wave, np.array([loudness]), np.array([peak]))
    return np.asarray(wave[0].numpy())


def toots(kinds: Sequence[str], count: int, seed: int, start: int = 0) -> tuple[Tensor, Controls]:
    """A set of natural toots with measured labels, the kinds in turn.

    Args:
        kinds: names out of :data:`KINDS`; the ``kind`` of a toot is its index in this list.
        count: B, how many toots.
        seed: the set's seed; toot i of the set is the same whatever ``count``.
        start: the index in the set of the first.

    Returns:
        Waves, shape (B, WINDOW_SAMPLES), and their controls as measured (the pitch is exact by construction).
    """
    waves = torch.from_numpy(np.zeros((count, WINDOW_SAMPLES), dtype=np.float32))
    which = np.arange(start, start + count) % max(len(kinds), 1)
    labels = np.empty((3, count))
    pitch = np.empty(count)
    for first in range(0, count, _AT_ONCE):
        rows = range(first, min(first + _AT_ONCE, count))
        seeds = rng.children(seed, start + first, len(rows))
        loud, peaks = [], []
        for i, own, chance in zip(rows, seeds, _chances(seeds), strict=True):
            name = kinds[which[i]]
            pitch[i], duration, brightness, loudness = _natural(KINDS[name], chance.controls)
            peaks.append(_place(_blow(name, pitch[i], duration, brightness, own, chance), waves[i]))
            loud.append(loudness)
        labels[:, first : rows.stop] = _bring(waves[first : rows.stop], np.array(loud), np.array(peaks))
    return waves, _controls(which, pitch, labels, [KINDS[name] for name in kinds])


def measured(waves: Tensor, kind: NDArray[np.int64], pitch: Array, kinds: Sequence[Kind]) -> Controls:
    """The controls of waves (B, N) at 22,050 Hz of known kind (B,) and pitch (B,), the others as measured."""
    found = measures.measure(waves, SAMPLE_RATE)
    labels = torch.stack((found.duration, found.centroid, found.loudness)).double().numpy()
    return _controls(kind, pitch, labels, kinds)


def _controls(kind: NDArray[np.int64], pitch: Array, labels: Array, kinds: Sequence[Kind]) -> Controls:
    """From duration (s), centroid (Hz) and loudness (dBFS), shape (3, B)."""
    octaves = np.log2(labels[1] / pitch)
    brightness = np.array([kinds[k].brightness(o) for k, o in zip(kind, octaves, strict=True)])
    return Controls(kind, pitch, labels[0], brightness, labels[2])


def _place(toot: Signal, window: Tensor) -> float:
    """Put a toot (N,) into its window (WINDOW_SAMPLES,), after the silence; its peak."""
    window[ONSET_SAMPLES : ONSET_SAMPLES + len(toot)] = torch.from_numpy(toot)
    return float(max(toot.max(), -toot.min()))


def _bring(waves: Tensor, loudness: Array, peak: Array) -> Array:
    """Bring waves (B, N) of this peak (B,) to a loudness (B,) in dBFS, or as near as full scale lets them, in place.

    Returns:
        Duration (s), centroid (Hz) and loudness (dBFS) of the result, shape (3, B).
    """
    found = measures.measure(waves, SAMPLE_RATE)
    level = found.loudness.double().numpy()
    gain = np.minimum(10 ** ((loudness - level) / 20), PEAK / peak)
    waves *= torch.from_numpy(gain).float()[:, None]
    return np.stack((found.duration.double().numpy(), found.centroid.double().numpy(), level + 20 * np.log10(gain)))


def _blow(kind: str, pitch: float, duration: float, brightness: float, seed: int, chance: _Chance) -> Signal:
    """The toot from its onset to its end, at any level."""
    recipe, about = RECIPES[kind], KINDS[kind]
    drawn = recipe.at(chance.recipe)
    pressure, early = (p[:_ROOM] for p in _pressure(duration, drawn, about.trill, chance.flutter))
    count = len(pressure)
    time = _points(count)
    quick = np.interp(time * 60, np.arange(128), chance.jitter)  # too quick to be heard as a contour of f0
    bend = 2 ** (_bend(time, duration, drawn, chance.drift) + drawn["jitter"] / 1200 * quick)
    shimmer = _shimmer(time, drawn["shimmer"], chance.shimmer)
    turns = _turns(pitch * bend, count)
    ratios, levels, starts = _notes(about.intervals, drawn, chance)
    top = int(_TOP / (pitch * bend.max() * ratios.min()))
    resonance = _resonator(recipe.formants, chance.formants)
    # (notes, harmonics): frequencies, and levels but for the tilt that makes the brightness right
    numbers = np.arange(1, top + 1)
    frequency = pitch * ratios[:, None] * numbers
    shape = levels[:, None] * resonance(frequency) * (frequency * bend.max() < _TOP)
    shape[:, 1::2] *= drawn["even"]
    shape *= 10 ** (drawn["ripple"] / 20 * np.resize(chance.ripple, shape.shape))
    noise = 10 ** (drawn["breath"] / 20)
    colour = _breath_colour(pitch, drawn["breath_focus"], drawn["breath_top"], resonance)
    low, high = about.octaves
    target = pitch * 2 ** (low + (high - low) * brightness)
    amplitude = shape * numbers ** -_tilt(frequency, shape, target, noise * colour)
    tone = np.zeros(count, dtype=np.float32)
    for ratio, row, start in zip(ratios, amplitude, starts, strict=True):
        late = round(start * SAMPLE_RATE)
        blown = pressure[: count - late]
        tone[late:] += _harmonics(ratio * (turns[late:] + 1), blown, row, drawn["swell"], shimmer)
    level = np.sqrt(np.square(tone).mean())
    chiff = 10 ** (drawn["chiff"] / 20) * _joined(np.exp(-time / 0.04), count)
    blown = np.float32(noise) * early + chiff * np.minimum(early * 4, 1)
    tone += _breath(level * blown, colour, seed)
    return tone


def _shimmer(time: Array, decibel: float, random: Array) -> Array:
    """Gains of eight groups of partials, each of which wanders on its own: (8, T); random numbers come 16 a second."""
    knots = random.reshape(8, -1)
    slow = np.stack([np.interp(time * 16, np.arange(knots.shape[1]), row) for row in knots])
    return np.asarray(10 ** (decibel / 20 * slow))


def _points(count: int) -> Array:
    """Times in s, every _STEP samples from 0 until they span this many samples."""
    return np.arange(-(-count // _STEP) + 1) * (_STEP / SAMPLE_RATE)


def _joined(values: Array, count: int) -> Signal:
    """Straight lines between values at :func:`_points`: (count,)."""
    at = values.astype(np.float32)
    part = np.arange(_STEP, dtype=np.float32) / _STEP
    lines = np.diff(at)[:, None] * part
    lines += at[:-1, None]
    return lines.ravel()[:count]


def _turns(f0: Array, count: int) -> Array:
    """Phase in turns, (count,), of f0 in Hz at :func:`_points`, straight between them."""
    each = f0 * (_STEP / SAMPLE_RATE)
    start = np.concatenate(([0.0], np.cumsum((each[:-1] + each[1:]) / 2)[:-1]))
    part = np.arange(_STEP) / _STEP
    turns = (np.diff(each) / 2)[:, None] * part
    turns += each[:-1, None]
    turns *= part
    turns += start[:, None]
    return turns.ravel()[:count]


def _pressure(duration: float, drawn: dict[str, float], trill: float, flutter: Array) -> tuple[Signal, Signal]:
    """Blowing pressure p(t), 0 to 1, to -80 dB after the release.

    Args:
        duration: s.
        drawn: by the recipe.
        trill: its rate, Hz.
        flutter: random numbers, 12 a second.

    Returns:
        The tone's pressure, shape (N,), and the breath's, whose rise is shorter by a share of ``breath_lead``.
    """
    forty = np.log(100) / (1 + drawn["swell"])  # time constants in which the fundamental falls by 40 dB
    fall = min(drawn["release"], 0.45 * duration / forty)  # a short toot spends at most 45 % of its time fading
    rise = min(drawn["attack"], 0.4 * duration)
    audible = rise * (2 / np.pi) * np.arcsin(0.1 ** (1 / (1 + drawn["swell"])))  # when it rises through -40 dB
    end = duration + audible - fall * forty  # where the fall to -40 dB must begin
    last = int((end + fall * np.log(1e4)) * SAMPLE_RATE) - 1
    count = last + 1
    time = _points(count)
    slow = np.interp(time * 12, np.arange(len(flutter)), flutter)
    wobble = np.sin(2 * np.pi * drawn["vibrato_rate"] * time) * np.clip((time - 0.2) / 0.2, 0, 1)
    points = (1 + drawn["flutter"] * slow + drawn["tremolo"] * wobble).clip(0.3, 1.7)
    if drawn["hold"]:
        points *= 10 ** (-drawn["hold"] / 20 * time)
    level = _joined(points, count)
    if trill:
        angle = np.arange(count, dtype=np.float32) * np.float32(2 * np.pi * trill / SAMPLE_RATE)
        level *= np.float32(1 - drawn["trill"] / 2) + np.float32(drawn["trill"] / 2) * np.cos(angle)
    falling = np.arange(int(end * SAMPLE_RATE) + 1, count)
    level[falling] *= np.exp((end - falling / SAMPLE_RATE) / fall)
    final = np.arange(last - int(0.003 * SAMPLE_RATE), count)
    level[final] *= (last - final) / (0.003 * SAMPLE_RATE)  # the last 3 ms, below -70 dB, go to zero
    return _raised(level, rise), _raised(level, rise * (1 - drawn["breath_lead"]))


def _raised(level: Signal, rise: float) -> Signal:
    """A level (N,) that rises for so many seconds, as a squared sine."""
    raised = level.copy()
    ramp = np.arange(min(int(rise * SAMPLE_RATE) + 1, len(level))) / (rise * SAMPLE_RATE)
    raised[: len(ramp)] *= np.sin(0.5 * np.pi * ramp) ** 2
    return raised


def _bend(time: Array, duration: float, drawn: dict[str, float], drift: Array) -> Array:
    """f0 over time, in octaves above the pitch; ``drift`` holds random numbers, five a second."""
    cents = -drawn["glide"] * np.exp(-time / drawn["glide_time"])
    cents += drawn["drift"] * np.interp(time * 5, np.arange(len(drift)), drift)
    late = np.clip((time - 0.2) / 0.2, 0, 1)
    cents += drawn["vibrato"] * late * np.sin(2 * np.pi * drawn["vibrato_rate"] * time)
    cents -= drawn["droop"] * drawn["hold"] / 6 * time
    if drawn["sweep"]:
        gone = np.clip((time / duration - 0.15) / 0.7, 0, 1)  # held, moved, held
        cents += 100 * drawn["sweep"] * (0.5 - 0.5 * np.cos(np.pi * gone))
    return np.asarray(cents / 1200)


def bends(kinds: Sequence[str], count: int, seed: int, start: int, time: Array) -> Array:
    """f0 of the toots of :func:`toots`, in octaves above their pitch, at times in s after the onset (T,): (B, T)."""
    rows = []
    for i, chance in enumerate(_chances(rng.children(seed, start, count)) if count else [], start):
        name = kinds[i % len(kinds)]
        duration = _natural(KINDS[name], chance.controls)[1]
        rows.append(_bend(np.clip(time, 0, None), duration, RECIPES[name].at(chance.recipe), chance.drift))
    return np.stack(rows)


def _notes(intervals: Sequence[float], drawn: dict[str, float], chance: _Chance) -> tuple[Array, Array, Array]:
    """Each note's multiple of the pitch, its level and its start in s; the lowest note is exact and first."""
    count = len(intervals)
    late = chance.late[:count] * drawn["stagger"]
    detune = chance.notes[:count] * drawn["detune"]
    detune[0], late[0] = 0.0, 0.0
    return np.array(intervals) * 2 ** (detune / 1200), 10 ** (1.5 * chance.notes[count : 2 * count] / 20), late


def _resonator(formants: Sequence[tuple[float, float, float]], random: Array) -> Callable[[Array], Array]:
    """Gain over frequency (Hz): bells in log frequency, of which each toot has its own."""
    moved = 2 ** (random * 0.1)

    def gain(hz: Array) -> Array:
        decibel = np.zeros_like(hz)
        octave = np.log2(hz)
        for (centre, width, height), move in zip(formants, moved, strict=False):
            decibel += height * np.exp(-0.5 * ((octave - np.log2(centre * move)) / (width / 2)) ** 2)
        return np.asarray(10 ** (decibel / 20))

    return gain


def _tilt(frequency: Array, level: Array, centroid: float, noise: Array) -> float:
    """The exponent at which harmonics k^-tilt and the noise that goes with them have this spectral centroid.

    Args:
        frequency: Hz of the harmonics, shape (notes, K).
        level: their amplitudes before the tilt, shape (notes, K).
        centroid: what the magnitude spectrum's centroid shall be, Hz.
        noise: level of the noise against the tone's RMS over :data:`_GRID`, shape (513,).
    """
    number = np.log(np.arange(1, frequency.shape[1] + 1))
    lines = np.stack((level.sum(0), (level * frequency).sum(0)), 1)  # of all notes
    power = np.square(level).sum(0) / 2
    # A Hann frame of 1024 shows a sine of amplitude a as magnitudes that add up to 512 a, white noise of RMS s
    # as 17.4 s in each bin.
    hiss = 17.4 / 512 * np.array([noise.sum(), noise @ _GRID])
    low, high = -2.0, 8.0
    for _ in range(3):  # the step shrinks by 24 each time
        tilts = np.linspace(low, high, 25)
        fall = np.exp(-tilts[:, None] * number)
        found = fall @ lines + np.sqrt(np.square(fall) @ power)[:, None] * hiss
        above = np.flatnonzero(found[:, 1] > centroid * found[:, 0])
        at = min(int(above[-1]), 23) if len(above) else 0
        low, high = tilts[at], tilts[at + 1]
    return float((low + high) / 2)


def _harmonics(turns: Array, pressure: Signal, level: Array, swell: float, shimmer: Array) -> Signal:
    """Sum over k of level_k pressure^(1 + k swell) sin(k theta), after Paterson and Stockmeyer.

    Args:
        turns: theta / 2 pi at each sample, shape (N,).
        pressure: 0 to 1, shape (N,).
        level: of harmonics 1, 2, ..., shape (K,).
        swell: exponent a harmonic.
        shimmer: gains of the groups at :func:`_points` (or more of them), in turn, shape (G, T).

    Returns:
        Wave, shape (N,).
    """
    heard = np.flatnonzero(level > 1e-6 * level.max(initial=0.0))
    count = int(heard[-1]) + 1 if len(heard) else 1
    size = max(2, round(count**0.5))  # harmonics of a group
    groups = -(-count // size)
    padded = np.zeros(groups * size, dtype=np.float32)
    padded[: min(count, len(level))] = level[:count]
    weights = padded.reshape(groups, size)
    gains = [_joined(row, len(turns)) for row in shimmer[:groups]]
    wave = np.empty(len(turns), dtype=np.float32)
    for first in range(0, len(turns), _BLOCK):
        part = slice(first, min(first + _BLOCK, len(turns)))
        theta = ((turns[part] - np.floor(turns[part])) * (2 * np.pi)).astype(np.float32)
        rho = np.exp(np.float32(swell) * np.log(np.maximum(pressure[part], np.float32(1e-6))))
        powers = np.empty((size, len(theta)), dtype=np.complex64)
        np.multiply(rho, np.cos(theta), out=powers[0].real)
        np.multiply(rho, np.sin(theta), out=powers[0].imag)
        for k in range(1, size):  # z^(k + 1) from two near halves
            np.multiply(powers[k // 2], powers[k - k // 2 - 1], out=powers[k])
        sums = (weights @ powers.view(np.float32)).view(np.complex64)  # (groups, samples)
        for i, group in enumerate(sums):
            group *= gains[i % len(gains)][part]
        total = sums[-1]
        for group in sums[-2::-1]:
            total *= powers[-1]
            total += group
        np.multiply(total.imag, pressure[part], out=wave[part])
    return wave


def _breath_colour(pitch: float, focus: float, top: float, resonance: Callable[[Array], Array]) -> Array:
    """Spectrum of the turbulence over :data:`_GRID`, (513,), about unit RMS: the horn's resonances and the pitch's."""
    broad = resonance(_GRID) * np.minimum(_GRID / 300, 1) / (1 + (_GRID / top) ** 2)
    near = np.exp(-0.5 * (np.log2(_GRID / pitch) / 0.12) ** 2)
    broad, near = (c / np.sqrt(np.mean(c**2)) for c in (broad, near))
    return np.asarray(np.sqrt(1 - focus) * broad + np.sqrt(focus) * near)


def _breath(pressure: Signal, colour: Array, seed: int) -> Signal:
    """Turbulence: noise of this colour (513,), random in phase, that follows the pressure (N,)."""
    length = next(n for n in _LENGTHS if n >= len(pressure))
    bins = length // 2
    halves = rng.words(seed, _BREATH, bins // 2).astype("<u4").view("<u2")  # a word holds two phases
    phase = halves.astype(np.float32) * np.float32(2 * np.pi / 2**16)
    level = (colour[:-1, None] + np.diff(colour)[:, None] * (np.arange(bins // 512) * 512 / bins)).ravel()
    level = (level * np.sqrt(length)).astype(np.float32)
    spectrum = np.zeros(bins + 1, dtype=np.complex64)
    np.multiply(level, np.cos(phase), out=spectrum.real[:bins])
    np.multiply(level, np.sin(phase), out=spectrum.imag[:bins])
    return np.asarray(np.fft.irfft(spectrum, length)[: len(pressure)] * pressure)
