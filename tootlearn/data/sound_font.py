"""Sound fonts: where they are, and how to play a note of an instrument.

A sound font holds recordings of single notes of many instruments, and how to play them at any
pitch, velocity and length. Rendering needs FluidSynth with pyfluidsynth (`pip install
tootlearn[sampled]`), or else tinysoundfont (`pip install --no-deps tinysoundfont`; its dependencies
are needed for live output only). The release of tinysoundfont falls in steps, which show as a line
across the spectrogram.
"""

from __future__ import annotations

import ctypes
import difflib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn.dsp.audio import trim
from tootlearn.errors import InputError, check_range

PROGRAMS = {  # General MIDI, counted from 0
    "trumpet": 56,
    "trombone": 57,
    "tuba": 58,
    "muted_trumpet": 59,
    "french_horn": 60,
    "brass_section": 61,
}
FONT_VARIABLE = "TOOTLEARN_SOUNDFONT"
LONGEST = 60.0  # s: the longest that a note can be held
_BLOCK = 64  # samples: the grid on which FluidSynth starts and ends notes
_FILTER = 8  # the generator "initial filter cutoff" of the SoundFont specification 2.04, 8.1.3
_RELEASE = 1.2  # s in which a note fades out


class Player(Protocol):
    """A sound font that is open for playing."""

    def play(
        self, program: int, midi: float, velocity: int, held: int, tail: int
    ) -> NDArray[np.float32]:
        """The wave (held + tail,) of one note, in samples; no note affects the next one."""


class _TinySoundFont:
    def __init__(self, font: Path, sample_rate: int) -> None:
        import tinysoundfont

        self._font = font
        self._synth = tinysoundfont.Synth(samplerate=sample_rate)
        try:
            self._id = self._synth.sfload(str(font))
        except RuntimeError as error:
            raise _unreadable(font) from error

    def play(
        self, program: int, midi: float, velocity: int, held: int, tail: int
    ) -> NDArray[np.float32]:
        try:
            self._synth.program_select(0, self._id, 0, program)
        except RuntimeError as error:
            raise _no_program(self._font, program) from error
        key = round(midi)
        self._synth.set_tuning(0, midi - key)
        self._synth.noteon(0, key, velocity)
        parts = [self._generate(held)]
        self._synth.noteoff(0, key)
        parts.append(self._generate(tail))
        self._synth.sounds_off(0)
        self._generate(64 * _BLOCK)
        return np.concatenate(parts)

    def _generate(self, samples: int) -> NDArray[np.float32]:
        stereo = np.frombuffer(self._synth.generate(samples), dtype=np.float32).reshape(-1, 2)
        return np.asarray(stereo.mean(axis=1))


class _FluidSynth:
    def __init__(self, font: Path, sample_rate: int) -> None:
        import fluidsynth

        # no reverb or chorus, which are no part of an instrument
        options = {"synth.reverb.active": 0, "synth.chorus.active": 0, "synth.threadsafe-api": 0}
        self._font = font
        self._library = fluidsynth._fl
        self._synth = fluidsynth.Synth(gain=1.0, samplerate=sample_rate, channels=16, **options)
        self._id = self._synth.sfload(str(font))
        self._warm = False
        if self._id < 0:
            raise _unreadable(font)

    def play(
        self, program: int, midi: float, velocity: int, held: int, tail: int
    ) -> NDArray[np.float32]:
        if self._synth.program_select(0, self._id, 0, program) < 0:
            raise _no_program(self._font, program)
        if not self._warm:  # the very first voice starts slightly differently from all later ones
            self._warm = True
            self.play(program, midi, velocity, _BLOCK, _BLOCK)
        key = round(midi)
        self._synth.pitch_bend(0, round(4096 * (midi - key)))  # two semitones are 8192
        self._synth.noteon(0, key, velocity)
        parts = [self._generate(held)]
        self._synth.noteoff(0, key)
        parts.append(self._generate(tail))
        self._synth.all_sounds_off(0)
        self._generate(64 * _BLOCK)
        return np.concatenate(parts)

    def brighten(self) -> None:
        """Move the low pass of all later notes beyond the audible range."""
        move = self._library.fluid_synth_set_gen
        move.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_float]
        move(ctypes.c_void_p(self._synth.synth), 0, _FILTER, 4800.0)  # cents

    def _generate(self, samples: int) -> NDArray[np.float32]:
        stereo = np.empty((2, samples), dtype=np.float32)
        left, right = (channel.ctypes.data_as(ctypes.c_void_p) for channel in stereo)
        # pyfluidsynth itself offers only 16 bits, with a dither that differs from call to call
        synth = ctypes.c_void_p(self._synth.synth)
        self._library.fluid_synth_write_float(synth, samples, left, 0, 1, right, 0, 1)
        return np.asarray(stereo.mean(axis=0))


_RENDERERS: dict[str, Callable[[Path, int], Player]] = {
    "fluidsynth": _FluidSynth,
    "tinysoundfont": _TinySoundFont,
}


def renderer() -> str:
    """The name of the renderer that is installed: fluidsynth, or else tinysoundfont.

    Raises:
        InputError: if neither is installed.
    """
    for name in _RENDERERS:
        try:
            __import__(name)
        # pyfluidsynth raises these if the system's FluidSynth is missing, or cannot be loaded
        except (ImportError, OSError):
            continue
        return name
    raise InputError(
        "no renderer of sound fonts is installed: pip install pyfluidsynth and FluidSynth itself "
        "(apt-get install libfluidsynth3, brew install fluid-synth), or pip install --no-deps "
        "tinysoundfont (Python 3.12 or older)"
    )


