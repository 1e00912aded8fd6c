import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tootlearn import losses
from tootlearn.models.autoencoder import Autoencoder
from tootlearn.models.config import ACTIVATIONS, NORMS, POOLINGS, UPSAMPLERS, AutoencoderConfig
from tootlearn.models.layers import AttentionPooling, Snake, TimeAttention, upsampler


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stirred(module: nn.Module, scale: float = 0.1) -> nn.Module:
    """The module with noise on all its parameters, also those that start at zero."""
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter += scale * noise(*parameter.shape, seed=i)
    return module


# The baseline


def test_the_baseline_is_the_one_of_the_book_layer_by_layer():
    model = Autoencoder(AutoencoderConfig(), mels=128, frames=176)
    leaves = [module for module in model.modules() if not list(module.children())]
    conv, up = nn.Conv1d, nn.ConvTranspose1d
    assert [type(leaf) for leaf in leaves] == [
        *(3 * [conv, nn.ReLU, nn.BatchNorm1d]),
        nn.Identity,  # the pooled vector is the latent
        nn.Linear,  # expands it over time
        *(2 * [up, nn.ReLU, nn.BatchNorm1d]),
        conv,
    ]
    assert [leaf.out_channels for leaf in leaves if isinstance(leaf, (conv, up))] == [
        32,
        64,
        128,
        64,
        32,
        128,
    ]
    assert [leaf.kernel_size for leaf in leaves if isinstance(leaf, conv)] == [
        (3,),
        (3,),
        (3,),
        (1,),
    ]
    x = noise(2, 128, 176)
    assert model.encode(x).shape == (2, 128) and model(x).shape == (2, 128, 176)


def test_the_baselines_latent_is_the_mean_over_time_of_its_last_layer():
    model, x = Autoencoder(AutoencoderConfig(), 16, 32).eval(), noise(2, 16, 32)
    torch.testing.assert_close(model.encode(x), model.encoder.layers(x).mean(2))


def test_the_decoder_sees_the_latent_alone():
    model, x = Autoencoder(AutoencoderConfig(latent=5), 16, 32).eval(), noise(2, 16, 32)
    assert torch.equal(model(x), model.decode(model.encode(x).clone()))
    assert model.encode(x).shape == (2, 5)


@pytest.mark.parametrize(
    "config", [AutoencoderConfig(), AutoencoderConfig(64, (8, 16), 2, "flatten", 8, (8, 8), 1)]
)
def test_every_parameter_of_an_autoencoder_gets_a_gradient(config):
    model, x = stirred(Autoencoder(config, 16, 32)).train(), noise(4, 16, 32)
    losses.squared_error(model(x), x, torch.ones(4, 32)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


@given(
    latent=st.integers(1, 9),
    encoder_widths=st.lists(st.sampled_from([8, 16]), min_size=1, max_size=3),
    decoder_widths=st.lists(st.sampled_from([8, 16]), min_size=1, max_size=3),
    stride=st.integers(1, 2),
    pooling=st.sampled_from(POOLINGS),
    options=st.fixed_dictionaries(
        {
            "residual": st.integers(0, 2),
            "patch": st.sampled_from([1, 2]),
            "upsampling": st.sampled_from(UPSAMPLERS),
            "dilated": st.booleans(),
            "attention": st.sampled_from([0, 1, 4]),
            "activation": st.sampled_from(sorted(ACTIVATIONS)),
            "norm": st.sampled_from(NORMS),
            "dropout": st.sampled_from([0.0, 0.5]),
            "linear": st.booleans(),
            "variational": st.booleans(),
        }
    ),
)
def test_any_autoencoder_gives_back_the_shape(
    latent, encoder_widths, decoder_widths, stride, pooling, options
):
    config = AutoencoderConfig(
        latent, tuple(encoder_widths), stride, pooling, 8, tuple(decoder_widths), **options
    )
    model, x = Autoencoder(config, 6, 16).eval(), noise(2, 6, 16)
    mean, log_scale = model.posterior(x)
    assert mean.shape == log_scale.shape == (2, latent) and model(x).shape == x.shape
    assert (
        torch.equal(model.encode(x), mean)
        and bool(log_scale.isfinite().all()) == config.variational
    )


OPTIONS = {
    "residual": 1,
    "dilated": True,
    "attention": 2,
    "pooling": "attention",
    "upsampling": "nearest",
    "activation": "snake",
    "norm": "group",
    "dropout": 0.5,
    "linear": True,
    "variational": True,
    "latent": 3,
    "patch": 2,
}
BLOCKS = {
    "encoder_widths": (8, 16),
    "stride": 2,
    "pooling": "flatten",
    "decoder_start": 8,
    "decoder_widths": (16, 8),
}


def built(**options) -> Autoencoder:
    """An autoencoder of which every part does something, in training."""
    torch.manual_seed(0)
    model = Autoencoder(AutoencoderConfig(**{"latent": 4, "residual": 2} | BLOCKS | options), 6, 16)
    if model.linear:
        model.linear.fit(noise(20, 6, 16, seed=1), torch.nn.Identity())
    return stirred(model).train()


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_changes_what_is_computed(option):
    """With the same numbers in all parameters, as far as there are any."""
    value = OPTIONS[option]
    without, with_it = built(), built(**{option: value})
    if option == "dilated":  # no parameter differs: only where the kernels look
        assert with_it.state_dict().keys() == without.state_dict().keys()
    x = noise(3, 6, 16, seed=2)
    torch.manual_seed(0)
    plain = without(x)
    torch.manual_seed(0)
    other = with_it(x)
    assert other.shape == plain.shape and not torch.allclose(plain, other, atol=1e-3)
    other.square().mean().backward()
    unused = [
        name for name, p in with_it.named_parameters() if p.grad is None or not bool(p.grad.any())
    ]
    assert [name for name in unused if not (option == "variational" and "project" in name)] == []


@pytest.mark.parametrize("upsampling", UPSAMPLERS)
def test_what_doubles_the_frames_keeps_their_order(upsampling):
    """A frame's neighbourhood, and no other, hears of it."""
    layer = upsampler(upsampling, 2, 3)
    x = noise(1, 2, 8)
    later = x.clone()
    later[..., 5] += 1
    changed = (layer(x) != layer(later)).any(1)[0]
    assert layer(x).shape == (1, 3, 16)
    assert changed[10] and changed[11] and not changed[:8].any() and not changed[14:].any()


def test_dropout_is_for_training_alone():
    model, x = built(dropout=0.5), noise(3, 6, 16)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_with_principal_components_the_model_starts_as_pca():
    torch.manual_seed(0)
    clips = noise(60, 6, 16) @ torch.diag(torch.arange(1.0, 17))
    model = Autoencoder(AutoencoderConfig(latent=5, linear=True, **BLOCKS), 6, 16).eval()
    model.linear.fit(clips, torch.nn.Identity())
    flat = clips.flatten(1)
    basis = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)[2][:5]
    by_hand = ((flat - flat.mean(0)) @ basis.T @ basis + flat.mean(0)).view_as(clips)
    torch.testing.assert_close(model(clips), by_hand, atol=2e-3, rtol=1e-3)
    z = model.encode(clips)
    torch.testing.assert_close(z.T.cov(correction=0), torch.eye(5), atol=1e-3, rtol=0)


