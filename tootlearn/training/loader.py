"""The loader: what each step of training learns from, out of memory, augmented, or read from shards
on the way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from tqdm import tqdm

from tootlearn.data import shards
from tootlearn.data.augmenter import Augmenter
from tootlearn.data.clips import Clips
from tootlearn.data.shard_stream import ShardStream
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError
from tootlearn.training.batches import Batch, batch_rows, clip_weights
from tootlearn.training.config import TrainConfig

Loader = Callable[[int], Batch]  # gets the number of a step, the first of which is 0


def make_loader(
    config: TrainConfig, learn: Clips, ranges: list[tuple[int, int]], device: torch.device
) -> Loader:
    """What gives the batch of each step, a function of config, clips and step alone.

    Args:
        config: of the run.
        learn: the clips to learn from; if they are streamed, the pool of them, see
            `shard_stream.pool`.
        ranges: which clips of a batch this process computes, as `batches.shares` gives them: others
            are not read.
        device: where the batch goes.

    Raises:
        InputError: augmentation without recordings, or a folder that the clips are not from.
    """
    augmenter = Augmenter.of(learn, config.augmentation, config.front_end, config.seed, device)
    if config.stream:
        return ShardLoader(config, learn, augmenter, ranges, device)
    if augmenter:

        def augmented(step: int) -> Batch:
            places = np.arange(step * config.batch, (step + 1) * config.batch)
            rows = batch_rows(config.seed, config.batch, step, len(learn))
            clips, encoder_input = augmenter(rows, places)
            return Batch.of(clips, config.front_end, device, encoder_input)

        return augmented
    everything = Batch.of(learn, config.front_end, device)
    return lambda step: everything[batch_rows(config.seed, config.batch, step, len(learn))]


class ShardLoader:
    """Batches from a folder of shards. While one is learned from, the next is read and its log-mels
    are computed.

    A sample that cannot be read is reported once, on stderr, and makes its batches smaller. The
    arguments are those of `make_loader`.
    """

    def __init__(
        self,
        config: TrainConfig,
        pool: Clips,
        augmenter: Augmenter | None,
        ranges: list[tuple[int, int]],
        device: torch.device,
    ) -> None:
        self.config, self.augmenter, self.ranges, self.device = config, augmenter, ranges, device
        # the weight of a frame that sounds, of any clip
        self.sounding = clip_weights(pool, config.front_end).max()
        self.stream = ShardStream(config.data[0], config.seed)
        self.front_end = FrontEnd(config.front_end).to(device)
        if self.stream.index.kinds != pool.kinds:
            raise InputError(
                f"the clips are not those of {config.data[0]}: gather them for this config"
            )
        self.reader, self.reported = ThreadPoolExecutor(1), 0
        self.ahead: dict[int, Future[Batch]] = {}

    def __call__(self, step: int) -> Batch:
        now = self.ahead.pop(step, None) or self.reader.submit(self.read, step)
        self.ahead = (
            {step + 1: self.reader.submit(self.read, step + 1)}
            if step + 1 < self.config.steps
            else {}
        )
        batch = now.result()
        for problem in self.stream.problems[self.reported :]:
            tqdm.write(problem, file=sys.stderr)
            self.reported += 1
        return batch

    @torch.no_grad()
    def read(self, step: int) -> Batch:
        """What this process computes of the batch of a step."""
        size = self.config.batch
        places = self.stream.arranged(range(step * size, (step + 1) * size))
        read = {
            row: self.stream.toot(places[row])
            for first, end in self.ranges
            for row in range(first, end)
        }
        toots = {row: toot for row, toot in read.items() if toot}
        if not all(any(row in toots for row in range(first, end)) for first, end in self.ranges):
            raise InputError(
                f"no toot can be read in a part of the batch of step {step}: write the shards again"
            )
        rows, kinds = np.array(list(toots)), self.stream.index.kinds
        keep, encoder_input = self.augmenter is not None, None
        clips = shards.clips_of(toots.values(), kinds, self.front_end, keep=keep)
        if self.augmenter:
            clips, encoder_input = self.augmenter.of_others(clips, step * size + rows)
        batch = Batch.of(clips, self.config.front_end, self.device, encoder_input)
        # as if the batch were a part of the pool
        weight = batch.weight * (self.sounding / batch.weight.max())
        return replace(batch, weight=weight, first=self.ranges[0][0], places=torch.from_numpy(rows))
