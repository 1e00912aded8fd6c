"""Toots from their physics: seeded recipes with measured labels.

Every toot is a blown (or hit, or squeezed) resonator. Three ideas carry all kinds:

* **Pressure.** One curve p(t) from 0 to 1 rises, swells and falls. It sets the level, and, because
a reed or a lip
  clips harder the harder it is blown, the balance of the harmonics: harmonic k sounds as p^(1 + k
  swell).
* **Source and resonator.** The source's harmonics fall as k^-tilt; the horn's resonances shape
them. Brightness is
  solved for: the tilt is found at which the spectral centroid is the one that was asked for.
* **Breath.** Turbulence adds noise, coloured by the same resonances.

Harmonics stop below the Nyquist frequency; `tootlearn.data.acoustics` makes their sum and the rest
of the sound.

What a recipe is asked for and what it gives differ by the randomness of nature, so the labels of a
toot are *measured* on its wave (`tootlearn.dsp.measures`).
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
from tootlearn.dsp.front_end import WINDOW_SAMPLES

SAMPLE_RATE = acoustics.SAMPLE_RATE
PEAK = 0.98  # full scale is never reached: a louder toot is turned down
_TOP = 0.96 * SAMPLE_RATE / 2  # Hz: no harmonic above
_ROOM = WINDOW_SAMPLES - ONSET_SAMPLES
_AT_ONCE = 16  # toots of a batch

# streams
_CONTROLS, _NOTES, _FLUTTER, _BREATH, _FORMANTS, _DRIFT, _JITTER, _SHIMMER, _RIPPLE = range(2, 11)
_LATE = _NOTES + 100


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
    columns = [rng.uniform(each, *which) for which in even] + [
        rng.normal(each, *which) for which in normal
    ]
    return [_Chance(*rows) for rows in zip(*columns, strict=True)]


def draw(kind: Kind, seed: int) -> tuple[float, float, float, float]:
    """Pitch (Hz), duration (s), brightness (0 to 1) and loudness (dBFS) as they occur in nature.

    Pitch and duration are even in the logarithm, the others over their range; brightness runs a
    little over both ends, and less high where a high note has no room for harmonics below 5 kHz.
    Where the recipe knows where the kind's body holds the centroid, two of three toots have theirs
    there, whatever their pitch.
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
    if body and u[4] < 2 / 3:
        octaves = np.log2(body[0] * (body[1] / body[0]) ** u[5] / pitch)
        brightness = min(max((octaves - low) / (high - low), -0.06), most)
    return float(pitch), float(duration), float(brightness), float(loudness)


def natural_controls(kinds: Sequence[Kind], count: int, seed: int) -> Controls:
    """Controls as :func:`draw` has them, the kinds in turn, with brightness held within 0 to 1."""
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
        for i, own, chance in zip(rows, seeds, _chances(seeds), strict=True):
            name = kinds[which[i]]
            pitch[i], duration, brightness, loudness = _natural(KINDS[name], chance.controls)
            peaks.append(_place(_blow(name, pitch[i], duration, brightness, own, chance), waves[i]))
            loud.append(loudness)
        labels[:, first : rows.stop] = _bring(
            waves[first : rows.stop], np.array(loud), np.array(peaks)
        )
    return waves, _controls(which, pitch, labels, [KINDS[name] for name in kinds])


def measured(
    waves: Tensor, kind: NDArray[np.int64], pitch: Array, kinds: Sequence[Kind]
) -> Controls:
    """The controls of waves (B, N) at 22,050 Hz of known kind (B,) and pitch (B,), the others as
    measured.
    """
    found = measures.measure(waves, SAMPLE_RATE)
    labels = torch.stack((found.duration, found.centroid, found.loudness)).double().numpy()
    return _controls(kind, pitch, labels, kinds)


def _controls(
    kind: NDArray[np.int64], pitch: Array, labels: Array, kinds: Sequence[Kind]
) -> Controls:
    """From duration (s), centroid (Hz) and loudness (dBFS), shape (3, B)."""
    octaves = np.log2(labels[1] / pitch)
    brightness = np.array([kinds[k].brightness(o) for k, o in zip(kind, octaves, strict=True)])
    return Controls(kind, pitch, labels[0], brightness, labels[2])


def _place(toot: Signal, window: Tensor) -> float:
    """Put a toot (N,) into its window (WINDOW_SAMPLES,), after the silence; its peak."""
    window[ONSET_SAMPLES : ONSET_SAMPLES + len(toot)] = torch.from_numpy(toot)
    return float(max(toot.max(), -toot.min()))


def _bring(waves: Tensor, loudness: Array, peak: Array) -> Array:
    """Bring waves (B, N) of this peak (B,) to a loudness (B,) in dBFS, or as near as full scale
    lets them, in place.

    Returns:
        Duration (s), centroid (Hz) and loudness (dBFS) of the result, shape (3, B).
    """
    found = measures.measure(waves, SAMPLE_RATE)
    level = found.loudness.double().numpy()
    gain = np.minimum(10 ** ((loudness - level) / 20), PEAK / peak)
    waves *= torch.from_numpy(gain).float()[:, None]
    return np.stack(
        (
            found.duration.double().numpy(),
            found.centroid.double().numpy(),
            level + 20 * np.log10(gain),
        )
    )