def test_attention_pooling_sees_in_which_order_frames_come():
    pool, x = AttentionPooling(8, 10), noise(2, 8, 10)
    assert not torch.allclose(pool(x), pool(x.flip(-1)), atol=1e-3)
    with torch.no_grad():
        pool.place.zero_()
    torch.testing.assert_close(pool(x), pool(x.flip(-1)))


def test_attention_pooling_is_a_mean_weighted_by_the_softmax_over_frames():
    pool, x = stirred(AttentionPooling(8, 10, queries=3)), noise(2, 8, 10)
    keys = (
        torch.einsum("ij,bjt->bit", pool.key.weight[..., 0], x + pool.place)
        + pool.key.bias[:, None]
    )
    found = pool(x).view(2, 3, 8)
    for b in range(2):
        for q in range(3):
            share = torch.stack([pool.query[q] @ keys[b, :, t] for t in range(10)]).exp()
            expected = sum(share[t] * x[b, :, t] for t in range(10)) / share.sum()
            torch.testing.assert_close(found[b, q], expected, rtol=1e-4, atol=1e-5)


def test_attention_equals_torchs():
    layer, x = stirred(TimeAttention(8, 12, heads=2)), noise(3, 8, 12)
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.ask.weight, layer.value.weight])[..., 0])
        theirs.in_proj_bias.copy_(torch.cat([layer.ask.bias, layer.value.bias]))
        theirs.out_proj.weight.copy_(layer.out.weight[..., 0])
        theirs.out_proj.bias.copy_(layer.out.bias)
    h = layer.norm(x)
    asked, valued = (h + layer.place).transpose(1, 2), h.transpose(1, 2)
    expected = x + theirs(asked, asked, valued)[0].transpose(1, 2)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_a_patch_is_made_of_neighbouring_frames():
    """What the convolutions draw at one place stands at frames that follow one another."""
    bare = Autoencoder(AutoencoderConfig(**{"latent": 4, "patch": 2} | BLOCKS), 6, 16).eval()
    marks = torch.zeros(1, 12, 8)
    marks[0, 0, 3], marks[0, 1, 3] = 1.0, 2.0  # band 0, first and second frame of the fourth patch
    bare.decoder.forward = lambda z: marks
    drawn = bare.decode(torch.zeros(1, 4))
    assert drawn[0, 0].nonzero().flatten().tolist() == [6, 7] and drawn[0, 0, 6:8].tolist() == [
        1,
        2,
    ]
    seen = []
    bare.encoder.forward = lambda x: seen.append(x) or torch.zeros(1, 4)
    bare.encode(drawn)
    torch.testing.assert_close(seen[0], marks)  # the way in is the way out, backwards


def test_attention_lets_distant_frames_meet():
    layer, x = stirred(TimeAttention(8, 64, 2)), noise(1, 8, 64).requires_grad_()
    layer(x)[0, :, 0].sum().backward()
    assert bool(x.grad[0, :, 63].any())


def test_snake_repeats_and_rises():
    """x + sin^2(a x) / a grows by 2 pi / a a period, and its slope is never negative."""
    snake, x = Snake(1), torch.linspace(-6, 6, 400).view(1, 1, -1)
    y = snake(x).detach()
    torch.testing.assert_close(
        snake(x + math.pi / 1.001).detach(), y + math.pi / 1.001, atol=1e-4, rtol=0
    )
    assert bool((y.diff() > -1e-3).all()) and float(y.diff().max()) > 1.9 * float(x.diff().max())
