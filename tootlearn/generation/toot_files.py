"""Toots as files: a folder of WAV files, a list of them, and a picture."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tootlearn.controls import Controls
from tootlearn.dsp.audio import save_audio
from tootlearn.errors import InputError
from tootlearn.figures import contact_sheet
from tootlearn.files import atomic_write

SHOWN = 24  # toots on the contact sheet: what a screen holds
COLUMNS = ("file", "kind", "pitch_hz", "duration_s", "brightness", "loudness_dbfs", "seed")


@dataclass(frozen=True)
class Toot:
    """A wave (N,), the name of its kind, its controls and its seed."""

    wave: NDArray[np.float32]
    kind: str
    controls: Controls
    seed: int


def check_folder(out: Path) -> None:
    """Raises InputError if ``out`` is a file and not a folder."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: give a folder")


def write_toots(out: Path, toots: Iterable[Toot], sample_rate: int) -> int:
    """Write toots as they are made, with `toots.csv` and `contact_sheet.png`: all appear in the
    folder, or none.

    Args:
        out: the folder, made if need be. A set that is there, as its `toots.csv` names it, is
            replaced.
        toots: one after another; file names count them.
        sample_rate: Hz.

    Returns:
        How many.

    Raises:
        InputError: if they cannot be written.
    """
    rows, waves, titles = [], [], []
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".unfinished-") as unfinished:
        folder = Path(unfinished)
        for i, toot in enumerate(toots):
            path = folder / f"{i:03d}_{toot.kind}.wav"
            save_audio(path, toot.wave, sample_rate)
            columns = (
                toot.controls.pitch,
                toot.controls.duration,
                toot.controls.brightness,
                toot.controls.loudness,
            )
            values = [float(column[0]) for column in columns]
            rows.append([path.name, toot.kind, *(f"{v:.4g}" for v in values), toot.seed])
            if i < SHOWN:
                waves.append(toot.wave)
                titles.append(f"{toot.kind}  {values[0]:.0f} Hz  {values[1]:.2f} s")
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([COLUMNS, *rows])
        atomic_write(folder / "toots.csv", table.getvalue().encode())
        contact_sheet(folder / "contact_sheet.png", waves, titles, sample_rate)
        for name in _earlier(out) - {path.name for path in folder.iterdir()}:
            (out / name).unlink(missing_ok=True)
        for path in folder.iterdir():
            os.replace(path, out / path.name)
    return len(rows)


def _earlier(out: Path) -> set[str]:
    """The files of the set in a folder, none of them elsewhere."""
    try:
        with open(out / "toots.csv", encoding="utf8", newline="") as file:
            names = {str(row.get(COLUMNS[0])) for row in csv.DictReader(file)}
    except (OSError, ValueError, csv.Error):
        return set()
    return {name for name in names if name == Path(name).name and name.endswith(".wav")}
