"""Provenance: what a model file says, and what it keeps to itself."""

from dataclasses import dataclass

import pytest
import torch

from tootlearn.data import sound_font
from tootlearn.data.sounds import Sounds
from tootlearn.errors import InputError
from tootlearn.training import provenance as module
from tootlearn.training.provenance import describe_sounds, licence, provenance


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...] = ("home/me/takes", "other/horns/")
    font: str | None = "fonts/FluidR3.sf3"
    start_from: str | None = None
    seed: int = 3
    steps: int = 7


def test_it_has_names_and_no_paths():
    found = provenance(Config(), "12 clips", {"error": 0.5}, 61.6, "MIT")
    assert found["config"]["data"] == ["takes", "horns"]
    assert found["config"]["font"] == "FluidR3.sf3" and found["config"]["start_from"] is None
    assert (found["seed"], found["steps"], found["seconds"]) == (3, 7, 62)
    assert found["held_out"] == {"error": 0.5} and found["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("sources", "start", "named"),
    [
        ((True, False, None, ()), "MIT; trained on sounds that", "synthesises"),
        ((True, True, "a/FluidR3Mono_GM.sf3", ()), "MIT; ", "Frank Wen"),
        ((True, True, "a/other.sf2", ()), "trained on ", "other.sf2, whose licence applies"),
        (
            (False, False, None, ("home/me/kazoo",)),
            "trained on ",
            "recordings of kazoo, whose rights",
        ),
        ((False, False, None, (), True), "trained on ", "what the first model was trained on"),
    ],
)
def test_only_what_is_ours_or_free_is_under_the_licence_of_the_package(sources, start, named):
    found = licence(*sources)
    assert found.startswith(start) and named in found and "home/me" not in found


def test_a_public_data_set_is_named_with_its_licence(tmp_path):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/esc50.csv").write_text("filename,category,src_file\n")
    assert "ESC-50, CC BY-NC 3.0" in licence(True, False, None, (str(tmp_path),))


def test_a_font_that_is_not_there_is_no_error(monkeypatch):
    def missing():
        raise InputError("none")

    monkeypatch.setattr(module, "find_font", missing)
    assert "a sound font" in licence(False, True, None, ())
    assert sound_font.find_font is not missing


def test_sounds_are_counted_and_named():
    sounds = Sounds(torch.ones(12, 4, dtype=torch.int16), torch.arange(12) % 6 == 0)
    found = describe_sounds(sounds, 6, 4, "a/b.sf2", ("home/me/mine",), "toots, twice as fast")
    assert found == (
        "12 windows of 6 toots, twice as fast, 4 notes of the instruments of b, "
        "the recordings in mine; 2 of them held out"
    )
