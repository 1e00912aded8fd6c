"""A checkpoint: what comes back is what went in, to the bit, and a run that goes on shows no trace
of its stop.
"""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.small import CONFIG as RUN
from tests.small import log, run
from tests.training.interrupting import assert_same_run, ctrl_c, interrupt, killed
from tootlearn.errors import InputError
from tootlearn.training import checkpoint, train
from tootlearn.training.loop import Stopped
from tootlearn.training.objective import Objective

CONFIG = {"steps": 10, "widths": (8, 16), "generator": {"width": 8}, "seed": 0}


def net(width: int = 4) -> nn.Sequential:
    torch.manual_seed(width)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    """Steps that depend on weights, running statistics and moments, on data that depends on the
    step.
    """
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
    return all(
        torch.equal(x, y)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("count", [0, 5])
def test_going_on_from_a_checkpoint_equals_never_having_stopped(tmp_path, count):
    model, optimizer = started(count)
    checkpoint.save_checkpoint(
        tmp_path / "c", CONFIG, count, checkpoint.collect_tensors(model, optimizer)
    )
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
    tensors = checkpoint.collect_tensors(model, optimizer)
    before = {name: t.clone() for name, t in tensors.items()}
    steps(model, optimizer, 5, 8)
    assert all(torch.equal(t, before[name]) for name, t in tensors.items())
    moved = checkpoint.collect_tensors(model, optimizer)
    assert moved.keys() == tensors.keys() and all(
        not torch.equal(t, moved[name]) for name, t in tensors.items()
    )


def test_another_config_is_refused_by_the_names_of_its_fields_and_changes_nothing(tmp_path):
    model, optimizer = started()
    checkpoint.save_checkpoint(
        tmp_path / "c", CONFIG, 5, checkpoint.collect_tensors(model, optimizer)
    )
    other = net()
    its = torch.optim.AdamW(other.parameters(), 0.01)
    changed = {**CONFIG, "steps": 20, "generator": {"width": 16}, "batch": 3}
    with pytest.raises(InputError, match=r"another config \(batch, generator, steps\)"):
        checkpoint.restore(tmp_path / "c", changed, other, its)
    assert equal(other, net()) and not its.state


def damaged(tmp_path, **changes):
    """A checkpoint of a started run with other metadata or tensors."""
    tensors = checkpoint.collect_tensors(*started())
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
    checkpoint.save_checkpoint(path, CONFIG, 5, checkpoint.collect_tensors(model, optimizer))
    old = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(InputError, match="No space left"):
        checkpoint.save_checkpoint(path, CONFIG, 6, checkpoint.collect_tensors(model, optimizer))
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]


# Runs that are interrupted


def test_two_runs_are_the_same_to_the_bit(clips, whole_run, tmp_path):
    torch.manual_seed(123)
    run(RUN, clips, tmp_path / "run")
    assert_same_run(tmp_path / "run", whole_run)


def pre_emption():
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("stop", [ctrl_c, pre_emption])
@pytest.mark.parametrize(
    ("owner", "name", "call", "done"),
    [
        (Objective, "forward", 1, 1),
        (Objective, "forward", 8, 8),
        (torch.nn.utils, "clip_grad_norm_", 15, 8),  # of the generator, before the autoencoder's
        (torch.optim.AdamW, "step", 8, 8),  # the weights have moved, the count of steps has not
        (train, "evaluate", 1, 5),  # after step 5, before its checkpoint
        (checkpoint, "save_checkpoint", 1, 5),  # and before its row in the log
    ],
)
def test_a_step_is_finished_before_a_run_stops_and_goes_on_as_if_nothing_had_happened(
    clips, whole_run, tmp_path, monkeypatch, owner, name, call, done, stop
):
    out, before = (
        tmp_path / "run",
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
    )
    with monkeypatch.context() as patch:
        interrupt(patch, owner, name, call, stop)
        with pytest.raises(Stopped, match=f"after step {done} of 12.*--resume"):
            run(RUN, clips, out)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert (out / "checkpoint.safetensors").exists() and not (out / "model.safetensors").exists()
    run(RUN, clips, out, resume=True)
    assert_same_run(out, whole_run)


def test_a_run_can_be_stopped_twice(clips, whole_run, tmp_path, monkeypatch):
    out = tmp_path / "run"
    for resume in (False, True):
        with monkeypatch.context() as patch:
            interrupt(patch, Objective, "forward", 4, ctrl_c)
            with pytest.raises(Stopped):
                run(RUN, clips, out, resume=resume)
    run(RUN, clips, out, resume=True)
    assert_same_run(out, whole_run)


def test_a_second_ctrl_c_stops_at_once_and_the_last_checkpoint_is_there(
    clips, whole_run, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt(patch, Objective, "forward", 7, lambda: (ctrl_c(), ctrl_c()))
        with pytest.raises(KeyboardInterrupt):
            run(RUN, clips, out)
    assert checkpoint.read_notes(out / "checkpoint.safetensors")["row"]["step"] == 5
    run(RUN, clips, out, resume=True)
    assert_same_run(out, whole_run)


def test_a_run_outside_of_the_main_thread_trains(clips, whole_run, tmp_path):
    """Signals are heard in the main thread alone: to ask for them elsewhere is an error."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(run, RUN, clips, tmp_path / "run").result()
    assert_same_run(tmp_path / "run", whole_run)


def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(
    clips, whole_run, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    killed(monkeypatch, 8, lambda: run(RUN, clips, out))
    run(RUN, clips, out, resume=True)
    assert_same_run(out, whole_run)


def test_a_disk_that_fills_up_leaves_the_last_checkpoint_to_go_on_from(
    clips, whole_run, tmp_path, monkeypatch
):
    def full():
        raise OSError(28, "No space left on device")

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt(patch, os, "fsync", 2, full)
        with pytest.raises(InputError, match="No space left on device"):
            run(RUN, clips, out)
    assert sorted(path.name for path in out.iterdir()) == ["checkpoint.safetensors", "log.jsonl"]
    assert [row["step"] for row in log(out)] == [5]
    run(RUN, clips, out, resume=True)
    assert_same_run(out, whole_run)


def test_a_finished_run_that_is_resumed_is_left_as_it_is(clips, whole_run, tmp_path):
    out = tmp_path / "run"
    run(RUN, clips, out)
    run(RUN, clips, out, resume=True)
    assert_same_run(out, whole_run)


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "model.safetensors", "log.jsonl"])
def test_a_folder_that_holds_a_run_is_never_overwritten(clips, tmp_path, name):
    (tmp_path / name).write_bytes(b"precious")
    with pytest.raises(InputError, match="holds a run already: give --resume"):
        run(RUN, clips, tmp_path)
    assert (tmp_path / name).read_bytes() == b"precious" and len(list(tmp_path.iterdir())) == 1


def test_there_is_nothing_to_resume_in_an_empty_folder(clips, tmp_path):
    with pytest.raises(InputError, match="no checkpoint .* train without --resume"):
        run(RUN, clips, tmp_path, resume=True)


def test_resuming_with_another_config_names_the_fields_and_changes_nothing(clips, whole_run):
    before = {path: path.read_bytes() for path in whole_run.iterdir()}
    other = replace(RUN, steps=20, generator=replace(RUN.generator, conditioning="concat"))
    with pytest.raises(InputError, match=r"another config \(generator, steps\)"):
        run(other, clips, whole_run, resume=True)
    assert {path: path.read_bytes() for path in whole_run.iterdir()} == before
