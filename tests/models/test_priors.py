"""Priors of the residual: noise to residuals and back, what is fitted, and what a seed decides."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tootlearn.controls import Controls
from tootlearn.data.recipes import KINDS
from tootlearn.dsp.front_end import FrontEndConfig
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.models import model_file
from tootlearn.models.autoencoder import GeneratorConfig
from tootlearn.models.decoder import Condition
from tootlearn.models.priors import PARTS, Flow, Gaussian, Mixture
from tootlearn.models.toot_model import TootModel

SIZE = 3


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def condition(count: int, kinds: int = 2, seed: int = 0) -> Condition:
    share = torch.rand(count, generator=torch.Generator().manual_seed(seed)).numpy()
    levels = np.full(count, -18.0)
    return Condition.of(
        Controls(np.arange(count) % kinds, 100 * 8**share, 0.3 + share, share[::-1].copy(), levels)
    )


def two_humps(count: int, controls: Condition) -> torch.Tensor:
    """Of the first kind residuals around -2 or 2, of the second around 5."""
    side = torch.where(noise(count, seed=5) > 0.5, 2.0, -2.0)  # 31 % and 69 %
    centre = torch.where(controls.kind == 0, side, 5.0)[:, None]
    return centre + 0.4 * noise(count, SIZE, seed=6)


def stirred(flow: Flow) -> Flow:
    with torch.no_grad():
        for i, parameter in enumerate(flow.parameters()):
            parameter += 0.2 * noise(*parameter.shape, seed=i)
    return flow


def priors() -> dict:
    torch.manual_seed(0)
    controls = condition(3000)
    z = two_humps(3000, controls)
    found = {
        "gaussian": Gaussian(torch.zeros(2, SIZE), torch.eye(SIZE).repeat(2, 1, 1)),
        "mixture": Mixture(2, SIZE),
    }
    for prior in found.values():
        prior.fit(z, controls)
    return found | {"flow": stirred(Flow(2, SIZE))}


@pytest.fixture(scope="module")
def fitted() -> dict:
    return priors()


@pytest.mark.parametrize("name", ["gaussian", "mixture", "flow"])
@settings(max_examples=10)
@given(seed=st.integers(0, 1000), count=st.integers(1, 40))
def test_noise_comes_back_and_the_same_noise_gives_the_same_residual(fitted, name, seed, count):
    prior, controls, drawn = fitted[name], condition(count), noise(count, SIZE, seed=seed)
    with torch.no_grad():
        z = prior.sample(controls, drawn)
        assert z.shape == (count, SIZE) and z.dtype == torch.float32 and z.isfinite().all()
        assert torch.equal(z, prior.sample(controls, drawn))
        torch.testing.assert_close(
            prior.sample(controls, prior.noise(controls, z)), z, atol=2e-4, rtol=1e-4
        )
        one = prior.sample(controls.take(torch.tensor([count - 1])), drawn[-1:])
        torch.testing.assert_close(one[0], z[-1], atol=1e-5, rtol=1e-5)  # whatever the batch


def test_residuals_that_nobody_draws_come_back_too(fitted):
    """Far below the lowest hump and far above the highest, where a share of nearly 1 would have
    lost what is above.
    """
    prior, controls = fitted["mixture"], condition(2)
    for part, away in ((0, -6.0), (int((prior.weight[0] > 0).sum()) - 1, 6.0)):
        inside = torch.zeros(2, SIZE)
        inside[:, 0] = away
        z = prior.mean[controls.kind, part] + torch.einsum(
            "bij,bj->bi", prior.scale[controls.kind, part], inside
        )
        torch.testing.assert_close(
            prior.sample(controls, prior.noise(controls, z)), z, atol=2e-3, rtol=1e-3
        )


@pytest.mark.parametrize("name", ["gaussian", "flow"])
def test_a_density_is_that_of_the_noise_over_how_far_the_draw_spreads_it(fitted, name):
    """The change of variables, whose Jacobian is taken by automatic differentiation."""
    prior, controls, drawn = fitted[name], condition(6), noise(6, SIZE, seed=2)
    with torch.no_grad():
        found = prior.log_prob(prior.sample(controls, drawn), controls)
    for i in range(6):
        one = controls.take(torch.tensor([i]))
        spread = torch.autograd.functional.jacobian(
            lambda n, one=one: prior.sample(one, n[None])[0], drawn[i]
        )
        expected = (
            torch.distributions.Normal(0.0, 1.0).log_prob(drawn[i]).sum()
            - torch.linalg.slogdet(spread)[1]
        )
        assert float(found[i]) == pytest.approx(float(expected), abs=1e-3)


def test_the_density_of_a_mixture_integrates_to_one(fitted):
    """By importance sampling: E[p / q] is 1, where q is dense on the humps and wide around them."""
    count = 60000
    centre, width = torch.tensor([-2.0, 2.0, 0.0]), torch.tensor([0.8, 0.8, 4.0])
    row = torch.arange(count) % 3
    x = centre[row, None] + width[row, None] * noise(count, SIZE, seed=3)
    proposal = torch.distributions.Normal(centre, width).log_prob(x[..., None]).sum(1).logsumexp(
        1
    ) - np.log(3)
    many = condition(1).take(torch.zeros(count, dtype=torch.int64))
    assert float((fitted["mixture"].log_prob(x, many) - proposal).exp().mean()) == pytest.approx(
        1, abs=0.06
    )


def test_a_mixture_is_scipys_and_has_as_many_parts_as_there_are_humps(fitted):
    mixture, controls = fitted["mixture"], condition(10)
    assert (mixture.weight > 0).sum(1).tolist() == [2, 1]
    torch.testing.assert_close(mixture.weight[0, :2], torch.tensor([0.69, 0.31]), atol=0.04, rtol=0)
    x = two_humps(10, controls)
    for row, kind in zip(range(10), controls.kind.tolist(), strict=True):
        density = sum(
            float(w) * stats.multivariate_normal(m.numpy(), (s @ s.T).numpy()).pdf(x[row].numpy())
            for w, m, s in zip(
                mixture.weight[kind], mixture.mean[kind], mixture.scale[kind], strict=True
            )
        )
        assert float(mixture.log_prob(x, controls)[row]) == pytest.approx(np.log(density), abs=1e-3)


def test_draws_of_a_mixture_are_distributed_as_it_says(fitted):
    """A part is chosen by one of the normal numbers, and nothing of that is left in the residual."""
    controls = condition(40000)
    drawn = fitted["mixture"].sample(controls, noise(40000, SIZE, seed=9))[controls.kind == 0]
    upper = drawn[drawn[:, 0] > 0]
    assert len(upper) / len(drawn) == pytest.approx(0.31, abs=0.02)
    torch.testing.assert_close(upper.mean(0), torch.full((SIZE,), 2.0), atol=0.03, rtol=0)
    torch.testing.assert_close(upper.std(0), torch.full((SIZE,), 0.4), atol=0.02, rtol=0)
    assert stats.kstest((upper[:, 0] - 2).numpy() / 0.4, "norm").statistic < 0.03


def test_two_humps_are_likelier_under_a_mixture_than_under_a_gaussian(fitted):
    controls = condition(2000, seed=4)
    z = two_humps(2000, controls)
    gaussian, mixture = (
        float(fitted[name].log_prob(z, controls).mean()) for name in ("gaussian", "mixture")
    )
    assert mixture > gaussian + 0.5


def test_a_flow_learns_what_the_controls_say_and_the_same_twice():
    controls = condition(1500)
    slope = controls.numbers[:, :1] * torch.tensor([2.0, -1.0, 0.5])
    z = slope + 0.2 * noise(1500, SIZE)
    flows, before = [], torch.get_rng_state()
    for _ in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            flows.append(Flow(2, SIZE))
        flows[-1].fit(z, controls, steps=120)
    assert torch.equal(torch.get_rng_state(), before)
    drawn = [flow.sample(controls, noise(1500, SIZE, seed=1)) for flow in flows]
    assert torch.equal(*drawn)
    assert (drawn[0] - slope).square().mean() < 0.15 * (slope - slope.mean(0)).square().mean()
    gaussian = Gaussian(torch.zeros(2, SIZE), torch.eye(SIZE).repeat(2, 1, 1))
    gaussian.fit(z, controls)
    assert flows[0].log_prob(z, controls).mean() > gaussian.log_prob(z, controls).mean() + 1


def test_too_few_or_equal_residuals_break_nothing():
    few = Mixture(2, SIZE)
    few.fit(noise(3, SIZE), condition(3, kinds=1))
    assert torch.equal(few.mean, torch.zeros(2, PARTS, SIZE)) and few.weight[0].tolist() == [
        1,
        0,
        0,
        0,
    ]
    for count in (1, SIZE):
        flow = Flow(1, SIZE)
        flow.fit(noise(count, SIZE), condition(count, kinds=1), steps=2)
        assert flow.sample(condition(4, kinds=1), noise(4, SIZE)).isfinite().all()
    same = Mixture(1, SIZE)
    same.fit(torch.ones(50, SIZE), condition(50, kinds=1))
    drawn = same.sample(condition(4, kinds=1), noise(4, SIZE))
    torch.testing.assert_close(drawn, torch.ones(4, SIZE), atol=0.06, rtol=0)


def small(prior: str) -> TootModel:
    config = GeneratorConfig(residual=SIZE, width=8, blocks=1, encoder_widths=(8, 8), prior=prior)
    torch.manual_seed(0)
    normalizer = Normalizer(torch.zeros(16, 1), torch.ones(16, 1))
    return TootModel(FrontEndConfig(hop=512, mels=16), normalizer, list(KINDS.values())[:2], config)


@pytest.mark.parametrize("prior", ["gaussian", "mixture"])
def test_a_prior_is_fitted_to_where_the_encoder_puts_the_rows_that_count(prior):
    network, controls = small(prior).generator, condition(60)
    log_mel = noise(60, 16, 88, seed=1)
    network.fit_priors(log_mel, controls, controls.duration < 1)
    with torch.no_grad():
        own = network.encode(log_mel, controls)[0][(controls.duration < 1) & (controls.kind == 1)]
    assert 8 < len(own) < 30
    torch.testing.assert_close(network.prior_mean[1], own.mean(0), atol=1e-4, rtol=1e-3)
    if prior == "mixture":
        mean = network.prior.weight[1] @ network.prior.mean[1]
        torch.testing.assert_close(mean, own.mean(0), atol=1e-3, rtol=1e-2)


def test_a_prior_that_there_is_not_is_named():
    with pytest.raises(InputError, match="gaussian, mixture, flow, not 'gauss'"):
        GeneratorConfig(prior="gauss")


@pytest.mark.parametrize("prior", ["gaussian", "mixture", "flow"])
def test_a_model_file_keeps_its_priors_to_the_bit(tmp_path, prior):
    model = small(prior)
    with torch.no_grad():
        for i, (name, tensor) in enumerate(model.state_dict().items()):
            if name.startswith("generator.prior"):
                tensor += 0.1 * noise(*tensor.shape, seed=i).abs()
    model_file.save(tmp_path / "m", model, {}, half=True)
    loaded = model_file.load(tmp_path / "m")[0]
    assert loaded.generator.config == model.generator.config
    with torch.no_grad():
        ours, theirs = (
            m.generator.prior.sample(condition(4), noise(4, SIZE)) for m in (model, loaded)
        )
        assert torch.equal(ours, theirs)
