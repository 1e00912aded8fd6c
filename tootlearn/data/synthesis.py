"""Toots from their physics: seeded recipes with measured labels.

Every toot is a resonator that is blown. Three ideas suffice for all kinds:

* **Pressure.** One curve p(t) from 0 to 1 rises, swells and falls. It sets the level, and also the
  balance of the harmonics, because a reed or a lip clips harder the harder it is blown: harmonic k
  has the amplitude p^(1 + k swell).
* **Source and resonator.** The harmonics of the source fall as k^-tilt, and the resonances of the
  horn shape them. The tilt is solved for, so that the spectral centroid matches the brightness.
* **Breath noise.** Turbulence adds noise with the same resonances.

Harmonics end below the Nyquist frequency; `acoustics` computes their sum and the rest of the sound.

A toot differs at random from what a recipe was asked for, so its labels are *measured* on its wave
(`tootlearn.dsp.measures`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn import rng
from tootlearn.controls import LOUDNESS_RANGE, ONSET_SAMPLES, Controls, Kind
from tootlearn.data import acoustics, recipes
from tootlearn.data.acoustics import Array, Signal
from tootlearn.data.recipes import KINDS, RECIPES
from tootlearn.dsp import measures
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.rng import Stream

SAMPLE_RATE = acoustics.SAMPLE_RATE
PEAK = 0.98  # of full scale: the highest peak of a toot
_TOP = 0.96 * SAMPLE_RATE / 2  # Hz: the highest frequency of a harmonic
_ROOM = WINDOW_SAMPLES - ONSET_SAMPLES
_AT_ONCE = 16  # toots in a batch


class _Chance(NamedTuple):
    """The random numbers of a toot: uniform ones, then normal ones."""

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
    columns = (
        rng.uniform(each, Stream.SYNTHESIS_CONTROLS, 6),
        rng.uniform(each, Stream.SYNTHESIS_RECIPE, len(recipes.NAMES)),
        rng.uniform(each, Stream.SYNTHESIS_LATE, 5),
        rng.normal(each, Stream.SYNTHESIS_NOTES, 10),
        rng.normal(each, Stream.SYNTHESIS_FORMANTS, 4),
        rng.normal(each, Stream.SYNTHESIS_FLUTTER, 64),
        rng.normal(each, Stream.SYNTHESIS_DRIFT, 32),
        rng.normal(each, Stream.SYNTHESIS_JITTER, 128),
        rng.normal(each, Stream.SYNTHESIS_SHIMMER, 256),
        rng.normal(each, Stream.SYNTHESIS_RIPPLE, 64),
    )
    return [_Chance(*rows) for rows in zip(*columns, strict=True)]


def draw(kind: Kind, seed: int) -> tuple[float, float, float, float]:
    """Natural random controls: pitch (Hz), duration (s), brightness (about 0 to 1) and loudness
    (dBFS).

    Pitch and duration are log-uniform, the others uniform. Brightness extends slightly beyond 0 and
    1, and less far up where a high note has few harmonics below 5 kHz. If the recipe gives a range
    for the spectral centroid, two thirds of the toots have theirs there, whatever their pitch.
    """
    return _natural(kind, rng.uniform(seed, Stream.SYNTHESIS_CONTROLS, 6))


def _natural(kind: Kind, u: Array) -> tuple[float, float, float, float]:
    pitch = kind.pitch[0] * (kind.pitch[1] / kind.pitch[0]) ** u[0]
    duration = kind.duration[0] * (kind.duration[1] / kind.duration[0]) ** u[1]
    low, high = kind.octaves
    most = min(1.06, (np.log2(5000 / pitch) - low) / (high - low))
    loudness = LOUDNESS_RANGE[0] + (LOUDNESS_RANGE[1] - LOUDNESS_RANGE[0]) * u[3]
    brightness = -0.06 + (most + 0.06) * u[2]
    body = RECIPES[kind.name].centroid if kind.name in RECIPES else None
    if body and u[4] < 2 / 3:
        octaves = np.log2(body[0] * (body[1] / body[0]) ** u[5] / pitch)
        brightness = min(max((octaves - low) / (high - low), -0.06), most)
    return float(pitch), float(duration), float(brightness), float(loudness)


def natural_controls(kinds: Sequence[Kind], count: int, seed: int) -> Controls:
    """Controls of :func:`draw`, the kinds in turn, with brightness clamped to 0 to 1."""
    rows = np.array([draw(kinds[i % len(kinds)], rng.child(seed, i)) for i in range(count)])
    pitch, duration, brightness, loudness = rows.T
    return Controls(np.arange(count) % len(kinds), pitch, duration, brightness.clip(0, 1), loudness)


def render(
    kind: str, pitch: float, duration: float, brightness: float, loudness: float, seed: int
) -> NDArray[np.float32]:
    """One toot from its controls.

    Args:
        kind: a name in :data:`KINDS`.
        pitch: Hz.
        duration: s; a toot that does not fit into the window is cut.
        brightness: 0 to 1 over the kind's natural range; breath noise may keep it from being lower.
        loudness: dBFS; less if the peak would exceed `PEAK`.
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
        kinds: names in :data:`KINDS`; the ``kind`` of a toot is its index in this list.
        count: B, how many toots.
        seed: of the set; toot i of the set is the same whatever ``count``.
        start: the index of the first toot in the set.

    Returns:
        Waves, shape (B, WINDOW_SAMPLES), and their controls as measured (the pitch is exact by
        construction).
    """
    waves = torch.from_numpy(np.zeros((count, WINDOW_SAMPLES), dtype=np.float32))
    which = np.arange(start, start + count) % max(len(kinds), 1)
    labels = np.empty((3, count))
    pitch = np.empty(count)
    for first in range(0, count, _AT_ONCE):
        rows = range(first, min(first + _AT_ONCE, count))
        seeds = rng.children(seed, start + first, len(rows))
        loud, peaks = [], []
        for i, child, chance in zip(rows, seeds, _chances(seeds), strict=True):
            name = kinds[which[i]]
            pitch[i], duration, brightness, loudness = _natural(KINDS[name], chance.controls)
            toot = _blow(name, pitch[i], duration, brightness, child, chance)
            peaks.append(_place(toot, waves[i]))
            loud.append(loudness)
        labels[:, first : rows.stop] = _bring(
            waves[first : rows.stop], np.array(loud), np.array(peaks)
        )
    return waves, _controls(which, pitch, labels, [KINDS[name] for name in kinds])


def measured(
    waves: Tensor, kind: NDArray[np.int64], pitch: Array, kinds: Sequence[Kind]
) -> Controls:
    """The controls of waves (B, N) at 22,050 Hz: kind (B,) and pitch (B,) as given, the others as
    measured.
    """
    result = measures.measure(waves, SAMPLE_RATE)
    labels = torch.stack((result.duration, result.centroid, result.loudness)).double().numpy()
    return _controls(kind, pitch, labels, kinds)


def _controls(
    kind: NDArray[np.int64], pitch: Array, labels: Array, kinds: Sequence[Kind]
) -> Controls:
    """Controls from labels (3, B): duration (s), centroid (Hz) and loudness (dBFS)."""
    octaves = np.log2(labels[1] / pitch)
    brightness = np.array([kinds[k].brightness(o) for k, o in zip(kind, octaves, strict=True)])
    return Controls(kind, pitch, labels[0], brightness, labels[2])


def _place(toot: Signal, window: Tensor) -> float:
    """Copy a toot (N,) into its window (WINDOW_SAMPLES,), after the silence; return its peak."""
    window[ONSET_SAMPLES : ONSET_SAMPLES + len(toot)] = torch.from_numpy(toot)
    return float(max(toot.max(), -toot.min()))


def _bring(waves: Tensor, loudness: Array, peak: Array) -> Array:
    """Scale waves (B, N) with these peaks (B,) in place to a loudness (B,) in dBFS, or as near to
    it as `PEAK` allows.

    Returns:
        Duration (s), centroid (Hz) and loudness (dBFS) of the result, shape (3, B).
    """
    result = measures.measure(waves, SAMPLE_RATE)
    level = result.loudness.double().numpy()
    gain = np.minimum(10 ** ((loudness - level) / 20), PEAK / peak)
    waves *= torch.from_numpy(gain).float()[:, None]
    duration, centroid = result.duration.double().numpy(), result.centroid.double().numpy()
    return np.stack((duration, centroid, level + 20 * np.log10(gain)))


def _blow(
    kind: str, pitch: float, duration: float, brightness: float, seed: int, chance: _Chance
) -> Signal:
    """The toot from its onset to its end, before it is scaled."""
    recipe, about = RECIPES[kind], KINDS[kind]
    values = recipe.at(chance.recipe)
    pressure, early = (p[:_ROOM] for p in _pressure(duration, values, about.trill, chance.flutter))
    count = len(pressure)
    time = acoustics.points(count)
    # too fast to be heard as a contour of f0
    quick = acoustics.wandering(time * 60, chance.jitter)
    bend = 2 ** (_bend(time, duration, values, chance.drift) + values["jitter"] / 1200 * quick)
    shimmer = acoustics.shimmer(time, values["shimmer"], chance.shimmer)
    turns = acoustics.turns(pitch * bend, count)
    ratios, levels, starts = _notes(about.intervals, values, chance)
    top = int(_TOP / (pitch * bend.max() * ratios.min()))
    resonance = acoustics.resonator(recipe.formants, values["spread"] * chance.formants)
    # (notes, harmonics): frequencies, and levels before the tilt that sets the brightness
    numbers = np.arange(1, top + 1)
    frequency = pitch * ratios[:, None] * numbers
    shape = levels[:, None] * resonance(frequency) * (frequency * bend.max() < _TOP)
    shape[:, 1::2] *= values["even"]
    shape *= 10 ** (values["ripple"] / 20 * np.resize(chance.ripple, shape.shape))
    noise = 10 ** (values["breath"] / 20)
    colour = acoustics.breath_colour(pitch, values["breath_focus"], values["breath_top"], resonance)
    low, high = about.octaves
    target = pitch * 2 ** (low + (high - low) * brightness)
    amplitude = shape * numbers ** -acoustics.tilt(frequency, shape, target, noise * colour)
    tone = np.zeros(count, dtype=np.float32)
    for ratio, row, start in zip(ratios, amplitude, starts, strict=True):
        late = round(start * SAMPLE_RATE)
        blown = pressure[: count - late]
        tone[late:] += acoustics.harmonics(
            ratio * (turns[late:] + 1), blown, row, values["swell"], shimmer
        )
    level = np.sqrt(np.square(tone).mean())
    chiff = 10 ** (values["chiff"] / 20) * acoustics.joined(np.exp(-time / 0.04), count)
    blown = np.float32(noise) * early + chiff * np.minimum(early * 4, 1)
    tone += acoustics.breath(level * blown, colour, seed, Stream.SYNTHESIS_BREATH)
    return tone


def _pressure(
    duration: float, values: dict[str, float], trill: float, flutter: Array
) -> tuple[Signal, Signal]:
    """Blowing pressure p(t), 0 to 1, until it is at -80 dB after the release.

    Args:
        duration: s.
        values: of the recipe.
        trill: its rate, Hz; 0 for none.
        flutter: random numbers, 12 a second.

    Returns:
        The pressure of the tone, shape (N,), and that of the breath noise, whose rise is shorter by
        the share ``breath_lead``.
    """
    # time constants in which the fundamental falls by 40 dB
    forty = np.log(100) / (1 + values["swell"])
    # a short toot fades for at most 45 % of its duration
    fall = min(values["release"], 0.45 * duration / forty)
    rise = min(values["attack"], 0.4 * duration)
    # when the rise passes -40 dB
    audible = rise * (2 / np.pi) * np.arcsin(0.1 ** (1 / (1 + values["swell"])))
    end = duration + audible - fall * forty  # where the fall to -40 dB must begin
    last = int((end + fall * np.log(1e4)) * SAMPLE_RATE) - 1
    count = last + 1
    time = acoustics.points(count)
    slow = np.interp(time * 12, np.arange(len(flutter)), flutter)
    wobble = np.sin(2 * np.pi * values["vibrato_rate"] * time) * np.clip((time - 0.2) / 0.2, 0, 1)
    points = (1 + values["flutter"] * slow + values["tremolo"] * wobble).clip(0.3, 1.7)
    if values["hold"]:
        points *= 10 ** (-values["hold"] / 20 * time)
    level = acoustics.joined(points, count)
    if trill:
        angle = np.arange(count, dtype=np.float32) * np.float32(2 * np.pi * trill / SAMPLE_RATE)
        level *= np.float32(1 - values["trill"] / 2) + np.float32(values["trill"] / 2) * np.cos(
            angle
        )
    falling = np.arange(int(end * SAMPLE_RATE) + 1, count)
    level[falling] *= np.exp((end - falling / SAMPLE_RATE) / fall)
    final = np.arange(last - int(0.003 * SAMPLE_RATE), count)
    # the last 3 ms, below -70 dB, fade to zero
    level[final] *= (last - final) / (0.003 * SAMPLE_RATE)
    return _raised(level, rise), _raised(level, rise * (1 - values["breath_lead"]))


def _raised(level: Signal, rise: float) -> Signal:
    """A level (N,) with an attack of ``rise`` seconds, in the form of a squared sine."""
    raised = level.copy()
    ramp = np.arange(min(int(rise * SAMPLE_RATE) + 1, len(level))) / (rise * SAMPLE_RATE)
    raised[: len(ramp)] *= np.sin(0.5 * np.pi * ramp) ** 2
    return raised


def _bend(time: Array, duration: float, values: dict[str, float], drift: Array) -> Array:
    """f0 over time (T,) in s, in octaves above the pitch; ``drift`` are random numbers, five a
    second.
    """
    cents = -values["glide"] * np.exp(-time / values["glide_time"])
    cents += values["drift"] * np.interp(time * 5, np.arange(len(drift)), drift)
    late = np.clip((time - 0.2) / 0.2, 0, 1)
    cents += values["vibrato"] * late * np.sin(2 * np.pi * values["vibrato_rate"] * time)
    cents -= values["droop"] * values["hold"] / 6 * time
    if values["sweep"]:
        progress = np.clip((time / duration - 0.15) / 0.7, 0, 1)  # held, moved, held
        cents += 100 * values["sweep"] * (0.5 - 0.5 * np.cos(np.pi * progress))
    return np.asarray(cents / 1200)


def bends(kinds: Sequence[str], count: int, seed: int, start: int, time: Array) -> Array:
    """f0 of the toots of :func:`toots` in octaves above their pitch, (B, T), at times (T,) in s
    after the onset.
    """
    rows = []
    for i, chance in enumerate(_chances(rng.children(seed, start, count)) if count else [], start):
        name = kinds[i % len(kinds)]
        duration = _natural(KINDS[name], chance.controls)[1]
        rows.append(
            _bend(np.clip(time, 0, None), duration, RECIPES[name].at(chance.recipe), chance.drift)
        )
    return np.stack(rows)


def _notes(
    intervals: Sequence[float], values: dict[str, float], chance: _Chance
) -> tuple[Array, Array, Array]:
    """For each note its ratio to the pitch, its level, and its start in s; the lowest note has no
    detuning and no delay.
    """
    count = len(intervals)
    late = chance.late[:count] * values["stagger"]
    detune = chance.notes[:count] * values["detune"]
    detune[0], late[0] = 0.0, 0.0
    decibel = chance.notes[count : 2 * count] * values["balance"]
    decibel[0] = abs(decibel[0])  # the note that gives the pitch is not the weakest
    return np.array(intervals) * 2 ** (detune / 1200), 10 ** (decibel / 20), late
