"""How alive toots are: what moves in them, and what lies between their partials.

Each measure of a generated toot stands beside that of the synthesiser's toot for the same controls,
and beside recordings of the kind, whose quartiles are in ``liveliness.json``.
"""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor
from tqdm import tqdm

from tootlearn import rng
from tootlearn.data import synthesis
from tootlearn.data.recipes import RECIPES
from tootlearn.data.synthesis import SAMPLE_RATE, natural_controls
from tootlearn.dsp import measures
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError
from tootlearn.generation.toot_generator import TootGenerator

Array = NDArray[np.float64]

MEASURES = {
    "attack_ms": "attack (ms)",
    "wander_slow_db": "levels of bands, 1 to 6 Hz (dB)",
    "wander_mid_db": "the same, 6 to 16 Hz",
    "wander_fast_db": "the same, 16 to 50 Hz",
    "partial_db": "levels of partials (dB)",
    "partial_cents": "frequencies of partials (ct)",
    "centroid_octaves": "centroid (octaves)",
    "noise_low_db": "noise, 60 to 300 Hz (dB)",
    "noise_mid_db": "the same, 0.5 to 2 kHz",
    "noise_high_db": "the same, 2 to 5 kHz",
    "noise_top_db": "the same, 5 to 10 kHz",
    "tilt_db": "tilt (dB an octave)",
    "harmonic_cents": "partials from k f0 (ct)",
    "line_db": "line at 21.5 Hz (dB)",
}
# the measures that a model is held to, where there are recordings enough of a kind
BINDING = (
    *("wander_slow_db", "wander_mid_db", "wander_fast_db", "partial_db", "partial_cents"),
    *("centroid_octaves", "noise_low_db", "noise_mid_db"),
)
ENOUGH = 6  # recordings
# how far from the median of recordings counts as near it: a factor, and for levels dB
FACTOR, DECIBEL = 1.5, 6.0
SHORTEST = 0.1  # s
LINE_RATE = SAMPLE_RATE / 256 / 4  # Hz: a quarter of the frame rate
# Hz: modulations that count as slow, mid and fast
_RATES = {"slow": (1, 6), "mid": (6, 16), "fast": (16, 50)}
_NOISE = {"low": (60, 300), "mid": (500, 2000), "high": (2000, 5000), "top": (5000, 10000)}  # Hz
_BANDS = np.geomspace(60, 10500, 41)  # Hz: edges
_LEVELS = Stft(1024, 128)  # whose frames show how levels move
_PARTIALS = Stft(4096, 256)  # whose bins tell partials apart
_TINY = 1e-12


def measure_liveliness(wave: Tensor, f0: float | None = None) -> dict[str, float]:
    """How alive one toot is.

    All but the attack are measured on the middle of what sounds, from the first to the last time
    that the 10 ms RMS is within 40 dB of its peak.

    Args:
        wave: (N,), at 22,050 Hz, one toot, perhaps with silence around it.
        f0: Hz, for the measure that needs it.

    Returns:
        For each name in :data:`MEASURES` a number, NaN where the toot is too short for it or has no
        such thing: ``attack_ms``, from 10 % to 70 % of the largest 10 ms RMS; ``wander_*_db``, RMS
        over time of the levels of fifth-octave bands within 45 dB of the loudest, a line taken out;
        ``partial_db`` and ``partial_cents``, the standard deviation over time of the level and the
        frequency of the median of the eight strongest partials; ``centroid_octaves``, that of the
        centroid of the magnitude; ``noise_*_db``, the power between partials as if the whole band
        had it, relative to all power; ``tilt_db``, of third-octave levels from 500 Hz to 8 kHz;
        ``harmonic_cents``, the standard deviation of partials from 40 Hz to 2 kHz from the nearest
        multiple of f0; ``line_db``, the level of the modulation of the level at a quarter of the
        frame rate, relative to neighbouring rates.

    Raises:
        InputError: if the wave is not of that shape, not finite, or silent.
    """
    wave = torch.as_tensor(wave).detach().cpu().float()
    if wave.ndim != 1 or not wave.isfinite().all() or not wave.any():
        raise InputError(
            f"wave must be one toot (N,), finite and not silent; this one is {tuple(wave.shape)}"
        )
    wave = wave / wave.abs().max()
    level = measures.envelope(wave, SAMPLE_RATE).double().numpy()
    step = round(measures.ENVELOPE_STEP * SAMPLE_RATE)
    loud = np.flatnonzero(level > measures.THRESHOLD * level.max())
    sounding = wave[loud[0] * step : loud[-1] * step + 1]
    result = dict.fromkeys(MEASURES, math.nan)
    rise = np.argmax(level >= 0.7 * level.max()) - np.argmax(level >= 0.1 * level.max())
    result["attack_ms"] = float(1000 * rise * step / SAMPLE_RATE)
    if len(sounding) >= SHORTEST * SAMPLE_RATE:
        result |= _spectrum(sounding) | _wandering(sounding) | _partials(sounding, f0)
        held = _decibels(_middle(level[loud[0] : loud[-1] + 1], 0.2) ** 2)
        result["line_db"] = _line(held, SAMPLE_RATE / step)
    return result


