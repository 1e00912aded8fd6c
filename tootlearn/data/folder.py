"""Recordings in a folder: their labels, the toots in them, and a report of what was left out.

Labels come from sub-folders (`horns/car_horn/street.wav` is a car_horn), or from a manifest: a CSV
file with one of these headers, whose paths are relative to its folder. Other columns are ignored.

    path,label,pitch,source        pitch in Hz (440) or as a note (A4)
    path,label,midi,source         pitch as a MIDI number (69, or 69.5)

Pitch may be empty, or the column may be missing. The source names recordings that belong together,
such as those of a session; without that column, each file is its own source.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from tootlearn.controls import Kind, parse_pitch
from tootlearn.data.clips import Clips, from_waves
from tootlearn.dsp import audio, measures
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError

SUFFIXES = (
    ".wav",
    ".w64",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".aif",
    ".aiff",
    ".aifc",
    ".au",
)
# formats that libsndfile does not read
FOREIGN = (".m4a", ".aac", ".wma", ".mp4", ".webm", ".amr", ".3gp")
LONGEST, SHORTEST = 1.9, 0.06  # s: longer toots are cut, shorter ones are taken for clicks
GAP = 0.1  # s of quiet that separate two toots
QUIET_DB = -40.0  # relative to the peak of a file: where toots begin and end
ABOVE_NOISE_DB = 10.0  # but at least so far above the noise between them
LEAST_DB = -15.0  # and never higher than this relative to the peak
_NOISE = 0.1  # s: the quietest part of this length is taken for the noise
_EDGE = 0.01  # s before and after a toot, over which it fades in and out
_COLUMNS = ("path", "label", "pitch", "midi", "source")
# further columns of the manifests of `tootlearn batch`, which are ignored silently
NOTED = ("duration", "brightness", "loudness", "seed")


@dataclass(frozen=True)
class Recording:
    """One file: its path, the kind of the toots in it, their pitch in Hz (nan to estimate it), and
    its source.
    """

    path: Path
    label: str
    pitch: float
    source: str


@dataclass(frozen=True)
class Report:
    """How many files were read, how many clips they gave, and a line for each problem."""

    files: int
    clips: int
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.clips} clips from {self.files} files", *self.problems])


def read_folder(
    path: str | os.PathLike[str],
    front_end: FrontEnd,
    known: Sequence[Kind] = (),
    progress: bool = False,
    keep: bool = False,
) -> tuple[Clips, Report]:
    """Clips of the recordings in a folder.

    Args:
        path: a folder with a sub-folder for each label, or with a `manifest.csv`; or a manifest of
            any other name.
        front_end: makes the log-mels.
        known: kinds that keep their scales, see `clips.from_waves`.
        progress: show bars on stderr.
        keep: keep the waves, see `clips.from_waves`.

    Returns:
        The clips, and the report, which names the files that could not be read and the toots
            without a pitch; these are left out.

    Raises:
        InputError: if there is no such folder, or it has no recordings or no labels, if a manifest
            is invalid, or if nothing is left.
    """
    problems: list[str] = []
    return read_recordings(
        find_recordings(path, problems), front_end, known, problems, progress, keep
    )


def find_recordings(path: str | os.PathLike[str], problems: list[str]) -> list[Recording]:
    """The recordings of a folder or a manifest, see `read_folder`; problems are appended to the
    list.
    """
    path = Path(path)
    if path.is_dir() and (path / "manifest.csv").is_file():
        path = path / "manifest.csv"
    return (
        read_manifest(path, problems)
        if path.suffix.lower() == ".csv"
        else list_folder(path, problems)
    )


def list_folder(path: Path, problems: list[str]) -> list[Recording]:
    """The recordings below a folder, labelled by its sub-folders, in order of their names."""
    if not path.is_dir():
        raise InputError(
            f"{path} is no folder: give one that holds a sub-folder of recordings for each label"
        )
    recordings, unlabelled = [], 0
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            file = Path(folder) / name
            parts = file.relative_to(path).parts
            if file.suffix.lower() in FOREIGN:
                problems.append(
                    f"{file}: left out: {file.suffix} cannot be read: convert it to WAV or FLAC"
                )
            elif file.suffix.lower() in SUFFIXES and len(parts) == 1:
                unlabelled += 1
                problems.append(
                    f"{file}: left out: it has no label: put it into a folder named after its kind"
                )
            elif file.suffix.lower() in SUFFIXES:
                source = file.relative_to(path).as_posix()
                recordings.append(Recording(file, parts[0], math.nan, source))
    if not recordings and unlabelled:
        raise InputError(
            f"the {unlabelled} recordings in {path} have no labels: put them into folders named "
            "after their kinds, such as car_horn, or add a manifest.csv with the columns path,label"
        )
    if not recordings:
        raise InputError(
            f"{path} holds no recordings: put WAV, FLAC, Ogg or MP3 files into folders named after "
            "kinds"
        )
    return recordings


def read_manifest(path: Path, problems: list[str]) -> list[Recording]:
    """The recordings of a manifest, in its order; invalid rows are left out, and named by their
    line in the problems.
    """
    columns, rows = read_table(path)
    unknown = [name for name in columns if name not in (*_COLUMNS, *NOTED)]
    if len(set(columns)) < len(columns) or not {"path", "label"} <= set(columns):
        shown = ",".join(columns) or "(none)"
        raise InputError(
            f"{path} has the columns {shown}: give path,label and optionally pitch or midi, "
            "and source"
        )
    if unknown:
        problems.append(f"{path}: these columns are ignored: {', '.join(unknown)}")
    if {"pitch", "midi"} <= set(columns):
        raise InputError(f"{path} has both pitch and midi: give one of them")
    recordings: list[Recording] = []
    for number, row in rows:
        where = f"{path} line {number}"
        if not any(field.strip() for field in row):
            continue
        if len(row) != len(columns):
            problems.append(f"{where}: left out: it has {len(row)} fields, not {len(columns)}")
            continue
        values = {name: field.strip() for name, field in zip(columns, row, strict=True)}
        try:
            recordings.append(_recording(path, values))
        except InputError as error:
            problems.append(f"{where}: left out: {error}")
    if not recordings:
        raise InputError(
            f"{path} names no recordings: give one in each line, with its path and its label"
        )
    return recordings


def read_table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read a CSV file with commas or semicolons as separators.

    Returns:
        The names of the columns, in lower case; and the rows that are not blank, each with the
        number of its line.

    Raises:
        InputError: if it cannot be read, or is not CSV in UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): check the name and the folder"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: save it as CSV in UTF-8") from error
    header = lines[0] if lines else ""
    reader = csv.reader(lines, delimiter=";" if ";" in header and "," not in header else ",")
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(
            f"{path} line {reader.line_num} is not CSV ({error}): save it again"
        ) from error
    return columns, [(number, row) for number, row in rows if len(row) > 1 or "".join(row).strip()]


def _recording(manifest: Path, values: dict[str, str]) -> Recording:
    if not values["path"] or not values["label"]:
        raise InputError("it has no path" if values["label"] else "it has no label")
    given = values.get("pitch") or (f"midi:{values['midi']}" if values.get("midi") else "")
    pitch = parse_pitch(given) if given else math.nan
    return Recording(
        manifest.parent / values["path"],
        values["label"],
        pitch,
        values.get("source") or values["path"],
    )


def read_recordings(
    recordings: Iterable[Recording],
    front_end: FrontEnd,
    known: Sequence[Kind],
    problems: list[str],
    progress: bool = False,
    keep: bool = False,
) -> tuple[Clips, Report]:
    """Clips of the toots in these recordings, and the report, which includes the problems so far;
    arguments as of `read_folder`.
    """
    recordings = list(recordings)
    rate = front_end.config.sample_rate
    waves: list[Tensor] = []
    origins: list[Recording] = []
    files = 0
    for recording in tqdm(
        recordings, desc="files", unit="", disable=None if progress else True, leave=False
    ):
        try:
            wave, _ = audio.load_audio(recording.path, rate)
        except InputError as error:
            problems.append(f"left out: {error}")
            continue
        files += 1
        toots = pieces(wave, rate)
        if not toots:
            problems.append(
                f"{recording.path}: left out: there is no toot in it: it is silent, or only clicks"
            )
        waves += toots
        origins += [recording] * len(toots)
    if not waves:
        first = f"; the first of {len(problems)} problems: {problems[0]}" if problems else ""
        raise InputError(f"there is no toot in any of {len(recordings)} recordings{first}")
    labels, pitch = [r.label for r in origins], [r.pitch for r in origins]
    sources, names = [r.source for r in origins], [str(r.path) for r in origins]
    clips = from_waves(
        waves, labels, pitch, sources, front_end, known, problems, progress, names, keep
    )
    return clips, Report(files, len(clips), tuple(problems))


def pieces(wave: Tensor, sample_rate: int) -> list[Tensor]:
    """The toots in a recording: its parts that are not quiet.

    A toot begins where the 10 ms RMS envelope rises above a threshold and ends where it stays below
    for `GAP`. The threshold is 40 dB below the peak of the envelope, as in `measures.duration`; in
    noise it is 10 dB above the quietest 0.1 s, but at most 15 dB below the peak.

    Args:
        wave: (N,).
        sample_rate: Hz.

    Returns:
        Waves of `SHORTEST` to `LONGEST` seconds (plus `_EDGE` at each end), in their order; of a
        longer toot the beginning, faded out. Silence gives none.
    """
    wave = wave / wave.abs().max().clamp_min(1)  # files with float samples may exceed 1
    wave = wave - wave.mean()  # a constant offset would be taken for a sound without end
    envelope = measures.envelope(wave, sample_rate).double()
    peak = float(envelope.max())
    if not peak > 0:
        return []
    step = max(1, round(sample_rate * measures.ENVELOPE_STEP))  # samples between two points
    seconds = step / sample_rate
    above = (envelope > peak * 10 ** (_threshold(envelope / peak, seconds) / 20)).nonzero()[:, 0]
    breaks = (above.diff() * seconds > GAP).nonzero()[:, 0] + 1
    toots = []
    for part in torch.tensor_split(above, breaks):
        first, last = int(part[0]) * step, int(part[-1]) * step
        if last - first < SHORTEST * sample_rate:
            continue
        last = min(last, first + round(LONGEST * sample_rate))
        edge = round(_EDGE * sample_rate)
        piece = wave[max(first - edge, 0) : last + edge].clone()
        ramp = 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(edge) + 0.5) / edge)
        # otherwise the recording begins with the toot, whose attack is to be kept
        if first >= edge:
            piece[:edge] *= ramp
        piece[-edge:] *= ramp.flip(0)
        toots.append(piece)
    return toots


def _threshold(envelope: Tensor, seconds: float) -> float:
    """The level below which an envelope (K,) counts as quiet, in dB.

    Args:
        envelope: with a peak of 1.
        seconds: between two of its points.
    """
    window = round(_NOISE / seconds)
    if len(envelope) < 3 * window:
        return QUIET_DB
    power = envelope.square().cumsum(0)
    noise = float((power[window:] - power[:-window]).min()) / window
    return min(max(10 * math.log10(max(noise, 1e-12)) + ABOVE_NOISE_DB, QUIET_DB), LEAST_DB)
