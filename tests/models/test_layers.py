import pytest
import torch
from torch.nn import functional as F

from tootlearn.models.layers import FiLM, ResidualBlock, zeroed


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stirred(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The module with random numbers for all its parameters, those that start at zero as well."""
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.copy_(0.3 * noise(*parameter.shape, seed=seed + i))
    return module


def test_zeroed_leaves_no_weight():
    assert not any(parameter.any() for parameter in zeroed(torch.nn.Conv1d(3, 4, 3)).parameters())


def test_film_starts_as_the_identity():
    x = noise(2, 6, 10)
    assert torch.equal(FiLM(5, 6)(x, noise(2, 5)), x)


def test_film_scales_and_shifts_each_channel_by_the_condition():
    film, x, condition = stirred(FiLM(5, 6)), noise(2, 6, 10), noise(2, 5, seed=1)
    numbers = condition @ film.project.weight.T + film.project.bias
    for b in range(2):
        for c in range(6):
            expected = x[b, c] * (1 + numbers[b, c]) + numbers[b, 6 + c]
            torch.testing.assert_close(film(x, condition)[b, c], expected)


@pytest.mark.parametrize("condition", [0, 5])
def test_a_residual_block_starts_as_the_identity(condition):
    x = noise(2, 16, 10)
    assert torch.equal(ResidualBlock(16, condition)(x, noise(2, 5) if condition else None), x)


@pytest.mark.parametrize(("condition", "dilation"), [(0, 1), (0, 4), (5, 1), (5, 2)])
def test_a_residual_block_is_its_formula(condition, dilation):
    block, x, d = (
        stirred(ResidualBlock(16, condition, dilation)),
        noise(2, 16, 10),
        noise(2, 5, seed=9),
    )
    groups = x.view(2, 8, 20)  # 8 groups of 2 channels by 10 frames
    deviation = (groups.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
    h = ((groups - groups.mean(2, keepdim=True)) / deviation).view_as(x)
    h = h * block.norm.weight[:, None] + block.norm.bias[:, None]
    if condition:
        scale, shift = (d @ block.film.project.weight.T + block.film.project.bias).split(16, 1)
        h = h * (1 + scale[..., None]) + shift[..., None]
    h = F.pad(h * h.sigmoid(), (dilation, dilation))
    taps = [block.mix.weight[:, :, k] @ h[:, :, k * dilation : k * dilation + 10] for k in range(3)]
    h = sum(taps) + block.mix.bias[:, None]
    expected = x + block.out.weight[:, :, 0] @ (h * h.sigmoid()) + block.out.bias[:, None]
    torch.testing.assert_close(block(x, d if condition else None), expected, rtol=1e-4, atol=1e-5)
