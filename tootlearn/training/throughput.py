"""Throughput: how many examples a second a config trains with, by batch and width, and which batch
is fastest.

The batch is part of what is learned, so nothing chooses it behind one's back: this measures, and
the user decides.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from tootlearn.data.clips import Clips
from tootlearn.models.device import to_device
from tootlearn.training import loop
from tootlearn.training.batches import Batch, batch_rows, shares
from tootlearn.training.compute import launch
from tootlearn.training.config import Compute, TrainConfig
from tootlearn.training.objective import Objective
from tootlearn.training.train import initial_model, parts

BATCHES = (16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Rate:
    """What was measured of one batch and width."""

    batch: int
    width: int | None  # of the generator; None without one
    examples: float  # a second
    # MB: the most that the process, or on CUDA the device, has held so far; 0 where it is not known
    memory: float


def measure_rates(
    config: TrainConfig,
    clips: Clips,
    batches: Sequence[int] = BATCHES,
    widths: Sequence[int] = (),
    device: str = "cpu",
    compute: Compute | None = None,
    seconds: float = 3.0,
    memory: float = float("inf"),
) -> Iterator[Rate]:
    """Train for a moment with each width and batch, smallest first.

    Args:
        config: whose model, losses and optimiser.
        clips: any that go with it.
        batches: sizes, whole batches; one that does not fit ends the row of its width.
        widths: of the generator; none keep the config's.
        device: see `device.to_device`.
        compute: precision, parts and whether to compile; one process.
        seconds: of measuring each, after a first step that does not count.
        memory: MB that may be held at most; where it is passed, the row of the width ends. But for
            CUDA it is the process's memory, whose peak never falls: there all ends.

    Yields:
        What was measured, as it comes.

    Raises:
        InputError: as for `train.train`.
    """
    compute, where = compute or Compute(), to_device(device).type
    learn, _ = clips.split()
    usual = config.generator.width if config.generator else None
    for width in sorted(widths) if config.generator and widths else [usual]:
        for batch in sorted(batches):
            sized = replace(config, batch=batch)
            if config.generator and width:
                sized = replace(sized, generator=replace(config.generator, width=width))
            try:
                examples = _examples(sized, learn, device, compute, seconds)
            except torch.OutOfMemoryError:
                break
            held = _held(where)
            if held > memory:
                if where == "cuda":
                    break
                return
            yield Rate(batch, width, examples, held)


def _examples(
    config: TrainConfig, learn: Clips, device: str, compute: Compute, seconds: float
) -> float:
    """Examples a second."""
    fabric = launch(compute, device)
    (ranges,) = shares(config.batch, 1, compute.accumulate)
    model = initial_model(config, learn).to(fabric.device).train()
    objective = Objective.of(model, config, fabric.device)
    everything = Batch.of(learn, config.front_end, fabric.device)
    optimizer = torch.optim.AdamW(model.parameters())
    prepared = loop.prepare(fabric, objective, optimizer, compute.compile)
    step, started = 0, 0.0
    with torch.random.fork_rng(devices=[]):
        while step < 2 or time.perf_counter() < started + seconds:
            batch = everything[batch_rows(config.seed, config.batch, step, len(learn))]
            terms = loop.take_step(
                fabric, *prepared, parts(batch, ranges, config.batch), step, config.clip
            )
            float(next(iter(terms.values())))  # waits for the device
            step += 1
            started = started or time.perf_counter()
        return config.batch * (step - 1) / (time.perf_counter() - started)


def _held(where: str) -> float:
    """The most MB since it was asked last, on CUDA; elsewhere since the process began."""
    if where == "cuda":
        most = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return most / 1e6
    try:
        import resource
    except ImportError:  # on Windows
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e3)


def fastest(rates: Sequence[Rate]) -> Rate:
    """The smallest batch that is within 5 % of the fastest: larger ones take memory and buy
    nothing.
    """
    enough = 0.95 * max(rate.examples for rate in rates)
    return next(rate for rate in rates if rate.examples >= enough)
