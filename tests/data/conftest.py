"""Recordings, and the shards of them, that several files of tests read."""

import pytest

from tests.shard_files import COUNT, RATE
from tootlearn.data import shard_writer, synthesis
from tootlearn.dsp import audio


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """A manifest with pitches: trumpets, tubas under a name of their own, and a file that is no
    sound.
    """
    out = tmp_path_factory.mktemp("recordings")
    waves, controls = synthesis.toots(("trumpet", "tuba"), COUNT, 0, 0)
    rows = ["path,label,pitch,source"]
    for i, wave in enumerate(waves):
        audio.save_audio(out / f"{i}.wav", wave, RATE)
        label = ("trumpet", "my_tuba")[controls.kind[i]]
        rows.append(f"{i}.wav,{label},{controls.pitch[i]},session {i % 5}")
    (out / "text.wav").write_text("this is no sound")
    (out / "manifest.csv").write_text("\n".join([*rows, "text.wav,trumpet,440,session 0"]))
    return out


@pytest.fixture(scope="session")
def sharded(recordings, tmp_path_factory):
    out = tmp_path_factory.mktemp("sharded") / "shards"
    problems = []
    report = shard_writer.write_shards([recordings], out, megabytes=0.15, problems=problems)
    assert report.clips == report.files == COUNT
    assert len(problems) == 1 and "text.wav" in problems[0]
    return out
