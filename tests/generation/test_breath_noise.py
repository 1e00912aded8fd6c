"""The texture of breath, against noise itself."""

import torch

from tootlearn.dsp.front_end import FrontEnd
from tootlearn.generation.breath_noise import restlessness, texture_of_noise


def noise_log_mel() -> torch.Tensor:
    wave = 0.1 * torch.randn(400 * 256, generator=torch.Generator().manual_seed(0))
    log_mel: torch.Tensor = FrontEnd()(wave)[:, 4:-4]
    return log_mel


def test_each_band_is_as_restless_as_white_noise_is():
    measured = noise_log_mel().std(1)
    ours = restlessness(FrontEnd().mel.bank)
    assert float((ours / measured - 1).abs().median()) < 0.15
    assert ours[0] > 2.5 * ours[-1]  # a wide band averages many bins


def test_neighbours_in_time_are_alike_as_in_noise():
    def lag(x: torch.Tensor, frames: int) -> float:
        x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
        return float((x[:, frames:] * x[:, : x.shape[1] - frames]).mean())

    ours, true = texture_of_noise(3, 128, 392), noise_log_mel()
    assert abs(float(ours.std()) - 1) < 0.1
    assert abs(lag(ours, 1) - lag(true, 1)) < 0.05 and abs(lag(ours, 2)) < 0.1


def test_a_seed_has_one_texture():
    assert torch.equal(texture_of_noise(5, 16, 9), texture_of_noise(5, 16, 9))
    assert not torch.equal(texture_of_noise(5, 16, 9), texture_of_noise(6, 16, 9))
