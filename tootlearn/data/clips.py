"""Clips: log-mels with their controls, ready to train on, and the split into training and held-out
clips.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from tootlearn.controls import LOUDNESS_RANGE, ONSET_SAMPLES, Controls, Kind, hz_to_midi, new_kind
from tootlearn.data import synthesis
from tootlearn.data.recipes import KINDS
from tootlearn.dsp import measures
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError

BEND_FRAMES = 4  # frames that share a value of the bend, as in `ConditionalDecoder`
HOLD_OUT_EVERY = 6  # one in so many semitones or sources of a kind is held out
PITCH_SEARCH = (30.0, 4200.0)  # Hz: range in which the pitch of an unknown kind is estimated
_TRACKED = 0.8  # s: the pitch is tracked over the middle of a clip, no longer than this
_FADE = 0.01  # s: fade at the end of a sound that does not fit the window
_SEMITONE = 2 ** (1 / 12)
_AT_ONCE = 64  # waves
SYNTHETIC, SAMPLED, RECORDED = range(3)  # what `Clips.origin` holds


@dataclass(frozen=True)
class Clips:
    """A set of B clips.

    Args:
        log_mel: (B, M, T), natural logarithm, in float16 to save memory (in steps of 0.008 at most,
            0.07 dB).
        controls: of the clips.
        kinds: the kinds that ``controls.kind`` are indices of.
        source: B names of the sources of the clips, such as files: clips of the same source are not
            independent.
        bend: f0 in octaves above the pitch, a value for every four frames, (B, T / 4), nan where it
            is not known; None if it is known nowhere.
        origin: `SYNTHETIC`, `SAMPLED` (notes rendered from recorded ones, with exact pitch) or
            `RECORDED`, (B,), or () for all.
        waves: B waves in the window of the models, each (N,), or None where it was not kept; () if
            none was.
        held_out: whether each is held out, (B,), where that was decided for a larger set; None lets
            `split` decide.
    """

    log_mel: Tensor
    controls: Controls
    kinds: tuple[Kind, ...]
    source: tuple[str, ...]
    bend: Tensor | None = None
    origin: NDArray[np.int8] = field(default_factory=lambda: np.array(SYNTHETIC, dtype=np.int8))
    waves: tuple[Tensor | None, ...] = ()
    held_out: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        count = len(self.log_mel)
        object.__setattr__(self, "waves", self.waves or (None,) * count)
        counts = len(self.controls), len(self.source), len(self.waves)
        if set(counts) != {count} or self.origin.shape not in ((), (count,)):
            raise ValueError(
                "{} log-mels, {} controls, {} sources, {} waves, ".format(count, *counts)
                + f"origins of shape {self.origin.shape}: these do not match"
            )
        object.__setattr__(self, "origin", np.broadcast_to(self.origin, count))

    def __len__(self) -> int:
        return len(self.log_mel)

    def __getitem__(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Clips:
        index = rows if isinstance(rows, slice) else torch.from_numpy(rows)
        source = tuple(np.array(self.source, dtype=object)[rows])
        bend = None if self.bend is None else self.bend[index]
        waves = tuple(self.waves[i] for i in np.arange(len(self))[rows])
        held_out = None if self.held_out is None else self.held_out[rows]
        log_mel, origin = self.log_mel[index], self.origin[rows]
        return Clips(
            log_mel, self.controls[rows], self.kinds, source, bend, origin, waves, held_out
        )

    def split(self, by: Literal["pitch", "source", "origin"] = "origin") -> tuple[Clips, Clips]:
        """Training clips and held-out clips; the same clips give the same split, in any order.

        Args:
            by: "pitch" holds out whole (kind, semitone) groups, so that no held-out note was
                trained on; "source" holds out about one in six whole sources, by a hash of their
                names, at least one of every kind that has two or more, and never all of them;
                "origin" splits recorded clips by source (or, if a kind has just one source, by
                whole semitones in the same way) and all others by pitch, unless ``held_out`` is
                given, which then decides.
        """
        held_out = (
            self.held_out if by == "origin" and self.held_out is not None else self.chosen(by)
        )
        return self[~held_out], self[held_out]

    def chosen(self, by: Literal["pitch", "source", "origin"] = "origin") -> NDArray[np.bool_]:
        """Which of the clips `split` holds out, (B,), whatever ``held_out`` is."""
        semitone = np.round(hz_to_midi(self.controls.pitch)).astype(int)
        source = np.array(self.source, dtype=object)
        if by == "pitch":
            return self._every_sixth(semitone)
        if by == "source":
            return self._some_of(source, self.origin >= SYNTHETIC)
        if by == "origin":
            recorded = self.origin == RECORDED
            of_kind = [
                set(source[recorded & (self.controls.kind == k)]) for k in range(len(self.kinds))
            ]
            several = np.array([len(sources) > 1 for sources in of_kind])
            group = np.where(several[self.controls.kind], source, semitone.astype(str))
            return np.where(recorded, self._some_of(group, recorded), self._every_sixth(semitone))
        raise ValueError(f'clips are split by "pitch", "source" or "origin", not by {by!r}')

    def _every_sixth(self, semitone: NDArray[np.int_]) -> NDArray[np.bool_]:
        """Whether these semitones (B,) are held out; they differ from kind to kind."""
        turn = np.array([_hash(kind.name) % HOLD_OUT_EVERY for kind in self.kinds])
        return np.asarray((semitone + turn[self.controls.kind]) % HOLD_OUT_EVERY == 0)

    def _some_of(self, group: NDArray[np.object_], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of some clips (B,) are held out: whole groups, by a hash of their names."""
        chosen: set[str] = set()
        of_kind = [
            sorted(set(group[among & (self.controls.kind == kind)]), key=_hash)
            for kind in range(len(self.kinds))
        ]
        for groups in of_kind:
            chosen.update(name for name in groups if _hash(name) % HOLD_OUT_EVERY == 0)
        for groups in of_kind:  # if there are few groups, all may fall on one side
            if len(groups) > 1 and chosen.isdisjoint(groups):
                chosen.add(groups[0])
        for groups in of_kind:
            if groups and chosen.issuperset(groups):
                chosen.discard(groups[-1])
        return np.asarray(among & np.array([name in chosen for name in group], dtype=bool))

    @staticmethod
    def concatenate(parts: Sequence[Clips]) -> Clips:
        """One set from several with the same front end.

        Raises:
            ValueError: if two sets have different kinds of the same name.
        """
        kinds: dict[str, Kind] = {}
        controls = []
        for part in parts:
            for kind in part.kinds:
                if kinds.setdefault(kind.name, kind) != kind:
                    raise ValueError(
                        f"two sets measure {kind.name} on different scales: "
                        "pass the kinds of one when the other is made"
                    )
            place = np.array([list(kinds).index(kind.name) for kind in part.kinds], dtype=np.int64)
            controls.append(replace(part.controls, kind=place[part.controls.kind]))
        log_mel = torch.cat([part.log_mel for part in parts])
        source = tuple(source for part in parts for source in part.source)
        bend = torch.cat([part.known_bend() for part in parts])
        origin = np.concatenate([part.origin for part in parts])
        waves = tuple(wave for part in parts for wave in part.waves)
        marks = [part.held_out for part in parts if part.held_out is not None]
        # otherwise `split` decides on all of them together
        held_out = np.concatenate(marks) if len(marks) == len(parts) else None
        joined = Controls.concatenate(controls)
        return Clips(log_mel, joined, tuple(kinds.values()), source, bend, origin, waves, held_out)

    def known_bend(self) -> Tensor:
        """``bend``, (B, T / 4); nan everywhere if it is None."""
        if self.bend is not None:
            return self.bend
        return torch.full((len(self), self.log_mel.shape[2] // BEND_FRAMES), torch.nan)


def _hash(name: str) -> int:
    """A hash that is the same in every process, as Python's own is not."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def synthesise(
    kinds: Sequence[str], count: int, seed: int, front_end: FrontEnd, progress: bool = True
) -> Clips:
    """Natural toots from the synthesiser, of these kinds in turn.

    Args:
        kinds: names out of `recipes.KINDS`.
        count: B.
        seed: of the set; clip i is the same whatever ``count``.
        front_end: makes the log-mels; its sample rate must be the synthesiser's.
        progress: show a bar on stderr.

    Raises:
        ValueError: if there is nothing to make, or the sample rates differ.
    """
    if count < 1 or not kinds:
        raise ValueError(
            f"give at least one kind and one clip, not {count} clips of {len(kinds)} kinds"
        )
    if front_end.config.sample_rate != synthesis.SAMPLE_RATE:
        raise ValueError(
            f"the synthesiser works at {synthesis.SAMPLE_RATE} Hz, "
            f"the front end at {front_end.config.sample_rate}"
        )
    parts, controls, bends = [], [], []
    step = 64 * len(kinds)
    config, frames = front_end.config, front_end.frames(WINDOW_SAMPLES)
    middles = (np.arange(frames // BEND_FRAMES) + 0.5) * BEND_FRAMES - 0.5
    time = (middles * config.hop - ONSET_SAMPLES) / config.sample_rate
    with tqdm(
        total=count, desc="toots", unit="", disable=None if progress else True, leave=False
    ) as bar:
        for start in range(0, count, step):
            waves, measured = synthesis.toots(kinds, min(step, count - start), seed, start)
            parts.append(front_end(waves).half())
            controls.append(measured)
            bends.append(synthesis.bends(kinds, len(waves), seed, start, time))
            bar.update(len(waves))
    all_controls = Controls.concatenate(controls)
    semitones = np.round(hz_to_midi(all_controls.pitch)).astype(int)
    source = tuple(
        f"{kinds[k]}-{semitone}" for k, semitone in zip(all_controls.kind, semitones, strict=True)
    )
    bend = torch.from_numpy(np.concatenate(bends)).float()
    return Clips(torch.cat(parts), all_controls, tuple(KINDS[name] for name in kinds), source, bend)


def from_waves(
    waves: Iterable[Tensor],
    kinds: Sequence[str],
    pitch: Sequence[float],
    sources: Sequence[str],
    front_end: FrontEnd,
    known: Sequence[Kind] = (),
    problems: list[str] | None = None,
    progress: bool = False,
    called: Sequence[str] | None = None,
    keep: bool = False,
) -> Clips:
    """Clips of recorded or rendered toots, one in each wave.

    Each wave is shifted so that its measured onset is at ``ONSET_SAMPLES`` of a window of
    ``WINDOW_SAMPLES``; what does not fit is cut off. A wave whose loudness is outside
    `controls.LOUDNESS_RANGE`, or that clips, is brought to the nearest end of that range, since the
    recording level is no property of a sound. Duration, brightness and loudness are measured on the
    window.

    Args:
        waves: B waves, each (N_i,), N_i >= 1, at the front end's rate. If they come from a
            generator, only a few are in memory at a time.
        kinds: B names of kinds.
        pitch: B numbers in Hz; nan to estimate it (`estimate_pitch`, about 0.2 s a wave).
        sources: B names of sources, see `Clips`.
        front_end: makes the log-mels.
        known: kinds that keep their scales. Any other name becomes a new kind, whose ranges come
            from its clips: brightness from its 5th to its 95th percentile, and all pitches and
            durations with a margin.
        problems: receives a line for each wave that is left out because it is silent or has no
            pitch; None gives warnings instead.
        progress: show a bar on stderr.
        called: B names of the waves in ``problems``; the sources by default.
        keep: keep the waves as well (180 kB each), as augmentation and shards need them.

    Returns:
        Clips of the waves that were not left out, in their order. ``kinds`` are those that occur:
        known ones first, in their order, then new ones by name.

    Raises:
        InputError: if no wave is left.
    """
    rate = front_end.config.sample_rate
    by_name = {kind.name: kind for kind in known}
    parts: list[Tensor] = []
    held: list[Tensor] = []
    # wave, pitch, duration, octaves to the centroid, loudness
    rows: list[tuple[int, float, float, float, float]] = []
    queue = iter(waves)
    bar = tqdm(
        total=len(kinds), desc="clips", unit="", disable=None if progress else True, leave=False
    )
    for start in range(0, len(kinds), _AT_ONCE):
        indices = range(start, min(start + _AT_ONCE, len(kinds)))
        windows = torch.stack([_in_window(next(queue), rate) for _ in indices])
        windows *= _gain(windows, rate)[:, None]
        measured = measures.measure(windows, rate)
        kept = []
        for row, i in enumerate(indices):
            hertz, duration = float(pitch[i]), float(measured.duration[row])
            if duration > 0 and not hertz > 0:
                hertz = estimate_pitch(windows[row], rate, by_name.get(kinds[i]))
            bar.update()
            if not duration > 0 or not hertz > 0:
                reason = "no pitch was found" if duration > 0 else "it is silent"
                _report(problems, f"{(called or sources)[i]}: left out: {reason}")
                continue
            octaves = float(measures.brightness_octaves(measured.centroid[row], hertz))
            rows.append((i, hertz, duration, octaves, float(measured.loudness[row])))
            kept.append(row)
        parts.append(front_end(windows[kept]).half() if kept else torch.empty(0))
        held += list(windows[kept]) if keep else []
    bar.close()
    if not rows:
        raise InputError(
            f"none of {len(kinds)} sounds has a pitch: give it in a manifest, or other recordings"
        )
    index, *columns = np.array(rows).T
    names = np.array(kinds, dtype=object)[index.astype(int)]
    controls, used = _controls(names, np.stack(columns), known, rate)
    source, origin = tuple(sources[int(i)] for i in index), np.array(RECORDED, dtype=np.int8)
    return Clips(
        torch.cat([p for p in parts if len(p)]), controls, used, source, None, origin, tuple(held)
    )


def _controls(
    names: NDArray[np.object_], measured: NDArray[np.float64], known: Sequence[Kind], rate: int
) -> tuple[Controls, tuple[Kind, ...]]:
    """Controls of B sounds, and their kinds: the known first, then new ones, by name.

    Args:
        names: of their kinds, (B,).
        measured: pitch (Hz), duration (s), octaves from the pitch to the centroid, and loudness
            (dBFS): (4, B).
        known: kinds that keep their scales.
        rate: Hz.
    """
    hertz, duration, octaves, loudness = measured
    by_name = {kind.name: kind for kind in known}
    for name in sorted(set(names) - set(by_name)):
        rows = names == name
        by_name[name] = new_kind(name, hertz[rows], duration[rows], octaves[rows], rate)
    used = tuple(kind for kind in by_name.values() if kind.name in set(names))
    place = {kind.name: i for i, kind in enumerate(used)}
    kind = np.array([place[name] for name in names], dtype=np.int64)
    low, high = np.array([used[k].octaves for k in kind]).T
    return Controls(kind, hertz, duration, (octaves - low) / (high - low), loudness), used


def estimate_pitch(wave: Tensor, sample_rate: int, kind: Kind | None = None) -> float:
    """The pitch of one toot (N,) in Hz; nan if none is found.

    For a kind with several notes it is the pitch, within the range of the kind, whose comb fits
    best; otherwise the median of a pitch track over the middle of the sound. The search reaches an
    octave beyond the range of a known kind. A result within a semitone of the ends of the search is
    discarded, since the pitch may lie beyond them.
    """
    if kind and len(kind.intervals) > 1:
        low, high = kind.pitch
        span = 600 * np.log2(high / low)  # cents from the middle to an end
        return float(
            measures.chord_f0(wave, sample_rate, kind.intervals, float(np.sqrt(low * high)), span)
        )
    measured = measures.measure(wave, sample_rate)
    if not measured.duration > 0:
        return float("nan")
    first, length = int(measured.onset * sample_rate), int(measured.duration * sample_rate)
    spare = max(length - int(_TRACKED * sample_rate), 0)
    middle = wave[first + spare // 2 : first + length - spare // 2]
    low, high = PITCH_SEARCH if kind is None else (kind.pitch[0] / 2, kind.pitch[1] * 2)
    low, high = max(low, PITCH_SEARCH[0]), min(high, sample_rate / 4)
    hertz = float(measures.median_f0(middle, sample_rate, low, high))
    return hertz if low * _SEMITONE < hertz < high / _SEMITONE else float("nan")


def _report(problems: list[str] | None, message: str) -> None:
    if problems is None:
        warnings.warn(message, stacklevel=3)  # the caller of from_waves
    else:
        problems.append(message)


def _in_window(wave: Tensor, sample_rate: int) -> Tensor:
    """The wave in a window (WINDOW_SAMPLES,), with its onset at ONSET_SAMPLES and its peak at full
    scale if it was higher (files with float samples may exceed 1).
    """
    wave = wave.float() / wave.abs().max().clamp_min(1)
    onset = float(measures.onset(wave, sample_rate))
    # where the window starts in the wave
    start = (round(onset * sample_rate) if np.isfinite(onset) else 0) - ONSET_SAMPLES
    part = wave[max(start, 0) : start + WINDOW_SAMPLES].clone()
    if start + WINDOW_SAMPLES < len(wave):
        fade = round(_FADE * sample_rate)
        part[-fade:] *= 0.5 + 0.5 * torch.cos(torch.pi * torch.arange(1, fade + 1) / fade)
    window = torch.zeros(WINDOW_SAMPLES)
    window[max(-start, 0) :][: len(part)] = part
    return window


def _gain(windows: Tensor, sample_rate: int) -> Tensor:
    """Gains (B,) that bring waves (B, N) into the range of loudness without clipping; 1 for
    silence.
    """
    loudness = measures.loudness(windows, sample_rate)
    gain = 10 ** ((loudness.clamp(*LOUDNESS_RANGE) - loudness) / 20)
    return gain.where(loudness.isfinite(), 1.0).minimum(
        synthesis.PEAK / windows.abs().amax(-1).clamp_min(1e-9)
    )
