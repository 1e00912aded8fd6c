"""A checkpoint: what comes back is what went in, to the bit, and what does not fit is refused before anything moves."""

import json
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tootlearn import checkpoint
from tootlearn.audio import InputError

CONFIG = {"steps": 10, "widths": (8, 16), "generator": {"width": 8}, "seed": 0}


def net(width: int = 4) -> nn.Sequential:
    torch.manual_seed(width)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    """Steps that depend on weights, running statistics and moments, on data that depends on the step."""
    for step in range(first, last):
        x = torch.randn(6, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()


def started(count: int = 5):
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    steps(model, optimizer, 0, count)
    return model, optimizer


def equal(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("count", [0, 5])
def test_going_on_from_a_checkpoint_equals_never_having_stopped(tmp_path, count):
    model, optimizer = started(count)
    checkpoint.save(tmp_path / "c", CONFIG, count, checkpoint.collect(model, optimizer))
    other = net()
    nn.init.zeros_(other[0].weight)
    its = torch.optim.AdamW(other.parameters(), 0.01)
    assert checkpoint.restore(tmp_path / "c", CONFIG, other, its) == count
    assert equal(other, model)
    steps(model, optimizer, count, 12), steps(other, its, count, 12)
    assert equal(other, model)
    assert not equal(other, started(count)[0])


def test_what_is_collected_does_not_move_with_the_next_step():
    model, optimizer = started()
    tensors = checkpoint.collect(model, optimizer)
    before = {name: t.clone() for name, t in tensors.items()}
    steps(model, optimizer, 5, 8)
    assert all(torch.equal(t, before[name]) for name, t in tensors.items())
    moved = checkpoint.collect(model, optimizer)
    assert moved.keys() == tensors.keys() and all(not torch.equal(t, moved[name]) for name, t in tensors.items())


def test_another_config_is_refused_by_the_names_of_its_fields_and_changes_nothing(tmp_path):
    model, optimizer = started()
    checkpoint.save(tmp_path / "c", CONFIG, 5, checkpoint.collect(model, optimizer))
    other = net()
    its = torch.optim.AdamW(other.parameters(), 0.01)
    changed = {**CONFIG, "steps": 20, "generator": {"width": 16}, "batch": 3}
    with pytest.raises(InputError, match=r"another config \(batch, generator, steps\)"):
        checkpoint.restore(tmp_path / "c", changed, other, its)
    assert equal(other, net()) and not its.state


def damaged(tmp_path, **changes):
    """A checkpoint of a started run with other metadata or tensors."""
    tensors = checkpoint.collect(*started())
    metadata = {"step": "5", "config": json.dumps(CONFIG)}
    for name, value in changes.items():
        (metadata if name in metadata else tensors)[name.replace("__", ".")] = value
    save_file(
        {k: t for k, t in tensors.items() if t is not None},
        tmp_path / "c",
        {k: v for k, v in metadata.items() if v is not None},
    )
    return tmp_path / "c"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": None}, "no whole checkpoint"),
        ({"step": "five"}, "no whole checkpoint"),
        ({"config": "{"}, "no whole checkpoint"),
        ({"config": "3"}, "no whole checkpoint"),
        ({"model__0__weight": torch.zeros(5, 3)}, "other tensors"),
        ({"model__0__weight": None}, "other tensors"),
        ({"model__strange": torch.zeros(2)}, "other tensors"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_changes_nothing(tmp_path, changes, message):
    path, other = damaged(tmp_path, **changes), net()
    with pytest.raises(InputError, match=f"{path} .*{message}"):
        checkpoint.restore(path, CONFIG, other, torch.optim.AdamW(other.parameters()))
    assert equal(other, net())


def test_a_file_that_is_cut_short_missing_or_no_checkpoint_is_named(tmp_path):
    whole = damaged(tmp_path).read_bytes()
    model = net()
    for content in (whole[: len(whole) // 2], b"", b"not a checkpoint", None):
        path = tmp_path / "x"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match="no whole checkpoint"):
            checkpoint.restore(path, CONFIG, model, torch.optim.AdamW(model.parameters()))


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch, failing):
    model, optimizer = started()
    path = tmp_path / "c"
    checkpoint.save(path, CONFIG, 5, checkpoint.collect(model, optimizer))
    old = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(InputError, match="No space left"):
        checkpoint.save(path, CONFIG, 6, checkpoint.collect(model, optimizer))
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]
