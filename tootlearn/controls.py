"""Controls: what a user asks the generator for, with ranges and units.

``kind``
    the family of toots: a name
``pitch``
    Hz: the f0; of a chord or of two reeds the lowest note, of a slide its start, of a trill its
    mean
``duration``
    s: from the first to the last crossing of -40 dB relative to the peak, in the 10 ms RMS envelope
``brightness``
    0 to 1: spectral centroid in octaves above the pitch; 0 and 1 are the 5th and the 95th
    percentile of the kind
``loudness``
    dBFS: RMS over the duration
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.errors import InputError, check_range

LOUDNESS_RANGE = (-36.0, -6.0)  # dBFS
USUAL_LOUDNESS = (-20.0, -12.0)  # dBFS, when no loudness is given
# silence before a toot in the window of the models, so that a whole frame sees its attack
ONSET_SAMPLES = 512
_NARROWEST = {"pitch": 2 / 12, "octaves": 0.25}  # octaves: the least width of a new kind's ranges
_NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True)
class Kind:
    """One family of toots and the ranges of its controls.

    Args:
        name: what the user types.
        pitch: lowest and highest pitch, Hz.
        duration: shortest and longest duration, s.
        octaves: what brightness 0 and 1 mean: spectral centroid in octaves above the pitch.
        intervals: the notes that sound together, as multiples of the pitch; (1,) for a single note.
        trill: rate at which it is interrupted, by a pea for example, Hz; 0 for none.
        slide: whether f0 slides to another note.
        steady: whether it has one steady f0, so that a pitch tracker applies.
    """

    name: str
    pitch: tuple[float, float]
    duration: tuple[float, float]
    octaves: tuple[float, float]
    intervals: tuple[float, ...] = (1.0,)
    trill: float = 0.0
    slide: bool = False
    steady: bool = True

    def __post_init__(self) -> None:
        for field in ("pitch", "duration", "octaves"):
            low, high = getattr(self, field)
            if not low < high or (field != "octaves" and low <= 0):
                raise ValueError(
                    f"{self.name}: {field} needs a positive range (low, high), got {(low, high)}"
                )
        if not self.intervals or min(self.intervals) != 1.0:
            raise ValueError(f"{self.name}: the lowest interval must be 1, got {self.intervals}")

    def brightness(self, octaves: NDArray[np.float64]) -> NDArray[np.float64]:
        """Centroid in octaves above the pitch, shape (...), to brightness, shape (...)."""
        low, high = self.octaves
        return (octaves - low) / (high - low)

    @property
    def pitch_limits(self) -> tuple[float, float]:
        """The lowest and the highest pitch that are accepted, Hz.

        They are the ends of :attr:`pitch` or, if it lies further out, the note nearest to an end:
        a trumpet from 165 Hz plays E3, which is 164.81 Hz. Both are rounded outward to 0.01 Hz, so
        that a limit printed to two places is accepted when typed.
        """
        low, high = self.pitch
        low, high = (
            min(low, midi_to_hz(_nearest_midi(low))),
            max(high, midi_to_hz(_nearest_midi(high))),
        )
        return math.floor(100 * low) / 100, math.ceil(100 * high) / 100

    def as_json(self) -> dict[str, Any]:
        """The kind as the model file holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Kind:
        """The inverse of :meth:`as_json`."""
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items()
        }
        return cls(**values)


@dataclass(frozen=True)
class Controls:
    """The controls of a batch of B toots, each an array of shape (B,)."""

    kind: NDArray[np.int64]  # index into the list of kinds
    pitch: NDArray[np.float64]  # Hz
    duration: NDArray[np.float64]  # s
    brightness: NDArray[np.float64]  # 0 to 1
    loudness: NDArray[np.float64]  # dBFS

    def __len__(self) -> int:
        return len(self.kind)

    def __getitem__(self, rows: Any) -> Controls:
        """The batch of these rows: a slice, a mask or an array of indices."""
        return Controls(*(getattr(self, f.name)[rows] for f in fields(self)))

    @staticmethod
    def concatenate(parts: Sequence[Controls]) -> Controls:
        """One batch from several."""
        return Controls(
            *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Controls))
        )


