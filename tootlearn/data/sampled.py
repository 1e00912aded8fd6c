"""Notes of recorded instruments from any General MIDI sound font, as many as needed, with exact
pitch.

FluidR3 (Frank Wen and others; MIT licence) is a font that may be trained on and shipped; Debian and
Ubuntu have its mono version as the package `fluidr3mono-gm-soundfont`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn import rng
from tootlearn.controls import LOUDNESS_RANGE, Kind, hz_to_midi, midi_to_hz
from tootlearn.data.clips import BEND_FRAMES, SAMPLED, Clips, from_waves
from tootlearn.data.recipes import KINDS
from tootlearn.data.sound_font import (
    PROGRAMS,
    Player,
    find_font,
    open_font,
    play,
    program_of,
    render_note,
    renderer,
)
from tootlearn.data.synthesis import PEAK
from tootlearn.dsp import measures
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError
from tootlearn.files import atomic_write

__all__ = ["Note", "cache_folder", "clips", "find_font", "notes", "render_note"]

# MIDI and s, for kinds without a recipe
_RANGE, _DURATION, _VELOCITY = (40.0, 76.0), (0.12, 1.8), (24, 127)
_IN_A_FILE = 256  # notes of one cache entry
_FORMAT = 2  # of cache entries: another one makes all older ones miss


@dataclass(frozen=True)
class Note:
    """One note to be played."""

    kind: str  # a name in `PROGRAMS`
    midi: float  # MIDI number, with cents as fractions
    velocity: int  # 1 to 127
    duration: float  # s that the key is held
    loudness: float  # dBFS of the result
    bright: bool = False  # without the low pass that synthesisers apply to soft notes


def notes(
    kinds: Sequence[str],
    count: int,
    seed: int,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    bright: float = 0.0,
) -> list[Note]:
    """Random notes, of the kinds in turn.

    Pitch is uniform in (fractions of) semitones, duration log-uniform, velocity uniform from 24 to
    127, loudness uniform over `controls.LOUDNESS_RANGE`. The loudness does not follow the velocity,
    which changes the timbre.

    Args:
        kinds: names in `PROGRAMS`.
        count: how many notes.
        seed: of the set; note i is the same whatever ``count``.
        ranges: lowest and highest MIDI number of each kind; by default that of its recipe, or 40 to
            76.
        bright: the share of notes without the low pass, 0 to 1.
    """
    result = []
    for i in range(count):
        kind = kinds[i % len(kinds)]
        program_of(kind)
        recipe = KINDS.get(kind)
        natural = (*hz_to_midi(np.array(recipe.pitch)),) if recipe else _RANGE
        low, high = (ranges or {}).get(kind, natural)
        short, long = recipe.duration if recipe else _DURATION
        u = rng.uniform(rng.child(seed, i), rng.Stream.SAMPLED_NOTE, 5)
        result.append(
            Note(
                kind,
                midi=float(low + (high - low) * u[0]),
                velocity=int(_VELOCITY[0] + (_VELOCITY[1] - _VELOCITY[0] + 1) * u[1]),
                duration=float(short * (long / short) ** u[2]),
                loudness=float(LOUDNESS_RANGE[0] + (LOUDNESS_RANGE[1] - LOUDNESS_RANGE[0]) * u[3]),
                bright=bool(u[4] < bright),
            )
        )
    return result


def clips(
    font: str | os.PathLike[str],
    kinds: Sequence[str],
    count: int,
    seed: int,
    front_end: FrontEnd,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    bright: float = 0.0,
    cache_dir: Path | None = None,
    known: Sequence[Kind] = tuple(KINDS.values()),
    problems: list[str] | None = None,
    progress: bool = False,
) -> Clips:
    """Clips of random notes of a sound font, with exact pitch and measured other controls.

    Rendered notes are cached on disk in 16 bits: about 25 MB for a thousand notes.

    Args:
        font: an .sf2 or .sf3 file.
        kinds, count, seed, ranges, bright: see `notes`.
        front_end: makes the log-mels.
        cache_dir: where rendered notes are kept; None for `cache_folder`. It can be deleted at any
            time.
        known, problems, progress: see `clips.from_waves`. Sources are named font-kind-semitone.

    Raises:
        InputError: if no renderer is installed, or the font cannot be read or lacks a program.
    """
    font = Path(font)
    chosen = notes(kinds, count, seed, ranges, bright)
    pitch = [midi_to_hz(note.midi) for note in chosen]
    sources = [f"{font.stem}-{note.kind}-{round(note.midi)}" for note in chosen]
    waves = _waves(font, chosen, front_end.config.sample_rate, cache_dir)
    names = [note.kind for note in chosen]
    result = from_waves(waves, names, pitch, sources, front_end, known, problems, progress)
    # looped samples have a constant pitch
    bend = torch.zeros(len(result), result.log_mel.shape[2] // BEND_FRAMES)
    return replace(result, bend=bend, origin=np.array(SAMPLED, dtype=np.int8))


def cache_folder() -> Path:
    """The folder for rendered notes, within the user's cache folder of this system."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "tootlearn" / "notes"


