"""Sound fonts: where they are, and one note of an instrument played from them.

A sound font holds recordings of single notes of many instruments, and how to play them at any
pitch, velocity and length. Rendering takes FluidSynth with pyfluidsynth (`pip install
tootlearn[sampled]`), or else tinysoundfont (`pip install --no-deps tinysoundfont`; what it asks for
besides is for live output only), whose release falls in steps: they show as a line across the
spectrogram.
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
from tootlearn.errors import InputError

PROGRAMS = {  # General MIDI, counted from 0
    "trumpet": 56,
    "trombone": 57,
    "tuba": 58,
    "muted_trumpet": 59,
    "french_horn": 60,
    "brass_section": 61,
}
FONT_VARIABLE = "TOOTLEARN_SOUNDFONT"
LONGEST = 60.0  # s that a note is held at most
_BLOCK = 64  # samples: the grid that FluidSynth starts and ends notes on
_FILTER = 8  # the generator "initial filter cutoff" of the SoundFont specification 2.04, 8.1.3
_RELEASE = 1.2  # s that a note has to fade in


class Player(Protocol):
    """A sound font, ready to be played."""

    def play(
        self, program: int, midi: float, velocity: int, held: int, tail: int
    ) -> NDArray[np.float32]:
        """The wave (held + tail,) of one note; nothing remains of it in the next."""


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

        # dry: reverb and chorus are no part of an instrument
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
        if not self._warm:  # the first voice of all starts a little otherwise than every later one
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
        """Move the low pass of all notes to come beyond what is heard."""
        move = self._library.fluid_synth_set_gen
        move.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_float]
        move(ctypes.c_void_p(self._synth.synth), 0, _FILTER, 4800.0)  # cents

    def _generate(self, samples: int) -> NDArray[np.float32]:
        stereo = np.empty((2, samples), dtype=np.float32)
        left, right = (channel.ctypes.data_as(ctypes.c_void_p) for channel in stereo)
        # pyfluidsynth itself offers 16 bits only, with a dither that differs from call to call
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
        InputError: if none is.
    """
    for name in _RENDERERS:
        try:
            __import__(name)
        except ImportError:  # also where the system's FluidSynth is missing
            continue
        return name
    raise InputError(
        "no renderer of sound fonts is installed: pip install pyfluidsynth and FluidSynth itself (apt-get install "
        "libfluidsynth3, brew install fluid-synth), or pip install --no-deps tinysoundfont (Python 3.12 or older)"
    )


def open_font(font: Path, sample_rate: int, bright: bool = False) -> Player:
    """A sound font, ready to be played by the renderer that is installed.

    Args:
        font: an .sf2 or .sf3 file.
        sample_rate: Hz.
        bright: leave out the low pass that a synthesiser has for softer notes: they sound as the
            recordings do.

    Raises:
        InputError: if none is, or only one that cannot do it brightly, or the file is missing or no
            sound font.
    """
    make = _RENDERERS[renderer()]
    if not font.is_file():
        raise InputError(f"{font} is no file: give a sound font (.sf2 or .sf3)")
    player = make(font, sample_rate)
    if bright:
        if not isinstance(player, _FluidSynth):
            raise InputError(
                "only FluidSynth plays without its low pass: install it (apt-get install libfluidsynth3, brew install "
                "fluid-synth) and pip install pyfluidsynth, or do with the low pass: bright 0"
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
    """Where sound fonts stand on this system."""
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

    FluidR3 goes first, since its licence allows everything; then the others by name.

    Raises:
        InputError: if there is none, or the variable names none.
    """
    named = os.environ.get(FONT_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise InputError(
                f"{FONT_VARIABLE} names {named}, which is no file: give the path of an .sf2 or .sf3 file"
            )
        return Path(named)
    found = [
        f
        for folder in font_folders()
        for f in sorted(folder.glob("*"))
        if f.suffix.lower() in (".sf2", ".sf3")
    ]
    if not found:
        raise InputError(
            "no sound font was found: apt-get install fluidr3mono-gm-soundfont (24 MB, MIT licence), or set "
            f"{FONT_VARIABLE} to the path of an .sf2 or .sf3 file"
        )
    return min(found, key=lambda f: "fluidr3" not in f.name.lower())


def render(
    font: str | os.PathLike[str],
    kind: str | int,
    note: float,
    velocity: int,
    duration: float,
    sample_rate: int = 22050,
) -> Tensor:
    """One note of a sound font. The font is opened for it: for many notes use `sampled.clips`.

    Args:
        font: an .sf2 or .sf3 file.
        kind: a name out of `PROGRAMS`, or the number of a General MIDI program, 0 to 127.
        note: MIDI number, 0 to 127; fractions are played.
        velocity: 1 to 127.
        duration: how long the key is held, s.
        sample_rate: Hz.

    Returns:
        (N,), mono, as loud as the font plays it, without what is 60 dB below its peak before and
        after.

    Raises:
        InputError: a value out of its range, no renderer, or a font that cannot be read or lacks
            the program.
    """
    program = kind if isinstance(kind, int) else program_of(kind)
    for name, value, low in (("program", program, 0), ("note", note, 0), ("velocity", velocity, 1)):
        if not low <= value <= 127:
            raise InputError(f"{name} {value} is out of range: give {low} to 127")
    if not 0 < duration <= LONGEST:
        raise InputError(
            f"duration {duration} s is out of range: give more than 0 and at most {LONGEST:g} s"
        )
    return play(open_font(Path(font), sample_rate), program, note, velocity, duration, sample_rate)


def play(
    player: Player, program: int, midi: float, velocity: int, duration: float, sample_rate: int
) -> Tensor:
    """One note of a font that is open, as `render` gives it."""
    held, tail = (max(round(s * sample_rate / _BLOCK), 1) * _BLOCK for s in (duration, _RELEASE))
    return trim(torch.from_numpy(player.play(program, midi, velocity, held, tail)), sample_rate)


def program_of(kind: str) -> int:
    """The number of the program of a kind out of `PROGRAMS`.

    Raises:
        InputError: if there is none; it names the nearest and all of them.
    """
    if kind not in PROGRAMS:
        near = difflib.get_close_matches(kind, PROGRAMS, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(
            f"no instrument of General MIDI goes with {kind!r}: {hint}There are {', '.join(PROGRAMS)}"
        )
    return PROGRAMS[kind]
