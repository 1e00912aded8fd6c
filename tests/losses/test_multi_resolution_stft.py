"""The STFT distance of a drawing's wave: which metric it is, where it leads, and what it makes of
silence.
"""

import math

import pytest
import torch

from tootlearn.data import synthesis
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.evaluation import metrics
from tootlearn.losses.multi_resolution_stft import (
    CLIPS,
    FRAMES,
    MultiResolutionSTFTLoss,
    multi_resolution,
)

FLOOR = math.log(1e-5)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def trumpet():
    """A wave (1, 16640) and the log-mel of it (1, 128, 65)."""
    wave = torch.from_numpy(synthesis.render("trumpet", 262.0, 0.7, 0.5, -12.0, seed=1)).float()
    wave = torch.nn.functional.pad(wave, (0, 16640))[None, :16640]
    return wave, FrontEnd()(wave)


def test_it_equals_auralosss():
    auraloss = pytest.importorskip("auraloss")
    a, b = 0.3 * noise(1, 30000), 0.3 * noise(1, 30000, seed=1)
    theirs = auraloss.freq.MultiResolutionSTFTLoss(
        [2048, 1024, 512], [512, 256, 128], [2048, 1024, 512], eps=1e-6
    )
    # theirs reflects at the ends, where ours has silence
    assert float(multi_resolution(a, b)) == pytest.approx(
        float(theirs(a[:, None], b[:, None])), rel=0.02
    )


def test_half_the_level_costs_half_the_convergence_and_its_logarithm():
    wave = noise(1, 8000)
    assert float(multi_resolution(0.5 * wave, wave)) == pytest.approx(0.5 + math.log(2), rel=1e-3)


def test_the_wave_of_a_drawing_is_that_of_its_sound(trumpet):
    """The target's wave has the target's spectrum, as nearly as the bands and the phase without
    iterations give it.
    """
    wave, log_mel = trumpet
    drawn, target = MultiResolutionSTFTLoss(FrontEndConfig()).waves(log_mel, log_mel)
    assert torch.equal(drawn, target) and target.shape == (1, 64 * 256)
    a, b = (metrics.Stft(1024, 256).magnitude(x[:, :16384]) for x in (target, wave))
    assert float(metrics.spectral_convergence(a, b)) < -12
    louder, _ = MultiResolutionSTFTLoss(FrontEndConfig()).waves(log_mel + math.log(2), log_mel)
    torch.testing.assert_close(louder, 2 * target, atol=2e-3, rtol=0.02)


def test_following_the_gradient_leads_to_the_target(trumpet):
    loss, target = MultiResolutionSTFTLoss(FrontEndConfig(hop=512, mels=64)), None
    target = loss.front_end(trumpet[0])[:, :, :24]
    x = (target + 0.5 * noise(*target.shape)).requires_grad_()
    optimizer, found = torch.optim.Adam([x], 0.03), []
    for _ in range(30):
        value = loss(x, target, seed=0, step=0)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        found.append(float(value.detach()))
    assert found[-1] < 0.5 * found[0]


def test_a_piece_of_the_first_clips_counts_another_one_in_each_step():
    loss = MultiResolutionSTFTLoss(FrontEndConfig(hop=512, mels=16))
    target, x = (
        torch.zeros(CLIPS + 2, 16, FRAMES + 24),
        noise(CLIPS + 2, 16, FRAMES + 24).requires_grad_(),
    )
    reached = []
    for step in (0, 0, 1):
        (gradient,) = torch.autograd.grad(loss(x, target, seed=3, step=step), x)
        reached.append(gradient.abs().sum(1) > 0)
        assert not reached[-1][CLIPS:].any() and reached[-1][:CLIPS].any(0).sum() <= FRAMES
    assert torch.equal(reached[0], reached[1]) and not torch.equal(reached[0], reached[2])


@pytest.mark.parametrize("level", [FLOOR, -1e3, 0.0, 1e4], ids=["floor", "below", "loud", "wild"])
def test_it_is_finite_for_silence_and_wild_networks_and_0_for_equals(level):
    loss, silence = (
        MultiResolutionSTFTLoss(FrontEndConfig(hop=512, mels=16)),
        torch.full((1, 16, 12), FLOOR),
    )
    for target in (silence, noise(1, 16, 12)):
        x = torch.full((1, 16, 12), level).requires_grad_()
        value = loss(x, target, seed=0, step=0)
        value.backward()
        assert value.isfinite() and x.grad.isfinite().all()
        same = target.clone().requires_grad_()
        value = loss(same, target, seed=0, step=0)
        value.backward()
        assert float(value.detach()) == 0 and same.grad.isfinite().all()


def test_sound_where_there_should_be_silence_is_led_away():
    loss = MultiResolutionSTFTLoss(FrontEndConfig(hop=512, mels=16))
    x = torch.full((1, 16, 12), -1.0).requires_grad_()
    loss(x, torch.full((1, 16, 12), FLOOR), seed=0, step=0).backward()
    assert (x.grad[:, :, 2:-2] > 0).all()


def test_gradients_equal_differences():
    loss = MultiResolutionSTFTLoss(
        FrontEndConfig(sample_rate=22050, n_fft=64, hop=32, mels=4)
    ).double()
    target, x = noise(1, 4, 6).double(), noise(1, 4, 6, seed=1).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, target, 0, 0), x)
