"""Toots from their physics: seeded recipes with measured labels.

Every toot is a blown (or hit, or squeezed) resonator. Three ideas carry all kinds:

* **Pressure.** One curve p(t) from 0 to 1 rises, swells and falls. It sets the level, and, because a reed or a lip
  clips harder the harder it is blown, the balance of the harmonics: harmonic k sounds as p^(1 + k swell).
* **Source and resonator.** The source's harmonics fall as k^-tilt; the horn's resonances shape them. Brightness is
  solved for: the tilt is found at which the spectral centroid is the one that was asked for.
* **Breath.** Turbulence adds noise, coloured by the same resonances.

The sum over harmonics, sum_k a_k rho^k sin(k theta), is evaluated by Clenshaw's recurrence (C. W. Clenshaw, 1955):
three multiplications a harmonic and sample, and no sine. Harmonics stop below the Nyquist frequency.

What a recipe is asked for and what it gives differ by the randomness of nature, so the labels of a toot are
*measured* on its wave (`tootlearn.measures`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn import measures, rng
from tootlearn.controls import LOUDNESS_RANGE, ONSET_SAMPLES, Controls, Kind
from tootlearn.data.recipes import KINDS, RECIPES
from tootlearn.front_end import WINDOW_SAMPLES

SAMPLE_RATE = 22050
PEAK = 0.98  # full scale is never reached: a louder toot is turned down
_TOP = 0.96 * SAMPLE_RATE / 2  # Hz: no harmonic above
_GRID = np.maximum(np.linspace(0, SAMPLE_RATE / 2, 513), 1.0)  # Hz: where colours of noise are described

_CONTROLS, _NOTES, _FLUTTER, _BREATH, _FORMANTS, _DRIFT = range(2, 8)  # streams of random numbers

Array = NDArray[np.float64]


def draw(kind: Kind, seed: int) -> tuple[float, float, float, float]:
    """Pitch (Hz), duration (s), brightness (0 to 1) and loudness (dBFS) as they occur in nature.

    Pitch and duration are even in the logarithm, the others over their range; brightness runs a little over both
    ends, and less high where a high note has no room for harmonics below 5 kHz.
    """
    u = rng.uniform(seed, _CONTROLS, 4)
    pitch = kind.pitch[0] * (kind.pitch[1] / kind.pitch[0]) ** u[0]
    duration = kind.duration[0] * (kind.duration[1] / kind.duration[0]) ** u[1]
    low, high = kind.octaves
    most = min(1.06, (np.log2(5000 / pitch) - low) / (high - low))
    loudness = LOUDNESS_RANGE[0] + (LOUDNESS_RANGE[1] - LOUDNESS_RANGE[0]) * u[3]
    return float(pitch), float(duration), float(-0.06 + (most + 0.06) * u[2]), float(loudness)


def natural_controls(kinds: Sequence[Kind], count: int, seed: int) -> Controls:
    """Controls as the synthesiser draws them, the kinds in turn, with brightness held within 0 to 1."""
    drawn = np.array([draw(kinds[i % len(kinds)], rng.child(seed, i)) for i in range(count)])
    pitch, duration, brightness, loudness = drawn.T
    return Controls(np.arange(count) % len(kinds), pitch, duration, brightness.clip(0, 1), loudness)


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
    recipe, about = RECIPES[kind], KINDS[kind]
    drawn = recipe.draw(seed)
    pressure = _pressure(duration, drawn, about.trill, seed)
    time = np.arange(len(pressure)) / SAMPLE_RATE
    bend = 2 ** _bend(time, duration, drawn, seed)
    ratios, levels, starts = _notes(about.intervals, drawn, seed)
    top = int(_TOP / (pitch * bend.max() * ratios.min()))
    resonance = _resonator(recipe.formants, seed)
    # (notes, harmonics): frequencies, and levels but for the tilt that makes the brightness right
    numbers = np.arange(1, top + 1)
    frequency = pitch * ratios[:, None] * numbers
    shape = levels[:, None] * resonance(frequency) * (frequency * bend.max() < _TOP)
    shape[:, 1::2] *= drawn["even"]
    noise = 10 ** (drawn["breath"] / 20)
    colour = _breath_colour(pitch, drawn["breath_focus"], resonance)
    low, high = about.octaves
    target = pitch * 2 ** (low + (high - low) * brightness)
    amplitude = shape * numbers ** -_tilt(frequency, shape, target, noise * colour)
    tone = np.zeros(len(time), dtype=np.float32)
    for ratio, row, start in zip(ratios, amplitude, starts, strict=True):
        late = np.interp(time - start, time, pressure, left=0.0)
        tone += _harmonics(pitch * ratio * bend, late, row, drawn["swell"], ratio)
    level = np.sqrt(np.mean(np.square(tone, dtype=np.float64)))
    early = _pressure(duration, drawn, about.trill, seed, lead=drawn["breath_lead"])
    blown = noise * early + 10 ** (drawn["chiff"] / 20) * np.minimum(early * 4, 1) * np.exp(-time / 0.04)
    tone += (level * _breath(blown, colour, seed)).astype(np.float32)
    wave = np.zeros(WINDOW_SAMPLES, dtype=np.float32)
    length = min(len(tone), WINDOW_SAMPLES - ONSET_SAMPLES)
    wave[ONSET_SAMPLES : ONSET_SAMPLES + length] = tone[:length]
    gain = 10 ** (loudness / 20) / 10 ** (float(measures.loudness(torch.from_numpy(wave), SAMPLE_RATE)) / 20)
    return (wave * min(gain, PEAK / float(np.abs(wave).max()))).astype(np.float32)


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
    waves = torch.empty(count, WINDOW_SAMPLES)
    which = np.arange(start, start + count) % len(kinds)
    pitch = np.empty(count)
    for i in range(count):
        name, own = kinds[which[i]], rng.child(seed, start + i)
        asked = draw(KINDS[name], own)
        waves[i] = torch.from_numpy(render(name, *asked, seed=own))
        pitch[i] = asked[0]
    return waves, measured(waves, which, pitch, [KINDS[name] for name in kinds])


def measured(waves: Tensor, kind: NDArray[np.int64], pitch: Array, kinds: Sequence[Kind]) -> Controls:
    """The controls of waves (B, N) at 22,050 Hz of known kind (B,) and pitch (B,), the others as measured."""
    found = measures.measure(waves, SAMPLE_RATE)
    octaves = np.log2(found.centroid.double().numpy() / pitch)
    brightness = np.array([kinds[k].brightness(o) for k, o in zip(kind, octaves, strict=True)])
    return Controls(kind, pitch, found.duration.double().numpy(), brightness, found.loudness.double().numpy())


def _pressure(duration: float, drawn: dict[str, float], trill: float, seed: int, lead: float = 0.0) -> Array:
    """Blowing pressure p(t), 0 to 1, to -80 dB after the release; its rise is shorter by a share of ``lead``."""
    forty = np.log(100) / (1 + drawn["swell"])  # time constants in which the fundamental falls by 40 dB
    fall = min(drawn["release"], 0.45 * duration / forty)  # a short toot spends at most 45 % of its time fading
    rise = min(drawn["attack"], 0.4 * duration)
    audible = rise * (2 / np.pi) * np.arcsin(0.1 ** (1 / (1 + drawn["swell"])))  # when it rises through -40 dB
    end = duration + audible - fall * forty  # where the fall to -40 dB must begin
    time = np.arange(int((end + fall * np.log(1e4)) * SAMPLE_RATE)) / SAMPLE_RATE
    ramp = np.clip(time / (rise * (1 - lead)), 0, 1)
    level = np.sin(0.5 * np.pi * ramp) ** 2 * np.exp(-np.clip(time - end, 0, None) / fall)
    level *= np.clip((time[-1] - time) / 0.003, 0, 1)  # the last 3 ms, below -70 dB, go to zero
    knots = rng.normal(seed, _FLUTTER, 64)
    slow = np.interp(time * 12, np.arange(64), knots)  # 12 random values a second, joined
    wobble = np.sin(2 * np.pi * drawn["vibrato_rate"] * time) * np.clip((time - 0.2) / 0.2, 0, 1)
    level *= (1 + drawn["flutter"] * slow + drawn["tremolo"] * wobble).clip(0.3, 1.7)
    if drawn["hold"]:
        level *= 10 ** (-drawn["hold"] / 20 * time)
    if trill:
        level *= 1 - drawn["trill"] * (0.5 - 0.5 * np.cos(2 * np.pi * trill * time))
    return np.asarray(level)


def _bend(time: Array, duration: float, drawn: dict[str, float], seed: int) -> Array:
    """f0 over time, in octaves above the pitch."""
    cents = -drawn["glide"] * np.exp(-time / drawn["glide_time"])
    cents += drawn["drift"] * np.interp(time * 5, np.arange(32), rng.normal(seed, _DRIFT, 32))
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
    for i in range(start, start + count):
        own, name = rng.child(seed, i), kinds[i % len(kinds)]
        duration = draw(KINDS[name], own)[1]
        rows.append(_bend(np.clip(time, 0, None), duration, RECIPES[name].draw(own), own))
    return np.stack(rows)


def _notes(intervals: Sequence[float], drawn: dict[str, float], seed: int) -> tuple[Array, Array, Array]:
    """Each note's multiple of the pitch, its level and its start in s; the lowest note is exact and first."""
    count = len(intervals)
    random = rng.normal(seed, _NOTES, 2 * count)
    late = rng.uniform(seed, _NOTES + 100, count) * drawn["stagger"]
    detune = random[:count] * drawn["detune"]
    detune[0], late[0] = 0.0, 0.0
    return np.array(intervals) * 2 ** (detune / 1200), 10 ** (1.5 * random[count:] / 20), late


