"""Recordings in a folder: their labels, the toots that are in them, and what was wrong with any.

Labels come from sub-folders (`horns/car_horn/street.wav` is a car_horn), or from a manifest: a CSV
file with one of these headers, whose paths are relative to its own folder. Other columns are left
alone.

    path,label,pitch,source        pitch in Hz (440) or as a note (A4); may be left empty, or out
    path,label,midi,source         pitch as a MIDI number (69, or 69.5); source says what belongs together, such as a
                                   session; it may be left out: then each file is a source of its
                                   own
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
# sound that libsndfile does not read
FOREIGN = (".m4a", ".aac", ".wma", ".mp4", ".webm", ".amr", ".3gp")
LONGEST, SHORTEST = 1.9, 0.06  # s: of a toot; what is longer is cut, what is shorter is a click
GAP = 0.1  # s of quiet that part two toots
QUIET_DB = -40.0  # below the loudest of a file: where toots begin and end
ABOVE_NOISE_DB = 10.0  # but no nearer to the noise between them than this
LEAST_DB = -15.0  # and never higher than this below the loudest
_NOISE = 0.1  # s: the quietest stretch of this length is the noise
_EDGE = 0.01  # s kept before and after a piece, over which it fades in and out
_COLUMNS = ("path", "label", "pitch", "midi", "source")
# what `tootlearn batch` notes besides: passed over
NOTED = ("duration", "brightness", "loudness", "seed")


@dataclass(frozen=True)
class Recording:
    """One file: its path, the kind of the toots in it, their pitch in Hz (nan: to be estimated),
    and its source.
    """

    path: Path
    label: str
    pitch: float
    source: str


@dataclass(frozen=True)
class Report:
    """What became of a folder: files that were read, clips found in them, and a line on each thing
    that was wrong.
    """

    files: int
    clips: int
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.clips} clips from {self.files} files", *self.problems])


def read(
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
        The clips, and the report: files that cannot be read, and toots without a pitch, are named
            there and left out.

    Raises:
        InputError: no such folder, no recordings, no labels, a manifest that cannot be understood,
            or nothing left.
    """
    problems: list[str] = []
    return read_recordings(find(path, problems), front_end, known, problems, progress, keep)


