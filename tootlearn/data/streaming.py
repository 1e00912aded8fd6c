"""A stream of toots from shards: in an order of its own in each epoch, one shard in memory at a time, resumable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tootlearn import rng
from tootlearn.audio import InputError
from tootlearn.data import shards
from tootlearn.data.shards import Toot

_SHARDS, _SAMPLES = 52, 53  # streams of random numbers


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
        InputError: see `shards.index`; or fewer shards than readers.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        seed: int = 0,
        share: tuple[int, int] = (0, 1),
        position: Position | None = None,
        problems: list[str] | None = None,
    ) -> None:
        self.index, self.seed, self.share = shards.index(path), seed, share
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
        stored = list(shards.samples(self.index.paths[shard], self.index.counts[shard]))
        for i in self._order(_SAMPLES, shard, len(stored))[skipped:]:
            name, sample = stored[i]
            self.position = Position(self.position.epoch, self.position.taken + 1)
            try:
                toot = shards.decoded(name, sample, self.index.kinds, self.index.sample_rate)
            except InputError as error:
                self.problems.append(f"left out: {error}")
                continue
            yield toot

    def _order(self, stream: int, which: int, count: int) -> NDArray[np.intp]:
        seed = rng.child(rng.child(self.seed, self.position.epoch), which)
        return np.argsort(rng.words(seed, stream, count), kind="stable")
