"""Toots from their physics: seeded recipes with exact controls.

Every toot is a blown (or hit, or squeezed) resonator. Three ideas carry all kinds:

* **Pressure.** One curve p(t) from 0 to 1 rises, swells and falls. It sets the level, and, because a reed or a lip
  clips harder the harder it is blown, the balance of the harmonics: harmonic k sounds as p^(1 + k swell).
* **Source and resonator.** The source's harmonics fall as k^-tilt; the horn's resonances shape them. Brightness is solved
  for: the tilt is found at which the spectral centroid is the one that was asked for.
* **Breath.** Turbulence adds noise, coloured by the same resonances.

The sum over harmonics, sum_k a_k rho^k sin(k theta), is evaluated by Clenshaw's recurrence (C. W. Clenshaw, 1955): three
multiplications a harmonic and sample, and no sine. Harmonics stop below the Nyquist frequency.

What a recipe is asked for and what it gives differ by the randomness of nature, so the labels of a toot are *measured* on
its wave (`tootlearn.measures`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn import measures, rng
from tootlearn.controls import LOUDNESS_RANGE, ONSET_SAMPLES, Controls, Kind
from tootlearn.front_end import WINDOW_SAMPLES

SAMPLE_RATE = 22050
PEAK = 0.98  # full scale is never reached: a louder toot is turned down
_TOP = 0.96 * SAMPLE_RATE / 2  # Hz: no harmonic above
_GRID = np.maximum(np.linspace(0, SAMPLE_RATE / 2, 513), 1.0)  # Hz: where colours of noise are described

Array = NDArray[np.float64]
Range = tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """The physics of one kind: each (low, high) is drawn uniformly for each toot.

    Args:
        attack: time of the rise of pressure, s.
        release: time constant of its exponential fall, s.
        swell: how much faster a higher harmonic fades with pressure (exponent a harmonic).
        glide: how far below its pitch a toot starts, cents.
        glide_time: time constant of that glide, s.
        vibrato: depth, cents; it sets in after a quarter of a second.
        vibrato_rate: Hz.
        tremolo: depth of the change of pressure at the same rate, as a fraction.
        detune: standard deviation of the notes of a chord about their intervals, cents.
        stagger: how much later a note of a chord may start, s.
        flutter: standard deviation of the slow random change of pressure, as a fraction.
        breath: level of the noise against the tone, dB.
        breath_lead: how much sooner than the tone the noise is there, as a fraction of the attack.
        breath_focus: share of the noise that is coloured by the pitch's own resonance.
        formants: resonances (Hz, bandwidth in octaves, gain in dB), each moved by up to 15 % for each toot.
        even: level of the even harmonics (a stopped pipe has few).
    """

    attack: Range
    release: Range
    swell: Range = (0.02, 0.08)
    glide: Range = (0.0, 20.0)
    glide_time: Range = (0.02, 0.05)
    vibrato: Range = (0.0, 0.0)
    vibrato_rate: Range = (4.5, 6.5)
    tremolo: Range = (0.0, 0.0)
    detune: Range = (0.0, 0.0)
    stagger: Range = (0.0, 0.0)
    flutter: Range = (0.005, 0.03)
    breath: Range = (-60.0, -45.0)
    breath_lead: Range = (0.0, 0.3)
    breath_focus: Range = (0.0, 0.0)
    even: Range = (1.0, 1.0)
    formants: tuple[tuple[float, float, float], ...] = ()

    def draw(self, seed: int) -> dict[str, float]:
        """One number for each range, by name."""
        names = [f.name for f in fields(self) if f.name != "formants"]
        shares = rng.uniform(seed, _RECIPE, len(names))
        ranges = [getattr(self, name) for name in names]
        return {n: low + (high - low) * float(u) for n, (low, high), u in zip(names, ranges, shares, strict=True)}


_RECIPE, _CONTROLS, _NOTES, _FLUTTER, _BREATH, _FORMANTS = range(1, 7)  # streams of random numbers

# The chord of the Nathan AirChime K5LA, the North American standard: D#4 F#4 G#4 B4 D#5.
_FIVE_CHIME = tuple(2.0 ** (s / 12) for s in (0, 3, 5, 8, 12))

KINDS: dict[str, Kind] = {
    k.name: k
    for k in (
        Kind("car_horn", (300, 520), (0.12, 1.8), (1.5, 2.6), (1.0, 1.25), steady=False),
        Kind("train_horn", (200, 400), (0.35, 1.9), (1.45, 2.3), _FIVE_CHIME, steady=False),
        Kind("steam_whistle", (400, 1600), (0.3, 1.9), (0.6, 1.6), steady=False),
        Kind("trumpet", (165, 988), (0.12, 1.8), (0.9, 2.4)),
    )
}

RECIPES: dict[str, Recipe] = {
    # Two electric diaphragm horns a major third apart; the disc in front of each rings between 2 and 3.5 kHz.
    "car_horn": Recipe(
        attack=(0.008, 0.035),
        release=(0.008, 0.03),
        swell=(0.0, 0.02),
        glide=(-20, 40),
        detune=(2, 10),
        stagger=(0.0, 0.006),
        breath=(-55, -40),
        formants=((2600, 0.7, 12), (900, 1.0, 4)),
    ),
    # Five air-blown diaphragms on exponential horns; each speaks when its chamber has filled.
    "train_horn": Recipe(
        attack=(0.05, 0.14),
        release=(0.03, 0.07),
        swell=(0.03, 0.1),
        glide=(10, 80),
        glide_time=(0.03, 0.09),
        detune=(2, 8),
        stagger=(0.0, 0.06),
        flutter=(0.01, 0.04),
        breath=(-50, -36),
        breath_lead=(0.2, 0.7),
        formants=((1100, 1.0, 6), (2200, 0.8, 5)),
    ),
    # A jet of steam across the lip of a bell: mostly fundamental, much breath, sharpening as the pressure builds.
    "steam_whistle": Recipe(
        attack=(0.04, 0.16),
        release=(0.03, 0.09),
        swell=(0.05, 0.2),
        glide=(80, 350),
        glide_time=(0.04, 0.12),
        vibrato=(0, 15),
        vibrato_rate=(2, 7),
        tremolo=(0.0, 0.1),
        flutter=(0.02, 0.08),
        breath=(-34, -18),
        breath_lead=(0.3, 0.9),
        breath_focus=(0.7, 0.95),
        even=(0.15, 0.7),
    ),
    # Lips on a tube with a bell: harmonics rise with blowing pressure, the note is found from below, vibrato comes late.
    "trumpet": Recipe(
        attack=(0.015, 0.06),
        release=(0.012, 0.04),
        swell=(0.04, 0.14),
        glide=(0, 60),
        glide_time=(0.01, 0.03),
        vibrato=(0, 25),
        tremolo=(0.0, 0.12),
        breath=(-58, -42),
        breath_lead=(0.0, 0.5),
        formants=((1300, 1.2, 8), (2600, 0.8, 4)),
    ),
}


def draw(kind: Kind, seed: int) -> tuple[float, float, float, float]:
    """Pitch (Hz), duration (s), brightness (0 to 1) and loudness (dBFS) as they occur in nature.

    Pitch and duration are even in the logarithm, the others over their range; brightness runs a little over both ends, and
    less high where a high note has no room for harmonics below 5 kHz.
    """
    u = rng.uniform(seed, _CONTROLS, 4)
    pitch = kind.pitch[0] * (kind.pitch[1] / kind.pitch[0]) ** u[0]
    duration = kind.duration[0] * (kind.duration[1] / kind.duration[0]) ** u[1]
    low, high = kind.octaves
    most = min(1.06, (np.log2(5000 / pitch) - low) / (high - low))
    loudness = LOUDNESS_RANGE[0] + (LOUDNESS_RANGE[1] - LOUDNESS_RANGE[0]) * u[3]
    return float(pitch), float(duration), float(-0.06 + (most + 0.06) * u[2]), float(loudness)


def render(kind: str, pitch: float, duration: float, brightness: float, loudness: float, seed: int) -> NDArray[np.float32]:
    """One toot from its controls.

    Args:
        kind: a name out of :data:`KINDS`.
        pitch: Hz.
        duration: s.
        brightness: 0 to 1 over the kind's natural range.
        loudness: dBFS; less where the peak would pass full scale.
        seed: of everything that the controls leave open.

    Returns:
        Wave, shape (WINDOW_SAMPLES,), at 22,050 Hz: 512 samples of silence, the toot, silence.
    """
    recipe, about = RECIPES[kind], KINDS[kind]
    drawn = recipe.draw(seed)
    pressure = _pressure(duration, drawn["attack"], drawn, seed)
    time = np.arange(len(pressure)) / SAMPLE_RATE
    bend = _bend(time, drawn)
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
    early = _pressure(duration, drawn["attack"] * (1 - drawn["breath_lead"]), drawn, seed)
    tone += (noise * level * _breath(early, colour, seed)).astype(np.float32)
    wave = np.zeros(WINDOW_SAMPLES, dtype=np.float32)
    length = min(len(tone), WINDOW_SAMPLES - ONSET_SAMPLES)
    wave[ONSET_SAMPLES : ONSET_SAMPLES + length] = tone[:length]
    gain = 10 ** (loudness / 20) / 10 ** (float(measures.loudness(torch.from_numpy(wave), SAMPLE_RATE)) / 20)
    return (wave * min(gain, PEAK / float(np.abs(wave).max()))).astype(np.float32)


def toots(kinds: Sequence[str], count: int, seed: int, start: int = 0) -> tuple[Tensor, Controls]:
    """A set of natural toots with measured labels, the kinds in turn.

    Args:
        kinds: names out of :data:`KINDS`; a toot's ``kind`` is its index in this list.
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
    low, high = np.array([kinds[k].octaves for k in kind]).reshape(-1, 2).T
    brightness = (octaves - low) / (high - low)
    return Controls(kind, pitch, found.duration.double().numpy(), brightness, found.loudness.double().numpy())


