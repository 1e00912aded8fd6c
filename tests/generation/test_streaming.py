"""Streams: a toot in blocks is the toot, as far as it is made, and near what `generate` gives."""

from itertools import islice

import numpy as np
import pytest
import soundfile
import torch

import tootlearn
from tootlearn.dsp import measures
from tootlearn.errors import InputError
from tootlearn.evaluation import metrics
from tootlearn.generation import streaming
from tootlearn.generation.toot_generator import PEAK, TootGenerator

RATE = 22050
# windows of 1024 to 4096
CASES = [("trumpet", 311.0), ("steam_whistle", 600.0), ("tuba", 70.0), ("ship_horn", 45.0)]


@pytest.fixture(scope="module", params=["shipped", "none"])
def g(request) -> TootGenerator:
    return tootlearn.load(vocoder=None if request.param == "shipped" else "none")


def blocks(
    g: TootGenerator, kind: str, pitch: float, loudness: float = -16, frames: int = 8
) -> list[np.ndarray]:
    controls = g.controls(kind, pitch, 0.6, 0.5, loudness, seed=3)
    return list(streaming.stream(g, controls, g.residual(controls, 3), 3, frames=frames))


@pytest.mark.parametrize(("kind", "pitch"), CASES)
def test_blocks_of_any_size_are_the_whole(g, kind, pitch):
    whole = np.concatenate(blocks(g, kind, pitch, frames=176))
    for frames in (5, 8, 33):
        parts = blocks(g, kind, pitch, frames=frames)
        together = np.concatenate(parts)
        assert len(parts) > 1 and together.dtype == np.float32 and together.shape == whole.shape
        np.testing.assert_allclose(together, whole, atol=1e-6 * np.abs(whole).max())


def test_the_whole_is_the_chain_of_generate():
    """Vocoder, ridges and Griffin-Lim on the whole window, with the floor of the slopes put where
    that has it.
    """
    g = tootlearn.load()
    controls = g.controls("trumpet", 311.0, 0.6, 0.5, -16, seed=3)
    with torch.inference_mode():
        log_mel, drawing = g.draw(controls, g.residual(controls, 3), 3)
        sound = streaming._Sound(g, log_mel, drawing)
        sound.loudest = g.vocoder(log_mel[None]).amax()
        in_blocks = torch.cat([sound.wave(first, first + 8) for first in range(0, 176, 8)])
        whole = g.to_wave(log_mel)
    np.testing.assert_allclose(in_blocks, whole, atol=1e-6 * float(whole.abs().max()))


@pytest.mark.parametrize(("kind", "pitch"), CASES)
def test_a_stream_has_its_controls_and_sounds_as_generated(g, kind, pitch):
    wave = torch.from_numpy(np.concatenate(blocks(g, kind, pitch)))
    assert float(measures.loudness(wave, RATE)) == pytest.approx(-16, abs=2)
    assert float(measures.duration(wave, RATE)) == pytest.approx(0.6, abs=0.06)
    notes = g.model.kinds[g.kinds.index(kind)].intervals
    assert abs(measures.cents(measures.chord_f0(wave, RATE, notes, pitch), pitch)) < 30
    assert abs(wave[0]) < 1e-3 and abs(wave[-1]) < 1e-3
    result = torch.from_numpy(g.generate(kind, pitch, 0.6, 0.5, -16, seed=3))
    count = min(len(wave), len(result))
    assert float(metrics.compare(wave[:count], result[:count]).mel_l1) < 0.8


def test_a_block_is_made_before_what_follows_is_looked_at(g, monkeypatch):
    result = []
    wave = streaming._Sound.wave
    monkeypatch.setattr(streaming._Sound, "wave", lambda *a: result.append(a[1:]) or wave(*a))
    controls = g.controls("trumpet", 311.0, 1.5, 0.5, -16, seed=3)
    first = list(islice(streaming.stream(g, controls, g.residual(controls, 3), 3, frames=8), 1))
    assert result == [(0, 8)] and len(first[0]) > 1000


def test_a_toot_that_is_too_loud_is_turned_down_before_it_would_clip():
    hop = 16
    wave = torch.sin(torch.arange(hop * 40) * 0.9) * torch.linspace(0, 3, hop * 40)
    whole = torch.cat(list(streaming._limited([wave], hop)))
    for size in (1, 3):
        parts = torch.cat(list(streaming._limited(wave.split(size * hop), hop)))
        assert torch.equal(parts, whole)
    assert whole.shape == wave.shape and whole.abs().max() <= PEAK * (1 + 1e-6)
    assert torch.equal(whole[: 8 * hop], wave[: 8 * hop])  # what is quiet stays
    assert (whole / wave)[1:].diff().abs().max() < 0.02  # and the gain makes no step


def test_no_frames_are_refused(g):
    controls = g.controls("trumpet", seed=1)
    with pytest.raises(InputError, match="1 frame or more, not 0"):
        streaming.stream(g, controls, g.residual(controls, 1), frames=0)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_file_is_written_in_blocks(tmp_path, suffix):
    wave = (np.arange(-500, 500) / 512).astype(np.float32)
    path = tmp_path / f"a.{suffix}"
    assert streaming.to_file(path, np.split(wave, [3, 700]), RATE) == 1000
    result, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE and np.abs(result - wave).max() <= 2**-16


def test_a_stream_that_breaks_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")

    def broken():
        yield np.zeros(10, dtype=np.float32)
        raise OSError("gone")

    with pytest.raises(InputError, match=r"a\.wav could not be written \(gone\)"):
        streaming.to_file(path, broken(), RATE)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="'.mp3'"):
        streaming.to_file(tmp_path / "a.mp3", [], RATE)
    with pytest.raises(InputError, match="could not be written"):
        streaming.to_file(tmp_path / "none" / "a.wav", [], RATE)


def test_a_sound_card_reads_pieces_of_its_own_length():
    reader = streaming.Reader(np.split(np.arange(10, dtype=np.float32), [1, 7, 7]))
    assert [reader.read(4).tolist() for _ in range(4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], []]