def find(path: str | os.PathLike[str], problems: list[str]) -> list[Recording]:
    """The recordings of a folder or a manifest, see `read`; what is wrong with any is added to the
    problems.
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
    """The recordings below a folder, labelled with the sub-folders of it that they are in, in order
    of their names.
    """
    if not path.is_dir():
        raise InputError(
            f"{path} is no folder: give one that holds a sub-folder of recordings for each label"
        )
    found, unlabelled = [], 0
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            file = Path(folder) / name
            parts = file.relative_to(path).parts
            if file.suffix.lower() in FOREIGN:
                problems.append(
                    f"{file}: left out: {file.suffix} is not read: convert it to WAV or FLAC"
                )
            elif file.suffix.lower() in SUFFIXES and len(parts) == 1:
                unlabelled += 1
                problems.append(
                    f"{file}: left out: it has no label: put it into a folder that is named after its kind"
                )
            elif file.suffix.lower() in SUFFIXES:
                found.append(Recording(file, parts[0], math.nan, file.relative_to(path).as_posix()))
    if not found and unlabelled:
        raise InputError(
            f"the {unlabelled} recordings in {path} have no labels: put them into folders named after their kinds, "
            "such as car_horn, or add a manifest.csv with the columns path,label"
        )
    if not found:
        raise InputError(
            f"{path} holds no recordings: put WAV, FLAC, Ogg or MP3 files into folders named after kinds"
        )
    return found


def read_manifest(path: Path, problems: list[str]) -> list[Recording]:
    """The recordings of a manifest, in its order; rows that make no sense are told by their line
    and left out.
    """
    columns, rows = read_table(path)
    unknown = [name for name in columns if name not in (*_COLUMNS, *NOTED)]
    if len(set(columns)) < len(columns) or not {"path", "label"} <= set(columns):
        shown = ",".join(columns) or "(none)"
        raise InputError(
            f"{path} has the columns {shown}: give path,label and, if you like, pitch or midi, and source"
        )
    if unknown:
        problems.append(f"{path}: columns that mean nothing here: {', '.join(unknown)}")
    if {"pitch", "midi"} <= set(columns):
        raise InputError(f"{path} has both pitch and midi: give one of them")
    found: list[Recording] = []
    for number, row in rows:
        where = f"{path} line {number}"
        if not any(field.strip() for field in row):
            continue
        if len(row) != len(columns):
            problems.append(f"{where}: left out: it has {len(row)} fields, not {len(columns)}")
            continue
        values = {name: field.strip() for name, field in zip(columns, row, strict=True)}
        try:
            found.append(_recording(path, values))
        except InputError as error:
            problems.append(f"{where}: left out: {error}")
    if not found:
        raise InputError(
            f"{path} names no recordings: give one a line, with its path and its label"
        )
    return found


def read_table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """A CSV file, whose separator is a comma or a semicolon.

    Returns:
        The columns' names, in lower case; the rows of the lines that are not blank, each with the
        number of its line.

    Raises:
        InputError: it cannot be read, is no UTF-8 text, or no CSV.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): check the name and the folder"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text: save it as CSV in UTF-8") from error
    header = lines[0] if lines else ""
    reader = csv.reader(lines, delimiter=";" if ";" in header and "," not in header else ",")
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(
            f"{path} line {reader.line_num} is no CSV ({error}): save it again"
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
    """Clips of the toots in these recordings, and the report, which begins with the problems so
    far.
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
            wave, _ = audio.load(recording.path, rate)
        except InputError as error:
            problems.append(f"left out: {error}")
            continue
        files += 1
        found = pieces(wave, rate)
        if not found:
            problems.append(
                f"{recording.path}: left out: there is no toot in it: it is silent, or only clicks"
            )
        waves += found
        origins += [recording] * len(found)
    if not waves:
        told = f"; the first of {len(problems)} problems: {problems[0]}" if problems else ""
        raise InputError(f"there is no toot in any of {len(recordings)} recordings{told}")
    labels, pitch = [r.label for r in origins], [r.pitch for r in origins]
    sources, names = [r.source for r in origins], [str(r.path) for r in origins]
    clips = from_waves(
        waves, labels, pitch, sources, front_end, known, problems, progress, names, keep
    )
    return clips, Report(files, len(clips), tuple(problems))


def pieces(wave: Tensor, sample_rate: int) -> list[Tensor]:
    """The toots in a recording: its parts that are not quiet.

    A toot begins where the 10 ms RMS envelope rises above a threshold and ends where it stays below
    for `GAP`. The threshold is 40 dB below the loudest moment, as in `measures.duration`; in noise
    it is 10 dB above the quietest tenth of a second, but no higher than 15 dB below the loudest.

    Args:
        wave: (N,).
        sample_rate: Hz.

    Returns:
        Waves of `SHORTEST` to `LONGEST` seconds (and `_EDGE` at each end), in their order; of a
        longer toot the first part, faded out. None for silence.
    """
    wave = wave / wave.abs().max().clamp_min(1)  # floating-point files know no bounds
    wave = wave - wave.mean()  # an offset would be heard as sound that never ends
    envelope = measures.envelope(wave, sample_rate).double()
    peak = float(envelope.max())
    if not peak > 0:
        return []
    step = max(1, round(sample_rate * measures.ENVELOPE_STEP))  # samples between two points
    seconds = step / sample_rate
    above = (envelope > peak * 10 ** (_threshold(envelope / peak, seconds) / 20)).nonzero()[:, 0]
    breaks = (above.diff() * seconds > GAP).nonzero()[:, 0] + 1
    found = []
    for part in torch.tensor_split(above, breaks):
        first, last = int(part[0]) * step, int(part[-1]) * step
        if last - first < SHORTEST * sample_rate:
            continue
        last = min(last, first + round(LONGEST * sample_rate))
        edge = round(_EDGE * sample_rate)
        piece = wave[max(first - edge, 0) : last + edge].clone()
        ramp = 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(edge) + 0.5) / edge)
        # else the recording begins with the toot: its attack is not ours to soften
        if first >= edge:
            piece[:edge] *= ramp
        piece[-edge:] *= ramp.flip(0)
        found.append(piece)
    return found


def _threshold(envelope: Tensor, seconds: float) -> float:
    """In dB below the peak: what counts as quiet in an envelope (K,) whose peak is 1, a point every
    so many seconds.
    """
    window = round(_NOISE / seconds)
    if len(envelope) < 3 * window:
        return QUIET_DB
    power = envelope.square().cumsum(0)
    noise = float((power[window:] - power[:-window]).min()) / window
    return min(max(10 * math.log10(max(noise, 1e-12)) + ABOVE_NOISE_DB, QUIET_DB), LEAST_DB)
