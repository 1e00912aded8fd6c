"""How a run computes: precision, parts and processes, and that none of them changes what is
learned.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from tests.small import log, run
from tests.training import two_processes
from tests.training.uneven import CONFIG
from tootlearn import losses
from tootlearn.cli import main
from tootlearn.errors import InputError
from tootlearn.training import compute, loop, train
from tootlearn.training.compute import launch
from tootlearn.training.config import Compute
from tootlearn.training.objective import Objective

ROOT = Path(__file__).resolve().parents[2]
SHORT = replace(CONFIG, steps=6, batch=8, check_every=3)


# What is asked for


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precision": "16"}, "needs CUDA, and the device is cpu: give --precision bf16 or 32"),
        ({"strategy": "fsdp"}, "fsdp .*: give --strategy ddp"),
    ],
)
def test_what_a_processor_cannot_do_is_said(given, message):
    with pytest.raises(InputError, match=message):
        launch(Compute(**given), "cpu")


def test_what_torchrun_has_started_counts(monkeypatch):
    seen = []
    monkeypatch.setattr(compute, "_processes", lambda *given: seen.append(given))
    launch(Compute(devices=4, nodes=3), "cpu")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    launch(Compute(), "cpu")
    assert [given[2:4] for given in seen] == [(4, 3), (2, 4)]  # devices and nodes


def test_the_command_line_hands_it_on(monkeypatch, tmp_path):
    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tootlearn.training.dataset.gather_clips", lambda *_: None)
    monkeypatch.setattr("tootlearn.training.dataset.describe_clips", lambda *_: "")
    monkeypatch.setattr(train, "train", lambda *given: seen.append(given[6]))
    words = "--device cpu --precision bf16 --accumulate 2 --compile --keep-every 7 --best"
    main.main(["train", *words.split()])
    assert seen == [Compute(precision="bf16", accumulate=2, compile=True, keep_every=7, best=True)]


@pytest.mark.skipif(os.name == "nt", reason="a script of the shell")
def test_the_slurm_script_gives_words_that_torchrun_and_tootlearn_understand(tmp_path, monkeypatch):
    """Its commands are replaced by some that tell what they were given; a second submission
    resumes.
    """
    (tmp_path / "srun").write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    (tmp_path / "scontrol").write_text("#!/bin/bash\necho node7\n")
    for name in ("srun", "scontrol"):
        (tmp_path / name).chmod(0o755)
    given = {
        "SLURM_NNODES": "2",
        "SLURM_JOB_ID": "5",
        "SLURM_JOB_NODELIST": "node[7-8]",
        "OUT": str(tmp_path),
    }
    env = os.environ | given | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    def submitted() -> list[str]:
        done = subprocess.run(
            ["bash", ROOT / "book/assets/train.slurm"], env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    from torch.distributed.run import parse_args

    program, *words = submitted()
    told = parse_args(words)
    assert (program, told.nnodes, told.nproc_per_node, told.rdzv_endpoint) == (
        "torchrun",
        "2",
        "4",
        "node7:29500",
    )
    assert told.module and told.training_script == "tootlearn"
    seen = []
    monkeypatch.setattr("tootlearn.training.dataset.gather_clips", lambda *_: None)
    monkeypatch.setattr("tootlearn.training.dataset.describe_clips", lambda *_: "")
    # no GPU is needed
    monkeypatch.setattr(compute, "launch", lambda *_: launch(Compute(), "cpu"))
    monkeypatch.setattr(train, "train", lambda *given: seen.append(given))
    main.main(told.training_script_args)
    (config, _, out, resume, device, _, how, *_) = seen[0]
    assert (config.batch, out, resume, device, how) == (
        512,
        tmp_path,
        False,
        "cuda",
        Compute(precision="bf16"),
    )
    (tmp_path / "checkpoint.safetensors").touch()
    assert submitted()[-1] == "--resume"


def test_more_parts_than_clips_are_refused_before_anything_is_written(uneven, tmp_path):
    with pytest.raises(InputError, match="--batch 9 or more"):
        run(SHORT, uneven, tmp_path / "run", compute=Compute(accumulate=9))
    assert not (tmp_path / "run").exists()


# What is computed


def test_a_batch_in_parts_learns_what_a_batch_at_once_does(uneven, tmp_path):
    run(SHORT, uneven, tmp_path / "whole")
    run(SHORT, uneven, tmp_path / "parts", compute=Compute(accumulate=3))
    for a, b in zip(log(tmp_path / "whole"), log(tmp_path / "parts"), strict=True):
        held = a.pop("held_out"), b.pop("held_out")
        assert a == pytest.approx(b, rel=1e-4, abs=2e-6) and held[0] == pytest.approx(
            held[1], rel=1e-4
        )


def test_a_run_may_go_on_in_another_way_than_it_began(uneven, tmp_path, monkeypatch):
    run(SHORT, uneven, tmp_path / "whole")
    with monkeypatch.context() as patch:
        steps = iter(range(99))
        patch.setattr(loop, "any_rank", lambda *_: next(steps) == 6)  # asked twice a step
        with pytest.raises(loop.Stopped):
            run(SHORT, uneven, tmp_path / "parts")
    run(SHORT, uneven, tmp_path / "parts", resume=True, compute=Compute(accumulate=2, keep_every=1))
    whole, parts = (log(tmp_path / name)[-1]["held_out"] for name in ("whole", "parts"))
    assert whole == pytest.approx(parts, rel=1e-4)


def test_bf16_is_for_networks_and_weights_losses_and_targets_keep_32_bits(
    uneven, tmp_path, monkeypatch
):
    seen, forward = set(), torch.nn.Conv1d.forward

    def watched(layer, x):
        out = forward(layer, x)
        if torch.is_grad_enabled():
            seen.add(out.dtype)
        return out

    monkeypatch.setattr(torch.nn.Conv1d, "forward", watched)
    judged, squared_error = set(), losses.squared_error

    def judge(y, x, weight):
        judged.update((y.dtype, x.dtype, weight.dtype))
        return squared_error(y, x, weight)

    monkeypatch.setattr(losses, "squared_error", judge)
    run(SHORT, uneven, tmp_path / "bf16", compute=Compute(precision="bf16"))
    assert seen == {torch.bfloat16} and judged == {torch.float32}
    saved = load_file(tmp_path / "bf16" / "checkpoint.safetensors")
    assert all(t.dtype == torch.float32 for t in saved.values() if t.is_floating_point())
    monkeypatch.undo()
    run(SHORT, uneven, tmp_path / "full")
    mixed, full = (log(tmp_path / name)[-1]["held_out"] for name in ("bf16", "full"))
    assert mixed != full and mixed == pytest.approx(full, rel=0.02)


def test_compile_is_for_the_networks(uneven, tmp_path, monkeypatch):
    """That they compile, and how fast they are then, is measured by benchmarks/training.py."""
    compiled = []
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda module: compiled.append(type(module).__name__)
    )
    run(replace(SHORT, steps=1), uneven, tmp_path / "run", compute=Compute(compile=True))
    assert sorted(compiled) == ["ConditionalDecoder", "Decoder", "Encoder", "Encoder"]


@pytest.mark.slow
def test_two_processes_are_one(tmp_path):
    """Gradients in 64 bits, with group norm and unequal shares; a loss curve in 32; an evaluation
    of an odd set.
    """
    one, two = tmp_path / "1", tmp_path / "2"
    one.mkdir(), two.mkdir()
    two_processes.main(1, one)
    command = [sys.executable, two_processes.__file__, "2", two]  # which starts the second
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    ours, theirs = (load_file(out / "gradients.safetensors") for out in (two, one))
    largest = max(float(t.abs().max()) for t in theirs.values())
    assert largest > 0 and ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-10, atol=1e-10 * largest)
    (count, found), (_, held) = (
        json.loads((out / "held_out.json").read_text()) for out in (two, one)
    )
    assert count % 2 == 1 and found == pytest.approx(held, abs=1e-6)
    curves = [log(out / "run") for out in (one, two)]
    assert len(curves[0]) == len(curves[1]) == 10  # and one process wrote them
    for a, b in zip(*curves, strict=True):
        assert a["held_out"] == pytest.approx(b["held_out"], rel=1e-3)
        assert loss_of(a) == pytest.approx(loss_of(b), rel=1e-3)


def loss_of(row):
    """The loss that was minimised in the last step before a row of the log."""
    terms = {
        name: torch.tensor(value) for name, value in row.items() if name not in ("step", "held_out")
    }
    weights = Objective.weights(SimpleNamespace(config=two_processes.CURVE), row["step"] - 1)
    return sum(weights[name] * float(term) for name, term in terms.items())
