"""The generator: gradients, sizes, and what reaches encoder and decoder."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tootlearn.controls import Controls
from tootlearn.data.recipes import KINDS
from tootlearn.dsp.config import WINDOW_SAMPLES, FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.losses import log_mel as losses
from tootlearn.models.config import GeneratorConfig
from tootlearn.models.decoder import Condition
from tootlearn.models.generator import Generator

SMALL = FrontEndConfig(hop=512, mels=24)  # 88 frames
TINY = GeneratorConfig(residual=3, width=16, blocks=1, encoder_widths=(8, 8))
FOUR = list(KINDS.values())[:4]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stirred(module: nn.Module, scale: float = 0.1) -> nn.Module:
    """The module with noise on all its parameters, also those that start at zero."""
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter += scale * noise(*parameter.shape, seed=i)
    return module


def condition(batch: int = 4, loudness: float = -12.0) -> Condition:
    share = np.linspace(0.1, 0.9, batch)
    kind = np.arange(batch) % len(FOUR)
    return Condition.of(
        Controls(kind, 300 + 200 * share, 0.3 + share, share, np.full(batch, loudness))
    )


def tiny(config: GeneratorConfig = TINY, kinds=FOUR) -> Generator:
    torch.manual_seed(0)
    return Generator(config, SMALL, 88, kinds)


# The generator


def everything(generator: Generator, log_mel: torch.Tensor, controls: Condition) -> torch.Tensor:
    """A loss in which all that a generator learns takes part."""
    mean, log_scale = generator.encode(log_mel, controls)
    drawing = generator.decode(controls, mean + log_scale.exp() * noise(*mean.shape))
    weight = torch.ones(len(log_mel), log_mel.shape[2])
    return (
        losses.squared_error(drawing.log_mel, log_mel, weight)
        + losses.mel_convergence(drawing.log_mel, log_mel)
        + losses.divergence(mean, log_scale)
    )


@pytest.mark.parametrize("conditioning", ["film", "concat"])
def test_every_parameter_of_the_default_generator_gets_a_gradient(conditioning):
    torch.manual_seed(0)
    front_end = FrontEndConfig()
    generator = stirred(
        Generator(replace(GeneratorConfig(), conditioning=conditioning), front_end, 176, FOUR), 0.02
    )
    everything(generator.train(), -5 + noise(4, 128, 176), condition()).backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
        assert parameter.grad.isfinite().all(), name


@settings(max_examples=6)
@given(
    residual=st.integers(1, 16),
    width=st.sampled_from([8, 16]),
    blocks=st.integers(1, 3),
    conditioning=st.sampled_from(["film", "concat"]),
    encoder_widths=st.lists(st.sampled_from([8, 16]), min_size=1, max_size=3),
    kinds=st.integers(1, 4),
)
def test_any_generator_has_the_sizes_of_its_config(
    residual, width, blocks, conditioning, encoder_widths, kinds
):
    config = GeneratorConfig(residual, width, blocks, conditioning, tuple(encoder_widths))
    generator, controls, log_mel = (
        tiny(config, FOUR[:kinds]).eval(),
        condition(kinds),
        -5 + noise(kinds, 24, 88),
    )
    mean, log_scale = generator.encode(log_mel, controls)
    assert mean.shape == log_scale.shape == (kinds, residual)
    assert generator.decode(controls, mean).log_mel.shape == (kinds, 24, 88)
    assert generator.prior.sample(controls, noise(kinds, residual)).shape == (kinds, residual)


def test_the_encoder_hears_the_same_in_a_loud_toot_and_a_quiet_one():
    """Of the same wave at two gains, with the floor in both, and told of the gain, the log-mel that
    it sees is one.
    """
    generator, front_end = stirred(tiny()).eval(), FrontEnd(SMALL)
    fade = torch.linspace(0, -14, WINDOW_SAMPLES).exp()  # down into the floor
    tone = torch.sin(0.1 * torch.arange(WINDOW_SAMPLES)) * fade
    loud, quiet = condition(1, -6.0), condition(1, -36.0)
    # the controls stand beside the spectrogram, loudness among them
    quiet = quiet._replace(numbers=loud.numbers)
    results = []
    for controls in (loud, quiet):
        log_mel = front_end(tone * controls.gain.exp())[None]
        assert (log_mel == math.log(SMALL.floor)).any()
        results.append(generator.encode(log_mel, controls))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    other = generator.encode(front_end(tone.flip(0) * loud.gain.exp())[None], loud)
    assert (other[0] - results[0][0]).abs().max() > 1e-2  # it is not deaf


def test_the_log_scale_of_the_residual_is_held():
    generator = tiny().eval()
    with torch.no_grad():
        generator.encoder.project.weight.zero_()
        generator.encoder.project.bias.copy_(torch.tensor([0.0, 1.0, 2.0, -100.0, 100.0, 0.5]))
        mean, log_scale = generator.encode(noise(4, 24, 88), condition())
    torch.testing.assert_close(mean[0], torch.tensor([0.0, 1.0, 2.0]))
    torch.testing.assert_close(log_scale[0], torch.tensor([-6.0, 2.0, 0.5]))


def test_the_controls_and_the_residual_reach_the_encoder_and_the_decoder():
    generator = stirred(tiny()).eval()
    log_mel, controls = -5 + noise(4, 24, 88), condition()
    mean = generator.encode(log_mel, controls)[0]
    other = controls._replace(kind=controls.kind.roll(1))
    assert (generator.encode(log_mel, other)[0] - mean).abs().max() > 1e-3
    assert (
        generator.encode(log_mel + noise(4, 24, 88, seed=1), controls)[0] - mean
    ).abs().max() > 1e-3
    drawn = generator.decode(controls, mean).log_mel
    assert (generator.decode(other, mean).log_mel - drawn).abs().max() > 1e-2
    assert (generator.decode(controls, mean + 1).log_mel - drawn).abs().max() > 1e-2