@dataclass(frozen=True)
class ControlRequest:
    """The controls that a user gives for one toot; None leaves a control open.

    Args:
        kind: the name of a kind.
        pitch: Hz, a note name or MIDI, see :func:`parse_pitch`.
        duration: s.
        brightness: 0 to 1.
        loudness: dBFS, within `LOUDNESS_RANGE`.
    """

    kind: str | None = None
    pitch: float | str | None = None
    duration: float | None = None
    brightness: float | None = None
    loudness: float | None = None


def parse_pitch(text: str | float) -> float:
    """A pitch in Hz from a number of Hz, a note name or a MIDI number.

    Args:
        text: ``440``, ``"440"``, ``"440 Hz"``; ``"A4"``, ``"Bb3"``, ``"f#5"``; ``"midi 69"``,
            ``"midi:57.5"``.

    Returns:
        Hz; A4 is 440 Hz, equal temperament (ISO 16).

    Raises:
        InputError: if it cannot be read as any of them.
    """
    word = str(text).strip()
    note = re.fullmatch(r"([A-Ga-g])([#♯b♭]?)(-?\d)", word)
    # so few digits that no power overflows and no number is infinite
    midi = re.fullmatch(r"midi[ :]?(-?\d{1,3}(?:\.\d+)?)", word, re.IGNORECASE)
    number = re.fullmatch(r"(\d{1,9}(?:\.\d*)?|\.\d+)(?: ?hz)?", word, re.IGNORECASE)
    if note:
        letter, accidental, octave = note.groups()
        shift = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}[accidental]
        return midi_to_hz(_SEMITONES[letter.upper()] + shift + 12 * (int(octave) + 1))
    if midi:
        return midi_to_hz(float(midi[1]))
    if number and float(number[1]) > 0:
        return float(number[1])
    raise InputError(
        f"cannot read {word!r} as a pitch: give Hz (440), a note (A4, Bb3, F#5) or MIDI (midi:69)"
    )


def midi_to_hz(midi: float) -> float:
    """MIDI note number to Hz: 69 is 440 Hz, 12 to the octave."""
    return float(440.0 * 2.0 ** ((midi - 69.0) / 12.0))


