import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tootlearn.dsp.normalization import Normalizer, log_mel


def data(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread, centre = (
        torch.rand(1, 16, 1, generator=generator) + 0.1,
        torch.randn(1, 16, 1, generator=generator),
    )
    return torch.randn(8, 16, 50, generator=generator) * 3 * spread + 5 * centre


def test_log_mel_is_natural_and_floored():
    bands = log_mel(torch.tensor([0.0, 1e-6, 1e-5, 1.0, math.e]), 1e-5)
    torch.testing.assert_close(bands, torch.tensor([math.log(1e-5)] * 3 + [0.0, 1.0]))


def test_fitted_data_have_zero_mean_and_unit_variance_in_each_band():
    x = data()
    normalized = Normalizer.fit(x)(x)
    torch.testing.assert_close(normalized.mean((0, 2)), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        normalized.var((0, 2), correction=0), torch.ones(16), atol=1e-4, rtol=0
    )


@given(st.integers(0, 99), st.lists(st.integers(1, 3), max_size=2))
def test_inverse_undoes_forward_with_any_leading_axes(seed, leading):
    normalizer = Normalizer.fit(data(seed))
    x = torch.randn(*leading, 16, 7)
    assert normalizer(x).shape == x.shape
    torch.testing.assert_close(normalizer.inverse(normalizer(x)), x, atol=1e-4, rtol=1e-4)


def test_weights_count_frames():
    x = data()
    kept = torch.zeros(8, 50)
    kept[:, :20] = 1
    by_weight, by_cut = Normalizer.fit(x, kept), Normalizer.fit(x[..., :20])
    torch.testing.assert_close(by_weight.mean, by_cut.mean)
    torch.testing.assert_close(by_weight.std, by_cut.std)
    double = torch.cat([x, x[..., :20]], -1)
    twice = Normalizer.fit(x, 1 + kept)
    torch.testing.assert_close(twice.std, Normalizer.fit(double).std)


def test_statistics_are_exact_far_from_zero():
    x = 1e4 + 0.01 * torch.randn(4, 3, 500, dtype=torch.float64)
    fitted = Normalizer.fit(x)
    torch.testing.assert_close(fitted.std[:, 0], x.std((0, 2), correction=0))
    assert Normalizer.fit(x.float()).std.dtype == torch.float32


def test_a_constant_band_is_no_division_by_zero():
    x = data()
    x[:, 3] = math.log(1e-5)
    normalized = Normalizer.fit(x)(x)
    assert normalized.isfinite().all() and normalized[:, 3].abs().max() < 1e-2


def test_the_statistics_travel_in_the_state():
    fitted = Normalizer.fit(data())
    other = Normalizer(torch.zeros(16, 1), torch.ones(16, 1))
    other.load_state_dict(fitted.state_dict())
    assert torch.equal(other.mean, fitted.mean) and torch.equal(other.std, fitted.std)
    assert set(fitted.state_dict()) == {"mean", "std"}


@pytest.mark.parametrize(
    ("x", "weight"),
    [
        (torch.ones(16, 50), None),
        (torch.ones(2, 16, 50), torch.ones(2, 16)),
        (torch.ones(2, 16, 50), torch.zeros(2, 50)),
        (torch.ones(2, 16, 50), -torch.ones(2, 50)),
    ],
)
def test_data_that_do_not_fit_are_errors(x, weight):
    with pytest.raises(ValueError, match="weight"):
        Normalizer.fit(x, weight)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        (torch.zeros(16), torch.ones(16)),
        (torch.zeros(16, 1), torch.ones(15, 1)),
        (torch.zeros(16, 1), torch.zeros(16, 1)),
        (torch.full((16, 1), math.nan), torch.ones(16, 1)),
        (torch.zeros(16, 1), torch.full((16, 1), math.inf)),
    ],
)
def test_statistics_that_cannot_be_are_errors(mean, std):
    with pytest.raises(ValueError, match="mean"):
        Normalizer(mean, std)
