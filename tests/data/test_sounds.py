"""Sounds of all sorts: where they come from, that they are loud and whole, and what is held out."""

import numpy as np
import pytest
import soundfile
import torch

from tootlearn.data import sounds
from tootlearn.dsp.front_end import WINDOW_SAMPLES
from tootlearn.errors import InputError

RATE = 22050


class Singer:
    """A sine of the note, whatever the program."""

    def __init__(self):
        self.played = []

    def play(self, program, midi, velocity, held, tail):
        self.played.append((program, midi))
        return np.sin(
            2 * np.pi * 440 * 2 ** ((midi - 69) / 12) * np.arange(held + tail) / RATE
        ).astype(np.float32)


@pytest.fixture
def singer(monkeypatch):
    one = Singer()
    monkeypatch.setattr(sounds, "open_font", lambda font, sample_rate, bright: one)
    return one


def gather(**asked):
    return sounds.gather(RATE, progress=False, **asked)


def test_toots_are_at_full_scale_and_every_sixth_is_held_out():
    found = gather(synthetic=24, seed=1)
    assert found.waves.shape == (24, WINDOW_SAMPLES) and found.waves.dtype == torch.int16
    assert found.waves.abs().amax(1).eq(32767).all()
    assert found.held_out.nonzero()[:, 0].tolist() == [0, 6, 12, 18]
    assert not torch.equal(found.waves, gather(synthetic=24, seed=2).waves)


def test_half_of_the_notes_are_brass_and_whole_semitones_are_held_out(singer):
    found = gather(sampled=60, font="any.sf2")
    programs = [program for program, _ in singer.played]
    assert sum(56 <= program <= 61 for program in programs) == 30
    assert not any(112 <= program < 120 for program in programs)  # drums
    held = [sounds.note_is_held_out(program, midi) for program, midi in singer.played]
    assert found.held_out.tolist() == held and 2 < sum(held) < 25
    # one semitone, one side
    assert sounds.note_is_held_out(56, 64.2) and sounds.note_is_held_out(56, 63.8)
    tubas = [midi for program, midi in singer.played if program == 58]
    assert max(tubas) < 60


def test_recordings_are_cut_into_windows_and_files_are_held_out_whole(tmp_path):
    (tmp_path / "deep").mkdir()
    tone = 0.1 * np.sin(np.arange(2 * WINDOW_SAMPLES + 500) / 9)
    for i in range(12):
        soundfile.write(tmp_path / f"deep/{i}.wav", tone, RATE)
    (tmp_path / "broken.wav").write_text("no sound")
    soundfile.write(tmp_path / "silent.wav", np.zeros(9000), RATE)
    problems = []
    found = gather(data=[tmp_path], problems=problems)
    # silence is left out
    assert len(found.waves) == 36 and len(problems) == 1 and "broken.wav" in problems[0]
    by_file = found.held_out.view(12, 3)
    assert torch.equal(by_file.all(1), by_file.any(1)) and 0 < int(by_file[:, 0].sum()) < 12


@pytest.mark.parametrize(
    ("make", "named"), [(lambda p: p / "none", "no folder"), (lambda p: p, "no recordings")]
)
def test_a_folder_without_sound_is_named(tmp_path, make, named):
    with pytest.raises(InputError, match=named):
        gather(data=[make(tmp_path)])


def test_the_synthesiser_has_one_rate():
    with pytest.raises(InputError, match="22050"):
        sounds.gather(16000, synthetic=12, progress=False)
