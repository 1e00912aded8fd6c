"""What a run leaves behind: checkpoints that are asked for, and a log with every row once, whenever
it was killed.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.small import CONFIG as RUN
from tests.small import run
from tests.training.interrupting import assert_same_run, killed
from tootlearn.training import train
from tootlearn.training.config import Compute

ROOT = Path(__file__).resolve().parents[2]


def test_checkpoints_are_kept_every_so_many_steps_and_any_can_be_gone_on_from(
    clips, whole_run, tmp_path
):
    out = tmp_path / "run"
    run(RUN, clips, out, compute=Compute(keep_every=4))
    assert sorted(path.name for path in out.glob("checkpoint-*")) == [
        "checkpoint-000004.safetensors",
        "checkpoint-000008.safetensors",
        "checkpoint-000012.safetensors",
    ]
    assert_same_run(out, whole_run)
    (out / "model.safetensors").unlink()
    shutil.copy(out / "checkpoint-000008.safetensors", out / "checkpoint.safetensors")
    run(RUN, clips, out, resume=True)
    assert_same_run(out, whole_run)  # also the log, which had rows of later steps


def test_the_best_checkpoint_is_of_the_lowest_held_out_loss_and_makes_the_model(
    clips, tmp_path, monkeypatch
):
    scores = iter([0.5, 0.2, 0.4, 0.4, 0.2])
    evaluate = train.evaluate
    monkeypatch.setattr(train, "evaluate", lambda *a: {n: next(scores) for n in evaluate(*a)})
    config = replace(RUN, steps=8, check_every=2, generator=None)
    model = run(config, clips, tmp_path / "run", compute=Compute(best=True, keep_every=2))
    best = load_file(tmp_path / "run" / "best.safetensors")
    fourth, last = (load_file(tmp_path / "run" / f"checkpoint-{n:06d}.safetensors") for n in (4, 8))
    assert all((best[name] == fourth[name]).all() for name in best)
    assert any((best[name] != last[name]).any() for name in best)
    for name, weight in model.named_parameters():
        assert (weight == best[f"model.{name}"].half().float()).all()


def test_a_checkpoint_from_before_the_first_check_begins_the_log_anew(clips, tmp_path):
    config, out = replace(RUN, steps=4, check_every=2), tmp_path / "run"
    run(config, clips, out, compute=Compute(keep_every=1))
    log = (out / "log.jsonl").read_text()
    (out / "model.safetensors").unlink()
    shutil.copy(out / "checkpoint-000001.safetensors", out / "checkpoint.safetensors")
    run(config, clips, out, resume=True)
    assert (out / "log.jsonl").read_text() == log and log.count("\n") == 2


def test_the_best_asked_for_at_the_end_of_a_run_is_its_last(clips, tmp_path):
    config, out = replace(RUN, steps=2, check_every=2), tmp_path / "run"
    whole = run(config, clips, out)
    again = run(config, clips, out, resume=True, compute=Compute(best=True))
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("left", ["", '{"step": 5, "gen', "whole", "more"])
def test_a_log_that_a_kill_cut_short_is_whole_after_going_on(
    clips, whole_run, tmp_path, monkeypatch, left
):
    out = tmp_path / "run"
    killed(monkeypatch, 8, lambda: run(RUN, clips, out))
    row = (out / "log.jsonl").read_text()
    # an older checkpoint was put back
    lines = {"whole": row, "more": row + row.replace('"step": 5', '"step": 10')}
    (out / "log.jsonl").write_text(lines.get(left, left))
    (out / ".checkpoint.safetensors.1234.part").write_bytes(b"half")
    run(RUN, clips, out, resume=True)
    assert_same_run(out, whole_run)
    assert not list(out.glob(".*"))


@pytest.mark.slow
def test_killed_at_any_point_a_run_goes_on_to_the_same_weights():
    """SIGKILL at random points and while a checkpoint is being written; the same with 20 is the
    benchmark.
    """
    command = [sys.executable, ROOT / "benchmarks/killing.py", "--points", "3", "--steps", "16"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 bit-equal, 0 unreadable" in done.stdout
