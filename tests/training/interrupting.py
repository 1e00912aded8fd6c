"""Runs that are interrupted, and whether they end as if nothing had happened."""

import signal

import pytest
import torch
from safetensors.torch import load_file

from tests.small import log
from tootlearn.training.objective import Objective


def assert_same_run(out, whole):
    """Weights, statistics, prior, the optimiser's moments and the log are those of the other run,
    to the bit.
    """
    for name in ("model.safetensors", "checkpoint.safetensors"):
        ours, theirs = load_file(out / name), load_file(whole / name)
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    assert log(out) == log(whole)


def interrupt(monkeypatch, owner, name, call, stop):
    """Call ``stop`` after the ``call``-th call of ``owner.name`` has done its work."""
    original, calls = getattr(owner, name), []

    def wrapped(*arguments, **options):
        result = original(*arguments, **options)
        calls.append(name)
        if len(calls) == call:
            stop()
        return result

    monkeypatch.setattr(owner, name, wrapped)


def killed(monkeypatch, step, start):
    """Start a training that ends in this step as a killed one does: nothing more is written."""

    def kill():
        raise MemoryError

    with monkeypatch.context() as patch:
        interrupt(patch, Objective, "forward", step, kill)
        with pytest.raises(MemoryError):
            start()


def ctrl_c():
    signal.raise_signal(signal.SIGINT)