def _pressure(duration: float, attack: float, drawn: dict[str, float], seed: int) -> Array:
    """Blowing pressure p(t), 0 to 1, at least to -80 dB after the release."""
    fall = min(drawn["release"], 0.45 * duration / np.log(100))  # a short toot spends at most 45 % of its time fading
    rise = min(attack, 0.4 * duration)
    end = duration - fall * np.log(100)  # where the fall to -40 dB must begin
    time = np.arange(int((end + fall * np.log(1e4)) * SAMPLE_RATE)) / SAMPLE_RATE
    ramp = np.clip(time / rise, 0, 1)
    level = np.sin(0.5 * np.pi * ramp) ** 2 * np.exp(-np.clip(time - end, 0, None) / fall)
    level *= np.clip((time[-1] - time) / 0.003, 0, 1)  # the last 3 ms, below -70 dB, go to zero
    knots = rng.normal(seed, _FLUTTER, 64)
    slow = np.interp(time * 12, np.arange(64), knots)  # 12 random values a second, joined
    wobble = np.sin(2 * np.pi * drawn["vibrato_rate"] * time) * np.clip((time - 0.2) / 0.2, 0, 1)
    return np.asarray(level * (1 + drawn["flutter"] * slow + drawn["tremolo"] * wobble).clip(0.3, 1.7))


def _bend(time: Array, drawn: dict[str, float]) -> Array:
    """f0 as a multiple of the pitch, over time."""
    onset = -drawn["glide"] * np.exp(-time / drawn["glide_time"])
    vibrato = drawn["vibrato"] * np.clip((time - 0.2) / 0.2, 0, 1) * np.sin(2 * np.pi * drawn["vibrato_rate"] * time)
    return np.asarray(2 ** ((onset + vibrato) / 1200))


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
    # A Hann frame of 1024 shows a sine of amplitude a as magnitudes that add up to 512 a, white noise of RMS s as 17.4 s a bin.
    weight_of_noise = 17.4 / 512 * np.array([noise.sum(), (noise * _GRID).sum()])
    low, high = -2.0, 8.0
    for _ in range(18):
        tilt = (low + high) / 2
        line = level * np.exp(-tilt * number)
        weights = np.array([line.sum(), (line * frequency).sum()]) + weight_of_noise * np.sqrt(np.square(line).sum() / 2)
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
    """Spectrum of the turbulence over :data:`_GRID` at unit RMS, shape (513,): the horn's resonances, and the pitch's own."""
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
