"""Notes of sound fonts: what is asked for, what is kept on disk and what it is labelled with.

A player that sings pure harmonics stands in for a font; the last tests play a real one where there
is one.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tootlearn.controls import ONSET_SAMPLES, hz_to_midi, midi_to_hz
from tootlearn.data import sampled
from tootlearn.data.recipes import KINDS
from tootlearn.dsp import measures
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError

RATE = 22050


class Singer:
    """Two harmonics, the second stronger with velocity, or strong as it was recorded; a tenth of a
    second to fade.
    """

    def __init__(self, bright=False):
        self.played = []
        self.bright = bright
        self.as_recorded = None if bright else Singer(bright=True)

    def play(self, program, midi, velocity, held, tail):
        self.played.append((program, midi, velocity, held))
        time = np.arange(held + tail) / RATE
        level = np.minimum(time / 0.005, 1) * np.exp(-np.clip(time - held / RATE, 0, None) / 0.02)
        phase = 2 * np.pi * midi_to_hz(midi) * time
        return (
            0.1
            * level
            * (np.sin(phase) + (1 if self.bright else velocity / 127) * np.sin(2 * phase))
        ).astype(np.float32)


@pytest.fixture
def singer(monkeypatch):
    one = Singer()
    monkeypatch.setattr(sampled, "renderer", lambda: "singer")
    monkeypatch.setattr(
        sampled,
        "open_font",
        lambda font, sample_rate, bright=False: one.as_recorded if bright else one,
    )
    return one


@pytest.fixture
def font(tmp_path):
    path = tmp_path / "Choir.sf2"
    path.write_bytes(b"a font")
    return path


@pytest.fixture(scope="module")
def front_end():
    return FrontEnd()


# What is asked for


def test_note_i_is_the_same_whatever_the_count():
    kinds = ["trumpet", "tuba"]
    many = sampled.notes(kinds, 40, seed=5)
    assert many[:7] == sampled.notes(kinds, 7, seed=5)
    assert many != sampled.notes(kinds, 40, seed=6)
    assert [note.kind for note in many[:4]] == ["trumpet", "tuba", "trumpet", "tuba"]
    assert len({note.midi for note in many}) == 40


def test_notes_fill_the_ranges_of_the_recipe_or_those_given():
    drawn = sampled.notes(["trumpet"], 300, seed=1)
    low, high = hz_to_midi(np.array(KINDS["trumpet"].pitch))
    midi = np.array([note.midi for note in drawn])
    assert low <= midi.min() < low + 1 and high - 1 < midi.max() <= high
    assert {note.velocity for note in drawn} <= set(range(24, 128)) and len(
        {note.velocity for note in drawn}
    ) > 80
    assert (
        -36 <= min(note.loudness for note in drawn) < -35
        and -7 < max(note.loudness for note in drawn) <= -6
    )
    duration = np.array([note.duration for note in drawn])
    shortest, longest = KINDS["trumpet"].duration
    assert shortest <= duration.min() and duration.max() <= longest
    # even in the logarithm
    assert np.mean(duration < np.sqrt(shortest * longest)) == pytest.approx(0.5, abs=0.1)
    given = sampled.notes(["trumpet", "tuba"], 50, seed=1, ranges={"tuba": (30, 31)})
    assert all(30 <= note.midi <= 31 for note in given if note.kind == "tuba")
    assert [n for n in given if n.kind == "trumpet"] == [
        n for n in sampled.notes(["trumpet", "tuba"], 50, seed=1) if n.kind == "trumpet"
    ]


def test_the_share_that_is_asked_for_is_played_as_recorded_and_all_else_stays():
    plain, some, all_of_them = (
        sampled.notes(["tuba"], 400, seed=2, bright=share) for share in (0.0, 0.4, 1.0)
    )
    assert not any(note.bright for note in plain) and all(note.bright for note in all_of_them)
    assert np.mean([note.bright for note in some]) == pytest.approx(0.4, abs=0.08)
    assert [replace(note, bright=False) for note in some] == plain


# Labels


def test_clips_are_labelled_with_the_note_and_what_is_measured(singer, font, front_end, tmp_path):
    kinds = ["trumpet", "tuba"]
    clips = sampled.clips(font, kinds, 12, 3, front_end, cache_dir=tmp_path / "kept")
    asked = sampled.notes(kinds, 12, 3)
    assert [clips.kinds[k].name for k in clips.controls.kind] == [note.kind for note in asked]
    np.testing.assert_allclose(
        clips.controls.pitch, [midi_to_hz(note.midi) for note in asked], rtol=1e-12
    )
    np.testing.assert_allclose(
        clips.controls.loudness, [note.loudness for note in asked], atol=0.15
    )
    fading = 0.02 * np.log(100)  # to -40 dB
    np.testing.assert_allclose(
        clips.controls.duration, [n.duration + fading for n in asked], atol=0.012
    )
    assert clips.source == tuple(f"Choir-{note.kind}-{round(note.midi)}" for note in asked)
    assert clips.kinds[0] == KINDS["trumpet"]
    assert (
        clips.log_mel.shape == (12, 128, WINDOW_SAMPLES // 256)
        and clips.log_mel.dtype == torch.float16
    )
    level = clips.log_mel.float().logsumexp(1)
    onset = (level > level.amax(1, keepdim=True) - np.log(100)).float().argmax(1)
    centre = 256 * onset  # of the first frame that hears the toot, through a window of 1024 samples
    assert centre.min() > ONSET_SAMPLES - 512 and centre.max() <= ONSET_SAMPLES


def test_a_note_that_is_played_as_recorded_is_labelled_with_its_brightness(
    singer, font, front_end, tmp_path
):
    of = [
        sampled.clips(font, ["tuba"], 8, 3, front_end, bright=b, cache_dir=tmp_path / "kept")
        for b in (0.0, 1.0)
    ]
    soft, bright = (clips.controls.brightness for clips in of)
    velocity = np.array([note.velocity for note in sampled.notes(["tuba"], 8, 3)])
    assert (bright > soft).all() and np.corrcoef(bright - soft, velocity)[0, 1] < -0.9


def test_notes_at_full_scale_are_turned_down_rather_than_clipped(singer, font, tmp_path):
    loud = [sampled.Note("tuba", 40.0, 100, 0.3, loudness=3.0)]
    (wave,) = sampled._waves(font, loud, RATE, tmp_path)
    assert 0.97 < float(wave.abs().max()) <= 0.981


def test_silent_notes_are_left_out_by_name(singer, font, front_end, tmp_path, monkeypatch):
    play = singer.play
    monkeypatch.setattr(
        singer, "play", lambda program, *rest: play(program, *rest) * (program != 58)
    )
    problems = []
    clips = sampled.clips(
        font, ["trumpet", "tuba"], 6, 3, front_end, cache_dir=tmp_path / "kept", problems=problems
    )
    assert len(clips) == 3 and {kind.name for kind in clips.kinds} == {"trumpet"}
    assert len(problems) == 3 and all(
        "Choir-tuba-" in line and "silent" in line for line in problems
    )


# What is kept


@pytest.mark.parametrize(
    "change", [{"midi": 40.01}, {"velocity": 99}, {"duration": 0.31}, {"bright": True}]
)
def test_every_part_of_a_note_tells_entries_apart_but_its_loudness(singer, font, tmp_path, change):
    note = sampled.Note("tuba", 40.0, 100, 0.3, -20.0)
    for asked in (note, replace(note, **change), replace(note, loudness=-26.0)):
        (wave,) = sampled._waves(font, [asked], RATE, tmp_path / "kept")
        assert float(measures.loudness(wave, RATE)) == pytest.approx(asked.loudness, abs=0.01)
    assert len(singer.played) + len(singer.as_recorded.played) == 2


def kept_waves(font, folder, count=5, seed=2, rate=RATE):
    return list(sampled._waves(font, sampled.notes(["tuba"], count, seed), rate, folder))


def test_what_was_rendered_is_read_again_to_the_bit(singer, font, tmp_path):
    folder = tmp_path / "new" / "kept"
    first = kept_waves(font, folder)
    assert len(singer.played) == 5 and len(list(folder.iterdir())) == 1
    again = kept_waves(font, folder)
    assert len(singer.played) == 5
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_long_set_is_kept_in_blocks_that_a_longer_one_shares(singer, font, tmp_path, monkeypatch):
    monkeypatch.setattr(sampled, "_IN_A_FILE", 4)
    first = kept_waves(font, tmp_path / "kept", count=9)
    assert len(list((tmp_path / "kept").iterdir())) == 3
    longer = kept_waves(font, tmp_path / "kept", count=12)
    assert len(singer.played) == 9 + 4  # the last block alone is new
    assert all(torch.equal(a, b) for a, b in zip(first, longer, strict=False))


def test_another_font_request_or_rate_is_rendered_anew(singer, font, tmp_path, monkeypatch):
    folder = tmp_path / "kept"
    kept_waves(font, folder)
    kept_waves(font, folder, seed=3)
    kept_waves(font, folder, rate=16000)
    other = tmp_path / "other" / "Choir.sf2"  # the same name, other bytes
    other.parent.mkdir()
    other.write_bytes(b"another font")
    kept_waves(other, folder)
    monkeypatch.setattr(sampled, "renderer", lambda: "another")
    kept_waves(font, folder)
    assert len(singer.played) == 25 and len(list(folder.iterdir())) == 5
    moved = tmp_path / "moved.sf2"
    moved.write_bytes(font.read_bytes())
    kept_waves(moved, folder)  # the same bytes under another name
    assert len(singer.played) == 25


@pytest.mark.parametrize("damage", ["a bit", "cut", "empty", "header", "no key"])
def test_a_damaged_entry_is_rendered_again(singer, font, tmp_path, damage):
    from safetensors.numpy import save

    first = kept_waves(font, tmp_path / "kept")
    (entry,) = (tmp_path / "kept").iterdir()
    whole = entry.read_bytes()
    content = {
        "a bit": whole[:-1001] + bytes([whole[-1001] ^ 1]) + whole[-1000:],
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "header": b"\xff" * 8 + whole[8:],
        "no key": save({"samples": np.zeros(3)}),
    }[damage]
    entry.write_bytes(content)
    again = kept_waves(font, tmp_path / "kept")
    assert len(singer.played) == 10
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert entry.read_bytes() == whole


def test_a_named_folder_that_takes_no_file_is_an_error_and_the_default_one_is_none(
    singer, font, tmp_path, monkeypatch
):
    blocked = tmp_path / "a file"
    blocked.touch()
    with pytest.raises(InputError, match="a file"):
        kept_waves(font, blocked)
    monkeypatch.setattr(sampled, "cache_folder", lambda: blocked)
    assert len(kept_waves(font, None)) == 5


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "x/tootlearn"),
        ("win32", "LOCALAPPDATA", "x/tootlearn"),
        ("darwin", None, "Caches"),
    ],
)
def test_the_default_folder_is_the_systems(monkeypatch, platform, variable, expected):
    monkeypatch.setattr(sampled, "sys", SimpleNamespace(platform=platform))
    if variable:
        monkeypatch.setenv(variable, "x")
    assert expected in sampled.cache_folder().as_posix()


def test_a_font_that_is_missing_is_named(singer, front_end, tmp_path):
    with pytest.raises(InputError, match="nowhere.sf2"):
        sampled.clips(tmp_path / "nowhere.sf2", ["tuba"], 1, 0, front_end, cache_dir=tmp_path)
