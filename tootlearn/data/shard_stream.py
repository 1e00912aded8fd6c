"""Shards that are read while a model learns from them: a few toots in memory at a time, however
many there are.

The toots have an order without end, epoch after epoch, in which each epoch has every toot that is
not held out once. It is a function of seed and index alone. So a step of training knows which toots
are its own, whatever the steps before it did and however many processes share it, and a run that
was interrupted needs no more than the number of its steps.

The shards of an epoch are shuffled and dealt out to `LANES`, whole; the order takes a toot of each
lane in turn, as long as it has any, and the toots of a shard are shuffled too. So a batch has toots
of as many shards as there are lanes, and a reader holds one shard of each lane that it reads, as it
is stored.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice, pairwise

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tootlearn import rng
from tootlearn.data import shards
from tootlearn.data.clips import Clips
from tootlearn.data.shards import Sample
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError

LANES = 8  # and so many processes can share a batch, none of which reads what another has read
POOL, HELD_OUT = 4096, 1024  # toots that a pool has at most, to learn from and held out


class ShardStream:
    """The toots to learn from in a folder of shards, by their places in an order without end.

    Args:
        path: the folder.
        seed: of the order.
        problems: where a line goes, once, for a sample that cannot be understood; its place stays
            empty.

    Raises:
        InputError: see `shards.read_index`; or nothing to learn from.
    """

    def __init__(
        self, path: str | os.PathLike[str], seed: int = 0, problems: list[str] | None = None
    ) -> None:
        self.index, self.seed = shards.read_index(path), seed
        self.problems = [] if problems is None else problems
        pairs = zip(self.index.counts, self.index.held_out, strict=True)
        self.counts = [count - len(held_out) for count, held_out in pairs]
        self.count = sum(self.counts)  # toots of an epoch
        if not self.count:
            raise InputError(
                f"{path} holds no toots to learn from: write shards of more recordings"
            )
        self._held: dict[int, tuple[tuple[int, int], list[tuple[str, dict[str, bytes]]]]] = {}
        self._epoch = _Epoch(0, seed, self.counts)

    def arranged(self, places: Iterable[int]) -> list[int]:
        """Places as a batch has them, lane by lane, so that a part of it needs few lanes."""
        return sorted(places, key=self._find)

    def toot(self, place: int) -> Sample | None:
        """The toot of a place, 0 or more; None if its sample cannot be understood.

        Places of one lane are best asked for in ascending order: its shard is held until another is
        needed.

        Raises:
            InputError: a shard that cannot be read, see `shards.samples`.
        """
        _, lane, turn = self._find(place)
        name, sample = self._sample(lane, *self._epoch.shard(lane, turn))
        try:
            return shards.decode_sample(name, sample, self.index)
        except InputError as error:
            if (problem := f"left out: {error}") not in self.problems:
                self.problems.append(problem)
            return None

    def _find(self, place: int) -> tuple[int, int, int]:
        """Epoch, lane, and which toot of that lane."""
        number, place = divmod(place, self.count)
        if self._epoch.number != number:
            self._epoch = _Epoch(number, self.seed, self.counts)
        return number, *self._epoch.lane(place)

    def _sample(self, lane: int, shard: int, which: int) -> tuple[str, dict[str, bytes]]:
        """One of the samples of a shard that are learned from, in their order in this epoch."""
        this = self._epoch.number, shard
        if lane not in self._held or self._held[lane][0] != this:
            self._held.pop(lane, None)  # before the next is read
            stored = enumerate(shards.samples(self.index.paths[shard], self.index.counts[shard]))
            learned = [sample for i, sample in stored if i not in self.index.held_out[shard]]
            order = _shuffled(
                rng.child(self._epoch.seed, shard), rng.Stream.SHARD_SAMPLES, len(learned)
            )
            self._held[lane] = this, [learned[i] for i in order]
        return self._held[lane][1][which]

    def held_out(self) -> Iterator[Sample]:
        """The toots that are held out, in the order in which they are stored; what cannot be
        understood is told.
        """
        for path, count, places in zip(
            self.index.paths, self.index.counts, self.index.held_out, strict=True
        ):
            for i, (name, sample) in enumerate(shards.samples(path, count) if places else ()):
                if i not in places:
                    continue
                try:
                    yield shards.decode_sample(name, sample, self.index, held_out=True)
                except InputError as error:
                    self.problems.append(f"left out: {error}")


class _Epoch:
    """How the toots of an epoch are laid out: its shards, of these counts, in lanes, and the lanes
    in turns.
    """

    def __init__(self, number: int, seed: int, counts: Sequence[int]) -> None:
        self.number, self.seed = number, rng.child(seed, number)
        order, lanes = (
            _shuffled(self.seed, rng.Stream.SHARDS, len(counts)).tolist(),
            min(LANES, len(counts)),
        )
        self.shards: list[list[int]] = [order[lane::lanes] for lane in range(lanes)]
        # in the lane
        self.ends = [list(accumulate(counts[shard] for shard in lane)) for lane in self.shards]
        # the first to be empty first
        self.lanes = sorted(range(lanes), key=lambda lane: self.ends[lane][-1])
        lengths = [0, *(self.ends[lane][-1] for lane in self.lanes)]
        # The turns between the ends of two lanes make a stage, of so many turns with so many lanes.
        self.begun, turns = lengths[:-1], [after - before for before, after in pairwise(lengths)]
        # where they end
        self.stages = list(accumulate(count * (lanes - stage) for stage, count in enumerate(turns)))

    def lane(self, place: int) -> tuple[int, int]:
        """The lane of a place, and which of the lane's toots is there."""
        stage = bisect_right(self.stages, place)
        turn, which = divmod(
            place - (self.stages[stage - 1] if stage else 0), len(self.lanes) - stage
        )
        return self.lanes[stage + which], self.begun[stage] + turn

    def shard(self, lane: int, turn: int) -> tuple[int, int]:
        """The shard of a lane's toot, and which of the shard's toots it is."""
        place = bisect_right(self.ends[lane], turn)
        return self.shards[lane][place], turn - (self.ends[lane][place - 1] if place else 0)


