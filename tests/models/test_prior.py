"""The prior of the residual: noise to residuals and back, and what it is fitted to."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tootlearn.controls import Controls
from tootlearn.data.recipes import KINDS
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.normalization import Normalizer
from tootlearn.models import model_file
from tootlearn.models.config import GeneratorConfig
from tootlearn.models.decoder import Condition
from tootlearn.models.prior import GaussianPrior
from tootlearn.models.toot_model import TootModel

SIZE = 3
MIXING = [torch.tensor([[1.0, 0, 0], [0.5, 0.2, 0], [-0.3, 0.1, 2.0]]), torch.eye(3) * 0.1]
CENTRE = [torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.0, 3.0, 0.0])]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def of_kinds(kind: torch.Tensor) -> Condition:
    """Controls of these kinds (B,), all else being equal."""
    columns = [np.full(len(kind), value) for value in (300.0, 0.5, 0.5, -18.0)]
    return Condition.of(Controls(kind.numpy(), *columns))


def standard(kinds: int, size: int = SIZE) -> GaussianPrior:
    return GaussianPrior(torch.zeros(kinds, size), torch.eye(size).repeat(kinds, 1, 1))


def residuals(kind: torch.Tensor) -> torch.Tensor:
    """Of kinds 0 and 1, (B, 3), with the means and the covariances above."""
    z = noise(len(kind), SIZE, seed=6)
    for k in range(2):
        z[kind == k] = CENTRE[k] + z[kind == k] @ MIXING[k].T
    return z


@pytest.fixture(scope="module")
def fitted() -> GaussianPrior:
    prior, kind = standard(3), torch.arange(40000) % 2
    prior.fit(residuals(kind), of_kinds(kind))
    return prior


def test_a_standard_prior_hands_the_noise_through():
    z = noise(4, SIZE)
    torch.testing.assert_close(standard(4).sample(of_kinds(torch.arange(4)), z), z)


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), count=st.integers(1, 40))
def test_noise_comes_back_and_the_same_noise_gives_the_same_residual(fitted, seed, count):
    controls, eps = of_kinds(torch.arange(count) % 2), noise(count, SIZE, seed=seed)
    z = fitted.sample(controls, eps)
    assert z.shape == (count, SIZE) and z.dtype == torch.float32
    assert torch.equal(z, fitted.sample(controls, eps))
    torch.testing.assert_close(fitted.noise(controls, z), eps, atol=2e-4, rtol=1e-4)
    one = fitted.sample(controls.take(torch.tensor([count - 1])), eps[-1:])
    torch.testing.assert_close(one[0], z[-1], atol=1e-5, rtol=1e-5)  # whatever the batch


def test_fitting_recovers_mean_and_covariance_of_each_kind(fitted):
    for k in range(2):
        covariance = MIXING[k] @ MIXING[k].T
        torch.testing.assert_close(fitted.mean[k], CENTRE[k], atol=0.05, rtol=0)
        torch.testing.assert_close(
            fitted.scale[k] @ fitted.scale[k].T, covariance, atol=0.1, rtol=0
        )
        sampled = fitted.sample(of_kinds(torch.full((20000,), k)), noise(20000, SIZE, seed=9))
        torch.testing.assert_close(sampled.T.cov(), covariance, atol=0.15, rtol=0)


def test_a_kind_with_too_few_residuals_is_left_unchanged(fitted):
    assert torch.equal(fitted.scale[2], torch.eye(SIZE)) and not fitted.mean[2].any()
    prior = standard(1)
    prior.fit(noise(SIZE, SIZE), of_kinds(torch.zeros(SIZE, dtype=torch.int64)))
    assert torch.equal(prior.scale[0], torch.eye(SIZE)) and not prior.mean.any()


def test_one_number_and_equal_residuals_can_be_fitted():
    prior = standard(1, size=1)
    prior.fit(3 + 2 * noise(5000, 1), of_kinds(torch.zeros(5000, dtype=torch.int64)))
    assert float(prior.mean) == pytest.approx(3, abs=0.1)
    assert float(prior.scale) == pytest.approx(2, abs=0.1)
    prior = standard(1)
    prior.fit(torch.ones(50, SIZE), of_kinds(torch.zeros(50, dtype=torch.int64)))
    sampled = prior.sample(of_kinds(torch.tensor([0])), noise(1, SIZE))
    torch.testing.assert_close(sampled, torch.ones(1, SIZE), atol=0.01, rtol=0)


def small() -> TootModel:
    config = GeneratorConfig(residual=SIZE, width=8, blocks=1, encoder_widths=(8, 8))
    torch.manual_seed(0)
    normalizer = Normalizer(torch.zeros(16, 1), torch.ones(16, 1))
    return TootModel(FrontEndConfig(hop=512, mels=16), normalizer, list(KINDS.values())[:2], config)


def test_a_generator_fits_its_prior_to_the_chosen_rows_alone():
    network, controls = small().generator, of_kinds(torch.arange(60) % 2)
    log_mel = noise(60, 16, 88, seed=1)
    rows = torch.arange(60) % 3 > 0
    network.fit_prior(log_mel, controls, rows)
    with torch.no_grad():
        means = network.encode(log_mel, controls)[0]
    chosen = means[rows & (controls.kind == 1)]
    assert len(chosen) == 20
    torch.testing.assert_close(network.prior_mean[1], chosen.mean(0), atol=1e-4, rtol=1e-3)


def test_a_model_file_keeps_its_prior_to_the_bit(tmp_path):
    model = small()
    with torch.no_grad():
        for i, (name, tensor) in enumerate(model.state_dict().items()):
            if name.startswith("generator.prior"):
                tensor += 0.1 * noise(*tensor.shape, seed=i).abs()
    model_file.save_model(tmp_path / "m", model, {}, half=True)
    loaded = model_file.load_model(tmp_path / "m")[0]
    assert torch.equal(loaded.generator.prior_mean, model.generator.prior_mean)
    assert torch.equal(loaded.generator.prior_scale, model.generator.prior_scale)
