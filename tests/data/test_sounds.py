"""Sounds of all sorts, and pieces of them: where they come from, how loud they are, and what is
held out.
"""

import numpy as np
import pytest
import soundfile
import torch

from tootlearn.data import sounds
from tootlearn.data.sounds import Pieces
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.errors import InputError

RATE = 22050
LENGTH = 4096  # samples of a piece


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


def collect(**asked):
    return sounds.collect_sounds(RATE, progress=False, **asked)


def test_toots_are_at_full_scale_and_every_sixth_is_held_out():
    found = collect(synthetic=24, seed=1)
    assert found.waves.shape == (24, WINDOW_SAMPLES) and found.waves.dtype == torch.int16
    assert found.waves.abs().amax(1).eq(32767).all()
    assert found.held_out.nonzero()[:, 0].tolist() == [0, 6, 12, 18]
    assert not torch.equal(found.waves, collect(synthetic=24, seed=2).waves)


def test_half_of_the_notes_are_brass_and_whole_semitones_are_held_out(singer):
    found = collect(sampled=60, font="any.sf2")
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
    found = collect(data=[tmp_path], problems=problems)
    # silence is left out
    assert len(found.waves) == 36 and len(problems) == 1 and "broken.wav" in problems[0]
    by_file = found.held_out.view(12, 3)
    assert torch.equal(by_file.all(1), by_file.any(1)) and 0 < int(by_file[:, 0].sum()) < 12


@pytest.mark.parametrize(
    ("make", "named"), [(lambda p: p / "none", "not a folder"), (lambda p: p, "no recordings")]
)
def test_a_folder_without_sound_is_named(tmp_path, make, named):
    with pytest.raises(InputError, match=named):
        collect(data=[make(tmp_path)])


def test_the_synthesiser_has_one_rate():
    with pytest.raises(InputError, match="22050"):
        sounds.collect_sounds(16000, synthetic=12, progress=False)


# Pieces


def tones(count: int = 6, samples: int = 45056) -> torch.Tensor:
    """Sines that sound for a third of the window each, at other places."""
    time = torch.arange(samples)
    waves = torch.stack([torch.sin(0.05 * (i + 1) * time) for i in range(count)])
    start = torch.arange(count)[:, None] * 4000
    return (32767 * waves * ((time >= start) & (time < start + 15000))).to(torch.int16)


def pieces(share: float, seed: int = 0) -> Pieces:
    return Pieces(tones(), RATE, 64, LENGTH, share, seed)


def test_a_step_has_the_same_pieces_whenever_it_comes():
    one, other = pieces(0.4), pieces(0.4)
    other(3)
    assert torch.equal(one(7), other(7))
    assert not torch.equal(one(7), one(8)) and not torch.equal(one(7), pieces(0.4, seed=1)(7))


def test_pieces_sound_and_their_peaks_lie_within_30_db_of_full_scale():
    peaks = 20 * pieces(0.4)(0).abs().amax(1).log10()
    assert peaks.shape == (64,) and float(peaks.min()) > -30.01 and float(peaks.max()) <= 0.01
    assert float(peaks.std()) > 5


def test_without_augmentation_a_piece_is_a_piece_of_one_sound():
    for piece in pieces(0.0)(0)[:8]:
        spectrum = torch.fft.rfft(piece * torch.hann_window(LENGTH)).abs()
        loudest = float(spectrum.argmax()) * 2 * torch.pi / LENGTH
        assert min(abs(loudest - 0.05 * (i + 1)) for i in range(6)) < 2e-3
        beside = spectrum.clone()
        beside[max(int(spectrum.argmax()) - 60, 0) : int(spectrum.argmax()) + 60] = 0
        assert float(beside.max()) < 0.03 * float(spectrum.max())  # a second sound would stand out


def test_noise_and_second_sounds_are_put_in():
    clean, changed = pieces(0.0)(0), pieces(1.0)(0)

    def spread(x):  # how many bins hold the energy of each piece
        power = torch.fft.rfft(x).abs().square()
        return float((power.sum(1).square() / power.square().sum(1)).mean())

    assert spread(changed) > 1.2 * spread(clean)
    assert changed.isfinite().all()


def test_a_room_goes_on_when_the_sound_has_ended(monkeypatch):
    """After a burst there is silence, and in a room its reverberation."""
    monkeypatch.setattr(
        Pieces, "_noise", lambda self, slope, generator: torch.zeros(len(slope), self.length)
    )
    burst = torch.zeros(6, 45056)
    burst[:, 1000:2000] = (
        torch.randn(6, 1000, generator=torch.Generator().manual_seed(0)).clamp(-3, 3) / 3
    )
    heard = [
        Pieces((32767 * burst).to(torch.int16), RATE, 64, LENGTH, share)(0) for share in (0.0, 1.0)
    ]
    dry, wet = ((x[:, -500:].abs().amax(1) > 1e-4).float().mean() for x in heard)
    assert dry == 0 and wet > 0.8