def _shuffled(seed: int, stream: rng.Stream, count: int) -> NDArray[np.intp]:
    return np.argsort(rng.words(seed, stream, count), kind="stable")


def pool(
    path: str | os.PathLike[str],
    front_end: FrontEnd,
    seed: int = 0,
    problems: list[str] | None = None,
    progress: bool = False,
    keep: bool = False,
) -> Clips:
    """Clips of the first toots of a stream, `POOL` at most, and of `HELD_OUT` held-out ones at
    most, marked as such.

    They are what a model's statistics come from, and what it is measured on, where not all fits
    into memory.

    Args:
        path, seed, problems: see `ShardStream`.
        front_end: makes the log-mels.
        progress: show a bar on stderr.
        keep: keep the waves of those to learn from (180 kB each), as augmentation needs them.

    Raises:
        InputError: see `shards.read_index` and `shards.samples`.
    """
    stream = ShardStream(path, seed, problems)
    kinds = shards.read_index(path, front_end).kinds
    places = stream.arranged(range(min(POOL, stream.count)))
    total = len(places) + min(HELD_OUT, sum(map(len, stream.index.held_out)))
    with tqdm(
        total=total, desc="toots", unit="", disable=None if progress else True, leave=False
    ) as bar:

        def shown(toots: Iterator[Sample | None]) -> Iterator[Sample]:
            for toot in toots:
                bar.update()
                if toot:
                    yield toot

        learned = shards.clips_of(
            shown(stream.toot(place) for place in places), kinds, front_end, keep
        )
        held_out = shards.clips_of(shown(islice(stream.held_out(), HELD_OUT)), kinds, front_end)
    return Clips.concatenate([learned, held_out])
