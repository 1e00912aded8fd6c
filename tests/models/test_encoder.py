import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tootlearn.errors import InputError
from tootlearn.models.encoder import Encoder
from tootlearn.models.layers import ResidualBlock


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stirred(module: nn.Module) -> nn.Module:
    """The module with random numbers for all its weights and running statistics."""
    with torch.no_grad():
        for i, (name, tensor) in enumerate(module.state_dict().items()):
            if tensor.is_floating_point():
                drawn = 0.3 * noise(*tensor.shape, seed=i)
                tensor.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return module


def numpy_convolution(x: np.ndarray, layer: nn.Conv1d, stride: int = 1) -> np.ndarray:
    """(C, T) -> (C', T / stride), one product after the other, zeros beyond the ends."""
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    padded = np.pad(x, [(0, 0), (1, 1)])
    columns = [
        np.einsum("oik,ik->o", weight, padded[:, t : t + 3]) + bias
        for t in range(0, x.shape[1], stride)
    ]
    return np.stack(columns, 1)


def numpy_batch_norm(x: np.ndarray, layer: nn.BatchNorm1d) -> np.ndarray:
    weight, bias, mean, variance = (
        t.detach().double().numpy()[:, None]
        for t in (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias


def test_the_baseline_is_convolution_relu_batch_norm_thrice_and_a_mean():
    encoder = Encoder(128, 176)
    kinds = [type(layer) for layer in encoder.layers]
    assert kinds == 3 * [nn.Conv1d, nn.ReLU, nn.BatchNorm1d]
    convolutions = encoder.layers[0::3]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [
        (128, 32),
        (32, 64),
        (64, 128),
    ]
    assert all(
        c.kernel_size == (3,) and c.stride == (1,) and c.padding == (1,) for c in convolutions
    )
    assert [norm.num_features for norm in encoder.layers[2::3]] == [32, 64, 128]
    assert isinstance(encoder.project, nn.Identity)  # the latent is the pooled vector itself


def test_the_baseline_equals_a_computation_by_hand():
    encoder, x = stirred(Encoder(12, 20)).eval(), noise(2, 12, 20, seed=99)
    for row in range(2):
        h = x[row].double().numpy()
        for convolution, _, norm in zip(*(encoder.layers[i::3] for i in range(3)), strict=True):
            h = numpy_batch_norm(np.maximum(numpy_convolution(h, convolution), 0), norm)
        np.testing.assert_allclose(encoder(x)[row].detach(), h.mean(1), rtol=1e-4, atol=1e-5)


def test_strides_and_flatten_equal_a_computation_by_hand():
    encoder = stirred(Encoder(6, 16, (8, 4), stride=2, pooling="flatten", latent=5)).eval()
    x = noise(1, 6, 16, seed=99)
    h = x[0].double().numpy()
    for convolution, _, norm in zip(*(encoder.layers[i::3] for i in range(3)), strict=True):
        h = numpy_batch_norm(np.maximum(numpy_convolution(h, convolution, 2), 0), norm)
    assert h.shape == (4, 4)
    weight, bias = (
        t.detach().double().numpy() for t in (encoder.project.weight, encoder.project.bias)
    )
    np.testing.assert_allclose(
        encoder(x)[0].detach(), weight @ h.ravel() + bias, rtol=1e-4, atol=1e-5
    )


def test_in_training_batch_norm_comes_after_the_relu():
    """So each channel has zero mean and unit variance, and negative values: a ReLU at the end would
    leave none.
    """
    encoder = Encoder(12, 20).train()
    h = encoder.layers(noise(8, 12, 20))
    torch.testing.assert_close(h.mean((0, 2)), torch.zeros(128), atol=1e-5, rtol=0)
    assert (h.var((0, 2), unbiased=False) < 1.001).all() and (h < 0).any()


def test_a_mean_over_time_forgets_where_and_flatten_does_not():
    x = torch.zeros(2, 8, 32)
    x[0, :, 8] = x[1, :, 20] = 1
    pooled = stirred(Encoder(8, 32, (8, 8))).eval()(x)
    torch.testing.assert_close(pooled[0], pooled[1])
    kept = stirred(Encoder(8, 32, (8, 8), pooling="flatten")).eval()(x)
    assert (kept[0] - kept[1]).abs().max() > 0.1


@given(
    mels=st.integers(1, 9),
    blocks=st.integers(1, 5),
    widths=st.lists(st.sampled_from([8, 16]), min_size=1, max_size=3),
    stride=st.integers(1, 3),
    residual=st.integers(0, 2),
    pooling=st.sampled_from(["mean", "flatten"]),
    latent=st.integers(1, 20),
    batch=st.integers(1, 3),
)
def test_any_config_gives_a_latent_of_its_size(
    mels, blocks, widths, stride, residual, pooling, latent, batch
):
    frames = blocks * stride ** len(widths) + (pooling == "mean")  # a mean does not care
    encoder = Encoder(mels, frames, tuple(widths), stride, residual, pooling, latent).eval()
    z = encoder(noise(batch, mels, frames))
    assert z.shape == (batch, latent) and z.isfinite().all()
    count = sum(isinstance(layer, ResidualBlock) for layer in encoder.layers)
    assert count == residual * len(widths)


@pytest.mark.parametrize("residual", [0, 1])
@pytest.mark.parametrize("pooling", ["mean", "flatten"])
def test_every_parameter_gets_a_gradient(pooling, residual):
    encoder = stirred(Encoder(6, 16, (8, 16), 2, residual, pooling, 5)).train()
    (encoder(noise(4, 6, 16)) * noise(4, 5, seed=1)).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_frames_that_do_not_fit_are_named_with_what_does():
    with pytest.raises(
        InputError, match="3 convolutions of stride 2 need a multiple of 8 frames, not 44"
    ):
        Encoder(6, 44, stride=2, pooling="flatten")
