"""The plain losses: what they are in numbers, what they are blind to, and their gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tootlearn.losses import log_mel as losses

RATE, HOP = 22050, 256


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_frames_later_than_a_tenth_of_a_second_after_the_end_count_one_tenth():
    weight = losses.frame_weights(torch.tensor([0.5]), 176, HOP, RATE)[0]
    # s since the onset, which is 512 samples into the window
    centres = (np.arange(176) * HOP - 512) / RATE
    late = torch.from_numpy(centres > 0.6)
    assert late.any() and not late.all()
    torch.testing.assert_close(weight[late], (0.1 * weight[0]).expand(int(late.sum())))
    assert (weight[~late] == weight[0]).all()


@given(
    duration=st.lists(st.floats(0.05, 2.5), min_size=1, max_size=5), hop=st.sampled_from([256, 512])
)
def test_frame_weights_have_a_mean_of_one_and_the_same_scale_for_all_clips(duration, hop):
    weight = losses.frame_weights(torch.tensor(duration), 45056 // hop, hop, RATE)
    assert weight.shape == (len(duration), 45056 // hop)
    assert float(weight.mean()) == pytest.approx(1, rel=1e-5)
    assert (weight[:, 0] == weight[0, 0]).all()  # the first frame always counts


def test_squared_error_equals_numpy():
    x, y, w = noise(3, 5, 7), noise(3, 5, 7, seed=1), noise(3, 7, seed=2).abs()
    expected = np.mean((x.numpy() - y.numpy()) ** 2 * w.numpy()[:, None, :])
    assert float(losses.squared_error(x, y, w)) == pytest.approx(float(expected), rel=1e-5)
    only = torch.zeros(3, 7)
    only[1, 4] = 21  # all the weight, whose mean is 1, on one frame
    expected = np.mean((x.numpy() - y.numpy())[1, :, 4] ** 2)
    assert float(losses.squared_error(x, y, only)) == pytest.approx(float(expected), rel=1e-5)


def test_mel_convergence_equals_numpy_and_a_gain_is_its_distance_from_one():
    x, y = noise(3, 5, 7), noise(3, 5, 7, seed=1)
    a, b = np.exp(x.double().numpy()), np.exp(y.double().numpy())
    expected = np.mean(np.linalg.norm(a - b, axis=(1, 2)) / np.linalg.norm(b, axis=(1, 2)))
    assert float(losses.mel_convergence(x, y)) == pytest.approx(expected, rel=1e-5)
    for gain in (0.5, 1.5):
        assert float(losses.mel_convergence(y + math.log(gain), y)) == pytest.approx(0.5, rel=1e-4)


def test_mel_convergence_stays_finite_for_wild_networks_and_silence():
    wild = torch.full((1, 4, 4), 1e4, requires_grad=True)
    losses.mel_convergence(wild, noise(1, 4, 4)).backward()
    assert wild.grad.isfinite().all()
    same = noise(1, 4, 4).requires_grad_()
    loss = losses.mel_convergence(same, same.detach())
    loss.backward()
    assert float(loss.detach()) < 1e-5 and same.grad.isfinite().all()
    assert losses.mel_convergence(
        torch.full((1, 4, 4), -11.5), torch.full((1, 4, 4), -1e4)
    ).isfinite()


def test_bend_error_is_the_weighted_mean_square_where_there_is_a_weight():
    drawn, target, weight = noise(3, 8), noise(3, 8, seed=1), torch.ones(3, 8)
    expected = float(np.mean((drawn.numpy() - target.numpy()) ** 2))
    assert float(losses.bend_error(drawn, target, weight)) == pytest.approx(expected, rel=1e-5)
    weight[1], weight[2, 5:] = 0.25, 0.0
    heard = weight.numpy() > 0
    expected = float(np.mean(((drawn.numpy() - target.numpy()) ** 2 * weight.numpy())[heard]))
    drawn.requires_grad_()
    loss = losses.bend_error(drawn, target, weight)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    assert drawn.grad.isfinite().all() and np.array_equal(drawn.grad.numpy() != 0, heard)


def test_bend_error_is_zero_where_nothing_is_heard():
    drawn = noise(2, 4).requires_grad_()
    loss = losses.bend_error(drawn, noise(2, 4, seed=1), torch.zeros(2, 4))
    loss.backward()
    assert float(loss.detach()) == 0 and (drawn.grad == 0).all()


def test_divergence_equals_torchs_and_is_zero_for_the_prior_itself():
    mean, log_scale = noise(5, 3), 0.5 * noise(5, 3, seed=1)
    prior = torch.distributions.Normal(torch.zeros(5, 3), 1.0)
    posterior = torch.distributions.Normal(mean, log_scale.exp())
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
    torch.testing.assert_close(losses.divergence(mean, log_scale), expected)
    assert float(losses.divergence(torch.zeros(5, 3), torch.zeros(5, 3))) == 0


# In time

STRAY = {  # losses of log-mels (B, M, T) and weights of frames (B, T)
    "l1": losses.absolute_error,
    "squared": losses.squared_error,
    "envelope": losses.envelope_error,
    "difference": losses.difference_error,
    "onset": losses.onset_error,
}


def test_absolute_error_is_linear_in_the_distance():
    x, y, w = noise(3, 5, 7), noise(3, 5, 7, seed=1), noise(3, 7, seed=2).abs()
    expected = np.mean(np.abs(x.numpy() - y.numpy()) * w.numpy()[:, None, :])
    assert float(losses.absolute_error(x, y, w)) == pytest.approx(float(expected), rel=1e-5)
    decibel = math.log(10) / 20
    assert float(losses.absolute_error(x + decibel, x, torch.ones(3, 7))) == pytest.approx(
        0.115, abs=5e-4
    )


@given(gain=st.floats(0.1, 10), seed=st.integers(0, 9))
def test_a_gain_costs_its_logarithm_in_the_envelope_and_nothing_else_in_time(gain, seed):
    x, ones = noise(2, 6, 9, seed=seed), torch.ones(2, 9)
    louder = x + math.log(gain)
    assert float(losses.envelope_error(louder, x, ones)) == pytest.approx(
        math.log(gain) ** 2, rel=1e-3, abs=1e-6
    )
    assert float(losses.difference_error(louder, x, ones)) < 1e-6
    assert float(losses.onset_error(louder, x, ones)) < 1e-6


def test_the_envelope_is_the_rms_over_the_bands_and_blind_to_which_of_them_sounds():
    x, y, w = noise(3, 5, 7), noise(3, 5, 7, seed=1), noise(3, 7, seed=2).abs()
    drawn, wanted = (np.log(np.sqrt((np.exp(a.double().numpy()) ** 2).sum(1))) for a in (x, y))
    expected = np.mean((drawn - wanted) ** 2 * w.numpy())
    assert float(losses.envelope_error(x, y, w)) == pytest.approx(float(expected), rel=1e-4)
    assert float(losses.envelope_error(x.flip(1), x, w)) < 1e-10
    assert float(losses.envelope_error(x.flip(2), x, w)) > 0.01


def test_difference_error_by_hand():
    """One band that rises by 3 nats where it should rise by 1, and then stays: one step of two is
    off by 2.
    """
    target, drawn = torch.tensor([[[0.0, 1.0, 1.0]]]), torch.tensor([[[5.0, 8.0, 8.0]]])
    # 2^2 over two steps
    assert float(losses.difference_error(drawn, target, torch.ones(1, 3))) == 2.0
    # the lesser weight
    assert float(losses.difference_error(drawn, target, torch.tensor([[0.5, 1.0, 1.0]]))) == 1.0
    assert float(losses.difference_error(drawn, target, torch.tensor([[1.0, 0.5, 1.0]]))) == 1.0


def test_onset_error_by_hand():
    """Two bands: the one rises by 2 where the other should; both fall as they like."""
    target = torch.tensor([[[0.0, 2.0, 1.0], [0.0, 0.0, 0.0]]])
    drawn = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 2.0, -7.0]]])
    ones = torch.ones(1, 3)
    assert float(losses.onset_error(drawn, target, ones)) == 0
    drawn[0, 1, 1] = 6.0  # a rise of 6, which is 3 a band, for 1 a band
    assert float(losses.onset_error(drawn, target, ones)) == pytest.approx((3 - 1) ** 2 / 2)


def test_onset_strength_is_the_mean_over_the_bands_of_what_rises():
    x = 3 * noise(2, 20, 30)
    rises = np.maximum(np.diff(x.numpy(), axis=2), 0).mean(1)
    np.testing.assert_allclose(losses.onset_strength(x), rises, rtol=1e-5)


def test_a_late_onset_is_seen_in_time_and_a_wrong_colour_is_not():
    x = torch.full((1, 8, 20), -9.0)
    x[:, :, 5:] = -2.0
    late = x.roll(1, 2)
    late[:, :, 0] = -9.0
    colour = x + torch.linspace(-1, 1, 8)[None, :, None]
    ones = torch.ones(1, 20)
    for name in ("difference", "onset"):
        assert float(STRAY[name](late, x, ones)) > 1
        assert float(STRAY[name](colour, x, ones)) < 1e-6
    assert float(losses.squared_error(colour, x, ones)) > 0.3


@pytest.mark.parametrize("name", STRAY)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(2, 9)),
    seed=st.integers(0, 99),
)
def test_each_is_0_for_equal_drawings_and_never_less_and_frames_without_weight_do_not_matter(
    name, shape, seed
):
    loss, (clips, _, frames) = STRAY[name], shape
    x, y, weight = (
        noise(*shape, seed=seed),
        noise(*shape, seed=seed + 100),
        noise(clips, frames, seed=seed + 200).abs(),
    )
    assert float(loss(x, x, weight)) == 0 <= float(loss(x, y, weight))
    weight[:, frames // 2 :] = 0
    spoiled = x.clone()
    spoiled[:, :, frames // 2 :] += 100.0
    torch.testing.assert_close(loss(spoiled, y, weight), loss(x, y, weight))


@pytest.mark.parametrize("name", STRAY)
def test_each_stays_finite_for_silence_and_wild_networks(name):
    floor = torch.full((1, 4, 6), math.log(1e-5))
    for drawn in (floor, floor - 1e3, 1e4 * noise(1, 4, 6)):
        x = drawn.clone().requires_grad_()
        loss = STRAY[name](x, floor, torch.ones(1, 6))
        loss.backward()
        assert loss.isfinite() and x.grad.isfinite().all()


@pytest.mark.parametrize("name", [*STRAY, "convergence", "bend", "divergence"])
def test_gradients_equal_differences(name):
    target, weight = noise(2, 3, 5).double(), noise(2, 5, seed=1).abs().double()
    drawn = noise(2, 3, 5, seed=2).double().requires_grad_()
    if name in STRAY:
        assert torch.autograd.gradcheck(lambda x: STRAY[name](x, target, weight), drawn)
    elif name == "convergence":
        assert torch.autograd.gradcheck(lambda x: losses.mel_convergence(x, target), drawn)
    elif name == "bend":
        assert torch.autograd.gradcheck(
            lambda x: losses.bend_error(x, target[:, 0], weight), drawn[:, 0]
        )
    else:
        mean, log_scale = drawn[:, 0], 0.3 * drawn[:, 1]
        assert torch.autograd.gradcheck(
            lambda m, s: losses.divergence(m, s, 0.1), (mean, log_scale)
        )


def test_mel_convergence_equals_auralosss():
    auraloss = pytest.importorskip("auraloss")
    x, y = noise(1, 5, 7), noise(1, 5, 7, seed=1)  # theirs is of the whole batch, ours of each clip
    theirs = auraloss.freq.SpectralConvergenceLoss()(x.exp(), y.exp())
    torch.testing.assert_close(losses.mel_convergence(x, y), theirs)
