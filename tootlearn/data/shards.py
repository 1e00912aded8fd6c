"""Shards: recorded toots, cut and labelled, in a few large files that are read from front to end.

A folder of shards holds `shards.json` and tar files as WebDataset has them (Aizman et al. 2019). A sample is two files
in a tar: `000000012.flac`, the toot in the window of the models, with its peak at full scale (16 bits), and
`000000012.json`: its kind, pitch (Hz), duration (s), octaves from the pitch to the spectral centroid, loudness (dBFS),
peak and source. The index names the kinds with their scales, and the shards with how many samples each holds.

To read a folder of recordings is to cut, measure and label each anew; a shard has all that behind it, and one open file
gives thousands of toots.
"""

from __future__ import annotations

import io
import json
import math
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from tootlearn import rng
from tootlearn.audio import InputError
from tootlearn.controls import Controls, Kind
from tootlearn.data.clips import RECORDED, Clips
from tootlearn.data.folder import Report
from tootlearn.front_end import WINDOW_SAMPLES, FrontEnd

INDEX = "shards.json"
SCHEMA = 1
_AT_ONCE = 64  # toots
_SHARDS, _SAMPLES = 52, 53  # streams of random numbers
NUMBERS = ("pitch", "duration", "octaves", "loudness", "peak")


@dataclass(frozen=True)
class Toot:
    """One sample: its wave (N,) in the window of the models, and its labels."""

    name: str  # shard and key
    wave: Tensor
    kind: str
    pitch: float  # Hz
    duration: float  # s
    octaves: float  # from the pitch to the spectral centroid
    loudness: float  # dBFS
    source: str


@dataclass(frozen=True)
class Index:
    """What is in a folder of shards: their paths and how many samples each holds, and the kinds."""

    paths: tuple[Path, ...]
    counts: tuple[int, ...]
    kinds: tuple[Kind, ...]
    sample_rate: int


def detect(path: str | os.PathLike[str]) -> bool:
    """Whether a folder holds shards."""
    return (Path(path) / INDEX).is_file()


