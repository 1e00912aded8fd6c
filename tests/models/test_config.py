"""Settings of the networks: what they refuse."""

import math

import pytest

from tootlearn.dsp.config import FrontEndConfig
from tootlearn.errors import InputError
from tootlearn.models.config import (
    AutoencoderConfig,
    BandwidthConfig,
    ClassifierConfig,
    GeneratorConfig,
    VocoderConfig,
)


@pytest.mark.parametrize(
    ("wrong", "allowed"),
    [
        ({"pooling": "max"}, "pooling is one of mean, attention, flatten, not 'max'"),
        (
            {"upsampling": "cubic"},
            "upsampling is one of transposed, nearest, subpixel, not 'cubic'",
        ),
        (
            {"activation": "tanh"},
            "activation is one of relu, leaky_relu, gelu, silu, snake, not 'tanh'",
        ),
        ({"norm": "layer"}, "norm is one of batch, group, none, not 'layer'"),
        ({"dropout": 1.0}, "dropout is 0 or more and below 1, not 1.0"),
        ({"attention": -1}, "attention is 0 or more"),
        ({"attention": 3}, "multiple of 8 and of 3, not 128"),
        ({"norm": "group", "decoder_widths": (12,)}, "multiples of 8"),
        ({"latent": 0}, "1 or more"),
        ({"stride": 0}, "1 or more"),
        ({"decoder_start": 0}, "1 or more"),
        ({"encoder_widths": (32, 0)}, "1 or more"),
        ({"decoder_widths": (-1,)}, "1 or more"),
        ({"encoder_widths": ()}, "one number or more"),
        ({"decoder_widths": ()}, "one number or more"),
        ({"residual": -1}, "residual is 0 or more"),
        ({"residual": 1, "encoder_widths": (12,)}, r"multiples of 8, not \(12,\)"),
        (
            {"residual": 1, "decoder_widths": (12,)},
            r"decoder_widths are multiples of 8, not \(12,\)",
        ),
    ],
)
def test_autoencoder_configs_that_cannot_be_are_refused_with_what_can(wrong, allowed):
    with pytest.raises(InputError, match=allowed):
        AutoencoderConfig(**wrong)


@pytest.mark.parametrize(
    ("wrong", "allowed"),
    [
        ({"conditioning": "add"}, "one of film, concat, not 'add'"),
        ({"residual": 0}, "residual is 1 to 16, not 0"),
        ({"residual": 17}, "residual is 1 to 16, not 17"),
        ({"width": 0}, "multiple of 8"),
        ({"width": 20}, "multiple of 8, not 20"),
        ({"blocks": 0}, "blocks is 1 or more"),
        ({"encoder_widths": ()}, "one or more multiples of 8"),
        ({"encoder_widths": (16, 12)}, r"multiples of 8, not \(16, 12\)"),
    ],
)
def test_generator_configs_that_cannot_be_are_refused_with_what_can(wrong, allowed):
    with pytest.raises(InputError, match=allowed):
        GeneratorConfig(**wrong)


@pytest.mark.parametrize("change", [{"width": 0}, {"kernel": 4}, {"updates": 0}])
def test_a_vocoder_size_that_is_none_is_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        VocoderConfig(**change)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"width": 0}, "width"),
        ({"kernel": 4}, "odd"),
        ({"front_end": FrontEndConfig(16000, 512, 128, 48, 0.0, 8000.0)}, "22050"),
        ({"front_end": FrontEndConfig(22050, 512, 128, 48)}, "10150"),
    ],
)
def test_a_bandwidth_size_that_is_none_is_refused(change, named):
    with pytest.raises(InputError, match=named):
        BandwidthConfig(**change)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"steps": 0}, "steps is 1 or more, not 0"),
        ({"batch": 1}, "batch is 2 or more, not 1"),
        ({"width": 0}, "width is 1 or more"),
        ({"embedding": 0}, "embedding is 1 or more"),
        ({"learning_rate": math.nan}, "learning_rate is a positive number"),
        ({"augmentation": -1.0}, "augmentation is 0 or more"),
        ({"dropout": 1.0}, "dropout is 0 or more and below 1"),
        ({"smoothing": -0.1}, "smoothing is 0 or more and below 1"),
        ({"seed": -1}, "seed is 0 to"),
    ],
)
def test_a_classifier_config_says_what_is_allowed(changes, named):
    with pytest.raises(InputError, match=named):
        ClassifierConfig(**changes)
