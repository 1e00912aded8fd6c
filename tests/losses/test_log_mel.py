"""The plain losses: what they are in numbers, what they are blind to, and their gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tootlearn import losses

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


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(2, 9)),
    seed=st.integers(0, 99),
)
def test_squared_error_is_0_for_equals_and_frames_without_weight_do_not_matter(shape, seed):
    clips, _, frames = shape
    x, y = noise(*shape, seed=seed), noise(*shape, seed=seed + 100)
    weight = noise(clips, frames, seed=seed + 200).abs()
    assert float(losses.squared_error(x, x, weight)) == 0 <= losses.squared_error(x, y, weight)
    weight[:, frames // 2 :] = 0
    spoiled = x.clone()
    spoiled[:, :, frames // 2 :] += 100.0
    torch.testing.assert_close(
        losses.squared_error(spoiled, y, weight), losses.squared_error(x, y, weight)
    )


@pytest.mark.parametrize("name", ["squared", "convergence", "bend", "divergence"])
def test_gradients_equal_differences(name):
    target, weight = noise(2, 3, 5).double(), noise(2, 5, seed=1).abs().double()
    drawn = noise(2, 3, 5, seed=2).double().requires_grad_()
    mean, log_scale = drawn[:, 0], 0.3 * drawn[:, 1]
    function, inputs = {
        "squared": (lambda x: losses.squared_error(x, target, weight), (drawn,)),
        "convergence": (lambda x: losses.mel_convergence(x, target), (drawn,)),
        "bend": (lambda x: losses.bend_error(x, target[:, 0], weight), (mean,)),
        "divergence": (lambda m, s: losses.divergence(m, s, 0.1), (mean, log_scale)),
    }[name]
    assert torch.autograd.gradcheck(function, inputs)


def test_mel_convergence_equals_auralosss():
    auraloss = pytest.importorskip("auraloss")
    x, y = noise(1, 5, 7), noise(1, 5, 7, seed=1)  # theirs is of the whole batch, ours of each clip
    theirs = auraloss.freq.SpectralConvergenceLoss()(x.exp(), y.exp())
    torch.testing.assert_close(losses.mel_convergence(x, y), theirs)
