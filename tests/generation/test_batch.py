"""Batches: what a table asks for is made, the same to the bit by any processes and after any
interruption.
"""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import tootlearn
from tootlearn import rng
from tootlearn.cli import main
from tootlearn.data import folder
from tootlearn.dsp import audio, measures
from tootlearn.errors import InputError
from tootlearn.generation import batch
from tootlearn.generation.batch import PlannedToot, Source
from tootlearn.generation.toot_generator import TootGenerator

TABLE = """kind,pitch,duration,brightness,loudness,seed,count,name
trumpet,A4,0.3,0.6,-14,7,,first
car_horn,,0.2,,,1,3,

,440,.25,,,,2,some
"""


@pytest.fixture(scope="module")
def g() -> TootGenerator:
    return tootlearn.load()


@pytest.fixture
def spec(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "spec.csv"
        path.write_text(text, encoding="utf8")
        return path

    return write


@pytest.fixture
def alone(g, monkeypatch) -> list[list[PlannedToot]]:
    """No processes: toots are made here. The lists that were asked for."""
    asked: list[list[PlannedToot]] = []

    def here(
        toots: list[PlannedToot], out: Path, source: Source, rate: int, workers: int
    ) -> Iterator[tuple[int, int]]:
        asked.append(toots)
        monkeypatch.setattr(batch, "_worker", (g, out, rate), raising=False)
        for toot in toots:
            yield batch._make([toot])

    monkeypatch.setattr(batch, "_in_processes", here)
    return asked


def samples(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


# The table


def test_a_row_is_a_toot_or_a_set_of_them(g, spec):
    toots = batch.read_spec(spec(TABLE), g)
    assert toots[0] == PlannedToot("trumpet/first.wav", "trumpet", 440.0, 0.3, 0.6, -14.0, 7)
    assert [t.path for t in toots[1:4]] == [f"car_horn/00000{i}.wav" for i in (1, 2, 3)]
    assert [t.seed for t in toots[1:4]] == [rng.child(1, i) for i in range(3)]
    assert {t.duration for t in toots[1:4]} == {0.2} and len({t.pitch for t in toots[1:4]}) == 3
    assert [Path(t.path).stem for t in toots[4:]] == ["some_000", "some_001"]
    assert {t.pitch for t in toots[4:]} == {440.0}


def test_what_is_blank_is_drawn_from_the_seed_of_the_batch(g, spec):
    path = spec("kind,seed\n,\n,\n,5\n")
    first, again, other = (batch.read_spec(path, g, seed) for seed in (0, 0, 1))
    assert first == again and len({t.seed for t in first}) == 3
    assert [a == b for a, b in zip(first, other, strict=True)] == [False, False, True]
    assert len(batch.read_spec(spec("kind\n\n \ntuba\n\n"), g)) == 1  # blank lines ask for nothing


def test_the_example_is_a_table(g, spec, capsys):
    main.main(["batch", "--example"])
    toots = batch.read_spec(spec(capsys.readouterr().out), g)
    assert len(toots) == 251 and {t.pitch for t in toots[201:]} == {440.0}


def test_all_bad_lines_are_told_at_once_before_anything_is_made(g, spec, tmp_path, capsys):
    path = spec(
        "kind,pitch,seed,count,name\ntrumpet,A4,,,\ntrumpt,,,,\ntrumpet,3000,,,\n"
        "tuba,,x,,\ntuba,,,0,\ntuba,,,1\n"
        "tuba,,,,../up\ntuba,,,,same\ntuba,,,,SAME\n"
    )
    with pytest.raises(InputError) as told:
        batch.read_spec(path, g)
    said = str(told.value)
    assert "7 lines" in said and "line 2:" not in said and "line 9:" not in said
    for line, what in (
        (3, "did you mean trumpet"),
        (4, "164.81 to 988 Hz"),
        (5, "seed 'x'"),
        (6, "count 0"),
        (7, "4 fields, not 5"),
        (8, "'../up' is no name"),
        (10, "file of another row"),
    ):
        assert what in said.split(f"line {line}: ")[1].split("; line")[0]
    with pytest.raises(SystemExit):
        main.main(["batch", str(path), "--out", str(tmp_path / "out")])
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_of_many_bad_lines_twenty_are_told(g, spec):
    with pytest.raises(InputError, match=r"has 33 lines .*line 21: .*; and 13 more$"):
        batch.read_spec(spec("duration\n" + "soon\n" * 33), g)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "has no rows"),
        ("kind\n", "has no rows"),
        (
            "kind,tone\ntuba,\n",
            "unknown columns: tone: its first line names some of kind,pitch",
        ),
        ("kind,kind\ntuba,tuba\n", "the same column twice"),
        ("kind,count\ntuba,99999999\n", "count 99999999 is out of range"),
        ("kind,count\ntuba,-1\n", "count '-1' as a whole number"),
        ("seed\n99999999999999999999\n", "line 2: a seed is a whole number"),
        ("brightness\nnan\n", "line 2: brightness nan is out of range"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(g, spec, text, named):
    with pytest.raises(InputError, match=named):
        batch.read_spec(spec(text), g)


def test_a_format_that_is_none_is_refused(g, spec):
    with pytest.raises(InputError, match="wav or flac, not 'mp3'"):
        batch.read_spec(spec(TABLE), g, file_format="mp3")


# The folder


@pytest.mark.parametrize(("file_format", "rate"), [("wav", 22050), ("flac", 44100)])
def test_files_and_manifest_hold_what_was_asked_for(g, spec, alone, tmp_path, file_format, rate):
    toots = batch.read_spec(spec(TABLE), g, 0, file_format)
    out = tmp_path / "new/out"
    generated, seconds = batch.render_batch(toots, out, Source(), rate)
    assert generated == 6 and seconds == pytest.approx(
        sum(soundfile.info(out / t.path).duration for t in toots)
    )
    wave, result = audio.load_audio(out / toots[0].path)
    assert result == rate and float(measures.loudness(wave, rate)) == pytest.approx(-14, abs=0.3)
    assert abs(measures.cents(measures.tone_f0(wave, rate, 440.0), 440.0)) < 20
    clips, report = folder.read_folder(
        out, g.model.front_end
    )  # what `tootlearn train --data` reads
    assert (
        report.problems == ()
        and report.files == 6
        and set(clips.controls.pitch) == {t.pitch for t in toots}
    )
    with open(out / "manifest.csv", encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file))
    again = rows[5]  # the manifest says all that it takes to make a toot again
    numbers = (float(again[name]) for name in ("pitch", "duration", "brightness", "loudness"))
    wave = g.generate(again["label"], *numbers, seed=int(again["seed"]), sample_rate=rate)
    audio.save_audio(tmp_path / f"a.{file_format}", wave, rate)
    assert (tmp_path / f"a.{file_format}").read_bytes() == (out / again["path"]).read_bytes()


def test_only_what_is_missing_is_made(g, spec, alone, tmp_path):
    toots = batch.read_spec(spec(TABLE), g)
    batch.render_batch(toots, tmp_path / "out", Source(), 22050)
    lost, kept = toots[2], toots[3]
    before = {t.path: (tmp_path / "out" / t.path).read_bytes() for t in toots}
    (tmp_path / "out" / lost.path).unlink()
    (tmp_path / "out" / "manifest.csv").unlink()
    (tmp_path / "out" / kept.kind / f".{Path(kept.path).name}.1a2b.part").write_bytes(b"half")
    assert batch.render_batch(toots, tmp_path / "out", Source(), 22050)[0] == 1
    assert alone[1:] == [[lost]]
    assert {t.path: (tmp_path / "out" / t.path).read_bytes() for t in toots} == before
    assert not list(tmp_path.rglob("*.part")) and (tmp_path / "out" / "manifest.csv").is_file()
    assert batch.render_batch(toots, tmp_path / "out", Source(), 22050) == (0, 0.0)


def test_a_folder_of_something_else_is_left_alone(g, spec, alone, tmp_path):
    toots = batch.read_spec(spec(TABLE), g)
    out = tmp_path / "out"
    batch.render_batch(toots, out, Source(), 22050)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for other, rate, named in (
        (toots[:-1], 22050, "another toots, plan"),
        (toots, 44100, "another sample_rate"),
    ):
        with pytest.raises(InputError, match=f"{named}.*give another folder"):
            batch.render_batch(other, out, Source(), rate)
    with pytest.raises(InputError, match=r"another bandwidth\)"):
        batch.render_batch(toots, out, Source(bandwidth="none"), 22050)
    (out / "batch.json").write_text("{")
    with pytest.raises(InputError, match="another record"):
        batch.render_batch(toots, out, Source(), 22050)
    (out / "batch.json").unlink()
    with pytest.raises(InputError, match="holds other files"):
        batch.render_batch(toots, out, Source(), 22050)
    with pytest.raises(InputError, match="is a file"):
        batch.render_batch(toots, out / "manifest.csv", Source(), 22050)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} | {
        out / "batch.json": before[out / "batch.json"]
    }


