"""Shards that are read during training, with a few toots in memory at a time, however many there
are.

The toots have an endless order, epoch after epoch, and each epoch contains every training toot
once. The order depends only on the seed and the index. So the toots of a training step do not
depend on earlier steps or on the number of processes, and an interrupted run can be continued from
the number of its step alone.

The shards of an epoch are shuffled and distributed to `LANES`. The order takes a toot from each
lane in turn, as long as it has any, and the toots of a shard are shuffled too. So a batch has toots
from as many shards as there are lanes, and a reader holds one (encoded) shard for each lane that it
reads.
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

LANES = 8  # also how many processes can share a batch without reading the same shard
POOL, HELD_OUT = 4096, 1024  # the most training and held-out toots in a pool


class ShardStream:
    """The training toots in a folder of shards, by their places in an endless order.

    Args:
        path: the folder.
        seed: of the order.
        problems: receives a line, once, for each invalid sample; its place stays empty.

    Raises:
        InputError: see `shards.read_index`; also if there are no training toots.
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
        """Places sorted by lane, so that a part of a batch needs few lanes."""
        return sorted(places, key=self._find)

    def toot(self, place: int) -> Sample | None:
        """The toot at a place, 0 or more; None if its sample is invalid.

        Places of the same lane are best read in ascending order, because only its current shard is
        held.

        Raises:
            InputError: if a shard cannot be read, see `shards.samples`.
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
        """The epoch and the lane of a place, and the index of the toot in the lane."""
        number, place = divmod(place, self.count)
        if self._epoch.number != number:
            self._epoch = _Epoch(number, self.seed, self.counts)
        return number, *self._epoch.lane(place)

    def _sample(self, lane: int, shard: int, which: int) -> tuple[str, dict[str, bytes]]:
        """A training sample of a shard, by its position in the order of this epoch."""
        current = self._epoch.number, shard
        if lane not in self._held or self._held[lane][0] != current:
            self._held.pop(lane, None)  # frees the memory before the next shard is read
            stored = enumerate(shards.samples(self.index.paths[shard], self.index.counts[shard]))
            training = [sample for i, sample in stored if i not in self.index.held_out[shard]]
            order = _shuffled(
                rng.child(self._epoch.seed, shard), rng.Stream.SHARD_SAMPLES, len(training)
            )
            self._held[lane] = current, [training[i] for i in order]
        return self._held[lane][1][which]

    def held_out(self) -> Iterator[Sample]:
        """The held-out toots, in the order in which they are stored; invalid samples go to the
        problems.
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
    """The order of the toots of an epoch: its shards, which have these counts, are distributed to
    lanes, and the lanes take turns.
    """

    def __init__(self, number: int, seed: int, counts: Sequence[int]) -> None:
        self.number, self.seed = number, rng.child(seed, number)
        order, lanes = (
            _shuffled(self.seed, rng.Stream.SHARDS, len(counts)).tolist(),
            min(LANES, len(counts)),
        )
        self.shards: list[list[int]] = [order[lane::lanes] for lane in range(lanes)]
        # where each shard ends in its lane
        self.ends = [list(accumulate(counts[shard] for shard in lane)) for lane in self.shards]
        # shortest first
        self.lanes = sorted(range(lanes), key=lambda lane: self.ends[lane][-1])
        lengths = [0, *(self.ends[lane][-1] for lane in self.lanes)]
        # The turns between the ends of two lanes are a stage, in which the number of lanes is
        # constant.
        self.begun, turns = lengths[:-1], [after - before for before, after in pairwise(lengths)]
        # where each stage ends
        self.stages = list(accumulate(count * (lanes - stage) for stage, count in enumerate(turns)))

    def lane(self, place: int) -> tuple[int, int]:
        """The lane of a place, and the index of the toot in the lane."""
        stage = bisect_right(self.stages, place)
        turn, which = divmod(
            place - (self.stages[stage - 1] if stage else 0), len(self.lanes) - stage
        )
        return self.lanes[stage + which], self.begun[stage] + turn

    def shard(self, lane: int, turn: int) -> tuple[int, int]:
        """The shard of a toot of a lane, and the index of the toot in the shard."""
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
    """Clips of the first toots of a stream, `POOL` at most, and of at most `HELD_OUT` held-out
    ones, marked as such.

    Where the whole set does not fit into memory, the statistics of a model are computed from them,
    and the model is evaluated on them.

    Args:
        path, seed, problems: see `ShardStream`.
        front_end: makes the log-mels.
        progress: show a bar on stderr.
        keep: keep the waves of the training toots (180 kB each), as augmentation needs them.

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

        def counted(toots: Iterator[Sample | None]) -> Iterator[Sample]:
            for toot in toots:
                bar.update()
                if toot:
                    yield toot

        training = shards.clips_of(
            counted(stream.toot(place) for place in places), kinds, front_end, keep
        )
        held_out = shards.clips_of(counted(islice(stream.held_out(), HELD_OUT)), kinds, front_end)
    return Clips.concatenate([training, held_out])
