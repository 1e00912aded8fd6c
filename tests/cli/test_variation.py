"""`tootlearn vary` and `tootlearn morph`: from recordings to folders of toots, and what is refused."""

import csv
import re

import numpy as np
import pytest
import soundfile

import tootlearn
from tootlearn.cli.main import main
from tootlearn.dsp.audio import save
from tootlearn.generation import inversion


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    g = tootlearn.load()
    save("car.wav", g.generate("car_horn", 400.0, 0.4, 0.5, -18, seed=1), g.sample_rate)
    save(
        "horn.wav",
        g.generate("french_horn", 300.0, 0.5, 0.4, -18, seed=2, sample_rate=44100),
        44100,
    )
    return tmp_path


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_variations_of_a_recording(recordings, capsys):
    main(
        [
            "vary",
            "car.wav",
            "--count",
            "2",
            "--is",
            "car_horn",
            "--pitch",
            "A4",
            "--out",
            "made",
            "--seed",
            "3",
        ]
    )
    told = capsys.readouterr().out
    assert float(re.search(r"car.wav: car_horn, (.+?) Hz", told)[1]) == pytest.approx(400, rel=0.02)
    assert "2 toots" in told
    found = rows("made/toots.csv")
    assert [row["file"] for row in found] == ["000_car_horn.wav", "001_car_horn.wav"]
    assert all(float(row["pitch_hz"]) == 440 for row in found)
    assert float(found[0]["duration_s"]) == pytest.approx(0.4, abs=0.04)
    waves = [soundfile.read(recordings / "made" / row["file"])[0] for row in found]
    assert not np.array_equal(waves[0][:5000], waves[1][:5000])
    assert (recordings / "made/contact_sheet.png").is_file()


def test_a_morph_of_two_recordings_at_another_rate(recordings, capsys):
    words = [
        "car.wav",
        "horn.wav",
        "--kinds",
        "car_horn",
        "french_horn",
        "--steps",
        "3",
        "--sample-rate",
        "44100",
    ]
    main(["morph", *words])
    assert "horn.wav: french_horn, " in capsys.readouterr().out
    found = rows("morph/toots.csv")
    assert [row["file"] for row in found] == [f"{i:03d}_car_horn-french_horn.wav" for i in range(3)]
    pitches = [float(row["pitch_hz"]) for row in found]
    assert pitches[1] == pytest.approx(np.sqrt(pitches[0] * pitches[2]), rel=1e-3)
    assert soundfile.info("morph/000_car_horn-french_horn.wav").samplerate == 44100


def test_kinds_that_are_not_given_are_looked_for(recordings, monkeypatch):
    describe, asked = inversion.describe, []

    def quick(generator, wave, kind, pitch):
        asked.append(kind)
        return describe(generator, wave, "car_horn")

    monkeypatch.setattr(inversion, "describe", quick)
    main(["morph", "car.wav", "horn.wav", "--steps", "2"])
    main(["vary", "car.wav", "--count", "1"])
    assert asked == [None] * 3 and len(rows("morph/toots.csv")) == 2


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["vary", "none.wav"], "none.wav"),
        (["vary", "car.wav", "--is", "car_horn", "--count", "0"], "1 variation or more"),
        (["vary", "car.wav", "--is", "car_horn", "--amount", "2"], "amount 2 "),
        (["vary", "car.wav", "--is", "car_hron"], "did you mean car_horn"),
        (["vary", "car.wav", "--is", "car_horn", "--sample-rate", "5"], "5 Hz"),
        (["vary", "car.wav", "--out", "horn.wav"], "horn.wav is a file"),
        (
            ["morph", "car.wav", "horn.wav", "--kinds", "car_horn", "french_horn", "--steps", "1"],
            "2 steps or more",
        ),
    ],
)
def test_what_is_refused_leaves_nothing_behind(recordings, capsys, words, named):
    before = sorted(recordings.rglob("*"))
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2 and named in capsys.readouterr().err
    assert sorted(recordings.rglob("*")) == before