@pytest.mark.parametrize(
    ("rate", "workers", "named"), [(100, 1, "sample rate"), (22050, 0, "workers are 1")]
)
def test_a_wrong_setting_is_refused_before_the_folder_is_made(
    g, spec, tmp_path, rate, workers, named
):
    with pytest.raises(InputError, match=named):
        batch.render_batch(
            batch.read_spec(spec(TABLE), g), tmp_path / "out", Source(), rate, workers
        )
    assert not (tmp_path / "out").exists()


# Processes


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_batch_that_is_killed_and_resumed_is_the_same(g, spec, tmp_path, capsys):
    path, out = spec("kind,duration,count\n,0.2,40\n"), tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "tootlearn",
        "batch",
        str(path),
        "--out",
        str(out),
        "--workers",
        "1",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    end = time.monotonic() + 600
    while len(list(out.rglob("*.wav"))) < 5 and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)  # the parent alone: its worker notices
    process.communicate()
    while time.monotonic() < end:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.02)
    else:
        pytest.fail("a worker lives on")
    times = {file: file.stat().st_mtime_ns for file in out.rglob("*.wav")}
    assert 5 <= len(times) < 40 and not (out / "manifest.csv").exists()
    main.main([*command[3:-1], "2"])
    assert (
        f"40 toots and manifest.csv are in {out}; {40 - len(times)} of them were made now"
        in capsys.readouterr().out
    )
    toots = batch.read_spec(path, g)
    assert {file.relative_to(out).as_posix() for file in out.rglob("*.wav")} == {
        t.path for t in toots
    }
    assert all(file.stat().st_mtime_ns == when for file, when in times.items()) and not list(
        out.rglob("*.part")
    )
    for t in toots[::6]:
        wave = g.generate(t.kind, t.pitch, t.duration, t.brightness, t.loudness, t.seed)
        assert np.array_equal(samples(out / t.path), np.round(wave * 32768).astype(np.int16))
