"""The balancer: shares of the gradient as asked for, whatever the units of the terms."""

import pytest
import torch
from torch import Tensor

from tootlearn.losses.balancer import DECAY, Balancer

WEIGHTS = {
    "drawing": 1.0,
    "drawing_a": 2.0,
    "drawing_b": 0.5,
    "drawing_divergence": 0.25,
    "other": 1.0,
}


def step(seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Terms of very different units, on a drawing that differs from step to step."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(6, 6, generator=generator).requires_grad_()
    drawn, target = (
        torch.randn(4, 6, generator=generator) @ weight,
        torch.randn(4, 6, generator=generator),
    )
    terms = {
        "drawing": (drawn - target).square().mean(),
        "drawing_a": 1e4 * (drawn - target).abs().mean(),
        "drawing_b": 1e-5 * (drawn - target).square().sum(),
        "drawing_divergence": weight.square().sum(),  # not by way of the drawing
    }
    return terms, {"drawing": drawn}


def test_each_term_has_its_share_of_the_gradient():
    balancer, norms = Balancer(tuple(WEIGHTS)), []
    for seed in range(300):
        terms, drawings = step(seed)
        balanced = balancer(terms, drawings, WEIGHTS)
        row = []
        for name in ("drawing", "drawing_a", "drawing_b"):
            term = balanced[name] * terms[name]
            (gradient,) = torch.autograd.grad(term, drawings["drawing"], retain_graph=True)
            row.append(float(gradient.norm()))
        norms.append(row)
    found = torch.tensor(norms[50:]).mean(0)
    asked = torch.tensor([1.0, 2.0, 0.5])
    torch.testing.assert_close(found / found.sum(), asked / asked.sum(), rtol=0.05, atol=0)


def test_the_term_that_the_others_are_measured_by_stays_as_it_is_and_so_does_what_passes_the_drawing_by():
    balancer = Balancer(tuple(WEIGHTS))
    terms, drawings = step(0)
    balanced = balancer(terms, drawings, WEIGHTS | {"drawing": 3.0})
    assert float(balanced["drawing"]) == 3.0 and "drawing_divergence" not in balanced
    assert not any(weight.requires_grad for weight in balanced.values())
    torch.stack(list(terms.values())).sum().backward()  # the graph is still there


def test_norms_are_averaged_over_steps_so_that_a_large_loss_pulls_more():
    balancer, names = Balancer(("drawing", "drawing_a")), {"drawing": 1.0, "drawing_a": 1.0}
    scales = []
    for size in (1.0, 1.0, 3.0):
        drawn = torch.ones(1, requires_grad=True) * 1.0
        terms = {"drawing": drawn.sum(), "drawing_a": size * drawn.sum()}
        scales.append(float(balancer(terms, {"drawing": drawn}, names)["drawing_a"]))
    average = (DECAY**2 + DECAY + 3) / (DECAY**2 + DECAY + 1)
    assert scales == pytest.approx([1, 1, 1 / average])


def test_a_term_without_a_gradient_weighs_nothing_until_it_has_one():
    balancer, weights = Balancer(("drawing", "drawing_a")), {"drawing": 1.0, "drawing_a": 1.0}
    for size, expected in ((0.0, 0.0), (2.0, (1 + DECAY) / 2)):
        drawn = torch.ones(1, requires_grad=True) * 1.0
        terms = {"drawing": drawn.sum(), "drawing_a": size * drawn.sum()}
        assert float(balancer(terms, {"drawing": drawn}, weights)["drawing_a"]) == pytest.approx(
            expected
        )


def test_what_it_has_measured_is_its_state():
    first, second = Balancer(tuple(WEIGHTS)), Balancer(tuple(WEIGHTS))
    for seed in range(3):
        first(*step(seed), WEIGHTS)
    second.load_state_dict(first.state_dict())
    assert (
        first(*step(9), WEIGHTS)
        == second(*step(9), WEIGHTS)
        != Balancer(tuple(WEIGHTS))(*step(9), WEIGHTS)
    )