def _resonator(formants: Sequence[tuple[float, float, float]], seed: int) -> Callable[[Array], Array]:
    """Gain over frequency (Hz): bells in log frequency, of which each toot has its own."""
    moved = 2 ** (rng.normal(seed, _FORMANTS, len(formants)) * 0.1)

    def gain(hz: Array) -> Array:
        decibel = np.zeros_like(hz)
        for (centre, width, height), move in zip(formants, moved, strict=True):
            decibel += height * np.exp(-0.5 * (np.log2(hz / (centre * move)) / (width / 2)) ** 2)
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
    # A Hann frame of 1024 shows a sine of amplitude a as magnitudes that add up to 512 a, white noise of RMS s
    # as 17.4 s in each bin.
    noise_weights = 17.4 / 512 * np.array([noise.sum(), (noise * _GRID).sum()])
    low, high = -2.0, 8.0
    for _ in range(18):
        tilt = (low + high) / 2
        line = level * np.exp(-tilt * number)
        tone_rms = np.sqrt(np.square(line).sum() / 2)
        weights = np.array([line.sum(), (line * frequency).sum()]) + noise_weights * tone_rms
        low, high = (tilt, high) if weights[1] > centroid * weights[0] else (low, tilt)
    return (low + high) / 2


def _harmonics(f0: Array, pressure: Array, level: Array, swell: float, turn: float) -> NDArray[np.float32]:
    """Sum over k of level_k pressure^(1 + k swell) sin(k theta), by Clenshaw's recurrence.

    Args:
        f0: Hz at each sample, shape (N,).
        pressure: 0 to 1, shape (N,).
        level: of harmonics 1, 2, ..., shape (K,).
        swell: exponent a harmonic.
        turn: where in its period the note starts, in turns.

    Returns:
        Wave, shape (N,).
    """
    theta = 2 * np.pi * ((np.cumsum(f0) / SAMPLE_RATE + turn) % 1.0)
    rho = np.maximum(pressure, 1e-6) ** swell
    twice = (2 * rho * np.cos(theta)).astype(np.float32)
    square = (rho * rho).astype(np.float32)
    one, two, next_ = (np.zeros(len(f0), dtype=np.float32) for _ in range(3))
    for a in level[::-1].astype(np.float32):  # b_k = a_k + 2 rho cos(theta) b_(k+1) - rho^2 b_(k+2)
        np.multiply(twice, one, out=next_)
        np.multiply(square, two, out=two)
        next_ -= two
        next_ += a
        one, two, next_ = next_, one, two
    return np.asarray(one * (rho * np.sin(theta) * pressure), dtype=np.float32)


def _breath_colour(pitch: float, focus: float, resonance: Callable[[Array], Array]) -> Array:
    """Spectrum of the turbulence over :data:`_GRID`, (513,), about unit RMS: the horn's resonances and the pitch's."""
    broad = resonance(_GRID) * np.minimum(_GRID / 300, 1) / (1 + (_GRID / 4000) ** 2)
    near = np.exp(-0.5 * (np.log2(_GRID / pitch) / 0.12) ** 2)
    broad, near = (c / np.sqrt(np.mean(c**2)) for c in (broad, near))
    return np.asarray(np.sqrt(1 - focus) * broad + np.sqrt(focus) * near)


def _breath(pressure: Array, colour: Array, seed: int) -> Array:
    """Turbulence of about unit RMS while it sounds: noise of this colour (513,) that follows the pressure (N,)."""
    count = len(pressure)
    padded = -(-count // 2048) * 2048  # a length that the FFT likes
    spectrum = np.fft.rfft(rng.normal(seed, _BREATH, padded))
    noise = np.fft.irfft(spectrum * np.interp(np.linspace(0, SAMPLE_RATE / 2, len(spectrum)), _GRID, colour), padded)
    return np.asarray(noise[:count] * pressure)
