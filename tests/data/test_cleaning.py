"""Noise reduction for files: as for waves, under the same names, and nothing is overwritten."""

import pytest
import torch

from tootlearn.data import cleaning
from tootlearn.data.cleaning import clean_file, clean_folder
from tootlearn.dsp import audio
from tootlearn.dsp.denoising import clean
from tootlearn.errors import InputError

RATE = 22050


def noise(count: int, seed: int = 0) -> torch.Tensor:
    return 0.01 * torch.randn(count, generator=torch.Generator().manual_seed(seed))


def write_tone(path, count: int = RATE, rate: int = RATE) -> None:
    """A tone in the middle third of noise."""
    tone = 0.3 * torch.sin(0.1 * torch.arange(count))
    tone[: count // 3] = tone[-(count // 3) :] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.save_audio(path, tone + noise(count), rate)


@pytest.mark.parametrize("rate", [RATE, 16000])
def test_a_file_is_cleaned_as_its_wave_is_at_its_rate(tmp_path, rate):
    write_tone(tmp_path / "a.wav", rate=rate)
    clean_file(tmp_path / "a.wav", tmp_path / "b.wav")
    wave, out_rate = audio.load_audio(tmp_path / "b.wav")
    assert out_rate == rate
    expected = clean(audio.load_audio(tmp_path / "a.wav")[0], rate)
    torch.testing.assert_close(wave, expected, atol=2 / 32768, rtol=0)


def test_a_recording_of_noise_is_brought_to_the_rate_of_the_file(tmp_path, monkeypatch):
    lengths = []

    def recorded(wave, rate, given):
        lengths.append((rate, len(given)))
        return wave

    monkeypatch.setattr(cleaning, "clean", recorded)
    write_tone(tmp_path / "a.wav")
    audio.save_audio(tmp_path / "noise.wav", noise(2 * RATE, seed=1), 2 * RATE)
    clean_file(tmp_path / "a.wav", tmp_path / "b.wav", tmp_path / "noise.wav")
    assert lengths == [(RATE, RATE)]


def test_a_folder_keeps_its_names_and_reports_what_cannot_be_read(tmp_path):
    source, target, problems = tmp_path / "in", tmp_path / "out", []
    write_tone(source / "horn/a.wav")
    write_tone(source / ".hidden/b.wav")
    (source / "horn/letter.wav").write_text("Dear sir")
    (source / "manifest.csv").write_text("path,label\nhorn/a.wav,horn\n")
    assert clean_folder(source, target, None, problems) == (1, 2)
    written = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert written == {"horn/a.wav", "manifest.csv"}
    assert len(problems) == 1 and "letter.wav" in problems[0]


def test_a_folder_is_not_cleaned_into_itself_or_a_file(tmp_path):
    source = tmp_path / "in"
    write_tone(source / "a.wav")
    before = (source / "a.wav").read_bytes()
    for target in (source, source / "out"):
        with pytest.raises(InputError, match="give a folder outside it"):
            clean_folder(source, target, None, [])
    with pytest.raises(InputError, match="is a file"):
        clean_folder(source, source / "a.wav", None, [])
    with pytest.raises(InputError, match="holds no recordings"):
        (tmp_path / "empty").mkdir()
        clean_folder(tmp_path / "empty", tmp_path / "out", None, [])
    assert (source / "a.wav").read_bytes() == before
