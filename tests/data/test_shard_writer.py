"""What is written as shards: sizes, format, and what is refused."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch

from tests.shard_files import COUNT, RATE
from tootlearn.cli.main import main
from tootlearn.data import shard_writer, shards
from tootlearn.data.recipes import KINDS
from tootlearn.data.shard_stream import ShardStream
from tootlearn.dsp import audio
from tootlearn.errors import InputError


def test_shards_have_the_size_asked_for_and_hold_all(sharded):
    index = shards.read_index(sharded)
    assert len(index.paths) >= 4 and sum(index.counts) == COUNT
    sizes = [path.stat().st_size for path in index.paths]
    assert all(0.15e6 < size < 0.35e6 for size in sizes[:-1])
    assert [kind.name for kind in index.kinds] == ["my_tuba", "trumpet"] and index.kinds[
        1
    ] == KINDS["trumpet"]


def test_a_shard_is_a_tar_of_sounds_and_labels_that_anyone_can_read(sharded):
    import soundfile

    with tarfile.open(shards.read_index(sharded).paths[0]) as tar:
        names = tar.getnames()
        assert sorted(names[:2]) == ["000000000.json", "000000000.wav"]
        wave, rate = soundfile.read(io.BytesIO(tar.extractfile("000000000.wav").read()))
        labels = json.loads(tar.extractfile("000000000.json").read())
    assert rate == RATE and np.abs(wave).max() == pytest.approx(1, abs=1e-3)
    assert set(labels) == {"kind", "pitch", "duration", "octaves", "loudness", "peak", "source"}


def test_the_silence_behind_a_toot_is_not_stored(sharded):
    stream = ShardStream(sharded)
    shortest = min(stream.held_out(), key=lambda toot: toot.duration)
    place = int(shortest.name.split()[-1])
    for path in stream.index.paths:
        with tarfile.open(path) as tar:
            sizes = {member.name: member.size for member in tar.getmembers()}
        if f"{place:09d}.wav" in sizes:
            samples = (sizes[f"{place:09d}.wav"] - 44) // 2
            assert samples < 45056 and samples == int(shortest.wave.nonzero()[-1]) + 1
            assert len(shortest.wave) == 45056
            return
    raise AssertionError("it is in no shard")


def test_what_cannot_be_written_leaves_nothing(recordings, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        shard_writer.write_shards([recordings], tmp_path / "full")
    with pytest.raises(InputError, match="one of wav, flac, not 'mp3'"):
        shard_writer.write_shards([recordings], tmp_path / "new", form="mp3")
    with pytest.raises(InputError, match="is a positive number"):
        shard_writer.write_shards([recordings], tmp_path / "new", megabytes=0)
    silent = tmp_path / "silent" / "trumpet"
    silent.mkdir(parents=True)
    audio.save_audio(silent / "a.wav", torch.zeros(9000), RATE)
    with pytest.raises(InputError, match="no toot in any of 1 recordings"):
        shard_writer.write_shards([tmp_path / "silent"], tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full", "silent"]


def test_the_command_writes_and_says_what(recordings, tmp_path, capsys):
    main(
        [
            "data",
            "shard",
            str(recordings),
            "--out",
            str(tmp_path / "out"),
            "--size",
            "0.2",
            "--format",
            "flac",
        ]
    )
    out, err = capsys.readouterr()
    assert "with --stream they" in out
    assert f"{COUNT} toots from {COUNT} files are in" in out and "text.wav" in err
    assert sum(shards.read_index(tmp_path / "out").counts) == COUNT
    for words, why in (
        (["data", "shart", "x"], "did you mean shard"),
        (["data", "shard", str(tmp_path / "none")], "none"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 2 and why in capsys.readouterr().err
