import errno
import math
import os
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from tootlearn import files
from tootlearn.dsp import audio
from tootlearn.errors import InputError

RATE = 22050


def tone(hz: float, seconds: float = 0.5, rate: int = RATE, gain: float = 0.5) -> torch.Tensor:
    return (
        gain
        * torch.sin(
            2 * math.pi * hz * torch.arange(int(seconds * rate), dtype=torch.float64) / rate
        )
    ).float()


def loudest_hz(wave: torch.Tensor, rate: int) -> float:
    spectrum = torch.fft.rfft(wave * torch.hann_window(len(wave)), n=1 << 18).abs()
    return float(spectrum.argmax()) * rate / (1 << 18)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_16_bit_files_keep_every_sample_to_half_a_step(tmp_path, suffix):
    wave = tone(440)
    audio.save_audio(tmp_path / f"a{suffix}", wave, RATE)
    back, rate = audio.load_audio(tmp_path / f"a{suffix}")
    assert rate == RATE and back.dtype == torch.float32 and back.shape == wave.shape
    assert (back - wave).abs().max() <= audio.STEP_16_BIT / 2
    assert soundfile.info(tmp_path / f"a{suffix}").subtype == "PCM_16"


@given(
    st.lists(st.integers(-32768, 32767), min_size=1, max_size=300),
    st.sampled_from([8000, 22050, 48000]),
)
def test_every_16_bit_value_comes_back_exactly(tmp_path_factory, samples, rate):
    path = tmp_path_factory.mktemp("exact") / "a.wav"
    wave = torch.tensor(samples) / 32768
    audio.save_audio(path, wave, rate)
    back, back_rate = audio.load_audio(path)
    assert torch.equal(back, wave) and back_rate == rate


@pytest.mark.parametrize("suffix", [".ogg", ".mp3"])
def test_lossy_files_keep_pitch_and_level(tmp_path, suffix):
    wave = tone(440, 1.0)
    audio.save_audio(tmp_path / f"a{suffix}", wave.numpy(), RATE)  # arrays are welcome, too
    back, rate = audio.load_audio(tmp_path / f"a{suffix}")
    assert rate == RATE and abs(len(back) - len(wave)) < 0.1 * RATE
    assert loudest_hz(back, RATE) == pytest.approx(440, abs=0.5)
    assert audio.rms_db(back[2000:-4000]) == pytest.approx(float(audio.rms_db(wave)), abs=0.3)


def test_long_ogg_is_written_in_blocks(tmp_path):
    audio.save_audio(tmp_path / "a.ogg", 0.1 * torch.randn(400_000), RATE)
    assert len(audio.load_audio(tmp_path / "a.ogg")[0]) == 400_000


def test_stereo_8_bit_wav_is_mixed_to_mono(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.tile([[0.5, -0.25]], (100, 1)), 8000, subtype="PCM_U8")
    wave, rate = audio.load_audio(tmp_path / "a.wav")
    assert rate == 8000
    torch.testing.assert_close(wave, torch.full((100,), 0.125), atol=1 / 128, rtol=0)


def test_load_resamples(tmp_path):
    audio.save_audio(tmp_path / "a.wav", tone(1000, rate=44100), 44100)
    wave, rate = audio.load_audio(str(tmp_path / "a.wav"), RATE)
    assert rate == RATE and len(wave) == RATE // 2
    torch.testing.assert_close(wave[500:-500], tone(1000)[500:-500], atol=1e-3, rtol=0)


def bad_file(folder: Path, what: str) -> Path:
    path = folder / "bad.wav"
    match what:
        case "missing":
            pass
        case "directory":
            path.mkdir()
        case "empty":
            path.touch()
        case "text":
            path.write_text("no audio, only words\n" * 50)
        case "raw":
            path = folder / "bad.raw"
            path.write_bytes(bytes(1000))
        case "no samples":
            soundfile.write(path, np.zeros(0), RATE)
        case "nan":
            soundfile.write(path, np.array([0.0, np.nan, 0.0]), RATE, subtype="FLOAT")
        case "infinite":
            soundfile.write(path, np.array([0.0, -np.inf, 0.0]), RATE, subtype="FLOAT")
        case "truncated":
            soundfile.write(path, np.zeros(1000), RATE)
            path.write_bytes(path.read_bytes()[:20])
    return path


KINDS_OF_BAD = [
    "missing",
    "directory",
    "empty",
    "text",
    "raw",
    "no samples",
    "nan",
    "infinite",
    "truncated",
]


@pytest.mark.parametrize("what", KINDS_OF_BAD)
def test_a_bad_file_is_named_in_one_line(tmp_path, what):
    path = bad_file(tmp_path, what)
    with pytest.raises(InputError) as error:
        audio.load_audio(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert ": " in str(error.value).replace(str(path), "")  # what happened, then what to do


@pytest.mark.parametrize(
    ("name", "wave"),
    [
        ("a.wav", torch.tensor([0.0, math.nan])),
        ("a.wav", torch.tensor([0.0, math.inf])),
        ("a.wav", torch.tensor([0.0, 1.0001])),
        ("a.wav", torch.tensor([0.0, -1.0001])),
        ("a.wav", torch.zeros(2, 100)),
        ("a.wav", torch.zeros(0)),
        ("a.aiffx", torch.zeros(10)),
        ("a", torch.zeros(10)),
        ("no_such_folder/a.wav", torch.zeros(10)),
        ("folder.wav", torch.zeros(10)),
    ],
)
def test_what_cannot_be_saved_leaves_nothing(tmp_path, name, wave):
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(InputError, match=Path(name).name):
        audio.save_audio(tmp_path / name, wave, RATE)
    assert os.listdir(tmp_path) == ["folder.wav"]


def test_a_rate_that_a_format_cannot_hold_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="MP3"):
        audio.save_audio(tmp_path / "a.mp3", torch.zeros(100), 12345)
    assert os.listdir(tmp_path) == []


