"""Folders of recordings: labels, toots cut at onsets, and what is wrong with any file told by its
name.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tootlearn.data import folder, synthesis
from tootlearn.data.recipes import KINDS
from tootlearn.dsp import audio, measures
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError

RATE = 22050


@pytest.fixture(scope="module")
def front_end():
    return FrontEnd()


@pytest.fixture(scope="module")
def trumpet():
    """A toot of a third of a second at 330 Hz, without the silence around it."""
    wave = torch.from_numpy(synthesis.render("trumpet", 330.0, 0.33, 0.5, -15.0, seed=4))
    return audio.trim(wave, RATE)


def tone(seconds: float, hertz: float = 440.0, level: float = 0.3) -> torch.Tensor:
    """A sine that fades in and out over 5 ms."""
    time = torch.arange(round(seconds * RATE)) / RATE
    edges = torch.minimum(time, time.flip(0)).div(0.005).clamp_max(1)
    return level * edges * torch.sin(2 * torch.pi * hertz * time)


def quiet(seconds: float) -> torch.Tensor:
    return torch.zeros(round(seconds * RATE))


def noise(like: torch.Tensor, level: float) -> torch.Tensor:
    return level * torch.randn(len(like), generator=torch.Generator().manual_seed(1))


def put(path: Path, wave: torch.Tensor, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.save_audio(path, wave, rate)
    return path


# Cutting


def test_toots_are_cut_where_it_is_quiet_between_them():
    wave = torch.cat(
        [
            quiet(0.4),
            tone(0.5),
            quiet(0.3),
            tone(0.2, level=0.03),
            quiet(0.15),
            tone(1.0),
            quiet(0.5),
        ]
    )
    found = folder.pieces(wave, RATE)
    assert [len(piece) / RATE for piece in found] == pytest.approx([0.52, 0.22, 1.02], abs=0.012)
    assert [float(measures.duration(piece, RATE)) for piece in found] == pytest.approx(
        [0.5, 0.2, 1.0], abs=0.012
    )


def test_a_gap_shorter_than_a_tenth_of_a_second_is_no_end():
    (piece,) = folder.pieces(torch.cat([tone(0.3), quiet(0.08), tone(0.3)]), RATE)
    assert float(measures.duration(piece, RATE)) == pytest.approx(0.68, abs=0.012)


def test_what_is_40_db_below_the_loudest_is_quiet():
    heard = torch.cat([tone(0.3), quiet(0.3), tone(0.3, level=0.3 * 10 ** (-37 / 20))])
    unheard = torch.cat([tone(0.3), quiet(0.3), tone(0.3, level=0.3 * 10 ** (-43 / 20))])
    assert [len(folder.pieces(wave, RATE)) for wave in (heard, unheard)] == [2, 1]


@pytest.mark.parametrize("noise_db", [-60, -40, -28])
def test_toots_in_noise_are_found_above_it(noise_db):
    wave = torch.cat([quiet(0.7), tone(0.5), quiet(0.4), tone(0.3), quiet(0.6)])
    found = folder.pieces(wave + noise(wave, 0.3 / math.sqrt(2) * 10 ** (noise_db / 20)), RATE)
    assert [len(piece) / RATE for piece in found] == pytest.approx([0.52, 0.32], abs=0.02)


def test_a_toot_without_a_pause_is_one_piece_of_at_most_a_window():
    (piece,) = folder.pieces(tone(5.0), RATE)
    assert len(piece) / RATE == pytest.approx(folder.LONGEST + 0.01, abs=0.02)
    assert abs(float(piece[-1])) < 1e-4  # cut off, but with no click
    # from the first sample to the last
    (steady,) = folder.pieces(0.2 * torch.sin(torch.arange(RATE) / 7), RATE)
    assert len(steady) == RATE


def test_clicks_silence_and_offsets_are_no_toots():
    click = quiet(1.0)
    click[5000:5020] = 0.9
    assert folder.pieces(click, RATE) == []
    assert folder.pieces(quiet(1.0), RATE) == []
    assert folder.pieces(quiet(1.0) + 0.25, RATE) == []
    assert folder.pieces(torch.tensor([0.5]), RATE) == []
    (piece,) = folder.pieces(torch.cat([quiet(0.5), tone(0.4), quiet(0.5)]) + 0.25, RATE)
    assert len(piece) / RATE == pytest.approx(0.42, abs=0.012)


def test_samples_beyond_all_bounds_are_brought_into_them():
    wave = torch.cat([quiet(0.2), tone(0.4), quiet(0.2)]) * 1e38
    (piece,) = folder.pieces(wave, RATE)
    assert bool(piece.isfinite().all()) and float(piece.abs().max()) <= 1.01


# Folders


def test_folders_are_labels_and_known_kinds_keep_their_scale(front_end, trumpet, tmp_path):
    put(tmp_path / "trumpet" / "a.flac", trumpet)
    put(tmp_path / "trumpet" / "session" / "b.wav", audio.resample(trumpet, RATE, 44100), 44100)
    put(
        tmp_path / "kazoo" / "c.ogg",
        torch.cat([quiet(0.2), tone(0.4, 500.0), quiet(0.3), tone(0.3, 500.0)]),
    )
    (tmp_path / "notes.txt").write_text("not a sound")
    (tmp_path / ".hidden").mkdir()
    put(tmp_path / ".hidden" / "x.wav", trumpet)
    put(tmp_path / "trumpet" / "._a.wav", trumpet)
    clips, report = folder.read_folder(tmp_path, front_end, known=tuple(KINDS.values()))
    assert (report.files, report.clips, report.problems) == (3, 4, ())
    assert [kind.name for kind in clips.kinds] == ["trumpet", "kazoo"]
    assert clips.kinds[0] == KINDS["trumpet"]
    assert clips.source == ("kazoo/c.ogg", "kazoo/c.ogg", "trumpet/a.flac", "trumpet/session/b.wav")
    cents = 1200 * np.log2(clips.controls.pitch / np.array([500.0, 500.0, 330.0, 330.0]))
    assert np.abs(cents).max() < 30  # estimated, a pitch track has steps of 10 cents
    # whatever the rate and format of the file
    same = clips.log_mel[2].float() - clips.log_mel[3].float()
    assert float(same[:, :30].abs().mean()) < 0.15


def test_recordings_without_labels_are_named_or_refused(front_end, trumpet, tmp_path):
    put(tmp_path / "loose.wav", trumpet)
    with pytest.raises(InputError, match="have no labels"):
        folder.read_folder(tmp_path, front_end)
    put(tmp_path / "trumpet" / "a.wav", trumpet)
    (tmp_path / "trumpet" / "b.m4a").write_bytes(b"x")
    problems = []
    (found,) = folder.list_folder(tmp_path, problems)
    assert found.path.name == "a.wav" and found.label == "trumpet" and math.isnan(found.pitch)
    assert len(problems) == 2 and "loose.wav" in problems[0] and "convert" in problems[1]


def test_an_empty_or_missing_folder_is_an_error(front_end, tmp_path):
    with pytest.raises(InputError, match="holds no recordings"):
        folder.read_folder(tmp_path, front_end)
    with pytest.raises(InputError, match="nowhere is no folder"):
        folder.read_folder(tmp_path / "nowhere", front_end)


def broken_files(where: Path, good: torch.Tensor) -> list[str]:
    """A file of every kind that goes wrong, and their names."""
    put(where / "cut.flac", good)
    content = (where / "cut.flac").read_bytes()
    (where / "cut.flac").write_bytes(content[:50])
    (where / "empty.wav").touch()
    (where / "words.mp3").write_text("no sound, only words " * 20)
    soundfile.write(where / "nan.wav", np.full(1000, np.nan), RATE, subtype="FLOAT")
    put(where / "silent.wav", quiet(0.5))
    put(where / "click.wav", torch.tensor([0.0, 0.9, 0.0]))
    return ["click.wav", "cut.flac", "empty.wav", "nan.wav", "silent.wav", "words.mp3"]


def test_broken_files_are_named_and_the_others_read(front_end, trumpet, tmp_path):
    put(tmp_path / "trumpet" / "good.wav", trumpet)
    names = broken_files(tmp_path / "trumpet", trumpet)
    (tmp_path / "manifest.csv").write_text(
        "path,label,pitch\n"
        + "".join(f"trumpet/{name},trumpet,330\n" for name in ["good.wav", *names, "gone.wav"])
    )
    clips, report = folder.read_folder(tmp_path, front_end)
    assert clips.source == ("trumpet/good.wav",) and report.clips == 1
    assert len(report.problems) == len(names) + 1
    for name, line in zip([*names, "gone.wav"], report.problems, strict=True):
        assert name in line and "left out" in line and "\n" not in line
        assert line in str(report)


def test_only_broken_files_are_an_error_that_tells_the_first(front_end, trumpet, tmp_path):
    (tmp_path / "trumpet").mkdir()
    broken_files(tmp_path / "trumpet", trumpet)
    with pytest.raises(InputError, match=r"no toot in any of 6 recordings.*click\.wav"):
        folder.read_folder(tmp_path, front_end)


def test_noise_has_no_pitch_and_is_named(front_end, trumpet, tmp_path):
    put(tmp_path / "wind" / "wind.wav", noise(quiet(0.5), 0.1))
    put(tmp_path / "trumpet" / "a.wav", trumpet)
    clips, report = folder.read_folder(tmp_path, front_end)
    assert [kind.name for kind in clips.kinds] == ["trumpet"]
    assert report.problems == (f"{tmp_path / 'wind/wind.wav'}: left out: no pitch was found",)


# Manifests


def listed(
    folder_: Path, text: str, encoding: str = "utf-8"
) -> tuple[list[folder.Recording], list[str]]:
    path = folder_ / "manifest.csv"
    path.write_bytes(text.encode(encoding))
    problems: list[str] = []
    return folder.read_manifest(path, problems), problems


def test_a_manifest_gives_label_pitch_and_source(tmp_path):
    found, problems = listed(
        tmp_path,
        "path,label,pitch,source\na.wav,tuba,A2,street\nsub/b.wav,tuba,87.5,\n\n"
        "c.wav,kazoo,,home\n",
    )
    assert problems == []
    assert [r.path for r in found] == [
        tmp_path / "a.wav",
        tmp_path / "sub/b.wav",
        tmp_path / "c.wav",
    ]
    assert [r.label for r in found] == ["tuba", "tuba", "kazoo"]
    assert [r.pitch for r in found] == pytest.approx([110.0, 87.5, math.nan], nan_ok=True)
    assert [r.source for r in found] == ["street", "sub/b.wav", "home"]


def test_a_manifest_may_give_midi_numbers_and_come_from_a_spreadsheet(tmp_path):
    found, problems = listed(
        tmp_path, "Path;Label;MIDI\r\ntröt.wav;tuba;69\r\nb.wav;tuba;56.5\r\n", "utf-8-sig"
    )
    assert problems == [] and found[0].path.name == "tröt.wav"
    assert [r.pitch for r in found] == pytest.approx([440.0, 440 * 2 ** (-12.5 / 12)])


def test_columns_that_mean_nothing_here_are_named_and_left_alone(tmp_path):
    found, problems = listed(tmp_path, "path,label,colour,pitch\na.wav,tuba,red,A2\n")
    assert found[0].pitch == pytest.approx(110.0) and found[0].source == "a.wav"
    assert len(problems) == 1 and problems[0].endswith("colour")


def test_rows_that_make_no_sense_are_told_by_line(tmp_path):
    found, problems = listed(
        tmp_path,
        "path,label,midi\na.wav,tuba,60\n,tuba,60\nb.wav,,60\nc.wav,tuba,loud\nd.wav,tuba\n",
    )
    assert [r.path.name for r in found] == ["a.wav"]
    assert [int(line.split("line ")[1].split(":")[0]) for line in problems] == [3, 4, 5, 6]
    assert "loud" in problems[2] and "2 fields, not 3" in problems[3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns .none."),
        ("path,label\n", "names no recordings"),
        ("file,label\na.wav,tuba\n", "columns file,label: give path"),
        ("path,pitch\na.wav,440\n", "columns path,pitch"),
        ("path,label,label\na.wav,tuba,tuba\n", "columns path,label,label"),
        ("path,label,pitch,midi\na.wav,tuba,440,69\n", "both pitch and midi"),
        ("path,label\n" + "x" * 200_000 + ",tuba\n", "line 2 is not CSV"),
    ],
)
def test_a_manifest_that_cannot_be_understood_is_an_error(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        listed(tmp_path, text)
    assert "manifest.csv" in str(error.value)


def test_a_manifest_that_is_no_text_or_missing_is_an_error(front_end, tmp_path):
    with pytest.raises(InputError, match="UTF-8"):
        listed(tmp_path, "path,label\ntröt.wav,tuba\n", "latin-1")
    with pytest.raises(InputError, match=r"gone\.csv cannot be read"):
        folder.read_folder(tmp_path / "gone.csv", front_end)


def test_a_manifest_of_any_name_can_be_given(front_end, trumpet, tmp_path):
    put(tmp_path / "a.wav", trumpet)
    (tmp_path / "mine.csv").write_text("path,label,midi,source\na.wav,bugle,64,attic\n")
    clips, _ = folder.read_folder(tmp_path / "mine.csv", front_end)
    assert clips.source == ("attic",) and clips.kinds[0].name == "bugle"
    assert clips.controls.pitch[0] == pytest.approx(329.628, abs=1e-3)  # as given, not as played
