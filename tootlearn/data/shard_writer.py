"""Writes recordings as shards; see `shards` for the format."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from tootlearn import rng
from tootlearn.controls import Kind, new_kind
from tootlearn.data import folder, public
from tootlearn.data.clips import RECORDED, Clips
from tootlearn.data.folder import Recording, Report
from tootlearn.data.recipes import KINDS
from tootlearn.data.shards import FORMATS, INDEX, NUMBERS, SCHEMA, Sample, controls_of
from tootlearn.data.synthesis import SAMPLE_RATE
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError, check_choice, check_positive
from tootlearn.files import atomic_write

_AT_ONCE = 32  # recordings in memory at a time


def write_shards(
    paths: Sequence[str | os.PathLike[str]],
    out: Path,
    megabytes: float = 32.0,
    seed: int = 0,
    problems: list[str] | None = None,
    progress: bool = False,
    form: str = "wav",
) -> Report:
    """Write the toots in recordings as shards.

    Recordings are written in random order, so that each shard is as varied as the whole set, and a
    few are in memory at a time. The folder appears when everything is written.

    Args:
        paths: folders of recordings, manifests, or public data sets (`folder`, `public`).
        out: the folder to write, which must not exist or must be empty.
        megabytes: size of a shard, in MB, after which the next one begins.
        seed: of the order.
        problems: receives a line for each thing that is left out.
        progress: show a bar on stderr.
        form: format of the sounds: one of `shards.FORMATS`.

    Raises:
        InputError: if there is nothing to write, the folder is not empty, or it cannot be written.
    """
    check_positive("the size of a shard in MB", megabytes)
    check_choice("the format of sounds", form, FORMATS)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists already: give a new folder")
    problems = [] if problems is None else problems
    recordings = [recording for path in paths for recording in _recordings(path, problems)]
    order = np.argsort(rng.words(seed, rng.Stream.SHARD_WRITING, len(recordings)), kind="stable")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".unfinished-") as unfinished:
        whole = Path(unfinished) / "shards"
        whole.mkdir()
        writer = _Writer(whole, megabytes)
        try:
            with writer.open:
                ordered = [recordings[i] for i in order]
                labels, files = _write(ordered, writer, problems, progress, form)
        except OSError as error:
            raise InputError(
                f"{out} could not be written ({error.strerror or error}): check the disk"
            ) from error
        index = _index(writer.counts, labels)
        atomic_write(whole / INDEX, (json.dumps(index, indent=1) + "\n").encode())
        os.replace(whole, out)
    return Report(files, sum(writer.counts.values()), tuple(problems))


def _recordings(path: str | os.PathLike[str], problems: list[str]) -> list[Recording]:
    if name := public.detect_data_set(path):
        return public.list_recordings(Path(path), name, public.CLASSES[name])
    return folder.find_recordings(path, problems)


class _Writer:
    """Writes samples to tar files in a folder, each of about ``megabytes`` MB."""

    def __init__(self, out: Path, megabytes: float) -> None:
        self.out, self.bytes = out, megabytes * 1e6
        self.counts: dict[str, int] = {}
        self.open = ExitStack()
        self.file: IO[bytes]

    def add(self, content: dict[str, bytes]) -> None:
        """Write a sample, given its contents by suffix."""
        from webdataset import TarWriter

        if not self.counts or self.file.tell() > self.bytes:
            self.open.close()
            self.name = f"toots-{len(self.counts):06d}.tar"
            self.file = self.open.enter_context((self.out / self.name).open("wb"))
            self.tar = self.open.enter_context(TarWriter(self.file, encoder=False, mtime=0))
            self.counts[self.name] = 0
        self.tar.write({"__key__": f"{sum(self.counts.values()):09d}", **content})
        self.counts[self.name] += 1


def _write(
    recordings: list[Recording], writer: _Writer, problems: list[str], progress: bool, form: str
) -> tuple[list[dict[str, Any]], int]:
    """Write the toots of recordings; return their labels, and how many files were read."""
    front_end, files, written = FrontEnd(), 0, list[dict[str, Any]]()
    with tqdm(
        total=len(recordings),
        desc="files",
        unit="",
        disable=None if progress else True,
        leave=False,
    ) as bar:
        for start in range(0, len(recordings), _AT_ONCE):
            part = recordings[start : start + _AT_ONCE]
            bar.update(len(part))
            before = len(problems)
            try:
                clips, report = folder.read_recordings(
                    part, front_end, list(KINDS.values()), problems, keep=True
                )
            except InputError as error:  # no toot in these; usually the problems tell why
                if len(problems) == before:
                    problems.append(str(error))
                continue
            files += report.files
            for wave, labels in _labelled(clips):
                written.append(labels)
                writer.add(
                    {
                        form: _encoded(wave, labels["peak"], form),
                        "json": json.dumps(labels).encode(),
                    }
                )
    if not written:
        first = f"; the first of {len(problems)} problems: {problems[0]}" if problems else ""
        raise InputError(f"there is no toot in any of {len(recordings)} recordings{first}")
    return written, files


def _index(counts: dict[str, int], labels: list[dict[str, Any]]) -> dict[str, Any]:
    """The content of the index, from the number of samples of each shard and all labels."""
    kinds = _kinds(labels)
    held_out = np.array_split(_held_out(labels, kinds), np.cumsum(list(counts.values()))[:-1])
    listed = [
        {"name": name, "samples": count, "held_out": np.flatnonzero(held).tolist()}
        for (name, count), held in zip(counts.items(), held_out, strict=True)
    ]
    return {
        "schema": SCHEMA,
        "sample_rate": SAMPLE_RATE,
        "shards": listed,
        "kinds": [k.as_json() for k in kinds],
    }


def _kinds(labels: list[dict[str, Any]]) -> list[Kind]:
    """The kinds of toots with these labels, by name."""
    measured: dict[str, list[list[float]]] = {}
    for row in labels:
        measured.setdefault(row["kind"], []).append([row[name] for name in NUMBERS[:3]])
    kinds = []
    for name, rows in sorted(measured.items()):
        pitch, duration, octaves = np.array(rows).T
        kinds.append(KINDS.get(name) or new_kind(name, pitch, duration, octaves, SAMPLE_RATE))
    return kinds


def _held_out(labels: list[dict[str, Any]], kinds: list[Kind]) -> NDArray[np.bool_]:
    """Whether each toot is held out when all of them are split."""
    toots = [
        Sample("", torch.empty(0), held_out=False, **{k: v for k, v in row.items() if k != "peak"})
        for row in labels
    ]
    source, recorded = tuple(toot.source for toot in toots), np.array(RECORDED, dtype=np.int8)
    return Clips(
        torch.empty(len(toots), 0, 0),
        controls_of(toots, kinds),
        tuple(kinds),
        source,
        origin=recorded,
    ).chosen()


def _labelled(clips: Clips) -> Iterator[tuple[Tensor, dict[str, Any]]]:
    for i, wave in enumerate(clips.waves):
        kind, c = clips.kinds[clips.controls.kind[i]], clips.controls
        assert wave is not None
        yield (
            wave,
            {
                "kind": kind.name,
                "pitch": float(c.pitch[i]),
                "duration": float(c.duration[i]),
                "octaves": float(
                    kind.octaves[0] + c.brightness[i] * (kind.octaves[1] - kind.octaves[0])
                ),
                "loudness": float(c.loudness[i]),
                "peak": float(wave.abs().max()),
                "source": clips.source[i],
            },
        )


def _encoded(wave: Tensor, peak: float, form: str) -> bytes:
    """A wave (N,) in 16 bits, with its peak at full scale and without the zeros behind it."""
    import soundfile

    buffer = io.BytesIO()
    samples = (wave * (32767 / peak)).round().to(torch.int16).numpy()
    samples = samples[: np.flatnonzero(samples)[-1] + 1]
    soundfile.write(buffer, samples, SAMPLE_RATE, format=form.upper(), subtype="PCM_16")
    return buffer.getvalue()
