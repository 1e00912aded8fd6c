"""Shards: recorded toots, cut and labelled, in a few large files that are read sequentially.

A folder of shards holds `shards.json` and tar files in the format of WebDataset (Aizman et al.
2019). A sample is two files in a tar: `000000012.wav` (or `.flac`), the toot in the window of the
models without trailing silence, with its peak at full scale (16 bits), and `000000012.json`: its
kind, pitch (Hz), duration (s), octaves from the pitch to the spectral centroid, loudness (dBFS),
peak and source. The index holds the kinds with their scales, and for each shard the number of its
samples and the positions of those that are held out, as `Clips.split` chose them from the whole
set.

A folder of recordings must be cut, measured and labelled each time it is read; in shards that is
done, and one open file gives thousands of toots. `shard_stream` reads them during training, with a
few in memory at a time.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tarfile
import wave
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from tootlearn.controls import Controls, Kind
from tootlearn.data.clips import RECORDED, Clips
from tootlearn.data.folder import Report
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError

INDEX = "shards.json"
SCHEMA = 2
# of the sounds; flac takes two thirds of the space, and is read at a third of the speed
FORMATS = ("wav", "flac")
_AT_ONCE = 64  # toots
NUMBERS = ("pitch", "duration", "octaves", "loudness", "peak")


@dataclass(frozen=True)
class Sample:
    """One sample: its wave (N,) in the window of the models, and its labels."""

    name: str  # shard and key
    wave: Tensor
    kind: str
    pitch: float  # Hz
    duration: float  # s
    octaves: float  # from the pitch to the spectral centroid
    loudness: float  # dBFS
    source: str
    held_out: bool = False


@dataclass(frozen=True)
class Index:
    """The content of a folder of shards."""

    paths: tuple[Path, ...]
    counts: tuple[int, ...]
    # for each shard the positions, from 0, of the held-out samples
    held_out: tuple[frozenset[int], ...]
    kinds: tuple[Kind, ...]
    sample_rate: int
    digest: str  # of the index file, which identifies the folder


def is_shard_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder holds shards."""
    return (Path(path) / INDEX).is_file()


