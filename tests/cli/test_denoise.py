"""`tootlearn denoise`: a recording and a folder of them."""

import numpy as np
import pytest
import soundfile
import torch

from tootlearn import rng
from tootlearn.dsp import audio


@pytest.fixture
def noisy(tmp_path):
    """A tone of 1 s in 2 s of noise, in a folder of its kind, and a second of other noise. Returns
    tone and mix.
    """
    both = torch.from_numpy(rng.normal(1, 0, 3 * 22050)).float() * 0.01
    tone = torch.zeros(2 * 22050)
    tone[11025:33075] = 0.3 * torch.sin(2 * torch.pi * 440 * torch.arange(22050) / 22050)
    (tmp_path / "mine/horn").mkdir(parents=True)
    audio.save_audio(tmp_path / "mine/horn/a.wav", tone + both[: len(tone)], 22050)
    audio.save_audio(tmp_path / "noise.wav", both[len(tone) :], 22050)
    return tone, tone + both[: len(tone)]


@pytest.mark.parametrize("words", [(), ("--noise", "noise.wav")])
def test_a_recording_is_cleaned(run, tmp_path, noisy, words):
    tone, mix = noisy
    before = (tmp_path / "mine/horn/a.wav").read_bytes()
    done = run("denoise", "mine/horn/a.wav", "clean.flac", *words)
    assert done.status == 0 and "clean.flac" in done.out and done.err == ""
    wave, rate = audio.load_audio(tmp_path / "clean.flac")
    assert rate == 22050 and float((wave - tone).norm()) < 0.2 * float((mix - tone).norm())
    assert (tmp_path / "mine/horn/a.wav").read_bytes() == before


def test_a_folder_is_cleaned_under_the_same_names_and_what_cannot_be_is_told(run, tmp_path, noisy):
    (tmp_path / "mine/manifest.csv").write_text("path,label\nhorn/a.wav,horn\n")
    (tmp_path / "mine/horn/letter.wav").write_text("Dear sir")
    (tmp_path / "mine/horn/b.m4a").write_text("?")
    (tmp_path / "mine/.hidden.wav").write_text("?")
    soundfile.write(tmp_path / "mine/c.aiff", np.zeros((500, 2)), 44100)
    done = run("denoise", "mine", "cleaned/all")
    assert done.status == 0 and "2 of 4 recordings" in done.out
    assert "letter.wav" in done.err and "b.m4a" in done.err and done.err.count("\n") == 2
    out = tmp_path / "cleaned/all"
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert written == {"horn/a.wav", "c.aiff.wav", "manifest.csv"}
    assert (out / "manifest.csv").read_bytes() == (tmp_path / "mine/manifest.csv").read_bytes()
    assert float((audio.load_audio(out / "horn/a.wav")[0] - noisy[0]).norm()) < 0.2 * float(
        (noisy[1] - noisy[0]).norm()
    )


def test_recordings_are_not_overwritten(refused, tmp_path, noisy):
    assert "mine is in mine, which must not change" in refused("denoise", "mine", "mine")
    assert "horn is a folder: name the file" in refused("denoise", "mine/horn/a.wav", "mine/horn")
    (tmp_path / "file").write_text("mine")
    assert "file is a file: give a folder" in refused("denoise", "mine", "file")
