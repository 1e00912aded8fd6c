"""A labelled set of toots from a table: many files and their manifest, the same to the bit whatever
the number of processes.

The table is a CSV file with any of these columns. A value that is blank, or has no column, is drawn
at random:

    kind,pitch,duration,brightness,loudness,seed,count,name
    trumpet,A4,0.5,0.6,-14,7,,first          one toot, as `generate` makes it with this seed
    car_horn,,,,,1,200,                      two hundred, whose seeds are the children of 1
    ,440,,,,,50,                             fifty of any kinds that have this pitch

Toots are made one by one, each in one thread of one of several processes. Each file appears
complete or not at all, and its name says which toot it holds, so that an interrupted batch can be
continued.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path

import torch
from tqdm import tqdm

from tootlearn import rng
from tootlearn.data.folder import read_table
from tootlearn.dsp.audio import save_audio
from tootlearn.errors import InputError, check_range
from tootlearn.files import atomic_write
from tootlearn.generation import toot_generator
from tootlearn.generation.toot_generator import TootGenerator, checked_seed
from tootlearn.models import model_file
from tootlearn.version import __version__

COLUMNS = ("kind", "pitch", "duration", "brightness", "loudness", "seed", "count", "name")
FORMATS = ("wav", "flac")
MOST = 10_000_000  # toots of a batch
EXAMPLE = """kind,pitch,duration,brightness,loudness,seed,count,name
trumpet,A4,0.5,0.6,-14,7,,first
car_horn,,,,,1,200,
,440,,,,,50,
"""
_RECORD = "batch.json"
_SHOWN = 20  # at most so many bad lines are listed in an error
_AT_ONCE = 8  # toots that a process gets at a time

_worker: tuple[TootGenerator, Path, int]  # generator, folder and sample rate of a pool process


@dataclass(frozen=True)
class PlannedToot:
    """One toot of a batch: its file, relative to the folder, its controls and its seed."""

    path: str
    kind: str
    pitch: float  # Hz
    duration: float  # s
    brightness: float
    loudness: float  # dBFS
    seed: int


@dataclass(frozen=True)
class Source:
    """What toots are made with: the arguments of `toot_generator.load`."""

    model: str | None = None
    device: str = "cpu"
    vocoder: str | None = None
    bandwidth: str | None = None

    def load(self) -> TootGenerator:
        """The generator."""
        return toot_generator.load(self.model, self.device, self.vocoder, self.bandwidth)


def read_spec(
    path: str | os.PathLike[str], generator: TootGenerator, seed: int = 0, file_format: str = "wav"
) -> list[PlannedToot]:
    """The toots that a table asks for, each with its controls drawn and checked.

    Args:
        path: a CSV file, see above.
        generator: its kinds have the ranges that controls are checked against.
        seed: for the rows that have none: row i of the table gets its child i.
        file_format: one of `FORMATS`.

    Returns:
        At least one toot, in the table's order. There is a folder for each kind; a file is named
        after the ``name`` of its row, or else by its number.

    Raises:
        InputError: a table that cannot be read, an unknown column, no rows; or, in one message,
            all rows with a mistake and the numbers of their lines.

    Example:
        >>> import tootlearn
        >>> _ = Path("toots.csv").write_text("kind,pitch,count\\ntuba,A2,3\\n")
        >>> [toot.path for toot in read_spec("toots.csv", tootlearn.load())]
        ['tuba/000000.wav', 'tuba/000001.wav', 'tuba/000002.wav']
    """
    path = Path(path)
    if file_format not in FORMATS:
        raise InputError(f"a batch is written as {' or '.join(FORMATS)}, not {file_format!r}")
    columns, rows = read_table(path)
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown or len(set(columns)) < len(columns) or not rows:
        what = f"unknown columns: {', '.join(unknown)}" if unknown else "the same column twice"
        what = what if columns and rows else "no rows"
        raise InputError(
            f"{path} has {what}: its first line names some of {','.join(COLUMNS)}; each other "
            "asks for toots"
        )
    checked_seed(seed)
    toots: list[PlannedToot] = []
    wrong: list[str] = []
    paths: set[str] = set()
    for i, (line, row) in enumerate(rows):
        try:
            if len(row) != len(columns):
                raise InputError(f"it has {len(row)} fields, not {len(columns)}")
            values = {name: field.strip() for name, field in zip(columns, row, strict=True)}
            for toot in _planned_toots(
                values, rng.child(seed, i), len(toots), generator, file_format
            ):
                if toot.path.casefold() in paths:
                    raise InputError(
                        f"{toot.path} is the file of another row too: give another name"
                    )
                paths.add(toot.path.casefold())
                toots.append(toot)
                if len(toots) > MOST:
                    raise InputError(
                        f"{path} asks for more than {MOST} toots: make several tables of it"
                    )
        except InputError as error:
            wrong.append(f"line {line}: {error}")
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        lines = "1 line" if len(wrong) == 1 else f"{len(wrong)} lines"
        raise InputError(
            f"{path} has {lines} that cannot be followed: {'; '.join(wrong[:_SHOWN])}{more}"
        )
    return toots


def _planned_toots(
    values: Mapping[str, str],
    drawn_seed: int,
    number: int,
    generator: TootGenerator,
    file_format: str,
) -> Iterator[PlannedToot]:
    """The toots of one row."""
    pitch, name = values.get("pitch") or None, values.get("name", "")
    duration, brightness, loudness = (
        _number(values, key) for key in ("duration", "brightness", "loudness")
    )
    seed = checked_seed(_whole(values, "seed", drawn_seed))
    count = int(check_range("count", _whole(values, "count", 1), 1, MOST, ""))
    if name and not re.fullmatch(r"\w[\w .-]{0,99}(?<![ .])", name):
        raise InputError(
            f"{name!r} is no name of a file: use up to 100 letters, digits, blanks, dots, - and _"
        )
    for i in range(count):
        toot_seed = rng.child(seed, i) if values.get("count") else seed
        c = generator.controls(
            values.get("kind") or None, pitch, duration, brightness, loudness, toot_seed
        )
        kind = generator.kinds[int(c.kind[0])]
        stem = (
            f"{number + i:06d}" if not name else f"{name}_{i:03d}" if values.get("count") else name
        )
        hz, seconds, bright, loud = (
            float(column[0]) for column in (c.pitch, c.duration, c.brightness, c.loudness)
        )
        yield PlannedToot(
            f"{kind}/{stem}.{file_format}", kind, hz, seconds, bright, loud, toot_seed
        )


def _number(values: Mapping[str, str], name: str) -> float | None:
    text = values.get(name, "")
    try:
        return float(text) if text else None
    except ValueError:
        raise InputError(f"cannot read the {name} {text!r} as a number") from None


def _whole(values: Mapping[str, str], name: str, default: int) -> int:
    text = values.get(name, "")
    if text and not re.fullmatch(r"\d{1,20}", text):
        raise InputError(f"cannot read the {name} {text!r} as a whole number")
    return int(text or default)


def render_batch(
    toots: list[PlannedToot],
    folder: str | os.PathLike[str],
    source: Source,
    sample_rate: int,
    workers: int = 1,
    progress: bool = False,
) -> tuple[int, float]:
    """Make the toots that a folder lacks, then its manifest.csv, which `tootlearn train --data`
    reads.

    Args:
        toots: from `read_spec`.
        folder: created if missing. It must be new or empty, or hold a part of this same batch.
        source: what makes them.
        sample_rate: of the files, Hz, 8,000 to 192,000.
        workers: processes. On a CPU neither their number nor an interruption changes any file.
        progress: show a bar on stderr.

    Returns:
        How many toots this call made, and how many seconds of sound they are.

    Raises:
        InputError: a folder that holds something else, a rate or a number of workers that is not
            allowed, a failing disk, or a process that died. Finished files stay and are not made
            again.

    Example:
        >>> import tootlearn
        >>> _ = Path("one.csv").write_text("kind,duration\\ntrumpet,0.3\\n")
        >>> toots = read_spec("one.csv", tootlearn.load())
        >>> count, seconds = render(toots, "one", Source(), 22050)  # doctest: +SKIP
    """
    folder = Path(folder)
    check_range("sample rate", sample_rate, *toot_generator.SAMPLE_RATES, " Hz")
    if workers < 1:
        raise InputError(f"workers are 1 or more, not {workers}")
    _claim(folder, _record(toots, source, sample_rate))
    for kind in {toot.kind for toot in toots}:
        (folder / kind).mkdir(exist_ok=True)
        for part in (folder / kind).glob(".*.part"):  # left by a process that was killed
            part.unlink(missing_ok=True)
    existing = {
        f"{kind}/{name}"
        for kind in {toot.kind for toot in toots}
        for name in os.listdir(folder / kind)
    }
    missing = [toot for toot in toots if toot.path not in existing]
    samples = 0
    if missing:
        with tqdm(
            total=len(toots),
            initial=len(toots) - len(missing),
            desc="toots",
            unit="",
            disable=not progress or None,
        ) as bar:
            for count, added in _in_processes(missing, folder, source, sample_rate, workers):
                bar.update(count)
                samples += added
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["path", "label", "pitch", "duration", "brightness", "loudness", "seed"])
    writer.writerows(
        (t.path, t.kind, t.pitch, t.duration, t.brightness, t.loudness, t.seed) for t in toots
    )
    atomic_write(folder / "manifest.csv", table.getvalue().encode())
    return len(missing), samples / sample_rate


def _record(toots: list[PlannedToot], source: Source, sample_rate: int) -> dict[str, object]:
    """Everything that the bits of a batch depend on: a batch is only continued as it began."""
    name = source.model or model_file.SHIPPED[0]
    model = model_file.shipped(name) if name in model_file.SHIPPED else Path(name)
    speaker = model_file.shipped_vocoder() if source.vocoder is None else Path(source.vocoder)
    above = model_file.shipped_bandwidth() if source.bandwidth is None else Path(source.bandwidth)
    paths = model, speaker, above
    files = [
        hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for path in paths
    ]
    plan = hashlib.sha256()
    for toot in toots:
        plan.update(json.dumps(asdict(toot)).encode())
    return {
        "toots": len(toots),
        "plan": plan.hexdigest(),
        "model": files[0],
        "vocoder": files[1],
        "bandwidth": files[2],
        "device": source.device,
        "sample_rate": sample_rate,
        "versions": {"tootlearn": __version__, "torch": str(torch.__version__)},
    }


def _claim(folder: Path, record: dict[str, object]) -> None:
    """Mark the folder as this batch's, or check that it is."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: give a folder")
    folder.mkdir(parents=True, exist_ok=True)
    record_file = folder / _RECORD
    if record_file.is_file():
        try:
            recorded = json.loads(record_file.read_text("utf8"))
            other = [name for name in record if recorded[name] != record[name]]
        except (ValueError, KeyError, TypeError):
            other = ["record, which cannot be read"]
        if other:
            raise InputError(
                f"{folder} holds another batch (another {', '.join(other)}): give another folder"
            )
    elif any(not path.name.startswith(f".{_RECORD}") for path in folder.iterdir()):
        raise InputError(f"{folder} holds other files: give a folder that is new or empty")
    else:
        atomic_write(record_file, (json.dumps(record, indent=1) + "\n").encode())


