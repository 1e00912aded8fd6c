"""Synthetic toots beside recorded ones.

    python benchmarks/reality.py FOLDER [--part reporting]

FOLDER holds recordings with a manifest (see `tootlearn.data.folder`): kinds of `recipes.KINDS`, brass with its pitch.
They are split by source: the tuning part is what the recipes were made by ear and measure against, the reporting part
is what counts. A source is a session (the first number of an UrbanSound8K name), a note of an instrument (all its
takes and channels), or a file. Sources of a kind take turns in the order of their names; a whole library of an
instrument that has a second one (the tuba's 450 takes) reports.
"""

import csv
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn import audio, measures, rng
from tootlearn.controls import midi_to_hz
from tootlearn.data import folder, synthesis
from tootlearn.data.folder import Recording
from tootlearn.data.recipes import KINDS

RATE = synthesis.SAMPLE_RATE
PARTS = ("tuning", "reporting")


def source(recording: Recording) -> str:
    """What belongs together, by the name of the file."""
    name = recording.path.stem
    if session := re.match(r"\d+(?=-\d+-\d+-\d+$)", name):  # UrbanSound8K: session, class, take, slice
        return session[0]
    if take := re.match(r"[a-g][b#]?\d(?=_)", name):  # a note in its takes and dynamics
        return take[0]
    return re.sub(r"_[LR]$", "", name)  # two channels


def part_of(recordings: Sequence[Recording]) -> dict[tuple[str, str], str]:
    """Which part each (label, source) belongs to."""
    found: dict[tuple[str, str], str] = {}
    for label in sorted({r.label for r in recordings}):
        mine = sorted({source(r) for r in recordings if r.label == label})
        takes = {s for s in mine if re.fullmatch(r"[a-g][b#]?\d", s)}
        alone = len(mine) < 4  # too few to report on
        for i, name in enumerate(mine):
            reports = name in takes or (not takes and not alone and i % 2 == 1)
            found[label, name] = PARTS[reports]
    return found


def recordings(path: Path) -> list[Recording]:
    """Those of a manifest with the columns path, label and midi (and any others), with what belongs together."""
    with open(path / "manifest.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        pitch = midi_to_hz(float(row["midi"])) if row.get("midi") else math.nan
        one = Recording(path / row["path"], row["label"], pitch, "")
        found.append(replace(one, source=source(one)))
    return found


@dataclass(frozen=True)
class Heard:
    """Measures of one toot: s, octaves above f0 and Hz, dB, cents (nan where there is no pitch)."""

    attack: float
    octaves: float
    centroid: float
    noise: float
    wander: float
    flatness: float


def heard(wave: Tensor, pitch: float) -> Heard:
    found = measures.measure(wave, RATE)
    start, end = (int(t * RATE) for t in (float(found.onset), float(found.onset + found.duration)))
    envelope = measures.envelope(wave, RATE)
    step = max(1, round(RATE * measures.ENVELOPE_STEP))
    sounding = envelope[start // step : end // step + 1]
    attack = float((sounding >= 0.707 * sounding.median()).double().argmax()) * step / RATE
    centroid = float(found.centroid)
    body = wave[start:end]
    spectrum = np.abs(np.fft.rfft((body * torch.hann_window(len(body))).numpy(), 2 ** int(np.ceil(np.log2(max(len(body), 2)))))) ** 2
    hz = np.linspace(0, RATE / 2, len(spectrum))
    band = spectrum[(hz > 200) & (hz < 8000)] + 1e-12 * spectrum.max()
    flat = 10 * np.log10(np.exp(np.log(band).mean()) / band.mean())
    if not pitch > 0:
        return Heard(attack, np.nan, centroid, np.nan, np.nan, float(flat))
    f0 = float(measures.tone_f0(wave, RATE, pitch, 80.0))
    noise = float(measures.harmonic_to_noise_ratio(wave, RATE, f0))
    return Heard(attack, float(np.log2(centroid / pitch)), centroid, noise, wander(body.numpy(), f0), float(flat))


def wander(wave: NDArray[np.float32], f0: float) -> float:
    """Standard deviation of f0 about its line over the middle of a toot, in cents, below 12 Hz."""
    middle = wave[len(wave) // 5 : -len(wave) // 10]
    if len(middle) < 0.15 * RATE:
        return np.nan
    window = np.hanning(int(RATE / 12) | 1)
    turning = middle * np.exp(-2j * np.pi * f0 * np.arange(len(middle)) / RATE)
    phase = np.unwrap(np.angle(np.convolve(turning, window, "valid")))[:: RATE // 200]
    cents = 1200 * np.log2(1 + np.gradient(phase) * (RATE / (RATE // 200)) / (2 * np.pi * f0))
    time = np.arange(len(cents))
    return float((cents - np.polyval(np.polyfit(time, cents, 1), time)).std()) if len(cents) > 4 else np.nan
