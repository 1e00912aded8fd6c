"""Running the command line in the process of the test."""

import pytest

import tootlearn
from tests.cli.invoking import Done
from tootlearn.cli import main
from tootlearn.dsp.audio import save_audio


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Done:
        capsys.readouterr()
        status = 0
        try:
            main.main([str(word) for word in words])
        except SystemExit as done:
            status = done.code
        return Done(status, *capsys.readouterr())

    return call


@pytest.fixture
def refused(run, tmp_path):
    """Run what must be refused; returns the one line that it says."""

    def call(*words: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        done = run(*words)
        assert done.status == 2 and done.out == ""
        assert (
            done.err.startswith("tootlearn: error: ")
            and done.err.endswith("\n")
            and done.err.count("\n") == 1
        )
        assert sorted(tmp_path.rglob("*")) == before, "something is left behind"
        return done.err

    return call


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    g = tootlearn.load()
    save_audio("car.wav", g.generate("car_horn", 400.0, 0.4, 0.5, -18, seed=1), g.sample_rate)
    save_audio(
        "horn.wav",
        g.generate("french_horn", 300.0, 0.5, 0.4, -18, seed=2, sample_rate=44100),
        44100,
    )
    return tmp_path