def index(path: str | os.PathLike[str]) -> Index:
    """The index of a folder of shards.

    Raises:
        InputError: there is none, it cannot be understood, or a shard that it names is missing.
    """
    where = Path(path) / INDEX
    try:
        told = json.loads(where.read_text("utf8"))
        if told["schema"] != SCHEMA:
            raise InputError(
                f"{where} is of schema {told['schema']}, and {SCHEMA} is known here: write the shards again"
            )
        names = [str(shard["name"]) for shard in told["shards"]]
        counts = tuple(int(shard["samples"]) for shard in told["shards"])
        kinds, rate = tuple(Kind.from_json(kind) for kind in told["kinds"]), int(told["sample_rate"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where} is no index of shards ({error!r}): write them again") from error
    for name in names:
        if Path(name).name != name or not (where.parent / name).is_file():
            raise InputError(f"{where} names {name}, which is not beside it: copy the folder again")
    return Index(tuple(where.parent / name for name in names), counts, kinds, rate)


def samples(shard: Path, count: int) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The samples of a shard as they are stored, in their order: names, and contents by suffix.

    Raises:
        InputError: no tar file, one that was cut off, or one that does not hold ``count`` samples.
    """
    from webdataset.tariterators import group_by_keys, tar_file_expander

    seen = 0
    try:
        with open(shard, "rb") as file:
            for sample in group_by_keys(tar_file_expander([{"url": str(shard), "stream": file}])):
                seen += 1
                yield f"{shard}: {sample['__key__']}", sample
    except (OSError, ValueError, tarfile.TarError) as error:
        raise InputError(f"{shard} cannot be read after {seen} samples ({_reason(error)}): copy it again") from error
    if seen != count:
        raise InputError(f"{shard} holds {seen} samples, and the index says {count}: copy it again")


def _reason(error: Exception) -> str:
    return str(error.args[0]) if error.args else repr(error)


def decoded(name: str, sample: dict[str, bytes], kinds: Sequence[Kind], sample_rate: int) -> Toot:
    """A sample as `samples` gives it, decoded.

    Raises:
        InputError: it has no sound or no labels, or they cannot be understood.
    """
    import soundfile

    missing = [suffix for suffix in ("flac", "json") if suffix not in sample]
    if missing:
        raise InputError(f"{name} has no {' and no '.join(missing)}")
    try:
        labels = json.loads(sample["json"])
        numbers = {label: float(labels[label]) for label in NUMBERS}
        kind, source = str(labels["kind"]), str(labels["source"])
        if not all(map(math.isfinite, numbers.values())) or min(numbers[n] for n in ("pitch", "duration", "peak")) <= 0:
            raise ValueError("a number is out of range")
        if kind not in {k.name for k in kinds}:
            raise ValueError(f"the index has no kind {kind}")
        with soundfile.SoundFile(io.BytesIO(sample["flac"])) as file:
            if (file.samplerate, file.channels, file.frames) != (sample_rate, 1, WINDOW_SAMPLES):
                raise ValueError(f"{file.frames} samples at {file.samplerate} Hz, {file.channels} channel(s)")
            wave = torch.from_numpy(file.read(dtype="float32")) * (numbers.pop("peak") * 32768 / 32767)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{name} cannot be understood ({error})") from error
    return Toot(name, wave, kind, source=source, **numbers)


def read(
    path: str | os.PathLike[str],
    front_end: FrontEnd,
    known: Sequence[Kind] = (),
    progress: bool = False,
    keep: bool = False,
) -> tuple[Clips, Report]:
    """Clips of all toots in a folder of shards; arguments as of `folder.read`.

    Samples that cannot be understood are named in the report and left out.

    Raises:
        InputError: see `index` and `samples`; another sample rate than the front end's; or nothing left.
    """
    found = index(path)
    if front_end.config.sample_rate != found.sample_rate:
        raise InputError(f"{path} is at {found.sample_rate} Hz, the front end at {front_end.config.sample_rate}")
    problems: list[str] = []
    log_mel, waves, labels = list[Tensor](), list[Tensor](), list[Toot]()
    queue: list[Toot] = []

    def flush() -> None:
        if queue:
            stack = torch.stack([toot.wave for toot in queue])
            log_mel.append(front_end(stack).half())
            waves.extend(stack if keep else ())
            labels.extend(Toot(t.name, t.wave[:0], *_told(t)) for t in queue)
            queue.clear()

    with tqdm(total=sum(found.counts), desc="toots", unit="", disable=None if progress else True, leave=False) as bar:
        for shard, count in zip(found.paths, found.counts, strict=True):
            for name, sample in samples(shard, count):
                bar.update()
                try:
                    queue.append(decoded(name, sample, found.kinds, found.sample_rate))
                except InputError as error:
                    problems.append(f"left out: {error}")
                if len(queue) == _AT_ONCE:
                    flush()
    flush()
    if not labels:
        raise InputError(
            f"{path} holds no toot that can be read: {problems[0] if problems else 'its shards are empty'}"
        )
    scales = {kind.name: kind for kind in [*found.kinds, *known]}  # known ones keep theirs
    order = list(dict.fromkeys(kind.name for kind in [*known, *found.kinds]))
    used = tuple(scales[name] for name in order if name in {toot.kind for toot in labels})
    clips = Clips(
        torch.cat(log_mel),
        controls(labels, used),
        used,
        tuple(toot.source for toot in labels),
        origin=np.array(RECORDED, dtype=np.int8),
        waves=tuple(waves),
    )
    return clips, Report(len(found.paths), len(clips), tuple(problems))


def _told(toot: Toot) -> tuple[str, float, float, float, float, str]:
    return toot.kind, toot.pitch, toot.duration, toot.octaves, toot.loudness, toot.source


def controls(toots: Sequence[Toot], kinds: Sequence[Kind]) -> Controls:
    """The controls of B toots, on the scales of these kinds."""
    place = {kind.name: i for i, kind in enumerate(kinds)}
    kind = np.array([place[toot.kind] for toot in toots], dtype=np.int64)
    low, high = np.array([kinds[k].octaves for k in kind]).T
    pitch, duration, octaves, loudness = np.array([_told(toot)[1:5] for toot in toots], dtype=np.float64).T
    return Controls(kind, pitch, duration, (octaves - low) / (high - low), loudness)


@dataclass(frozen=True)
class Position:
    """Where a stream stands: so many samples of its share have been taken in this epoch. A checkpoint can hold it."""

    epoch: int = 0
    taken: int = 0


class Stream:
    """All toots in a folder of shards, epoch after epoch.

    The order is a function of seed and epoch: the shards are shuffled, and so are the samples of each, among which
    `sharding.write` has spread the recordings. Of several processes, or workers of a loader, each gets whole shards.

    Args:
        path: the folder.
        seed: of the order.
        share: (i, n): this is the i-th of n readers, which share out the shards of each epoch.
        position: where to go on.
        problems: where a line goes for a sample that cannot be understood; it counts as taken.

    Raises:
        InputError: see `index`; or fewer shards than readers.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        seed: int = 0,
        share: tuple[int, int] = (0, 1),
        position: Position | None = None,
        problems: list[str] | None = None,
    ) -> None:
        self.index, self.seed, self.share = index(path), seed, share
        self.position = position or Position()
        self.problems = [] if problems is None else problems
        if share[1] > len(self.index.paths):
            raise InputError(f"{path} has {len(self.index.paths)} shards for {share[1]} readers: write smaller ones")
        if not sum(self.index.counts):
            raise InputError(f"{path} holds no toots")

    def __iter__(self) -> Iterator[Toot]:
        """Toots without end, from the position on; the position moves with them."""
        while True:
            yield from self.epoch()

    def epoch(self) -> Iterator[Toot]:
        """The toots that are left of this epoch's share; then the position is the start of the next."""
        epoch, before = self.position.epoch, 0
        first, step = self.share
        for shard in self._order(_SHARDS, 0, len(self.index.paths))[first::step]:
            count = self.index.counts[shard]
            skipped = min(max(self.position.taken - before, 0), count)
            before += count
            if skipped < count:
                yield from self._shard(int(shard), skipped)
        self.position = Position(epoch + 1)

    def _shard(self, shard: int, skipped: int) -> Iterator[Toot]:
        stored = list(samples(self.index.paths[shard], self.index.counts[shard]))
        for i in self._order(_SAMPLES, shard, len(stored))[skipped:]:
            name, sample = stored[i]
            self.position = Position(self.position.epoch, self.position.taken + 1)
            try:
                toot = decoded(name, sample, self.index.kinds, self.index.sample_rate)
            except InputError as error:
                self.problems.append(f"left out: {error}")
                continue
            yield toot

    def _order(self, stream: int, which: int, count: int) -> NDArray[np.intp]:
        seed = rng.child(rng.child(self.seed, self.position.epoch), which)
        return np.argsort(rng.words(seed, stream, count), kind="stable")
