"""Shards that are read while a model learns from them: a few toots in memory at a time, however many there are.

The toots have an order without end, epoch after epoch, in which each epoch has every toot that is not held out once. It
is a function of seed and index alone. So a step of training knows which toots are its own, whatever the steps before it
did and however many processes share it, and a run that was interrupted needs no more than the number of its steps.

The shards of an epoch are shuffled, laid end to end, and cut into `LANES` of equal length; the order takes a toot of
each lane in turn, and the toots of a shard are shuffled too. So a batch has toots of as many shards as there are lanes,
and a reader holds one shard of each lane that it reads, as it is stored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tootlearn import rng
from tootlearn.audio import InputError
from tootlearn.data import shards
from tootlearn.data.clips import Clips
from tootlearn.data.shards import Toot
from tootlearn.front_end import FrontEnd

LANES = 8  # and so many processes can share a batch, none of which reads what another has read
POOL, HELD_OUT = 4096, 1024  # toots that a pool has at most, to learn from and held out
_SHARDS, _SAMPLES = 52, 53  # streams of random numbers


class Stream:
    """The toots to learn from in a folder of shards, by their places in an order without end.

    Args:
        path: the folder.
        seed: of the order.
        problems: where a line goes, once, for a sample that cannot be understood; its place stays empty.

    Raises:
        InputError: see `shards.index`; or nothing to learn from.
    """

    def __init__(self, path: str | os.PathLike[str], seed: int = 0, problems: list[str] | None = None) -> None:
        self.index, self.seed = shards.index(path), seed
        self.problems = [] if problems is None else problems
        pairs = zip(self.index.counts, self.index.held_out, strict=True)
        self.counts = np.array([count - len(held_out) for count, held_out in pairs], dtype=np.int64)
        self.count = int(self.counts.sum())  # toots of an epoch
        if not self.count:
            raise InputError(f"{path} holds no toots to learn from: write shards of more recordings")
        lanes = min(LANES, len(self.counts))
        lengths = (self.count - np.arange(lanes) + lanes - 1) // lanes
        self.starts = np.cumsum(lengths) - lengths  # of the lanes, in an epoch's shards laid end to end
        self._held: dict[int, tuple[tuple[int, int], list[tuple[str, dict[str, bytes]]]]] = {}
        self._laid: tuple[int, NDArray[np.intp], NDArray[np.int64]] | None = None

    def arranged(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places (B,) as a batch has them, lane by lane, so that a part of it needs few lanes."""
        epoch, place = np.divmod(places, self.count)
        return places[np.lexsort((place, place % len(self.starts), epoch))]

    def toot(self, place: int) -> Toot | None:
        """The toot of a place, 0 or more; None if its sample cannot be understood.

        Places of one lane are best asked for in ascending order: its shard is held until another is needed.

        Raises:
            InputError: a shard that cannot be read, see `shards.samples`.
        """
        epoch, place = divmod(place, self.count)
        turn, lane = divmod(place, len(self.starts))
        at = self.starts[lane] + turn
        order, ends = self._shards(epoch)
        number = int(np.searchsorted(ends, at, side="right"))
        shard = int(order[number])
        name, sample = self._samples(lane, epoch, shard)[at - ends[number] + self.counts[shard]]
        try:
            return shards.decoded(name, sample, self.index)
        except InputError as error:
            if (problem := f"left out: {error}") not in self.problems:
                self.problems.append(problem)
            return None

    def _shards(self, epoch: int) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """The order of the shards in an epoch, and where each of them ends."""
        if self._laid is None or self._laid[0] != epoch:
            order = _shuffled(rng.child(self.seed, epoch), _SHARDS, len(self.counts))
            self._laid = epoch, order, np.cumsum(self.counts[order])
        return self._laid[1:]

    def _samples(self, lane: int, epoch: int, shard: int) -> list[tuple[str, dict[str, bytes]]]:
        """The samples of a shard that are learned from, in their order in this epoch."""
        held = self._held.get(lane)
        if held is None or held[0] != (epoch, shard):
            held = None
            self._held.pop(lane, None)  # before the next is read
            stored = enumerate(shards.samples(self.index.paths[shard], self.index.counts[shard]))
            learned = [sample for i, sample in stored if i not in self.index.held_out[shard]]
            order = _shuffled(rng.child(rng.child(self.seed, epoch), shard), _SAMPLES, len(learned))
            held = self._held[lane] = (epoch, shard), [learned[i] for i in order]
        return held[1]

    def held_out(self) -> Iterator[Toot]:
        """The toots that are held out, in the order in which they are stored; what cannot be understood is told."""
        for path, count, places in zip(self.index.paths, self.index.counts, self.index.held_out, strict=True):
            for i, (name, sample) in enumerate(shards.samples(path, count) if places else ()):
                if i not in places:
                    continue
                try:
                    yield shards.decoded(name, sample, self.index, held_out=True)
                except InputError as error:
                    self.problems.append(f"left out: {error}")


def _shuffled(seed: int, stream: int, count: int) -> NDArray[np.intp]:
    return np.argsort(rng.words(seed, stream, count), kind="stable")


def pool(
    path: str | os.PathLike[str],
    front_end: FrontEnd,
    seed: int = 0,
    problems: list[str] | None = None,
    progress: bool = False,
    keep: bool = False,
) -> Clips:
    """Clips of the first toots of a stream, `POOL` at most, and of `HELD_OUT` held-out ones at most, marked as such.

    They are what a model's statistics come from, and what it is measured on, where not all fits into memory.

    Args:
        path, seed, problems: see `Stream`.
        front_end: makes the log-mels.
        progress: show a bar on stderr.
        keep: keep the waves of those to learn from (180 kB each), as augmentation needs them.

    Raises:
        InputError: see `shards.index` and `shards.samples`.
    """
    stream = Stream(path, seed, problems)
    kinds = shards.index(path, front_end).kinds
    places = stream.arranged(np.arange(min(POOL, stream.count)))
    total = len(places) + min(HELD_OUT, sum(map(len, stream.index.held_out)))
    with tqdm(total=total, desc="toots", unit="", disable=None if progress else True, leave=False) as bar:

        def shown(toots: Iterator[Toot | None]) -> Iterator[Toot]:
            for toot in toots:
                bar.update()
                if toot:
                    yield toot

        learned = shards.clips_of(shown(stream.toot(int(place)) for place in places), kinds, front_end, keep)
        held_out = shards.clips_of(shown(islice(stream.held_out(), HELD_OUT)), kinds, front_end)
    return Clips.concatenate([learned, held_out])