def read_index(path: str | os.PathLike[str], front_end: FrontEnd | None = None) -> Index:
    """The index of a folder of shards.

    Raises:
        InputError: if there is none, it is invalid, or a shard that it names is missing; or if the
            shards have another sample rate than the front end.
    """
    where = Path(path) / INDEX
    try:
        content = where.read_bytes()
        entries = json.loads(content)
        if entries["schema"] != SCHEMA:
            raise InputError(
                f"{where} has schema {entries['schema']}; this version of tootlearn knows "
                f"{SCHEMA}: write the shards again"
            )
        names = [str(shard["name"]) for shard in entries["shards"]]
        counts = tuple(int(shard["samples"]) for shard in entries["shards"])
        held_out = tuple(frozenset(map(int, shard["held_out"])) for shard in entries["shards"])
        if not all(held <= set(range(count)) for held, count in zip(held_out, counts, strict=True)):
            raise ValueError("it holds out samples that do not exist")
        kinds = tuple(Kind.from_json(kind) for kind in entries["kinds"])
        rate = int(entries["sample_rate"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{where} is not an index of shards ({error!r}): write them again"
        ) from error
    for name in names:
        if Path(name).name != name or not (where.parent / name).is_file():
            raise InputError(
                f"{where} names {name}, which is not in its folder: copy the folder again"
            )
    if front_end and front_end.config.sample_rate != rate:
        raise InputError(f"{path} is at {rate} Hz, the front end at {front_end.config.sample_rate}")
    digest = hashlib.sha256(content).hexdigest()
    return Index(
        tuple(where.parent / name for name in names), counts, held_out, kinds, rate, digest
    )


def samples(shard: Path, count: int) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The samples of a shard as they are stored, in order: their names, and their contents by
    suffix.

    Raises:
        InputError: if it is not a tar file, was cut off, or does not hold ``count`` samples.
    """
    from webdataset.tariterators import group_by_keys, tar_file_expander

    seen = 0
    try:
        with open(shard, "rb") as file:
            for sample in group_by_keys(tar_file_expander([{"url": str(shard), "stream": file}])):
                seen += 1
                yield f"{shard}: {sample['__key__']}", sample
    except (OSError, ValueError, tarfile.TarError) as error:
        raise InputError(
            f"{shard} cannot be read after {seen} samples ({_reason(error)}): copy it again"
        ) from error
    if seen != count:
        raise InputError(f"{shard} holds {seen} samples, and the index says {count}: copy it again")


def _reason(error: Exception) -> str:
    return str(error.args[0]) if error.args else repr(error)


def decode_sample(
    name: str, sample: dict[str, bytes], index: Index, held_out: bool = False
) -> Sample:
    """A sample of `samples`, decoded.

    Raises:
        InputError: if it has no sound or no labels, or these are invalid.
    """
    form = next((suffix for suffix in FORMATS if suffix in sample), None)
    missing = [what for what, there in (("wav", form), ("json", "json" in sample)) if not there]
    if form is None or missing:
        raise InputError(f"{name} has no {' and no '.join(missing)}")
    try:
        labels = json.loads(sample["json"])
        numbers = {label: float(labels[label]) for label in NUMBERS}
        kind, source = str(labels["kind"]), str(labels["source"])
        if (
            not all(map(math.isfinite, numbers.values()))
            or min(numbers[n] for n in ("pitch", "duration", "peak")) <= 0
        ):
            raise ValueError("a number is out of range")
        if kind not in {k.name for k in index.kinds}:
            raise ValueError(f"the index has no kind {kind}")
        values, rate, channels = _sound(sample[form], form)
        if (rate, channels) != (index.sample_rate, 1) or not 0 < len(values) <= WINDOW_SAMPLES:
            raise ValueError(f"{len(values)} samples at {rate} Hz, {channels} channel(s)")
    except (ValueError, KeyError, TypeError, RuntimeError, EOFError, wave.Error) as error:
        raise InputError(f"{name} cannot be understood ({error})") from error
    window = torch.zeros(WINDOW_SAMPLES)
    window[: len(values)] = torch.from_numpy(values * np.float32(numbers.pop("peak") / 32767))
    return Sample(name, window, kind, source=source, held_out=held_out, **numbers)


def _sound(content: bytes, form: str) -> tuple[NDArray[np.float32], int, int]:
    """Samples, from -32768 to 32767, their rate in Hz, and the number of channels."""
    # the standard library reads WAV five times as fast as libsndfile
    if form == "wav":
        with wave.open(io.BytesIO(content)) as file:
            values = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(
                np.float32
            )
            if file.getsampwidth() != 2 or len(values) != file.getnframes() * file.getnchannels():
                raise ValueError("its sound was cut off, or is not of 16 bits")
            return values, file.getframerate(), file.getnchannels()
    import soundfile

    with soundfile.SoundFile(io.BytesIO(content)) as file:
        return file.read(dtype="int16").astype(np.float32), file.samplerate, file.channels


def read_shards(
    path: str | os.PathLike[str],
    front_end: FrontEnd,
    known: Sequence[Kind] = (),
    progress: bool = False,
    keep: bool = False,
) -> tuple[Clips, Report]:
    """Clips of all toots in a folder of shards, marked by whether they are held out; arguments as
    of `folder.read_folder`.

    Invalid samples are left out and named in the report.

    Raises:
        InputError: see `read_index` and `samples`; also if nothing is left.
    """
    index = read_index(path, front_end)
    problems: list[str] = []

    def toots() -> Iterator[Sample]:
        for shard, count, held_out in zip(index.paths, index.counts, index.held_out, strict=True):
            for place, (name, sample) in enumerate(samples(shard, count)):
                bar.update()
                try:
                    yield decode_sample(name, sample, index, place in held_out)
                except InputError as error:
                    problems.append(f"left out: {error}")

    scales = {kind.name: kind for kind in [*index.kinds, *known]}  # known ones keep theirs
    kinds = [scales[name] for name in dict.fromkeys(kind.name for kind in [*known, *index.kinds])]
    with tqdm(
        total=sum(index.counts),
        desc="toots",
        unit="",
        disable=None if progress else True,
        leave=False,
    ) as bar:
        clips = clips_of(toots(), kinds, front_end, keep)
    if not len(clips):
        raise InputError(
            f"{path} holds no toot that can be read: "
            f"{problems[0] if problems else 'its shards are empty'}"
        )
    used = np.unique(clips.controls.kind)
    of_used = replace(clips.controls, kind=np.searchsorted(used, clips.controls.kind))
    clips = replace(clips, controls=of_used, kinds=tuple(kinds[k] for k in used))
    return clips, Report(len(index.paths), len(clips), tuple(problems))


def clips_of(
    toots: Iterable[Sample], kinds: Sequence[Kind], front_end: FrontEnd, keep: bool = False
) -> Clips:
    """Clips of toots, on the scales of these kinds. Only a few waves are in memory at a time,
    unless they are kept.

    The log-mels are computed on the front end's device, and stay there.
    """
    device, queue = front_end.stft.window.device, iter(toots)
    frames = front_end.frames(WINDOW_SAMPLES)
    log_mel = [torch.empty(0, front_end.config.mels, frames, dtype=torch.half, device=device)]
    waves = list[Tensor]()
    labels = list[Sample]()
    while batch := list(islice(queue, _AT_ONCE)):
        stack = torch.stack([toot.wave for toot in batch])
        log_mel.append(front_end(stack.to(device)).half())
        waves += list(stack) if keep else []
        labels += [replace(toot, wave=toot.wave[:0].clone()) for toot in batch]
    return Clips(
        torch.cat(log_mel),
        controls_of(labels, kinds),
        tuple(kinds),
        tuple(toot.source for toot in labels),
        origin=np.array(RECORDED, dtype=np.int8),
        waves=tuple(waves),
        held_out=np.array([toot.held_out for toot in labels], dtype=bool),
    )


def controls_of(toots: Sequence[Sample], kinds: Sequence[Kind]) -> Controls:
    """The controls of B toots, on the scales of these kinds."""
    place = {kind.name: i for i, kind in enumerate(kinds)}
    kind = np.array([place[toot.kind] for toot in toots], dtype=np.int64)
    low, high = np.array([kinds[k].octaves for k in kind], dtype=np.float64).reshape(-1, 2).T
    rows = [(toot.pitch, toot.duration, toot.octaves, toot.loudness) for toot in toots]
    pitch, duration, octaves, loudness = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    return Controls(kind, pitch, duration, (octaves - low) / (high - low), loudness)
