"""The loader of training: what streams by is what is in memory, and a run that was killed shows no
trace of it.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.shard_files import members, rewrite, write_shards
from tests.small import CONFIG as SMALL
from tests.small import log, run
from tests.training import two_processes
from tests.training.interrupting import assert_same_run, ctrl_c, interrupt, killed
from tootlearn.cli.main import main
from tootlearn.data import shard_stream, shards
from tootlearn.data.config import Augmentation
from tootlearn.data.shard_stream import ShardStream
from tootlearn.errors import InputError
from tootlearn.models import model_file
from tootlearn.training import dataset, train
from tootlearn.training.batches import Batch, shares
from tootlearn.training.config import Compute
from tootlearn.training.loader import ShardLoader, make_loader
from tootlearn.training.loop import Stopped
from tootlearn.training.objective import Objective

CPU = torch.device("cpu")
STEPS = 14  # two epochs and a half


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("loader"), count=52)


@pytest.fixture(scope="module")
def config(sharded):
    return replace(SMALL, kinds=(), clips=0, data=(str(sharded),), stream=True, steps=STEPS)


@pytest.fixture(scope="module")
def pool(config):
    return dataset.gather_clips(config, progress=False)


@pytest.fixture(scope="module")
def whole_run(config, pool, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    run(config, pool, out)
    return out


@pytest.fixture
def seen(monkeypatch):
    """The names of the toots in the batch of each step that a run has taken, by its step."""
    read, taken, original, call = {}, {}, ShardLoader.read, ShardLoader.__call__

    def watched_read(loader, step):
        names, toot = [], loader.stream.toot
        loader.stream.toot = lambda place: names.append(toot(place)) or names[-1]
        batch = original(loader, step)
        loader.stream.toot = toot
        read[step] = [toot.name for toot in names if toot]
        return batch

    def watched_call(loader, step):
        batch = call(loader, step)
        taken[step] = read[step]
        return batch

    monkeypatch.setattr(ShardLoader, "read", watched_read)
    monkeypatch.setattr(ShardLoader, "__call__", watched_call)
    return taken


def own(config, processes=1, rank=0, accumulate=1):
    return shares(config.batch, processes, accumulate)[rank]


# Batches


def test_a_streamed_batch_is_that_of_the_same_clips_in_memory(config, pool, sharded, seen):
    loader = make_loader(config, pool.split()[0], own(config), CPU)
    clips, _ = shards.read_shards(sharded, loader.front_end)
    everything, learned = (
        Batch.of(clips, config.front_end, CPU),
        Batch.of(clips.split()[0], config.front_end, CPU),
    )
    index = shards.read_index(sharded)
    places = [
        name
        for path, count in zip(index.paths, index.counts, strict=True)
        for name, _ in shards.samples(path, count)
    ]
    for step in (0, 4, 9):
        ours = loader(step).part(0, config.batch)
        theirs = everything[torch.tensor([places.index(name) for name in seen[step]])]
        assert torch.equal(ours.log_mel, theirs.log_mel) and torch.equal(
            ours.bend_weight, theirs.bend_weight
        )
        audible = ours.weight > 0.5 * ours.weight.max()  # scaled by the pool, not by this batch
        assert torch.equal(audible, theirs.weight > 0.5 * theirs.weight.max())
        assert float(ours.weight.max()) == pytest.approx(float(learned.weight.max()), rel=1e-6)
        assert all(torch.equal(a, b) for a, b in zip(ours.controls, theirs.controls, strict=True))
        assert len(ours.log_mel) == config.batch and ours.log_mel.dtype == torch.float32


def test_parts_of_processes_are_the_batch(config, pool):
    learn = pool.split()[0]
    whole = make_loader(config, learn, own(config), CPU)(3).part(0, config.batch)
    parts = []
    for rank in range(2):
        spans = own(config, 2, rank, accumulate=2)
        batch = make_loader(config, learn, spans, CPU)(3)
        assert len(batch.log_mel) == config.batch // 2  # and no more is read
        parts += [batch.part(*span) for span in spans]
    assert [part.first for part in parts] == [0, 2, 4, 6]
    for name in ("log_mel", "weight"):
        torch.testing.assert_close(
            torch.cat([getattr(part, name) for part in parts]), getattr(whole, name)
        )


def test_no_more_is_read_than_the_next_step(config, pool, monkeypatch):
    read = []
    monkeypatch.setattr(ShardLoader, "read", lambda loader, step: read.append(step))
    loader = make_loader(config, pool.split()[0], own(config), CPU)
    loader(0), loader(1), loader(2)
    loader.reader.shutdown()
    assert read == [0, 1, 2, 3]


def test_variants_are_made_of_what_streams_by(config, seen):
    varied = replace(config, augmentation=Augmentation(pitch=300.0, noise=0.1, mix=0.5))
    learn = dataset.gather_clips(varied, progress=False).split()[0]
    loader, again = (make_loader(varied, learn, own(varied), CPU) for _ in range(2))
    batch, same = loader(2), again(2)
    plain = make_loader(config, learn, own(config), CPU)(2)
    assert torch.equal(batch.log_mel, same.log_mel) and torch.equal(
        batch.encoder_input, same.encoder_input
    )
    cents = 1200 * (batch.controls.octave - plain.controls.octave)
    assert float(cents.abs().min()) > 0 and float(cents.abs().max()) <= 300
    assert not torch.equal(batch.encoder_input, batch.log_mel)
    half = make_loader(varied, learn, own(varied, 2, 1), CPU)(2)
    # what is drawn follows the place
    torch.testing.assert_close(half.log_mel, batch.log_mel[4:], atol=1e-4, rtol=1e-4)


# Runs


def test_a_run_that_is_killed_goes_on_to_the_same_weights_and_repeats_no_toot(
    config, pool, whole_run, tmp_path, monkeypatch, seen, sharded
):
    out = tmp_path / "run"
    killed(monkeypatch, 8, lambda: run(config, pool, out))
    count = ShardStream(sharded).count
    # its checkpoint is within an epoch
    assert 5 * config.batch % count and 5 * config.batch < 8 * config.batch
    before = [name for step in range(5) for name in seen[step]]
    seen.clear()
    run(config, dataset.gather_clips(config, progress=False), out, resume=True)
    assert sorted(seen) == list(range(5, STEPS))
    assert_same_run(out, whole_run)
    names = before + [name for step in range(5, STEPS) for name in seen[step]]
    in_order = names_by_place(sharded, config, names)
    for epoch in range(2):
        assert len(set(in_order[epoch * count : (epoch + 1) * count])) == count


def names_by_place(sharded, config, names):
    """The names of a run from its first step on, by their places."""
    stream = ShardStream(sharded)
    steps = [
        stream.arranged(range(step * config.batch, (step + 1) * config.batch))
        for step in range(STEPS)
    ]
    return [name for _, name in sorted(zip(sum(steps, []), names, strict=True))]


def test_a_run_that_is_stopped_goes_on_as_if_nothing_had_happened(
    config, pool, whole_run, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    for resume in (False, True):
        with monkeypatch.context() as patch:
            interrupt(patch, Objective, "forward", 4, ctrl_c)
            with pytest.raises(Stopped):
                run(config, pool, out, resume=resume)
    run(config, pool, out, resume=True)
    assert_same_run(out, whole_run)


def test_a_run_is_that_of_all_clips_in_memory_given_the_same_batches(
    config, pool, whole_run, tmp_path, monkeypatch, seen
):
    """Nothing but where the batches come from differs: with them read beforehand, the weights are
    the same.
    """
    loader = make_loader(config, pool.split()[0], own(config), CPU)
    batches = [loader(step).part(0, config.batch) for step in range(STEPS)]
    monkeypatch.setattr(train, "make_loader", lambda *_: lambda step: batches[step])
    run(config, pool, tmp_path / "run")
    assert_same_run(tmp_path / "run", whole_run)


def test_the_best_weights_of_a_run_that_streams_can_be_made_the_model(config, pool, tmp_path):
    run(config, pool, tmp_path / "run", compute=Compute(best=True, accumulate=2))
    model, best = (
        load_file(tmp_path / "run" / f"{name}.safetensors") for name in ("model", "best")
    )
    name = next(name for name, t in model.items() if name.startswith("autoencoder") and t.ndim == 3)
    # 16 bits
    torch.testing.assert_close(model[name].float(), best[f"model.{name}"], atol=1e-3, rtol=1e-3)


def test_a_folder_that_has_changed_is_not_gone_on_with(
    config, pool, tmp_path, monkeypatch, sharded
):
    copy = shutil.copytree(sharded, tmp_path / "shards")
    moved = replace(config, data=(str(copy),))
    with monkeypatch.context() as patch:
        interrupt(patch, Objective, "forward", 4, ctrl_c)
        with pytest.raises(Stopped):
            run(moved, pool, tmp_path / "run")
    path = copy / shards.INDEX
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"shards": told["shards"][:-1]}))
    with pytest.raises(InputError, match=r"another config \(shards.json\)"):
        run(moved, dataset.gather_clips(moved, progress=False), tmp_path / "run", resume=True)
    path.write_text(json.dumps(told, indent=1) + "\n")
    run(moved, pool, tmp_path / "run", resume=True)


@pytest.fixture
def broken(sharded, tmp_path):
    """A copy of the shards, in whose first one a sample that is learned from makes no sense."""
    copy = shutil.copytree(sharded, tmp_path / "broken")
    index = shards.read_index(copy)
    bad = f"{min(set(range(index.counts[0])) - index.held_out[0]):09d}.json"
    rewrite(
        index.paths[0],
        [(m, b"{" if m.name == bad else content) for m, content in members(index.paths[0])],
    )
    return copy


def test_a_broken_sample_is_left_out_and_told_once(config, broken, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shard_stream, "POOL", 4)  # or it would be told when the pool is read
    broken_config, problems = replace(config, data=(str(broken),)), []
    pool = dataset.gather_clips(broken_config, problems=problems, progress=False)
    sizes, part = [], Batch.part

    def watched(batch, start, stop):
        sizes.append(len(part(batch, start, stop).log_mel))
        return part(batch, start, stop)

    monkeypatch.setattr(Batch, "part", watched)
    run(broken_config, pool, tmp_path / "run")
    assert len(sizes) == STEPS and set(sizes) == {config.batch, config.batch - 1}
    assert sizes.count(config.batch - 1) in (2, 3)  # once in an epoch
    err = capsys.readouterr().err
    assert err.count("left out") == 1 and "cannot be understood" in err
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert all(t.isfinite().all() for t in weights.values())


def test_a_part_of_which_nothing_can_be_read_is_told(config, pool, monkeypatch):
    monkeypatch.setattr(ShardStream, "toot", lambda stream, place: None)
    with pytest.raises(InputError, match="no toot .* of step 0: write the shards again"):
        make_loader(config, pool.split()[0], own(config), CPU)(0)


def test_a_shard_that_is_gone_ends_the_run_and_once_it_is_back_it_goes_on(
    config, pool, whole_run, tmp_path, monkeypatch
):
    original, calls = ShardStream.toot, []

    def toot(stream, place):
        calls.append(place)
        if len(calls) > 8 * config.batch:
            raise InputError("toots-000001.tar cannot be read: copy it again")
        return original(stream, place)

    with monkeypatch.context() as patch:
        patch.setattr(ShardStream, "toot", toot)
        with pytest.raises(InputError, match="copy it again"):
            run(config, pool, tmp_path / "run")
    run(config, pool, tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", whole_run)


@pytest.mark.slow
def test_two_processes_share_the_epoch_and_learn_what_one_does(sharded, tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    one.mkdir(), two.mkdir()
    two_processes.stream(1, one, sharded)
    command = [sys.executable, two_processes.__file__, "2", two, sharded]
    env = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    whole, first, second = (
        json.loads((out / f"{rank}.json").read_text())
        for out, rank in ((one, 0), (two, 0), (two, 1))
    )
    count = ShardStream(sharded).count
    assert len(whole) == count == len(set(whole)) and first and second
    assert set(first).isdisjoint(second) and set(first) | set(second) == set(whole)
    for a, b in zip(log(one / "run"), log(two / "run"), strict=True):
        assert a["held_out"] == pytest.approx(b["held_out"], rel=1e-3)


# What cannot be streamed


@pytest.mark.parametrize(
    "change",
    [
        {"data": ("a", "b")},
        {"clips": 5, "kinds": ("tuba",)},
        {"sampled": 5},
        {"start_from": "default"},
    ],
)
def test_a_config_that_cannot_be_streamed_is_refused_with_what_can(config, change):
    with pytest.raises(
        InputError, match="one folder of shards and nothing beside it: give --data SHARDS"
    ):
        replace(config, **change)


def test_a_folder_of_recordings_is_refused_with_how_to_write_shards(config, sharded):
    with pytest.raises(
        InputError,
        match=r"wavs is not a folder of shards.*tootlearn data shard .*wavs --out shards",
    ):
        dataset.gather_clips(replace(config, data=(str(sharded.parent / "wavs"),)), progress=False)


def test_clips_of_another_folder_are_refused(config, pool):
    with pytest.raises(InputError, match="gather them for this config"):
        make_loader(config, replace(pool, kinds=pool.kinds[::-1]), own(config), CPU)


def test_the_command_streams_and_the_model_says_so(sharded, tmp_path, capsys):
    out = tmp_path / "run"
    words = [
        "train",
        "--data",
        str(sharded),
        "--stream",
        "true",
        "--out",
        str(out),
        "--device",
        "cpu",
    ]
    words += ["--steps", "3", "--batch", "4", "--autoencoder.latent", "4", "--front-end.mels", "24"]
    main(words)
    assert "52 toots streamed from shards" in capsys.readouterr().out
    main([*words, "--resume"])
    assert (out / "model.safetensors").exists()
    told = model_file.read_metadata(out / "model.safetensors")["provenance"]
    assert told["config"]["stream"] is True and "streamed from shards" in told["data"]
    again = dataset.training_clips(
        told["config"],
        model_file.load_model(out / "model.safetensors")[0].front_end.config,
        [sharded],
    )
    assert again.held_out is not None and len(again) == 52
