"""Public data sets in a folder: the toot-like classes of ESC-50, UrbanSound8K and NSynth.

Nothing is downloaded: fetch a data set yourself, read its licence, and give its folder.

* **ESC-50** (K. J. Piczak, 2015): `meta/esc50.csv` and `audio/`. CC BY-NC 3.0 (the clips of ESC-10:
  CC BY 3.0), so not for models that are sold. Classes `car_horn`, and `train`, which has trains
  with and without their horns and is therefore a separate kind.
* **UrbanSound8K** (J. Salamon, C. Jacoby and J. P. Bello, 2014): `metadata/UrbanSound8K.csv` and
  `audio/fold1/` to `audio/fold10/`. CC BY-NC 3.0, so not for models that are sold. Class
  `car_horn`, of which those in the foreground are taken.
* **NSynth** (J. Engel and others, 2017): `examples.json` and `audio/`. CC BY 4.0: name it where you
  share a model. The family `brass`, with exact pitches; its notes are held for 3 s, of which the
  first 1.9 s are taken.

The source of a clip is the recording (ESC-50, UrbanSound8K) or the instrument (NSynth) that it was
cut from.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tootlearn.controls import Kind, midi_to_hz
from tootlearn.data.clips import Clips
from tootlearn.data.folder import Recording, Report, read_recordings
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError

_INDEX = {
    "ESC-50": "meta/esc50.csv",
    "UrbanSound8K": "metadata/UrbanSound8K.csv",
    "NSynth": "examples.json",
}
CLASSES: dict[str, dict[str, str]] = {  # data set -> its class -> kind
    "ESC-50": {"car_horn": "car_horn", "train": "train"},
    "UrbanSound8K": {"car_horn": "car_horn"},
    "NSynth": {"brass": "brass"},
}
LICENCES = {"ESC-50": "CC BY-NC 3.0", "UrbanSound8K": "CC BY-NC 3.0", "NSynth": "CC BY 4.0"}


def detect_data_set(path: str | os.PathLike[str]) -> str | None:
    """The data set that a folder holds, by the files in it: a key of `CLASSES`, or None."""
    return next((name for name, index in _INDEX.items() if (Path(path) / index).is_file()), None)


def read_public_set(
    path: str | os.PathLike[str],
    front_end: FrontEnd,
    known: Sequence[Kind] = (),
    classes: Mapping[str, str] | None = None,
    count: int | None = None,
    progress: bool = False,
    keep: bool = False,
) -> tuple[Clips, Report]:
    """Clips of the toot-like classes of a public data set.

    Args:
        path: the folder that the data set was unpacked in.
        front_end: makes the log-mels.
        known: kinds that keep their scales, see `clips.from_waves`.
        classes: the data set's classes (for NSynth, families) and the kinds that they become; None
            for `CLASSES`.
        count: the largest number of files of each class, spread evenly over the index; None for
            all.
        progress: show bars on stderr.
        keep: keep the waves, see `clips.from_waves`.

    Returns:
        The clips, and the report, which names files that are missing or cannot be read; these are
            left out.

    Raises:
        InputError: if the folder holds no known data set, its index is invalid, or there is nothing
            of these classes.
    """
    name = detect_data_set(path)
    if name is None:
        expected = ", ".join(f"{index} ({name})" for name, index in _INDEX.items())
        raise InputError(f"{path} holds no known data set: it has none of {expected}")
    recordings = list_recordings(Path(path), name, CLASSES[name] if classes is None else classes)
    if count is not None:
        by_label = {
            label: [r for r in recordings if r.label == label]
            for label in {r.label for r in recordings}
        }
        recordings = [r for label in sorted(by_label) for r in _spread(by_label[label], count)]
    return read_recordings(recordings, front_end, known, [], progress, keep)


def list_recordings(path: Path, name: str, classes: Mapping[str, str]) -> list[Recording]:
    """The recordings of these classes, in the order of the data set's index."""
    index = path / _INDEX[name]
    try:
        rows = [_ROWS[name](row) for row in _rows(index)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(
            f"{index} is not the index of {name} ({error!r}): unpack the data set again"
        ) from error
    recordings = [
        Recording(path / "audio" / row.file, classes[row.label], row.pitch, f"{name}-{row.source}")
        for row in rows
        if row.label in classes and row.usable
    ]
    if not recordings:
        raise InputError(f"{index} names nothing of the classes {', '.join(classes)}")
    return recordings


class _Row(NamedTuple):
    """One row of an index."""

    file: str  # within `audio/`
    label: str
    source: str
    pitch: float = math.nan  # Hz
    usable: bool = True


_ROWS: dict[str, Callable[[dict[str, Any]], _Row]] = {
    "ESC-50": lambda row: _Row(row["filename"], row["category"], row["src_file"]),
    "UrbanSound8K": lambda row: _Row(
        f"fold{row['fold']}/{row['slice_file_name']}",
        row["class"],
        row["fsID"],
        usable=row["salience"] == "1",  # in the foreground
    ),
    "NSynth": lambda row: _Row(
        f"{row['note_str']}.wav",
        row["instrument_family_str"],
        row["instrument_str"],
        midi_to_hz(float(row["pitch"])),
    ),
}


def _rows(index: Path) -> list[dict[str, Any]]:
    with open(index, encoding="utf-8-sig", newline="") as file:
        if index.suffix == ".json":
            return list(json.load(file).values())
        return list(csv.DictReader(file))


def _spread(recordings: list[Recording], count: int) -> list[Recording]:
    """At most ``count`` of them, evenly spaced, because an index is sorted by source."""
    kept = min(count, len(recordings))
    return [recordings[i * len(recordings) // kept] for i in range(kept)]