def _in_processes(
    toots: list[PlannedToot], folder: Path, source: Source, sample_rate: int, workers: int
) -> Iterator[tuple[int, int]]:
    """The numbers of toots and samples of each part, as parts are finished."""
    parts = [toots[first : first + _AT_ONCE] for first in range(0, len(toots), _AT_ONCE)]
    pool = ProcessPoolExecutor(
        min(workers, len(parts)), get_context("spawn"), _prepare, (source, folder, sample_rate)
    )
    try:
        for done in as_completed([pool.submit(_make, part) for part in parts]):
            yield done.result()
    except BrokenProcessPool as error:
        raise InputError(
            "a process died, perhaps for lack of memory. Finished files stay: run the same command "
            "again to continue, perhaps with fewer workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(source: Source, folder: Path, sample_rate: int) -> None:
    """Initialise a process of the pool."""
    global _worker
    # only the parent handles Ctrl-C: it lets toots in progress finish
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _worker = source.load(), folder, sample_rate


def _end_with_parent() -> None:
    """End this process when its parent ends: a pool whose parent was killed would wait forever."""
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _make(toots: list[PlannedToot]) -> tuple[int, int]:
    generator, folder, rate = _worker
    samples = 0
    for t in toots:
        wave = generator.generate(
            t.kind, t.pitch, t.duration, t.brightness, t.loudness, t.seed, sample_rate=rate
        )
        save_audio(folder / t.path, wave, rate)
        samples += len(wave)
    return len(toots), samples