def test_one_step_too_loud_is_full_scale(tmp_path):
    audio.save_audio(
        tmp_path / "a.wav", torch.tensor([1 + audio.STEP_16_BIT, -1 - audio.STEP_16_BIT]), RATE
    )
    assert audio.load_audio(tmp_path / "a.wav")[0].tolist() == [32767 / 32768, -1.0]


class FullDisk:
    """A file on a disk that takes 10 bytes."""

    def __init__(self, path, mode):
        self.file = open(path, mode)  # noqa: SIM115

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.file.write(content[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("moment", ["write", "sync", "move"])
def test_a_full_disk_keeps_the_old_file_and_leaves_no_part(tmp_path, monkeypatch, moment):
    path = tmp_path / "a.wav"
    audio.save_audio(path, tone(440), RATE)
    before = path.read_bytes()
    match moment:
        case "write":
            monkeypatch.setattr(files, "open", FullDisk, raising=False)
        case "sync":
            monkeypatch.setattr(os, "fsync", no_space)
        case "move":
            monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(InputError, match=r"a\.wav could not be written \(No space left"):
        audio.save_audio(path, tone(880), RATE)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.wav"]


def test_saved_files_obey_the_umask(tmp_path):
    audio.save_audio(tmp_path / "a.wav", tone(440), RATE)
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.wav").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("from_rate", "to_rate"), [(44100, 22050), (48000, 22050), (22050, 48000), (22050, 16000)]
)
def test_resampling_keeps_what_fits_and_kills_what_does_not(from_rate, to_rate):
    nyquist = min(from_rate, to_rate) / 2
    kept = audio.resample(tone(0.85 * nyquist, 1.0, from_rate), from_rate, to_rate)
    assert len(kept) == to_rate
    torch.testing.assert_close(
        kept[500:-500], tone(0.85 * nyquist, 1.0, to_rate)[500:-500], atol=1e-3, rtol=0
    )
    if to_rate < from_rate:
        killed = audio.resample(tone(1.02 * nyquist, 1.0, from_rate), from_rate, to_rate)
        assert audio.peak_db(killed[500:-500]) < -80


def test_resampling_agrees_with_librosa():
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.fft.rfft(torch.randn(22050, generator=generator) * torch.hann_window(22050))
    spectrum[6000:] = 0  # band-limited: 6 kHz
    wave = torch.fft.irfft(spectrum)
    ours = audio.resample(wave, 22050, 16000)
    theirs = torch.from_numpy(
        librosa.resample(wave.numpy(), orig_sr=22050, target_sr=16000, res_type="soxr_vhq")
    )
    assert (ours - theirs)[200:-200].norm() < 1e-3 * theirs.norm()


def test_resampling_takes_batches_and_rejects_no_rate():
    waves = torch.stack([tone(300), tone(700)])
    both = audio.resample(waves, RATE, 16000)
    torch.testing.assert_close(both[1], audio.resample(waves[1], RATE, 16000))
    assert audio.resample(waves, RATE, RATE) is waves
    with pytest.raises(InputError, match="0 Hz"):
        audio.resample(waves, RATE, 0)


def test_trim_cuts_the_quiet_around_a_sound_but_not_inside():
    quiet = 1e-5 * torch.ones(RATE // 2)
    wave = torch.cat([quiet, tone(440), quiet, tone(440), quiet])
    trimmed = audio.trim(wave, RATE)
    assert abs(len(trimmed) - (len(wave) - RATE)) <= 0.011 * RATE
    # half of the 10 ms
    assert len(quiet) - trimmed.storage_offset() == pytest.approx(0.005 * RATE, abs=5)
    assert len(audio.trim(wave, RATE, threshold_db=-110)) == len(wave)


def test_trim_cuts_leading_axes_together_and_returns_silence_whole():
    early, late = torch.zeros(2, 3 * RATE).unbind()
    early[RATE // 2 : RATE] = tone(440)
    late[2 * RATE : 2 * RATE + RATE // 2] = tone(440)
    both = audio.trim(torch.stack([early, late]), RATE)
    assert both.shape[0] == 2 and abs(both.shape[1] - 2 * RATE) <= 0.011 * RATE
    assert torch.equal(audio.trim(torch.zeros(1000), RATE), torch.zeros(1000))


def test_levels_are_those_of_the_field():
    assert audio.peak_db(tone(1000, 1.0, gain=0.5)) == pytest.approx(-6.02, abs=0.01)
    assert audio.rms_db(tone(1000, 1.0, gain=0.5)) == pytest.approx(-9.03, abs=0.01)
    assert audio.rms_db(torch.ones(10)) == 0
    levels = audio.rms_db(torch.stack([torch.zeros(10), torch.full((10,), 0.1)]))
    assert levels[0] == -math.inf and levels[1] == pytest.approx(-20)
    assert audio.peak_db(torch.zeros(10)) == -math.inf
