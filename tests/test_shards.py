"""Shards: what is read from them is what is read from the folder, from any place, by any number of readers."""

import io
import json
import tarfile
import tracemalloc

import numpy as np
import pytest
import torch

from tootlearn import audio, dataset
from tootlearn.audio import InputError
from tootlearn.cli import main
from tootlearn.data import folder, sharding, shards, synthesis
from tootlearn.data.recipes import KINDS
from tootlearn.data.shards import Position, Stream
from tootlearn.front_end import FrontEnd, FrontEndConfig
from tootlearn.presets import TrainConfig

FRONT_END = FrontEnd(FrontEndConfig(n_fft=512, mels=24))
RATE = 22050
NAMES = ("trumpet", "tuba")
COUNT = 36


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A manifest with pitches: trumpets, tubas under a name of their own, and a file that is no sound."""
    out = tmp_path_factory.mktemp("recordings")
    waves, controls = synthesis.toots(NAMES, COUNT, 0, 0)
    rows = ["path,label,pitch,source"]
    for i, wave in enumerate(waves):
        audio.save(out / f"{i}.wav", wave, RATE)
        label = ("trumpet", "my_tuba")[controls.kind[i]]
        rows.append(f"{i}.wav,{label},{controls.pitch[i]},session {i % 5}")
    (out / "text.wav").write_text("this is no sound")
    (out / "manifest.csv").write_text("\n".join([*rows, "text.wav,trumpet,440,session 0"]))
    return out


@pytest.fixture(scope="module")
def sharded(recordings, tmp_path_factory):
    out = tmp_path_factory.mktemp("sharded") / "shards"
    problems = []
    report = sharding.write([recordings], out, megabytes=0.15, problems=problems)
    assert report.clips == report.files == COUNT
    assert len(problems) == 1 and "text.wav" in problems[0]
    return out


def test_shards_have_the_size_asked_for_and_hold_all(sharded):
    index = shards.index(sharded)
    assert len(index.paths) >= 4 and sum(index.counts) == COUNT
    sizes = [path.stat().st_size for path in index.paths]
    assert all(0.15e6 < size < 0.35e6 for size in sizes[:-1])
    assert [kind.name for kind in index.kinds] == ["my_tuba", "trumpet"] and index.kinds[1] == KINDS["trumpet"]


def test_a_shard_is_a_tar_of_sounds_and_labels_that_anyone_can_read(sharded):
    import soundfile

    with tarfile.open(shards.index(sharded).paths[0]) as tar:
        names = tar.getnames()
        assert names[:2] == ["000000000.flac", "000000000.json"]
        wave, rate = soundfile.read(io.BytesIO(tar.extractfile(names[0]).read()))
        labels = json.loads(tar.extractfile(names[1]).read())
    assert rate == RATE and np.abs(wave).max() == pytest.approx(1, abs=1e-3)
    assert set(labels) == {"kind", "pitch", "duration", "octaves", "loudness", "peak", "source"}


def by_pitch(clips):
    return clips[np.argsort(clips.controls.pitch)]


def test_clips_are_those_of_the_folder(recordings, sharded):
    known = list(KINDS.values())
    direct, told = (
        by_pitch(folder.read(recordings, FRONT_END, known, keep=True)[0]),
        shards.read(sharded, FRONT_END, known, keep=True),
    )
    clips = by_pitch(told[0])
    assert told[1].clips == COUNT and not told[1].problems
    assert [kind.name for kind in clips.kinds] == [kind.name for kind in direct.kinds]
    for mine, other in zip(clips.kinds, direct.kinds, strict=True):
        np.testing.assert_allclose(
            [*mine.pitch, *mine.duration, *mine.octaves], [*other.pitch, *other.duration, *other.octaves]
        )
    for column in ("kind", "pitch", "duration", "brightness", "loudness"):
        np.testing.assert_allclose(
            getattr(clips.controls, column), getattr(direct.controls, column), rtol=1e-9, atol=1e-9
        )
    assert clips.source == direct.source and (clips.origin == direct.origin).all()
    audible = direct.log_mel > -9
    assert float((clips.log_mel - direct.log_mel)[audible].abs().max()) < 0.05  # 16 bits
    for one, other in zip(clips.waves, direct.waves, strict=True):
        torch.testing.assert_close(one, other, atol=float(other.abs().max()) / 60000, rtol=0)


def test_training_gathers_from_shards(sharded):
    config = TrainConfig(front_end=FRONT_END.config, kinds=(), clips=0, data=(str(sharded),))
    clips = dataset.gather(config, progress=False)
    assert len(clips) == COUNT and clips.waves[0] is None
    learn, held_out = clips.split()
    assert set(learn.source).isdisjoint(held_out.source) and len(held_out)


def names(toots):
    return [toot.name for toot in toots]


def test_an_epoch_has_every_toot_once_in_an_order_of_its_own(sharded):
    stream = Stream(sharded, seed=1)
    first, second = names(stream.epoch()), names(stream.epoch())
    assert stream.position == Position(2)
    assert len(set(first)) == COUNT and sorted(first) == sorted(second) and first != second
    assert names(Stream(sharded, seed=1).epoch()) == first and names(Stream(sharded, seed=2).epoch()) != first


@pytest.mark.parametrize("taken", [1, 7, 20, COUNT - 1])
def test_what_was_interrupted_goes_on_where_it_was(sharded, taken):
    """From any place of the second epoch, by its position alone: none is repeated, none lost."""
    whole = Stream(sharded, seed=3)
    expected = names(toot for _, toot in zip(range(2 * COUNT + 5), whole, strict=False))
    stream = Stream(sharded, seed=3)
    begun = names(toot for _, toot in zip(range(COUNT + taken), stream, strict=False))
    assert stream.position == Position(1, taken)
    again = Stream(sharded, seed=3, position=stream.position)
    assert begun + names(toot for _, toot in zip(range(COUNT - taken + 5), again, strict=False)) == expected


def test_readers_share_out_the_epoch(sharded):
    parts = [names(Stream(sharded, share=(i, 3)).epoch()) for i in range(3)]
    assert all(parts) and sum(map(len, parts)) == COUNT == len(set().union(*parts))
    with pytest.raises(InputError, match="shards for 99 readers: write smaller"):
        Stream(sharded, share=(0, 99))


def test_a_streamed_toot_has_its_wave_and_labels(recordings, sharded):
    toots = {toot.pitch: toot for toot in Stream(sharded).epoch()}
    clips = folder.read(recordings, FRONT_END, list(KINDS.values()), keep=True)[0]
    for i in (0, 17):
        toot, wave = toots[clips.controls.pitch[i]], clips.waves[i]
        torch.testing.assert_close(toot.wave, wave, atol=float(wave.abs().max()) / 60000, rtol=0)
        assert toot.kind == clips.kinds[clips.controls.kind[i]].name and toot.source == clips.source[i]
    controls = shards.controls([toots[clips.controls.pitch[i]] for i in range(COUNT)], clips.kinds)
    np.testing.assert_allclose(controls.brightness, clips.controls.brightness, atol=1e-9)


def test_memory_stays_flat_over_three_epochs(sharded):
    stream, peaks = Stream(sharded), []
    tracemalloc.start()
    for _ in range(3):
        tracemalloc.reset_peak()
        for _ in stream.epoch():
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[2] < 1.1 * peaks[0] + 1e5
    assert peaks[2] < 2 * max(path.stat().st_size for path in stream.index.paths) + 1e6  # one shard, not all


@pytest.fixture
def broken(sharded, tmp_path):
    """A copy of the shards, to break."""
    import shutil

    return shutil.copytree(sharded, tmp_path / "broken")


@pytest.mark.parametrize("where", ["half-way", "in the last file"])
def test_a_shard_that_was_cut_off_is_told(broken, where):
    shard = shards.index(broken).paths[1]
    content = shard.read_bytes()
    with tarfile.open(shard) as tar:
        last = tar.getmembers()[-1].offset_data
    shard.write_bytes(content[: last + 10 if where == "in the last file" else len(content) // 1024 * 512 + 100])
    for act in (lambda: shards.read(broken, FRONT_END), lambda: list(Stream(broken).epoch())):
        with pytest.raises(InputError, match=rf"{shard.name}.*copy it again"):
            act()


def test_a_shard_that_ends_between_two_samples_is_told(broken):
    shard = shards.index(broken).paths[1]
    with tarfile.open(shard) as tar:
        members = [(m, tar.extractfile(m).read()) for m in tar.getmembers()]
    rewrite(shard, members[:-2])
    with pytest.raises(InputError, match=r"holds \d+ samples, and the index says"):
        shards.read(broken, FRONT_END)


def rewrite(shard, members):
    with tarfile.open(shard, "w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("suffix", "content", "why"),
    [
        ("flac", b"no sound", "cannot be understood"),
        ("json", b"{", "cannot be understood"),
        ("json", b"{}", "cannot be understood"),
        ("json", b"[1]", "cannot be understood"),
        ("flac", None, "has no flac"),
        ("json", None, "has no json"),
    ],
)
def test_a_sample_that_cannot_be_understood_is_told_and_left_out(broken, suffix, content, why):
    shard = shards.index(broken).paths[0]
    with tarfile.open(shard) as tar:
        members = [(m, tar.extractfile(m).read()) for m in tar.getmembers()]
    changed = [(m, content if m.name == f"000000001.{suffix}" else c) for m, c in members]
    rewrite(shard, [(m, c) for m, c in changed if c is not None])
    clips, report = shards.read(broken, FRONT_END)
    assert len(clips) == COUNT - 1 and len(report.problems) == 1
    assert "000000001" in report.problems[0] and why in report.problems[0] and shard.name in report.problems[0]
    problems = []
    stream = Stream(broken, problems=problems)
    assert len(list(stream.epoch())) == COUNT - 1 and len(problems) == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda told: told | {"schema": 9}, "schema 9"),
        (lambda told: {"schema": 1}, "no index of shards"),
        (lambda told: [], "no index of shards"),
        (lambda told: told | {"shards": [{"name": "../x.tar", "samples": 1}]}, "not beside it"),
        (lambda told: told | {"shards": [{"name": "none.tar", "samples": 1}]}, "not beside it"),
    ],
)
def test_an_index_that_makes_no_sense_is_told(broken, change, why):
    path = broken / shards.INDEX
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(InputError, match=why):
        shards.read(broken, FRONT_END)


def test_another_sample_rate_is_told(sharded):
    with pytest.raises(InputError, match="is at 22050 Hz"):
        shards.read(sharded, FrontEnd(FrontEndConfig(sample_rate=16000, fmax=8000)))


def test_what_cannot_be_written_leaves_nothing(recordings, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        sharding.write([recordings], tmp_path / "full")
    with pytest.raises(InputError, match="positive size"):
        sharding.write([recordings], tmp_path / "new", megabytes=0)
    silent = tmp_path / "silent" / "trumpet"
    silent.mkdir(parents=True)
    audio.save(silent / "a.wav", torch.zeros(9000), RATE)
    with pytest.raises(InputError, match="no toot in any of 1 recordings"):
        sharding.write([tmp_path / "silent"], tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full", "silent"]


def test_the_command_writes_and_says_what(recordings, tmp_path, capsys):
    main(["data", "shard", str(recordings), "--out", str(tmp_path / "out"), "--size", "0.2"])
    out, err = capsys.readouterr()
    assert f"{COUNT} toots from {COUNT} files are in" in out and "text.wav" in err
    assert sum(shards.index(tmp_path / "out").counts) == COUNT
    for words, why in (
        (["data", "shart", "x"], "did you mean shard"),
        (["data", "shard", str(tmp_path / "none")], "none"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 2 and why in capsys.readouterr().err
