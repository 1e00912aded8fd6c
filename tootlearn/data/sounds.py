"""Sounds of many sorts, without labels: what a network learns from that shall know what sound looks
like.

Synthetic toots, the notes of all instruments of a sound font, and whatever a folder holds.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from tootlearn import rng
from tootlearn.data import folder, synthesis
from tootlearn.data.recipes import KINDS
from tootlearn.data.sound_font import PROGRAMS, find_font, open_font, play
from tootlearn.dsp.audio import load
from tootlearn.dsp.front_end import WINDOW_SAMPLES
from tootlearn.errors import InputError

# one in so many semitones of an instrument, or files of a folder, is not learned from
HOLD_OUT_EVERY = 6
_NOTE = 41  # stream of random numbers
_PITCHES, _LOW_PITCHES = (33.0, 88.0), (26.0, 60.0)  # MIDI; the second is the tuba's
_BRASS = tuple(PROGRAMS.values())
_WINDS = (*range(64, 80), *range(16, 24))  # General MIDI: reeds, pipes, organs
# all but drums
_OTHERS = tuple(n for n in range(128) if n not in (*_BRASS, *_WINDS, *range(112, 120)))


@dataclass(frozen=True)
class Sounds:
    """Waves (B, WINDOW_SAMPLES), int16, peaks near full scale, and whether each is held out."""

    waves: Tensor
    held_out: Tensor  # (B,), bool


def gather(
    sample_rate: int,
    synthetic: int = 0,
    sampled: int = 0,
    font: str | os.PathLike[str] | None = None,
    data: Sequence[str | os.PathLike[str]] = (),
    seed: int = 0,
    problems: list[str] | None = None,
    progress: bool = True,
    bright: bool = False,
) -> Sounds:
    """Sounds of all sorts.

    Args:
        sample_rate: Hz.
        synthetic: how many toots of the synthesiser, all kinds in turn.
        sampled: how many notes of a sound font: half of them brass, a third other winds, the rest
            everything else.
        font: the sound font; None: see `sound_font.find_font`.
        data: folders of recordings, whatever they are called.
        seed: of the toots and the notes.
        problems: where a line goes for each file that cannot be read.
        progress: show a bar on stderr.
        bright: play the notes as they were recorded, see `sound_font.open_font`.

    Raises:
        InputError: if some of it is not to be had.
    """
    if synthetic and sample_rate != synthesis.SAMPLE_RATE:
        raise InputError(
            f"the synthesiser works at {synthesis.SAMPLE_RATE} Hz: give synthetic 0 at {sample_rate} Hz"
        )
    parts, held_out = [], []
    hidden = None if progress else True
    kinds = tuple(KINDS)
    for start in tqdm(range(0, synthetic, 768), desc="toots", disable=hidden, leave=False):
        waves, _ = synthesis.toots(kinds, min(768, synthetic - start), seed, start)
        parts.append(_in_16_bits(waves))
        held_out += [(start + i) % HOLD_OUT_EVERY == 0 for i in range(len(waves))]
    if sampled:
        notes = _notes(Path(font) if font else find_font(), sampled, seed, sample_rate, bright)
        for wave, held in tqdm(notes, total=sampled, desc="notes", disable=hidden, leave=False):
            parts.append(_in_16_bits(wave[None]))
            held_out.append(held)
    for path in data:
        for wave, held in _recordings(Path(path), sample_rate, problems):
            parts.append(_in_16_bits(wave[None]))
            held_out.append(held)
    waves = torch.cat(parts)
    audible = waves.bool().any(1)
    return Sounds(waves[audible], torch.tensor(held_out)[audible])


def note_is_held_out(program: int, midi: float) -> bool:
    """Whether nobody learns from this note: whole semitones of an instrument are kept from it."""
    return (round(midi) + program) % HOLD_OUT_EVERY == 0


def _notes(
    font: Path, count: int, seed: int, sample_rate: int, bright: bool
) -> Iterator[tuple[Tensor, bool]]:
    """Notes of all instruments of a font, (WINDOW_SAMPLES,) each, and whether they are held out."""
    player = open_font(font, sample_rate, bright)
    groups = (_BRASS, _BRASS, _BRASS, _WINDS, _WINDS, _OTHERS)
    for i in range(count):
        u = rng.uniform(rng.child(seed, i), _NOTE, 6)
        group = groups[i % len(groups)]
        program = group[int(len(group) * u[0])]
        low, high = _LOW_PITCHES if program == PROGRAMS["tuba"] else _PITCHES
        midi, velocity = float(low + (high - low) * u[1]), int(24 + 104 * u[2])
        wave = play(player, program, midi, velocity, float(0.12 * 15 ** u[3]), sample_rate)
        yield _in_window(wave, float(u[4])), note_is_held_out(program, midi)


def _recordings(
    path: Path, sample_rate: int, problems: list[str] | None
) -> Iterator[tuple[Tensor, bool]]:
    """All that sounds in a folder, window by window, and whether its file is held out."""
    if not path.is_dir():
        raise InputError(f"{path} is no folder: give one with recordings in it")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in folder.SUFFIXES)
    if not files:
        raise InputError(f"{path} has no recordings: {', '.join(folder.SUFFIXES)} can be read")
    for file in files:
        try:
            wave, _ = load(file, sample_rate)
        except InputError as error:
            if problems is not None:
                problems.append(str(error))
            continue
        digest = hashlib.sha256(file.relative_to(path).as_posix().encode()).digest()
        for piece in wave.split(WINDOW_SAMPLES):
            yield _in_window(piece, 0.0), digest[0] % HOLD_OUT_EVERY == 0


def _in_window(wave: Tensor, later: float) -> Tensor:
    """The wave in (WINDOW_SAMPLES,), up to .1 s later."""
    start = int(later * 2205)
    window = torch.zeros(WINDOW_SAMPLES)
    taken = wave[: WINDOW_SAMPLES - start]
    window[start : start + len(taken)] = taken
    return window


def _in_16_bits(waves: Tensor) -> Tensor:
    """Waves (B, N) with their peaks at full scale, int16; silence stays silence."""
    peak = waves.abs().amax(1, keepdim=True).clamp_min(1e-6)
    return (waves / peak * 32767).round().to(torch.int16)
