"""Breath noise, against white noise through the front end."""

import pytest
import torch

from tootlearn.dsp.front_end import FrontEnd
from tootlearn.generation.breath_noise import correlated_noise, noise_deviation


def noise_log_mel() -> torch.Tensor:
    wave = 0.1 * torch.randn(400 * 256, generator=torch.Generator().manual_seed(0))
    log_mel: torch.Tensor = FrontEnd()(wave)[:, 4:-4]
    return log_mel


def test_the_deviation_of_each_band_is_that_of_white_noise():
    """The standard deviation of the magnitude of real noise, as a share of its mean.

    Without the correlation of neighbouring bins, or with half of it, the median would be .90.
    """
    wave = 0.1 * torch.randn(4000 * 256, generator=torch.Generator().manual_seed(0))
    magnitude = FrontEnd()(wave)[:, 4:-4].exp()
    ratio = noise_deviation(FrontEnd().mel.bank) / (magnitude.std(1) / magnitude.mean(1))
    assert float(ratio.median()) == pytest.approx(1, abs=0.03)
    assert float(ratio.min()) > 0.93 and float(ratio.max()) < 1.07


def test_the_deviation_is_that_of_the_log_mel_and_smaller_in_wide_bands():
    deviation = noise_deviation(FrontEnd().mel.bank)
    # in the narrow bands the logarithm of a Rayleigh magnitude has a longer tail than it
    assert float((deviation / noise_log_mel().std(1) - 1).abs().median()) < 0.15
    assert deviation[0] > 2.5 * deviation[-1]


def test_neighbours_in_time_are_alike_as_in_noise():
    def lag(x: torch.Tensor, frames: int) -> float:
        x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
        return float((x[:, frames:] * x[:, : x.shape[1] - frames]).mean())

    ours, true = correlated_noise(3, 128, 392), noise_log_mel()
    assert abs(float(ours.std()) - 1) < 0.1
    assert abs(lag(ours, 1) - lag(true, 1)) < 0.05 and abs(lag(ours, 2)) < 0.1


def test_a_seed_has_one_texture():
    assert torch.equal(correlated_noise(5, 16, 9), correlated_noise(5, 16, 9))
    assert not torch.equal(correlated_noise(5, 16, 9), correlated_noise(6, 16, 9))
