"""`tootlearn generate`: what it writes, offline and whole or not at all."""

import csv
import errno
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import tootlearn
from tests.cli.invoking import Interrupt, elsewhere, samples
from tootlearn.dsp import audio


def test_eight_toots_offline_and_the_same_bits_here_whatever_the_count(run, tmp_path):
    done = elsewhere(tmp_path, "generate", broken=("librosa", "torchaudio", "numba"))
    assert done.returncode == 0, done.stderr
    toots = sorted((tmp_path / "toots").glob("*.wav"))
    assert [toot.stem for toot in toots] == [
        f"{i:03d}_{tootlearn.load().kinds[i]}" for i in range(8)
    ]
    assert all(np.abs(samples(toot)).max() > 300 for toot in toots)
    assert (tmp_path / "toots/contact_sheet.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in (tmp_path / "toots").iterdir()} - {
        toot.name for toot in toots
    } == {
        "toots.csv",
        "contact_sheet.png",
    }
    seconds = done.stdout.split(" s after the start")[0].split()[-1]
    assert 0 < float(seconds) < 600

    run("generate", "--count", 3, "--out", "three")
    for here in sorted((tmp_path / "three").glob("*.wav")):
        assert here.read_bytes() == (tmp_path / "toots" / here.name).read_bytes()
    assert len(list((tmp_path / "three").glob("*.wav"))) == 3


def test_an_envelope_may_begin_with_a_minus(run, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "tootlearn.dsp.envelope.parse_envelope", lambda words: seen.append(words) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        run("generate", "--envelope", "-20,0", "--count", 1)
    assert seen == ["-20,0"]


def test_options_reach_the_toots_and_the_table_says_how_to_make_each_again(run, tmp_path):
    words = (
        "--kind",
        "trumpet",
        "--pitch",
        "A3",
        "--duration",
        0.4,
        "--brightness",
        0.3,
        "--loudness",
        -24,
    )
    assert run("generate", *words, "--count", 2, "--seed", 9, "--out", "a/b").status == 0
    rows = list(csv.DictReader((tmp_path / "a/b/toots.csv").open()))
    assert [row["file"] for row in rows] == ["000_trumpet.wav", "001_trumpet.wav"]
    for row in rows:
        assert [
            float(row[name]) for name in ("pitch_hz", "duration_s", "brightness", "loudness_dbfs")
        ] == [
            220,
            0.4,
            0.3,
            -24,
        ]
        again = tootlearn.load().generate("trumpet", "A3", 0.4, 0.3, -24, seed=int(row["seed"]))
        audio.save_audio(tmp_path / "again.wav", again, 22050)
        assert np.array_equal(
            samples(tmp_path / "again.wav"), samples(tmp_path / "a/b" / row["file"])
        )


def test_seeds_count_and_so_do_texture_and_place(run, tmp_path):
    changes = {
        "a": (),
        "b": ("--seed", 1),
        "c": ("--texture", 0),
        "d": ("--place", "street"),
        "e": ("--place", "street", "--floor", -60),
    }
    for name, words in changes.items():
        run("generate", "--kind", "steam_whistle", "--count", 1, "--out", name, *words)
    toots = {(tmp_path / name / "000_steam_whistle.wav").read_bytes() for name in changes}
    assert len(toots) == len(changes)


def test_denoise_filters_each_toot(run, tmp_path, monkeypatch):
    words = ("--kind", "trumpet", "--count", 1, "--out")
    monkeypatch.setattr(
        "tootlearn.dsp.denoising.denoise",
        lambda wave, rate: wave * (torch.arange(len(wave)) < 9000),
    )
    assert (
        run("generate", *words, "whole").status
        == run("generate", *words, "short", "--denoise").status
        == 0
    )
    lengths = [len(samples(tmp_path / name / "000_trumpet.wav")) for name in ("whole", "short")]
    assert lengths[1] < 9000 and lengths[1] < lengths[0]


def test_kinds_take_turns_among_those_that_can(run, tmp_path):
    assert run("generate", "--duration", 0.2, "--count", 3, "--out", "short").status == 0
    # in the order of the kinds, without those that need longer
    able = ["car_horn", "bicycle_horn", "air_horn"]
    assert [path.stem for path in sorted(tmp_path.glob("short/*.wav"))] == [
        f"{i:03d}_{k}" for i, k in enumerate(able)
    ]


@pytest.mark.parametrize("flag", ["--sample-rate", "--sample_rate"])
def test_sample_rate(run, tmp_path, flag):
    assert run("generate", "--count", 1, flag, 48000, "--out", "out").status == 0
    assert soundfile.info(next(tmp_path.glob("out/*.wav"))).samplerate == 48000


def test_toots_join_what_is_in_the_folder(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("stays")
    run("generate", "--count", 1, "--out", "out")
    assert run("generate", "--count", 1, "--seed", 5, "--out", "out").status == 0
    assert (tmp_path / "out/mine.txt").read_text() == "stays"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("mine.txt", "000_car_horn.wav", "toots.csv", "contact_sheet.png"),
    }


def test_the_sheet_shows_as_many_as_fit_a_screen(run, monkeypatch):
    shown = []
    monkeypatch.setattr("tootlearn.generation.toot_files.SHOWN", 2)
    monkeypatch.setattr(
        "tootlearn.generation.toot_files.contact_sheet",
        lambda path, waves, titles, rate: shown.append(titles),
    )
    assert (
        run("generate", "--kind", "trumpet", "--pitch", 440, "--duration", 0.2, "--count", 3).status
        == 0
    )
    assert shown == [["trumpet  440 Hz  0.20 s"] * 2]


def test_a_full_disk_leaves_everything_as_it_was(refused, run, tmp_path, monkeypatch):
    run("generate", "--count", 2, "--out", "out")
    old = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:  # two toots are written by then
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(audio.os, "fsync", full)
    assert "No space left on device" in refused(
        "generate", "--count", 4, "--seed", 1, "--out", "out"
    )
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == old


def test_a_folder_that_may_not_be_written_is_named(refused, monkeypatch):
    def deny(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", deny)
    message = refused("generate", "--out", "locked")
    assert "locked" in message and "Permission denied" in message


def test_ctrl_c_leaves_no_toot(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tootlearn.generation.toot_files.contact_sheet", interrupt := Interrupt(after=0)
    )
    done = run("generate", "--count", 2)
    assert interrupt.calls == 1 and done.status == 130 and "Traceback" not in done.err
    assert list((tmp_path / "toots").iterdir()) == []


def test_out_that_is_a_file(refused, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "file is a file: give a folder" in refused("generate", "--out", "file")
    assert "Not a directory" in refused("generate", "--out", "file/below")
    assert (tmp_path / "file").read_text() == "mine"