def _waves(
    font: Path, chosen: Sequence[Note], sample_rate: int, cache_dir: Path | None
) -> Iterator[Tensor]:
    """The notes at their loudness, or as near to it as full scale allows; from the cache if they
    are there.
    """
    folder = cache_folder() if cache_dir is None else cache_dir
    about = {"format": _FORMAT, "renderer": renderer(), "rate": sample_rate, "font": _digest(font)}
    players: dict[bool, Player] = {}
    for start in range(0, len(chosen), _IN_A_FILE):
        block = chosen[start : start + _IN_A_FILE]
        request = json.dumps(
            [about, [(PROGRAMS[n.kind], n.midi, n.velocity, n.duration, n.bright) for n in block]]
        )
        path = folder / f"{hashlib.sha256(request.encode()).hexdigest()[:40]}.safetensors"
        kept = _read(path, len(block))
        if kept is None:
            kept = []
            for n in block:
                if n.bright not in players:
                    players[n.bright] = open_font(font, sample_rate, n.bright)
                wave = play(
                    players[n.bright], PROGRAMS[n.kind], n.midi, n.velocity, n.duration, sample_rate
                )
                kept.append(_in_16_bits(wave))
            _write(path, kept, must=cache_dir is not None)
        for note, samples in zip(block, kept, strict=True):
            wave = torch.from_numpy(samples / np.float32(32767))
            gain = 10 ** ((note.loudness - float(measures.loudness(wave, sample_rate))) / 20)
            yield wave * min(gain, PEAK)


def _digest(font: Path) -> str:
    try:
        with open(font, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"{font} cannot be read ({error.strerror}): give a sound font (.sf2 or .sf3)"
        ) from error


def _in_16_bits(wave: Tensor) -> NDArray[np.int16]:
    """The wave with its peak at full scale, as the cache stores it; silence stays silent."""
    samples = wave.numpy() / max(float(wave.abs().max()), 1e-9)
    return np.round(32767 * samples).astype(np.int16)


def _checksum(samples: NDArray[np.int16], lengths: NDArray[np.int64]) -> NDArray[np.uint8]:
    digest = hashlib.sha256(samples.tobytes() + lengths.tobytes()).digest()
    return np.frombuffer(digest, dtype=np.uint8)


def _write(path: Path, waves: Sequence[NDArray[np.int16]], must: bool) -> None:
    """Write a cache entry. If it cannot be written, raise an InputError only if it ``must`` be."""
    from safetensors.numpy import save

    lengths = np.array([len(wave) for wave in waves], dtype=np.int64)
    samples = np.concatenate(waves)
    content = save(
        {"samples": samples, "lengths": lengths, "checksum": _checksum(samples, lengths)}
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content)
    except (OSError, InputError) as error:
        if must:
            raise InputError(
                f"{path.parent} cannot keep rendered notes ({error}): name another folder"
            ) from error


def _read(path: Path, count: int) -> list[NDArray[np.int16]] | None:
    """The waves of a cache entry; None if it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        held = load(path.read_bytes())
        samples, lengths = held["samples"], held["lengths"]
        if len(lengths) != count or not np.array_equal(
            held["checksum"], _checksum(samples, lengths)
        ):
            return None
    except (OSError, SafetensorError, KeyError):
        return None
    return np.split(samples, np.cumsum(lengths)[:-1])
