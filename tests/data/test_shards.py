"""Shards: what is read from them is what is read from the folder, and what is wrong with any is
told.
"""

import dataclasses
import io
import json
import tarfile

import numpy as np
import pytest
import torch

from tests.shard_files import COUNT, RATE, members, rewrite
from tootlearn.data import folder, shard_writer, shards
from tootlearn.data.clips import Clips
from tootlearn.data.recipes import KINDS
from tootlearn.data.shard_stream import ShardStream
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError
from tootlearn.training import dataset
from tootlearn.training.config import TrainConfig

FRONT_END = FrontEnd(FrontEndConfig(n_fft=512, mels=24))


def by_pitch(clips):
    return clips[np.argsort(clips.controls.pitch)]


def test_clips_are_those_of_the_folder(recordings, sharded):
    known = list(KINDS.values())
    direct, told = (
        by_pitch(folder.read_folder(recordings, FRONT_END, known, keep=True)[0]),
        shards.read_shards(sharded, FRONT_END, known, keep=True),
    )
    clips = by_pitch(told[0])
    assert told[1].clips == COUNT and not told[1].problems
    assert [kind.name for kind in clips.kinds] == [kind.name for kind in direct.kinds]
    for mine, other in zip(clips.kinds, direct.kinds, strict=True):
        np.testing.assert_allclose(
            [*mine.pitch, *mine.duration, *mine.octaves],
            [*other.pitch, *other.duration, *other.octaves],
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
    clips = dataset.gather_clips(config, progress=False)
    assert len(clips) == COUNT and clips.waves[0] is None
    learn, held_out = clips.split()
    assert set(learn.source).isdisjoint(held_out.source) and len(held_out)


@pytest.fixture(scope="module")
def compact(recordings, tmp_path_factory):
    """The same shards as FLAC."""
    out = tmp_path_factory.mktemp("compact") / "shards"
    shard_writer.write_shards([recordings], out, megabytes=0.1, form="flac")
    return out


def test_the_compact_format_holds_the_same_to_the_bit_in_less(sharded, compact):
    (ours, _), (theirs, _) = (
        shards.read_shards(path, FRONT_END, keep=True) for path in (compact, sharded)
    )
    assert all(torch.equal(a, b) for a, b in zip(ours.waves, theirs.waves, strict=True))
    assert ours.source == theirs.source and (ours.held_out == theirs.held_out).all()
    sizes = [
        sum(path.stat().st_size for path in shards.read_index(folder).paths)
        for folder in (compact, sharded)
    ]
    assert sizes[0] < 0.7 * sizes[1]


def test_what_is_held_out_is_what_the_split_of_all_holds_out(recordings, sharded):
    """By source, like clips in memory; and a part of the clips keeps the split of the whole."""
    clips, _ = shards.read_shards(sharded, FRONT_END)
    direct, _ = folder.read_folder(recordings, FRONT_END, list(KINDS.values()))
    wanted = {
        (c.source[i], c.controls.pitch[i]) for c in [direct.split()[1]] for i in range(len(c))
    }
    held_out = clips.split()[1]
    assert {
        (held_out.source[i], held_out.controls.pitch[i]) for i in range(len(held_out))
    } == wanted
    # by itself some of it would be learned from
    assert [len(part) for part in held_out.split()] == [0, len(held_out)]
    other = shards.read_shards(sharded, FRONT_END)[0]
    unmarked = dataclasses.replace(other, held_out=None)
    assert Clips.concatenate([clips, unmarked]).held_out is None  # all together are split anew


def test_a_kind_of_one_source_is_split_by_semitones_in_shards_too(recordings, tmp_path):
    rows = (recordings / "manifest.csv").read_text().splitlines()
    (recordings / "one.csv").write_text(
        "\n".join([rows[0], *(",".join([*r.split(",")[:3], "one"]) for r in rows[1:-1])])
    )
    shard_writer.write_shards([recordings / "one.csv"], tmp_path / "shards")
    clips, _ = shards.read_shards(tmp_path / "shards", FRONT_END)
    learn, held_out = clips.split()
    notes = [
        {
            (c.controls.kind[i], round(12 * np.log2(c.controls.pitch[i] / 440)))
            for i in range(len(c))
        }
        for c in (learn, held_out)
    ]
    assert all(notes) and notes[0].isdisjoint(notes[1])


def test_a_streamed_toot_has_its_wave_and_labels(recordings, sharded):
    stream = ShardStream(sharded)
    learned = [stream.toot(place) for place in range(stream.count)]
    toots = {toot.pitch: toot for toot in [*learned, *stream.held_out()]}
    assert {toot.name for toot in toots.values() if toot.held_out}.isdisjoint(
        toot.name for toot in learned
    )
    clips = folder.read_folder(recordings, FRONT_END, list(KINDS.values()), keep=True)[0]
    for i in (0, 17):
        toot, wave = toots[clips.controls.pitch[i]], clips.waves[i]
        torch.testing.assert_close(toot.wave, wave, atol=float(wave.abs().max()) / 60000, rtol=0)
        assert (
            toot.kind == clips.kinds[clips.controls.kind[i]].name and toot.source == clips.source[i]
        )
    controls = shards.controls_of(
        [toots[clips.controls.pitch[i]] for i in range(COUNT)], clips.kinds
    )
    np.testing.assert_allclose(controls.brightness, clips.controls.brightness, atol=1e-9)


@pytest.fixture
def broken(sharded, tmp_path):
    """A copy of the shards, to break."""
    import shutil

    return shutil.copytree(sharded, tmp_path / "broken")


@pytest.mark.parametrize("where", ["half-way", "in the last file"])
def test_a_shard_that_was_cut_off_is_told(broken, where):
    shard = shards.read_index(broken).paths[1]
    content = shard.read_bytes()
    with tarfile.open(shard) as tar:
        last = tar.getmembers()[-1].offset_data
    shard.write_bytes(
        content[: last + 10 if where == "in the last file" else len(content) // 1024 * 512 + 100]
    )
    for act in (lambda: shards.read_shards(broken, FRONT_END), lambda: all_of(ShardStream(broken))):
        with pytest.raises(InputError, match=rf"{shard.name}.*copy it again"):
            act()


def test_a_shard_that_ends_between_two_samples_is_told(broken):
    shard = shards.read_index(broken).paths[1]
    rewrite(shard, members(shard)[:-2])
    with pytest.raises(InputError, match=r"holds \d+ samples, and the index says"):
        shards.read_shards(broken, FRONT_END)


def all_of(stream):
    """An epoch, and what is held out."""
    return [*filter(None, map(stream.toot, range(stream.count))), *stream.held_out()]


def sound(samples, **options):
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("suffix", "content", "why"),
    [
        ("wav", b"no sound", "cannot be understood"),
        ("wav", b"", "cannot be understood"),
        ("wav", sound(np.zeros(9000, dtype=np.int16))[:-2], "was cut off"),
        ("wav", sound(np.zeros(9000, dtype=np.int16), subtype="PCM_24"), "not of 16 bits"),
        ("wav", sound(np.zeros((9000, 2), dtype=np.int16)), "2 channel"),
        ("wav", sound(np.zeros(90000, dtype=np.int16)), "90000 samples"),
        ("wav", sound(np.zeros(0, dtype=np.int16)), "0 samples"),
        ("json", b"{", "cannot be understood"),
        ("json", b"{}", "cannot be understood"),
        ("json", b"[1]", "cannot be understood"),
        ("wav", None, "has no wav"),
        ("json", None, "has no json"),
    ],
)
def test_a_sample_that_cannot_be_understood_is_told_and_left_out(broken, suffix, content, why):
    shard = shards.read_index(broken).paths[0]
    changed = [(m, content if m.name == f"000000001.{suffix}" else c) for m, c in members(shard)]
    rewrite(shard, [(m, c) for m, c in changed if c is not None])
    clips, report = shards.read_shards(broken, FRONT_END)
    assert len(clips) == COUNT - 1 and len(report.problems) == 1
    assert (
        "000000001" in report.problems[0]
        and why in report.problems[0]
        and shard.name in report.problems[0]
    )
    stream = ShardStream(broken)
    assert len(all_of(stream)) == COUNT - 1
    assert len(stream.problems) == 1 and "000000001" in stream.problems[0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda told: told | {"schema": 9}, "schema 9"),
        (lambda told: {"schema": 1}, "has schema 1; this version of tootlearn knows 2"),
        (lambda told: {"schema": 2}, "not an index of shards"),
        (
            lambda told: told | {"shards": [told["shards"][0] | {"held_out": [99]}]},
            "samples that do not exist",
        ),
        (lambda told: [], "not an index of shards"),
        (
            lambda told: told | {"shards": [{"name": "../x.tar", "samples": 1, "held_out": []}]},
            "not in its folder",
        ),
        (
            lambda told: told | {"shards": [{"name": "none.tar", "samples": 1, "held_out": []}]},
            "not in its folder",
        ),
    ],
)
def test_an_index_that_makes_no_sense_is_told(broken, change, why):
    path = broken / shards.INDEX
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(InputError, match=why):
        shards.read_shards(broken, FRONT_END)


def test_another_sample_rate_is_told(sharded):
    with pytest.raises(InputError, match="is at 22050 Hz"):
        shards.read_shards(sharded, FrontEnd(FrontEndConfig(sample_rate=16000, fmax=8000)))
