"""Sounds of many sorts, without labels, for networks that learn how sound in general behaves, such
as the vocoder.

They are synthetic toots, notes of all instruments of a sound font, and the recordings of a folder;
`Pieces` cuts them into short, varied pieces.
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
from tootlearn.dsp.audio import load_audio
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.errors import InputError

# one in so many semitones of an instrument, or files of a folder, is held out
HOLD_OUT_EVERY = 6
_PITCHES, _LOW_PITCHES = (33.0, 88.0), (26.0, 60.0)  # MIDI; the second is the tuba's
_ROOMS, _REVERB = 64, 6000  # impulse responses, and their length (samples)
_QUIET = 10 ** (-50 / 20)  # of a wave's peak: pieces begin where it is louder
_BRASS = tuple(PROGRAMS.values())
_WINDS = (*range(64, 80), *range(16, 24))  # General MIDI: reeds, pipes, organs
# all but drums
_OTHERS = tuple(n for n in range(128) if n not in (*_BRASS, *_WINDS, *range(112, 120)))


@dataclass(frozen=True)
class Sounds:
    """Waves with their peaks at full scale, and whether each is held out."""

    waves: Tensor  # (B, WINDOW_SAMPLES), int16
    held_out: Tensor  # (B,), bool

    def split(self) -> tuple[Tensor, Tensor]:
        """The waves to learn from and those held out.

        Raises:
            InputError: if either would be empty.
        """
        if self.held_out.all() or not self.held_out.any():
            raise InputError(f"{len(self.waves)} sounds are too few to hold some out: give more")
        return self.waves[~self.held_out], self.waves[self.held_out]


def collect_sounds(
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
    """Collect sounds of all sorts.

    Args:
        sample_rate: Hz.
        synthetic: how many toots of the synthesiser, all kinds in turn.
        sampled: how many notes of a sound font: half of them brass, a third other winds, the rest
            everything else.
        font: the sound font; None for `sound_font.find_font`.
        data: folders of recordings, which need no labels.
        seed: of the toots and the notes.
        problems: receives a line for each file that cannot be read.
        progress: show a bar on stderr.
        bright: play the notes without the low pass, see `sound_font.open_font`.

    Raises:
        InputError: if there is no sound font, no renderer, no such folder, or no recordings in it.
    """
    if synthetic and sample_rate != synthesis.SAMPLE_RATE:
        raise InputError(
            f"the synthesiser works at {synthesis.SAMPLE_RATE} Hz: "
            f"give synthetic 0 at {sample_rate} Hz"
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
    """Whether a note is held out: whole semitones of an instrument are."""
    return (round(midi) + program) % HOLD_OUT_EVERY == 0


def _notes(
    font: Path, count: int, seed: int, sample_rate: int, bright: bool
) -> Iterator[tuple[Tensor, bool]]:
    """Notes of all instruments of a font, (WINDOW_SAMPLES,) each, and whether they are held out."""
    player = open_font(font, sample_rate, bright)
    groups = (_BRASS, _BRASS, _BRASS, _WINDS, _WINDS, _OTHERS)
    for i in range(count):
        u = rng.uniform(rng.child(seed, i), rng.Stream.SOUND_NOTE, 6)
        group = groups[i % len(groups)]
        program = group[int(len(group) * u[0])]
        low, high = _LOW_PITCHES if program == PROGRAMS["tuba"] else _PITCHES
        midi, velocity = float(low + (high - low) * u[1]), int(24 + 104 * u[2])
        wave = play(player, program, midi, velocity, float(0.12 * 15 ** u[3]), sample_rate)
        yield _in_window(wave, float(u[4])), note_is_held_out(program, midi)


def _recordings(
    path: Path, sample_rate: int, problems: list[str] | None
) -> Iterator[tuple[Tensor, bool]]:
    """The recordings in a folder, window by window, and whether the file is held out."""
    if not path.is_dir():
        raise InputError(f"{path} is not a folder: give one with recordings in it")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in folder.SUFFIXES)
    if not files:
        raise InputError(f"{path} has no recordings: {', '.join(folder.SUFFIXES)} can be read")
    for file in files:
        try:
            wave, _ = load_audio(file, sample_rate)
        except InputError as error:
            if problems is not None:
                problems.append(str(error))
            continue
        digest = hashlib.sha256(file.relative_to(path).as_posix().encode()).digest()
        for piece in wave.split(WINDOW_SAMPLES):
            yield _in_window(piece, 0.0), digest[0] % HOLD_OUT_EVERY == 0


def _in_window(wave: Tensor, later: float) -> Tensor:
    """The wave in a window (WINDOW_SAMPLES,), delayed by the share ``later`` of 0.1 s."""
    start = int(later * 2205)
    window = torch.zeros(WINDOW_SAMPLES)
    part = wave[: WINDOW_SAMPLES - start]
    window[start : start + len(part)] = part
    return window


def _in_16_bits(waves: Tensor) -> Tensor:
    """Waves (B, N) with their peaks at full scale, int16; silence stays silent."""
    peak = waves.abs().amax(1, keepdim=True).clamp_min(1e-6)
    return (waves / peak * 32767).round().to(torch.int16)


class Pieces:
    """Short pieces of sounds, different ones for each step: mixed with others, in a room, with
    noise, and at any level.

    Args:
        waves: (B, N), int16, none of them silent.
        sample_rate: Hz.
        count: pieces in a step.
        length: of a piece, samples, at most N.
        share: of the pieces that get reverberation; as many get noise, and three quarters as many a
            second sound.
        seed: the pieces of a step depend only on the seed and the number of the step.
    """

    def __init__(
        self,
        waves: Tensor,
        sample_rate: int,
        count: int,
        length: int,
        share: float = 0.4,
        seed: int = 0,
    ) -> None:
        self.count, self.length, self.share, self.seed = count, length, share, seed
        loud = waves.abs() > _QUIET * 32767
        self.ends = waves.shape[1] - loud.flip(1).int().argmax(1)  # after the last loud sample
        self.starts = loud.int().argmax(1)
        self.waves = waves
        generator = torch.Generator().manual_seed(seed)
        seconds = torch.arange(_REVERB) / sample_rate
        # 60 dB in 0.08 to 0.64 s
        fall = 6.9 / (0.08 * 8 ** torch.rand(_ROOMS, 1, generator=generator))
        rooms = torch.randn(_ROOMS, _REVERB, generator=generator) * (-fall * seconds).exp()
        self.padded = 1 << (self.length + _REVERB).bit_length()
        self.rooms = torch.fft.rfft(rooms / rooms.norm(dim=1, keepdim=True), n=self.padded)

    def __call__(self, step: int) -> Tensor:
        """The pieces of a step: (count, length), float32, peaks 0 to 30 dB below full scale."""
        count, length, share = self.count, self.length, self.share
        generator = torch.Generator().manual_seed(
            rng.child(rng.derive(self.seed, rng.Stream.SOUND_STEP), step)
        )

        def chance(columns: int = 1) -> Tensor:
            return torch.rand(count, columns, generator=generator)

        rows = (chance()[:, 0] * len(self.waves)).long()
        first = (self.starts[rows] - length // 4).clamp_min(0)
        spare = (self.ends[rows] - length * 2 // 3 - first).clamp_min(1)
        first = (first + chance()[:, 0] * spare).long().clamp_max(self.waves.shape[1] - length)
        x = self.waves[rows[:, None], first[:, None] + torch.arange(length)].float() / 32767
        x = x + (chance() < 0.75 * share) * chance() * x.roll(1, 0)  # another sound
        wet = torch.fft.irfft(
            torch.fft.rfft(x, n=self.padded) * self.rooms[(chance()[:, 0] * _ROOMS).long()],
            n=self.padded,
        )
        x = x + (chance() < share) * 0.7 * chance() * wet[:, :length]
        level = x.square().mean(1, keepdim=True).sqrt() * 10 ** (-(6 + 50 * chance()) / 20)
        x = x + (chance() < share) * level * self._noise(1.2 * chance(), generator)
        level = 10 ** (-1.5 * chance()) / x.abs().amax(1, keepdim=True).clamp_min(1e-4)
        pieces: Tensor = x * level
        return pieces

    def _noise(self, slope: Tensor, generator: torch.Generator) -> Tensor:
        """Noise (B, length) of unit RMS, whose amplitude falls as the frequency to the power of
        ``slope`` (B, 1).
        """
        white = torch.fft.rfft(torch.randn(len(slope), self.length, generator=generator))
        share = torch.arange(white.shape[1]).clamp_min(1) / white.shape[1]
        coloured = torch.fft.irfft(white * share**-slope, n=self.length)
        noise: Tensor = coloured / coloured.std(1, keepdim=True)
        return noise