def hz_to_midi(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hz to MIDI note number, shape (...)."""
    return np.asarray(69.0 + 12.0 * np.log2(np.asarray(hz) / 440.0))


def note_name(hz: float) -> str:
    """The name of the note nearest to a pitch in Hz, such as ``"F#3"``."""
    octave, semitone = divmod(_nearest_midi(hz), 12)
    return f"{_NOTES[semitone]}{octave - 1}"


def check_pitch(name: str, hz: float, low: float, high: float) -> float:
    """``hz`` if it lies in [low, high], all in Hz.

    Raises:
        InputError: otherwise; it names the range by notes and in Hz.
    """
    try:
        return check_range(name, hz, low, high, " Hz")
    except InputError:
        notes = f"{note_name(low)} to {note_name(high)}"
        raise InputError(
            f"{name} {hz:.8g} Hz is out of range: give {notes} ({low:.6g} to {high:.6g} Hz)"
        ) from None


def find_kind(name: str, kinds: Sequence[Kind]) -> int:
    """The index of the kind called ``name``.

    Neither case nor the choice of spaces, hyphens or underscores between words matters:
    ``"Car horn"`` and ``"car-horn"`` are ``car_horn``. An exact match comes first.

    Raises:
        InputError: if there is none; it names the nearest, and all of them.
    """
    names = [kind.name for kind in kinds]
    if name in names:
        return names.index(name)
    plain, plain_names = _plain(name), [_plain(other) for other in names]
    if plain in plain_names:
        return plain_names.index(plain)
    near = difflib.get_close_matches(plain, plain_names, n=1, cutoff=0.6)
    hint = f"did you mean {names[plain_names.index(near[0])]}? " if near else ""
    raise InputError(f"unknown kind {name!r}: {hint}This model knows {', '.join(names)}")


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip()).casefold()


def _nearest_midi(hz: float) -> int:
    return round(69 + 12 * math.log2(hz / 440))


def new_kind(
    name: str,
    pitch: NDArray[np.float64],
    duration: NDArray[np.float64],
    octaves: NDArray[np.float64],
    sample_rate: int,
) -> Kind:
    """A kind with the ranges of its clips, plus a semitone and a tenth of the duration."""

    def widened(low: float, high: float, least: float) -> tuple[float, float]:
        short = max(least - (high - low), 0) / 2
        return low - short, high + short

    log_pitch = np.log2(pitch)
    low, high = widened(log_pitch.min() - 1 / 12, log_pitch.max() + 1 / 12, _NARROWEST["pitch"])
    longest = (WINDOW_SAMPLES - ONSET_SAMPLES) / sample_rate
    dark, bright = np.percentile(octaves, (5, 95))
    return Kind(
        name,
        pitch=(float(2**low), float(2**high)),
        duration=(float(0.9 * duration.min()), float(min(1.1 * duration.max(), longest))),
        octaves=widened(float(dark), float(bright), _NARROWEST["octaves"]),
    )


def kinds_with(
    kinds: Sequence[Kind], pitch: float | str | None = None, duration: float | None = None
) -> tuple[Kind, ...]:
    """The kinds whose ranges contain this pitch and this duration; None allows any.

    Raises:
        InputError: if there is none, or the pitch cannot be read.
    """
    if pitch is not None:
        hz, ranges = parse_pitch(pitch), [kind.pitch_limits for kind in kinds]
        check_pitch("pitch", hz, *_span(ranges))
        kinds = _able(kinds, ranges, hz, f"pitch of {hz:g} Hz")
    if duration is not None:
        ranges = [kind.duration for kind in kinds]
        check_range("duration", duration, *_span(ranges), " s")
        kinds = _able(kinds, ranges, duration, f"duration of {duration:g} s")
    return tuple(kinds)


def _span(ranges: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _able(
    kinds: Sequence[Kind], ranges: Sequence[tuple[float, float]], value: float, what: str
) -> tuple[Kind, ...]:
    """The kinds in whose ranges the value lies."""
    able = tuple(
        kind for kind, (low, high) in zip(kinds, ranges, strict=True) if low <= value <= high
    )
    if not able:
        raise InputError(f"no kind has a {what}: `tootlearn info` shows what they have")
    return able


def complete(
    kinds: Sequence[Kind], request: ControlRequest, share: Sequence[float] | NDArray[np.float64]
) -> Controls:
    """The controls of one toot: those of a request, checked, and a value for each one left open.

    Args:
        kinds: the kinds of the model.
        request: the controls that are given.
        share: (5,), the place of each open control in its range, 0 to 1.

    Raises:
        InputError: for a control that is unknown, unreadable or out of range.
    """
    name = request.kind
    if name is None:
        able = kinds_with(kinds, request.pitch, request.duration)
        name = able[int(share[0] * len(able))].name
    index = find_kind(name, kinds)
    kind = kinds[index]
    pitch, duration, brightness, loudness = _within(kind, share[1:])
    if request.pitch is not None:
        pitch = check_pitch(f"{kind.name}: pitch", parse_pitch(request.pitch), *kind.pitch_limits)
    if request.duration is not None:
        duration = check_range(f"{kind.name}: duration", request.duration, *kind.duration, " s")
    if request.brightness is not None:
        brightness = check_range("brightness", request.brightness, 0, 1, "")
    if request.loudness is not None:
        loudness = check_range("loudness", request.loudness, *LOUDNESS_RANGE, " dB")
    values = (pitch, duration, brightness, loudness)
    return Controls(np.array([index]), *(np.array([float(value)]) for value in values))


def _within(
    kind: Kind, share: Sequence[float] | NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """Pitch (Hz), duration (s), brightness and loudness (dBFS) at these shares of their ranges. For
    pitch and duration the ranges are logarithmic.
    """
    (low, high), (short, long), (soft, loud) = kind.pitch, kind.duration, USUAL_LOUDNESS
    return (
        low * (high / low) ** share[0],
        short * (long / short) ** share[1],
        share[2],
        soft + (loud - soft) * share[3],
    )