def _blow(
    kind: str, pitch: float, duration: float, brightness: float, seed: int, chance: _Chance
) -> Signal:
    """The toot from its onset to its end, at any level."""
    recipe, about = RECIPES[kind], KINDS[kind]
    drawn = recipe.at(chance.recipe)
    pressure, early = (p[:_ROOM] for p in _pressure(duration, drawn, about.trill, chance.flutter))
    count = len(pressure)
    time = acoustics.points(count)
    # too quick to be heard as a contour of f0
    quick = acoustics.wandering(time * 60, chance.jitter)
    bend = 2 ** (_bend(time, duration, drawn, chance.drift) + drawn["jitter"] / 1200 * quick)
    shimmer = acoustics.shimmer(time, drawn["shimmer"], chance.shimmer)
    turns = acoustics.turns(pitch * bend, count)
    ratios, levels, starts = _notes(about.intervals, drawn, chance)
    top = int(_TOP / (pitch * bend.max() * ratios.min()))
    resonance = acoustics.resonator(recipe.formants, drawn["spread"] * chance.formants)
    # (notes, harmonics): frequencies, and levels but for the tilt that makes the brightness right
    numbers = np.arange(1, top + 1)
    frequency = pitch * ratios[:, None] * numbers
    shape = levels[:, None] * resonance(frequency) * (frequency * bend.max() < _TOP)
    shape[:, 1::2] *= drawn["even"]
    shape *= 10 ** (drawn["ripple"] / 20 * np.resize(chance.ripple, shape.shape))
    noise = 10 ** (drawn["breath"] / 20)
    colour = acoustics.breath_colour(pitch, drawn["breath_focus"], drawn["breath_top"], resonance)
    low, high = about.octaves
    target = pitch * 2 ** (low + (high - low) * brightness)
    amplitude = shape * numbers ** -acoustics.tilt(frequency, shape, target, noise * colour)
    tone = np.zeros(count, dtype=np.float32)
    for ratio, row, start in zip(ratios, amplitude, starts, strict=True):
        late = round(start * SAMPLE_RATE)
        blown = pressure[: count - late]
        tone[late:] += acoustics.harmonics(
            ratio * (turns[late:] + 1), blown, row, drawn["swell"], shimmer
        )
    level = np.sqrt(np.square(tone).mean())
    chiff = 10 ** (drawn["chiff"] / 20) * acoustics.joined(np.exp(-time / 0.04), count)
    blown = np.float32(noise) * early + chiff * np.minimum(early * 4, 1)
    tone += acoustics.breath(level * blown, colour, seed, _BREATH)
    return tone


def _pressure(
    duration: float, drawn: dict[str, float], trill: float, flutter: Array
) -> tuple[Signal, Signal]:
    """Blowing pressure p(t), 0 to 1, to -80 dB after the release.

    Args:
        duration: s.
        drawn: by the recipe.
        trill: its rate, Hz.
        flutter: random numbers, 12 a second.

    Returns:
        The tone's pressure, shape (N,), and the breath's, whose rise is shorter by a share of
        ``breath_lead``.
    """
    # time constants in which the fundamental falls by 40 dB
    forty = np.log(100) / (1 + drawn["swell"])
    # a short toot spends at most 45 % of its time fading
    fall = min(drawn["release"], 0.45 * duration / forty)
    rise = min(drawn["attack"], 0.4 * duration)
    # when it rises through -40 dB
    audible = rise * (2 / np.pi) * np.arcsin(0.1 ** (1 / (1 + drawn["swell"])))
    end = duration + audible - fall * forty  # where the fall to -40 dB must begin
    last = int((end + fall * np.log(1e4)) * SAMPLE_RATE) - 1
    count = last + 1
    time = acoustics.points(count)
    slow = np.interp(time * 12, np.arange(len(flutter)), flutter)
    wobble = np.sin(2 * np.pi * drawn["vibrato_rate"] * time) * np.clip((time - 0.2) / 0.2, 0, 1)
    points = (1 + drawn["flutter"] * slow + drawn["tremolo"] * wobble).clip(0.3, 1.7)
    if drawn["hold"]:
        points *= 10 ** (-drawn["hold"] / 20 * time)
    level = acoustics.joined(points, count)
    if trill:
        angle = np.arange(count, dtype=np.float32) * np.float32(2 * np.pi * trill / SAMPLE_RATE)
        level *= np.float32(1 - drawn["trill"] / 2) + np.float32(drawn["trill"] / 2) * np.cos(angle)
    falling = np.arange(int(end * SAMPLE_RATE) + 1, count)
    level[falling] *= np.exp((end - falling / SAMPLE_RATE) / fall)
    final = np.arange(last - int(0.003 * SAMPLE_RATE), count)
    # the last 3 ms, below -70 dB, go to zero
    level[final] *= (last - final) / (0.003 * SAMPLE_RATE)
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
    """f0 of the toots of :func:`toots`, in octaves above their pitch, at times in s after the onset
    (T,): (B, T).
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
    intervals: Sequence[float], drawn: dict[str, float], chance: _Chance
) -> tuple[Array, Array, Array]:
    """Each note's multiple of the pitch, its level and its start in s; the lowest note is exact and
    first.
    """
    count = len(intervals)
    late = chance.late[:count] * drawn["stagger"]
    detune = chance.notes[:count] * drawn["detune"]
    detune[0], late[0] = 0.0, 0.0
    decibel = chance.notes[count : 2 * count] * drawn["balance"]
    decibel[0] = abs(decibel[0])  # the note that gives the pitch is not the weakest
    return np.array(intervals) * 2 ** (detune / 1200), 10 ** (decibel / 20), late
