"""Files that are broken on purpose: each loads or is refused by name, whatever its header says."""

import importlib.util
import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tootlearn.dsp import audio
from tootlearn.errors import InputError


@pytest.fixture(scope="module")
def fuzz_audio():
    path = Path(__file__).resolve().parents[2] / "benchmarks/fuzz_audio.py"
    spec = importlib.util.spec_from_file_location("fuzz_audio", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def peak_of(call) -> int:
    """The most bytes that arrays and objects of Python hold at a time during a call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_150_broken_headers_load_or_are_refused_by_name(fuzz_audio, tmp_path):
    outcomes, _ = fuzz_audio.fuzz(150, tmp_path, first_seed=77)
    assert outcomes.total() == 150
    loaded = sum(times for name, times in outcomes.items() if name.endswith("loaded"))
    assert 15 < loaded < 135, "damage that never or always shows tests little"


def test_the_checksums_of_ogg_pages_are_those_of_libogg(fuzz_audio):
    content = fuzz_audio.whole_file("OGG", "VORBIS")
    spoilt = bytearray(content)
    spoilt[22:26] = b"abcd"
    assert fuzz_audio.with_checksums(spoilt) == content


def claiming(file_format: str, frames: int) -> bytes:
    """A tenth of a second whose header promises many more samples."""
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.1 * np.sin(np.arange(2205) / 5), 22050, format=file_format)
    data = bytearray(buffer.getvalue())
    if file_format == "WAV":
        place = data.find(b"data")
        data[4:8] = data[place + 4 : place + 8] = struct.pack("<I", 2 * frames)
    else:  # FLAC: 36 bits in STREAMINFO
        data[21] = data[21] & 0xF0 | frames >> 32
        data[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    return bytes(data)


@pytest.mark.parametrize(
    ("file_format", "frames"), [("WAV", 2**30 - 1), ("FLAC", 2**30), ("FLAC", 2**36 - 1)]
)
def test_samples_that_a_header_only_promises_take_no_memory(tmp_path, file_format, frames):
    path = tmp_path / f"big.{file_format.lower()}"
    path.write_bytes(claiming(file_format, frames))

    def read():
        try:
            assert len(audio.load_audio(path)[0]) == 2205
        except InputError as error:
            assert str(path) in str(error)

    assert peak_of(read) < 16e6


def test_channels_by_the_hundred_are_read_in_small_blocks(tmp_path):
    path = tmp_path / "many.wav"
    soundfile.write(path, np.full((2000, 500), 0.25, dtype=np.float32), 22050)
    assert peak_of(lambda: audio.load_audio(path)) < 4e6
    torch.testing.assert_close(audio.load_audio(path)[0], torch.full((2000,), 0.25))


def test_a_file_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "LONGEST", 200_000)
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(200_001), 22050)
    with pytest.raises(InputError, match="cut it into shorter files"):
        audio.load_audio(path)
    soundfile.write(path, np.zeros(200_000), 22050)
    assert len(audio.load_audio(path)[0]) == 200_000


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2**31 - 1])
def test_a_rate_that_is_none_of_sound_is_refused(tmp_path, rate):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(100), 22050)
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", rate)
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"{rate} Hz"):
        audio.load_audio(path, 22050)


def test_rates_without_a_common_divisor_take_a_filter_of_reasonable_length():
    hertz, rate = 1000.0, 767_999
    wave = torch.sin(
        2 * torch.pi * hertz * torch.arange(rate // 4, dtype=torch.float64) / rate
    ).float()
    resampled = []
    peak = peak_of(lambda: resampled.append(audio.resample(wave, rate, 22050)))
    assert peak < 150e6  # the exact ratio would need a filter of 98 million taps
    time = torch.arange(len(resampled[0]), dtype=torch.float64) / 22050
    assert len(resampled[0]) == -(-len(wave) * 22050 // rate)
    expected = torch.sin(2 * torch.pi * hertz * time).float()
    torch.testing.assert_close(resampled[0][200:-200], expected[200:-200], atol=1e-3, rtol=0)
