"""Throughput: that what is timed is training, and that the batch it names is the smallest that is
fast enough.
"""

from dataclasses import replace

import pytest
import torch

from tests.training.uneven import CONFIG
from tootlearn.training import loop, throughput
from tootlearn.training.throughput import Rate, fastest


def test_every_batch_and_width_is_trained_with_and_counted(uneven, monkeypatch):
    clock, seen = iter(range(1000)), []
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: float(next(clock)))
    take = loop.take_step

    def watched(fabric, objective, optimizer, parts, step, clip):
        before = [p.detach().clone() for p in objective.model.parameters()]
        terms = take(fabric, objective, optimizer, parts, step, clip)
        moved = any(
            not torch.equal(a, b) for a, b in zip(before, objective.model.parameters(), strict=True)
        )
        seen.append(
            (
                sum(len(part.batch.weight) for part in parts),
                objective.model.generator.config.width,
                moved,
            )
        )
        return terms

    monkeypatch.setattr(loop, "take_step", watched)
    found = list(throughput.measure_rates(CONFIG, uneven, (8, 4), (16, 8), seconds=3))
    assert [(rate.width, rate.batch) for rate in found] == [(8, 4), (8, 8), (16, 4), (16, 8)]
    assert set(seen) == {(rate.batch, rate.width, True) for rate in found}
    # of a clock that ticks once a reading: it starts after the first step, and is read after each
    # and at the end
    assert all(rate.examples == pytest.approx(rate.batch * 3 / 4, rel=0.5) for rate in found)


def test_a_batch_that_needs_more_memory_than_there_may_be_ends_it(uneven, monkeypatch):
    held = iter([100.0, 300.0, 300.0, 300.0])  # a peak, which does not fall
    monkeypatch.setattr(throughput, "_held", lambda _: next(held))
    monkeypatch.setattr(throughput, "_examples", lambda *_: 1.0)
    config = replace(CONFIG, autoencoder=None)
    found = list(throughput.measure_rates(config, uneven, (8, 16), (8, 16), memory=200.0))
    assert [(rate.width, rate.batch) for rate in found] == [(8, 8)]


def test_the_smallest_batch_near_the_fastest_is_named():
    rates = [
        Rate(16, 8, 50.0, 0),
        Rate(32, 8, 97.0, 0),
        Rate(64, 8, 100.0, 0),
        Rate(128, 8, 80.0, 0),
    ]
    assert fastest(rates).batch == 32
    assert fastest(rates[:1]).batch == 16
