"""Public data sets: their layouts, made here from tones, and the classes taken from them."""

import json
import math

import pytest
import torch

from tootlearn.controls import midi_to_hz
from tootlearn.data import public
from tootlearn.dsp import audio
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError

RATE = 16000


@pytest.fixture(scope="module")
def front_end():
    return FrontEnd()


def tone(path, hertz=330.0):
    time = torch.arange(round(0.3 * RATE)) / RATE
    wave = (
        0.2
        * torch.sin(2 * torch.pi * hertz * time)
        * torch.minimum(time, time.flip(0)).div(0.01).clamp_max(1)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.save_audio(path, torch.cat([torch.zeros(2000), wave, torch.zeros(2000)]), RATE)


@pytest.fixture
def esc50(tmp_path):
    rows = [
        ("1-100-A-43.wav", 1, 43, "car_horn", "False", 100, "A"),
        ("1-100-B-43.wav", 1, 43, "car_horn", "False", 100, "B"),
        ("2-200-A-45.wav", 2, 45, "train", "False", 200, "A"),
        ("1-300-A-0.wav", 1, 0, "dog", "True", 300, "A"),
    ]
    (tmp_path / "meta").mkdir()
    header = "filename,fold,target,category,esc10,src_file,take\n"
    text = header + "".join(",".join(map(str, row)) + "\n" for row in rows)
    (tmp_path / "meta/esc50.csv").write_text(text)
    for row in rows:
        tone(tmp_path / "audio" / row[0])
    return tmp_path


@pytest.fixture
def urbansound(tmp_path):
    rows = [
        ("1-1-0-0.wav", 1, 0.0, 0.4, 1, 5, 1, "car_horn"),
        ("1-1-0-1.wav", 1, 1.0, 1.4, 2, 5, 1, "car_horn"),  # in the background
        ("2-1-0-0.wav", 2, 0.0, 0.4, 1, 10, 1, "car_horn"),
        ("3-8-0-0.wav", 3, 0.0, 0.4, 1, 1, 8, "siren"),
    ]
    (tmp_path / "metadata").mkdir()
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
    text = header + "".join(",".join(map(str, row)) + "\n" for row in rows)
    (tmp_path / "metadata/UrbanSound8K.csv").write_text(text)
    for row in rows:
        tone(tmp_path / f"audio/fold{row[5]}" / row[0])
    return tmp_path


@pytest.fixture
def nsynth(tmp_path):
    index = {}
    for family, number, pitch in (
        ("brass", 0, 52),
        ("brass", 0, 64),
        ("brass", 7, 60),
        ("guitar", 1, 60),
    ):
        instrument = f"{family}_acoustic_{number:03d}"
        name = f"{instrument}-{pitch:03d}-100"
        index[name] = {
            "note_str": name,
            "instrument_str": instrument,
            "instrument_family_str": family,
            "pitch": pitch,
            "velocity": 100,
        }
        tone(tmp_path / "audio" / f"{name}.wav", midi_to_hz(pitch))
    (tmp_path / "examples.json").write_text(json.dumps(index))
    return tmp_path


def test_esc50_gives_its_horns_and_trains_by_recording(esc50):
    assert public.detect_data_set(esc50) == "ESC-50"
    found = public.list_recordings(esc50, "ESC-50", public.CLASSES["ESC-50"])
    assert [(r.path.name, r.label, r.source) for r in found] == [
        ("1-100-A-43.wav", "car_horn", "ESC-50-100"),
        ("1-100-B-43.wav", "car_horn", "ESC-50-100"),
        ("2-200-A-45.wav", "train", "ESC-50-200"),
    ]
    assert all(r.path.is_file() and math.isnan(r.pitch) for r in found)


def test_urbansound_gives_the_horns_in_the_foreground(urbansound):
    assert public.detect_data_set(urbansound) == "UrbanSound8K"
    found = public.list_recordings(urbansound, "UrbanSound8K", public.CLASSES["UrbanSound8K"])
    assert [(r.path.parent.name, r.path.name, r.source) for r in found] == [
        ("fold5", "1-1-0-0.wav", "UrbanSound8K-1"),
        ("fold10", "2-1-0-0.wav", "UrbanSound8K-2"),
    ]
    assert all(r.path.is_file() for r in found)


def test_nsynth_gives_brass_with_its_pitch_by_instrument(nsynth, front_end):
    assert public.detect_data_set(nsynth) == "NSynth"
    clips, report = public.read_public_set(nsynth, front_end)
    assert (report.files, report.clips, report.problems) == (3, 3, ())
    assert clips.controls.pitch.tolist() == pytest.approx([midi_to_hz(m) for m in (52, 64, 60)])
    assert clips.source == ("NSynth-brass_acoustic_000",) * 2 + ("NSynth-brass_acoustic_007",)
    assert [kind.name for kind in clips.kinds] == ["brass"]
    learn, held_out = clips.split("source")
    assert set(learn.source).isdisjoint(held_out.source) and len(learn) and len(held_out)


def test_pitch_is_estimated_where_the_data_set_has_none(esc50, front_end):
    clips, _ = public.read_public_set(esc50, front_end, classes={"train": "train_horn"})
    assert [kind.name for kind in clips.kinds] == ["train_horn"]
    assert clips.controls.pitch.tolist() == pytest.approx([330.0], rel=0.01)


def test_files_that_are_missing_are_named(nsynth, front_end):
    (nsynth / "audio/brass_acoustic_000-064-100.wav").unlink()
    clips, report = public.read_public_set(nsynth, front_end)
    assert len(clips) == 2
    (line,) = report.problems
    assert "brass_acoustic_000-064-100.wav does not exist" in line


def test_so_many_files_of_each_class_are_taken_from_all_over_the_index(nsynth, front_end):
    clips, report = public.read_public_set(
        nsynth, front_end, classes={"brass": "brass", "guitar": "guitar"}, count=2
    )
    assert report.files == 3
    assert clips.source == (
        "NSynth-brass_acoustic_000",
        "NSynth-brass_acoustic_000",
        "NSynth-guitar_acoustic_001",
    )
    few = public._spread(list(range(100)), 4)
    assert few == [0, 25, 50, 75] and public._spread([1, 2], 5) == [1, 2]


def test_another_folder_is_refused_with_what_was_looked_for(tmp_path, front_end):
    assert public.detect_data_set(tmp_path) is None
    with pytest.raises(InputError, match=r"meta/esc50\.csv \(ESC-50\)"):
        public.read_public_set(tmp_path, front_end)


def test_classes_that_it_does_not_have_are_named(esc50, front_end):
    with pytest.raises(InputError, match="nothing of the classes tuba"):
        public.read_public_set(esc50, front_end, classes={"tuba": "tuba"})


@pytest.mark.parametrize(
    ("index", "content"),
    [
        ("examples.json", b"{"),
        ("examples.json", b"[1, 2]"),
        ("examples.json", b'{"a": 3}'),
        ("examples.json", b'{"a": {"instrument_family_str": "brass"}}'),
        ("meta/esc50.csv", b"name,class\na.wav,car_horn\n"),
        ("meta/esc50.csv", b"\xff\xfe\x00"),
        ("metadata/UrbanSound8K.csv", b"class,salience\ncar_horn,1\n"),
    ],
)
def test_a_broken_index_is_named(tmp_path, front_end, index, content):
    path = tmp_path / index
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not the index of") as error:
        public.read_public_set(tmp_path, front_end)
    assert path.name in str(error.value)


def test_every_data_set_has_a_licence_note():
    assert set(public.LICENCES) == set(public.CLASSES)
    for name, licence in public.LICENCES.items():
        assert name in public.__doc__ and licence in public.__doc__