def open_font(font: Path, sample_rate: int, bright: bool = False) -> Player:
    """Open a sound font with the renderer that is installed.

    Args:
        font: an .sf2 or .sf3 file.
        sample_rate: Hz.
        bright: omit the low pass that synthesisers apply to soft notes, so that these sound as they
            were recorded.

    Raises:
        InputError: if no renderer is installed, or only one that cannot omit the low pass; if the
            file is missing or not a sound font.
    """
    make = _RENDERERS[renderer()]
    if not font.is_file():
        raise InputError(f"{font} is not a file: give a sound font (.sf2 or .sf3)")
    player = make(font, sample_rate)
    if bright:
        if not isinstance(player, _FluidSynth):
            raise InputError(
                "only FluidSynth can omit the low pass: install it (apt-get install "
                "libfluidsynth3, brew install fluid-synth) and pip install pyfluidsynth, or keep "
                "the low pass: bright 0"
            )
        player.brighten()
    return player


def _unreadable(font: Path) -> InputError:
    return InputError(f"{font} cannot be read as a sound font: give an .sf2 or .sf3 file")


def _no_program(font: Path, program: int) -> InputError:
    names = [name for name, number in PROGRAMS.items() if number == program]
    called = f" ({names[0]})" if names else ""
    return InputError(
        f"{font} has no program {program}{called}: use a General MIDI sound font that has it"
    )


def font_folders() -> list[Path]:
    """The folders in which this system keeps sound fonts."""
    home = Path.home()
    if sys.platform == "win32":
        shared = Path(os.environ.get("PROGRAMDATA", "C:/ProgramData"))
        return [Path("C:/soundfonts"), shared / "soundfonts", home / "soundfonts"]
    if sys.platform == "darwin":
        banks = "Library/Audio/Sounds/Banks"
        brew = [Path("/", "opt", "homebrew", "share"), Path("/usr/local/share")]
        return [home / banks, Path("/") / banks, *(share / "soundfonts" for share in brew)]
    names = ("sounds/sf2", "sounds/sf3", "soundfonts")
    shares = (home / ".local/share", Path("/usr/local/share"), Path("/usr/share"))
    return [share / name for share in shares for name in names]


def find_font() -> Path:
    """A sound font of this system: the one that TOOTLEARN_SOUNDFONT names, or else one in the
    standard folders.

    FluidR3 is preferred, because its licence allows everything; otherwise the first by name.

    Raises:
        InputError: if there is none, or the variable does not name a file.
    """
    named = os.environ.get(FONT_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise InputError(
                f"{FONT_VARIABLE} names {named}, which is not a file: give the path of an .sf2 or "
                ".sf3 file"
            )
        return Path(named)
    fonts = [
        file
        for folder in font_folders()
        for file in sorted(folder.glob("*"))
        if file.suffix.lower() in (".sf2", ".sf3")
    ]
    if not fonts:
        raise InputError(
            "no sound font was found: apt-get install fluidr3mono-gm-soundfont (24 MB, MIT "
            f"licence), or set {FONT_VARIABLE} to the path of an .sf2 or .sf3 file"
        )
    return min(fonts, key=lambda file: "fluidr3" not in file.name.lower())


def render_note(
    font: str | os.PathLike[str],
    kind: str | int,
    note: float,
    velocity: int,
    duration: float,
    sample_rate: int = 22050,
) -> Tensor:
    """Play one note of a sound font, which is opened just for it; use `sampled.clips` for many
    notes.

    Args:
        font: an .sf2 or .sf3 file.
        kind: a name in `PROGRAMS`, or the number of a General MIDI program, 0 to 127.
        note: MIDI number, 0 to 127, which may have a fraction.
        velocity: 1 to 127.
        duration: how long the key is held, s.
        sample_rate: Hz.

    Returns:
        Wave (N,), mono, at the level of the font, trimmed where it is 60 dB below its peak.

    Raises:
        InputError: if a value is out of range, no renderer is installed, or the font cannot be read
            or lacks the program.
    """
    program = kind if isinstance(kind, int) else program_of(kind)
    for name, value, low in (("program", program, 0), ("note", note, 0), ("velocity", velocity, 1)):
        check_range(name, value, low, 127, "")
    if not 0 < duration <= LONGEST:
        raise InputError(
            f"duration {duration} s is out of range: give more than 0 and at most {LONGEST:g} s"
        )
    return play(open_font(Path(font), sample_rate), program, note, velocity, duration, sample_rate)


def play(
    player: Player, program: int, midi: float, velocity: int, duration: float, sample_rate: int
) -> Tensor:
    """Play one note of an open font, see `render_note`."""
    held, tail = (max(round(s * sample_rate / _BLOCK), 1) * _BLOCK for s in (duration, _RELEASE))
    return trim(torch.from_numpy(player.play(program, midi, velocity, held, tail)), sample_rate)


def program_of(kind: str) -> int:
    """The number of the General MIDI program of a kind.

    Raises:
        InputError: if it is not in `PROGRAMS`.
    """
    if kind not in PROGRAMS:
        near = difflib.get_close_matches(kind, PROGRAMS, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(
            f"no General MIDI instrument is known for {kind!r}: {hint}"
            f"There are {', '.join(PROGRAMS)}"
        )
    return PROGRAMS[kind]
