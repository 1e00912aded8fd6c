"""The magnitude of harmonics and breath under a window wider than the decoder's, against real
STFTs of tones and noise.
"""

from dataclasses import replace

import pytest
import torch

from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.generation import harmonics
from tootlearn.models.decoder import Drawing

CONFIG = FrontEndConfig()
RATE = CONFIG.sample_rate


def wide(times: int) -> FrontEnd:
    return FrontEnd(replace(CONFIG, n_fft=times * CONFIG.n_fft))


def bands(wave: torch.Tensor, front_end: FrontEnd) -> torch.Tensor:
    """Mean magnitude (M,) of the mel bands, away from the ends of the wave."""
    edge = front_end.config.n_fft // CONFIG.hop
    mean: torch.Tensor = front_end(wave)[:, edge:-edge].exp().mean(1)
    return mean


def drawing(log_mel: torch.Tensor, breath: float, pitch: float = 100.0) -> Drawing:
    frames = log_mel.shape[1]
    return Drawing(
        log_mel[None],
        torch.full((1, *log_mel.shape), breath),
        torch.full((1, frames // 2, 1), pitch).log2(),
        torch.ones(1, 1),
    )


@pytest.mark.parametrize("times", [2, 4])
def test_noise_rises_under_a_wider_window_as_white_noise_does(times):
    """By a root of the width in each bin, and by the width in the number of bins of a band."""
    noise = 0.1 * torch.randn(3000 * 256, generator=torch.Generator().manual_seed(1))
    before, after = bands(noise, FrontEnd()), bands(noise, wide(times))
    log_mel = before.log()[:, None].expand(-1, 8)
    whole = harmonics.magnitude(log_mel, drawing(log_mel, 1.0), wide(times), times)
    ours = wide(times).mel(whole).mean(1)
    assert float((ours / after).median()) == pytest.approx(1, abs=0.03)
    assert float(ours.sum() / after.sum()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("times", [2, 4])
def test_a_tone_rises_under_a_wider_window_as_harmonics_do(times):
    """The magnitude of a line rises by the width; it has as many bins as before."""
    time = torch.arange(3 * RATE) / RATE
    tone = sum(torch.sin(2 * torch.pi * 100 * n * time) / 40 for n in range(1, 40))
    before, after = bands(tone, FrontEnd()), bands(tone, wide(times))
    log_mel = before.log()[:, None].expand(-1, 8)
    whole = harmonics.magnitude(log_mel, drawing(log_mel, 0.0), wide(times), times)
    ours = wide(times).mel(whole).mean(1)
    assert float(ours.sum() / after.sum()) == pytest.approx(1, abs=0.05)


def test_the_window_resolves_the_lowest_note():
    assert harmonics.resolving(CONFIG, 440.0) == CONFIG.n_fft
    for lowest in (40.0, 60.0, 80.0, 100.0):
        n_fft = harmonics.resolving(CONFIG, lowest)
        assert lowest * n_fft / RATE >= 4 or n_fft == harmonics.LONGEST_WINDOW
        assert n_fft == CONFIG.n_fft or lowest * (n_fft / 2) / RATE < 4


def test_frames_of_a_part_are_those_of_the_whole():
    log_mel = torch.randn(CONFIG.mels, 8, generator=torch.Generator().manual_seed(2)) - 2
    sketch = drawing(log_mel, 0.3)
    whole = harmonics.expected(log_mel, sketch, wide(2), 2)
    part = harmonics.expected(log_mel, sketch, wide(2), 2, slice(3, 6))
    torch.testing.assert_close(part, whole[:, 3:6])


def test_lines_lie_at_the_harmonics():
    front_end = wide(4)
    log_mel = torch.full((CONFIG.mels, 4), -1.0)
    spectrum = harmonics.expected(log_mel, drawing(log_mel, 0.0, pitch=200.0), front_end, 4)[:, 0]
    bins = torch.tensor([200.0, 400.0, 600.0]) * front_end.config.n_fft / RATE
    for place in bins.round().long().tolist():
        assert spectrum[place] > 5 * spectrum[place + round(100 * front_end.config.n_fft / RATE)]