def _middle(values: Any, edge: float) -> Any:
    """Values (N, ...) without the share ``edge`` at both ends."""
    return values[int(edge * len(values)) : int((1 - edge) * len(values))]


def _decibels(power: Array) -> Array:
    return np.asarray(10 * np.log10(power + _TINY))


def _frames(stft: Stft, wave: Tensor) -> tuple[Array, Array]:
    """The magnitude (T, F) of a wave, and the frequencies (F,) in Hz."""
    magnitude = np.asarray(stft.analyze(wave).abs(), dtype=np.float64)
    return magnitude, np.asarray(np.fft.rfftfreq(stft.n_fft, 1 / SAMPLE_RATE))


def _spectrum(sounding: Tensor) -> dict[str, float]:
    """Noise between partials, and the tilt."""
    middle = _middle(sounding, 0.15)
    size = int(np.clip(2 ** int(math.log2(len(middle))), 2048, 8192))
    middle = torch.nn.functional.pad(middle, (0, max(0, size - len(middle))))
    magnitude, hertz = _frames(Stft(size, size // 4), middle)
    # without the frames that reach beyond the ends
    mean = (magnitude[2 : 2 + (len(middle) - size) // (size // 4) + 1] ** 2).mean(0)
    kept = (hertz >= 30) & (hertz <= 10500)
    power, hertz = mean[kept] / mean[kept].sum(), hertz[kept]
    tonal = _tonal(power, size)
    result = {}
    for name, (low, high) in _NOISE.items():
        band = (hertz >= low) & (hertz < high)
        between = power[band & ~tonal]
        if len(between) > 3:
            result[f"noise_{name}_db"] = float(_decibels(np.median(between) * band.sum()))
    thirds = 500 * 2 ** (np.arange(13) / 3)
    levels = [
        power[(hertz >= a) & (hertz < b)].sum()
        for a, b in zip(thirds[:-1], thirds[1:], strict=True)
    ]
    result["tilt_db"] = float(np.polyfit(np.arange(12) / 3, _decibels(np.array(levels)), 1)[0])
    return result


def _tonal(power: Array, size: int) -> NDArray[np.bool_]:
    """Which bins of a mean power spectrum (F,) of FFTs of that size belong to a partial."""
    levels = _decibels(power)
    around = median_filter(levels, max(9, int(120 * size / SAMPLE_RATE) | 1), mode="nearest")
    peak = (levels > around + 9) & (levels > levels.max() - 70)
    peak[1:-1] &= (levels[1:-1] >= levels[:-2]) & (levels[1:-1] >= levels[2:])
    peak[[0, -1]] = False
    return np.convolve(peak, np.ones(9), "same") > 0


def _wandering(sounding: Tensor) -> dict[str, float]:
    """Levels of bands over time by rates of modulation, and the centroid."""
    magnitude, hertz = _frames(_LEVELS, sounding)
    held = _middle(magnitude, 0.2)
    centroid = (held @ hertz) / np.maximum(held.sum(1), _TINY)
    result = {"centroid_octaves": float(np.log2(np.maximum(centroid, 1)).std())}
    if len(held) < 0.24 * SAMPLE_RATE / _LEVELS.hop:
        return result
    bands = [
        (held[:, (hertz >= low) & (hertz < max(high, low + 25))] ** 2).sum(1)
        for low, high in zip(_BANDS[:-1], _BANDS[1:], strict=True)
    ]
    levels = _decibels(np.stack(bands))
    levels = levels[levels.mean(1) > levels.mean(1).max() - 45]
    window = np.hanning(levels.shape[1])
    spectrum = np.abs(np.fft.rfft(_without_line(levels) * window)) ** 2
    spectrum *= 2 / (window**2).sum() / levels.shape[1]
    rates = np.fft.rfftfreq(levels.shape[1], _LEVELS.hop / SAMPLE_RATE)
    for name, (low, high) in _RATES.items():
        chosen = spectrum[:, (rates >= low) & (rates < high)]
        result[f"wander_{name}_db"] = float(np.sqrt(chosen.sum(1).mean()))
    return result


def _without_line(values: Array) -> Array:
    """Values (..., T) less their least-squares line over time."""
    time = np.linspace(-1, 1, values.shape[-1])
    slope = (values @ time / (time @ time))[..., None]
    return np.asarray(values - values.mean(-1, keepdims=True) - slope * time)


def _partials(sounding: Tensor, f0: float | None) -> dict[str, float]:
    """How far partials move over time, and how far they are from multiples of f0."""
    if len(sounding) < _PARTIALS.n_fft + 2000:
        return {}
    magnitude = _middle(_frames(_PARTIALS, sounding)[0], 0.25)
    mean, rows = magnitude.mean(0), np.arange(len(magnitude))[:, None]
    views = np.lib.stride_tricks.sliding_window_view(mean, 9).max(1)
    inner = mean[6:-6]
    found = 6 + np.flatnonzero((inner == views[2:-2]) & (inner > mean.max() * 10 ** (-35 / 20)))
    near = found[:, None] + np.arange(-2, 3)
    at = found - 2 + magnitude[:, near].argmax(2)  # (T, partials)
    logs = np.log(magnitude + 1e-9)
    before, here, after = (logs[rows, at + i] for i in (-1, 0, 1))
    # the peak of a parabola
    place = at + (0.5 * (before - after) / np.minimum(before - 2 * here + after, -1e-6)).clip(-1, 1)
    middle = np.median(place, 0)
    strong = np.argsort(-mean[found])[:8]
    cents = 1200 * np.log2(place / middle)
    result = {
        "partial_cents": float(np.median(cents[:, strong].std(0))),
        "partial_db": float(np.median(here[:, strong].std(0))) * 20 / math.log(10),
    }
    hertz = middle * SAMPLE_RATE / _PARTIALS.n_fft
    hertz = hertz[(hertz >= 40) & (hertz <= 2000)]
    if f0 and len(hertz) > 2:
        numbers = np.maximum(np.round(hertz / f0), 1)
        result["harmonic_cents"] = float(np.std(1200 * np.log2(hertz / f0 / numbers)))
    return result


def _line(level: Array, per_second: float) -> float:
    """Power of the modulation of a level (T,) in dB at :data:`LINE_RATE`, relative to rates some
    Hz above and below, in dB; NaN if it is shorter than 0.35 s.
    """
    seconds = len(level) / per_second
    if seconds < 0.35:
        return math.nan
    time = np.arange(len(level)) / per_second
    # the window's main lobe reaches to two
    offsets = np.array([0, -6, -5, -4, -3, 3, 4, 5, 6]) / seconds
    waves = np.exp(-2j * np.pi * (LINE_RATE + offsets)[:, None] * time)
    moving = _without_line(level) * np.hanning(len(level))
    power = _decibels(np.abs(waves @ moving) ** 2)
    return float(power[0] - np.median(power[1:]))


@functools.cache
def recorded() -> dict[str, dict[str, tuple[float, float, float, int]]]:
    """What recordings have: {kind: {measure: lower quartile, median, upper quartile and how many
    recordings}}.
    """
    path = Path(__file__).with_name("liveliness.json")
    table = json.loads(path.read_text(encoding="utf-8"))
    return {
        kind: {name: tuple(numbers) for name, numbers in rows.items()}
        for kind, rows in table.items()
    }


def is_near(name: str, value: float, quartiles: tuple[float, float, float]) -> bool:
    """Whether a measure is as recordings have it: between their quartiles, or near their median, by
    a factor of 1.5, of noise and tilt by 6 dB. NaN is not.
    """
    low, median, high = quartiles
    if name.startswith(("noise", "tilt")):
        reach = (median - DECIBEL, median + DECIBEL)
    else:
        reach = (median / FACTOR, median * FACTOR)
    return low <= value <= high or reach[0] <= value <= reach[1]


def liveliness_table(
    generator: TootGenerator, count: int = 120, seed: int = 1000
) -> dict[str, dict[str, dict[str, Any]]]:
    """Medians of the measures for generated toots, for the synthesiser's with the same controls,
    and for recordings.

    Args:
        generator: the model.
        count: N, the kinds in turn, with controls drawn from their usual ranges.
        seed: of the controls and the toots.

    Returns:
        {kind: {measure: {"generated", "synthesiser": medians, of toots that are long enough, and
        NaN for the synthesiser where it does not know the kind;
        "low", "recorded", "high": quartiles, and "recordings": how many, where there are some;
        "binding": whether a model is held to it; "near": who is near to recordings}}}.

    Raises:
        InputError: if the model has no generator, or ``count`` is less than one toot of each kind.
    """
    kinds = generator.model.kinds
    if count < len(kinds):
        raise InputError(f"count is {len(kinds)} or more, a toot of each kind, not {count}")
    asked = natural_controls(kinds, count, seed)
    found: dict[str, dict[str, list[dict[str, float]]]] = {
        kind.name: {"generated": [], "synthesiser": []} for kind in kinds
    }
    for i in tqdm(range(count), desc="liveliness", unit="toot", leave=False, disable=None):
        toot_seed, row = rng.child(seed, i), asked[i : i + 1]
        kind = kinds[int(row.kind[0])]
        pitch, duration, brightness, loudness = (
            float(getattr(row, name)[0]) for name in ("pitch", "duration", "brightness", "loudness")
        )
        made = generator.render(row, generator.residual(row, toot_seed), toot_seed)
        f0 = pitch if kind.steady else None
        found[kind.name]["generated"].append(measure_liveliness(torch.from_numpy(made), f0))
        if kind.name in RECIPES:
            played = synthesis.render(kind.name, pitch, duration, brightness, loudness, toot_seed)
            found[kind.name]["synthesiser"].append(measure_liveliness(torch.from_numpy(played), f0))
    return {kind: _beside_recordings(kind, rows) for kind, rows in found.items()}


def _beside_recordings(
    kind: str, found: dict[str, list[dict[str, float]]]
) -> dict[str, dict[str, Any]]:
    """The rows of a kind in `liveliness_table`."""
    table = {}
    for name in MEASURES:
        values = {who: np.array([row[name] for row in rows]) for who, rows in found.items()}
        row: dict[str, Any] = {
            who: float(np.median(x[np.isfinite(x)])) if np.isfinite(x).any() else math.nan
            for who, x in values.items()
        }
        known = recorded().get(kind, {}).get(name)
        row["binding"] = bool(known and name in BINDING and known[3] >= ENOUGH)
        if known:
            near = [who for who in found if is_near(name, row[who], known[:3])]
            row |= dict(zip(("low", "recorded", "high", "recordings"), known, strict=True))
            row["near"] = near
        table[name] = row
    return table
