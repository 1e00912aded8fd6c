"""What can be set about the networks; none of this needs torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from tootlearn import rng
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.errors import (
    InputError,
    check_at_least,
    check_below_one,
    check_between,
    check_choice,
    check_positive,
)

POOLINGS = ("mean", "attention", "flatten")
UPSAMPLERS = ("transposed", "nearest", "subpixel")
ACTIVATIONS = ("relu", "leaky_relu", "gelu", "silu", "snake")
NORMS = ("batch", "group", "none")
# Hz: the high band fades in where `audio.resample` fades the wave out
CROSS_OVER = (10150.0, 11000.0)


def check_style(activation: str, norm: str, dropout: float) -> None:
    """Refuse what no `layers.Style` has."""
    check_choice("activation", activation, ACTIVATIONS)
    check_choice("norm", norm, NORMS)
    check_below_one("dropout", dropout)


@dataclass(frozen=True)
class AutoencoderConfig:
    """The plain autoencoder; the defaults are the baseline.

    Args:
        latent: Z, the numbers that the decoder gets.
        encoder_widths: channels of the encoder's convolutions.
        stride: of the encoder's convolutions over time.
        pooling: "mean" over time, "attention", or "flatten"; see `Encoder`.
        decoder_start: channels of the vector once it is expanded over time.
        decoder_widths: channels after each doubling of the frames.
        residual: residual blocks after each convolution; 0 for an activation and a norm instead.
        patch: how many neighbouring frames the convolutions read and write as one, which saves time
            by the same factor.
        upsampling: what doubles the frames: "transposed" convolution, "nearest" frame and
            convolution, or "subpixel".
        dilated: whether the dilation doubles from one residual block to the next.
        attention: heads of a self-attention over time in encoder and decoder, where frames are
            fewest; 0 for none.
        activation: "relu", "leaky_relu", "gelu", "silu" or "snake".
        norm: "batch", "group" or "none".
        dropout: share of the activations that are set to zero in training.
        linear: whether there is a parallel path of principal components, to which encoder and
            decoder only add.
        variational: whether the encoder gives a distribution, of which the decoder gets a sample in
            training.

    Raises:
        InputError: values that are not allowed; the message says what is.
    """

    latent: int = 128
    encoder_widths: tuple[int, ...] = (32, 64, 128)
    stride: int = 1
    pooling: str = "mean"
    decoder_start: int = 128
    decoder_widths: tuple[int, ...] = (64, 32)
    residual: int = 0
    patch: int = 1
    upsampling: str = "transposed"
    dilated: bool = False
    attention: int = 0
    activation: str = "relu"
    norm: str = "batch"
    dropout: float = 0.0
    linear: bool = False
    variational: bool = False

    def __post_init__(self) -> None:
        check_choice("pooling", self.pooling, POOLINGS)
        check_choice("upsampling", self.upsampling, UPSAMPLERS)
        for name in ("latent", "stride", "patch", "decoder_start"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("residual", "attention"):
            check_at_least(name, getattr(self, name), 0)
        for name in ("encoder_widths", "decoder_widths"):
            widths = getattr(self, name)
            if not widths:
                raise InputError(f"{name} has one number or more, not none")
            for width in widths:
                check_at_least(f"each of {name}", width, 1)
            if (self.residual or self.norm == "group") and any(width % 8 for width in widths):
                raise InputError(
                    f"with residual blocks or group norm {name} are multiples of 8, not {widths}"
                )
        attended = {
            "the last of encoder_widths": self.encoder_widths[-1],
            "decoder_start": self.decoder_start,
        }
        for name, channels in attended.items() if self.attention else ():
            if channels % 8 or channels % self.attention:
                raise InputError(
                    f"with {self.attention} heads of attention {name} is a multiple of 8 and of "
                    f"{self.attention}, not {channels}"
                )
        check_style(self.activation, self.norm, self.dropout)


@dataclass(frozen=True)
class GeneratorConfig:
    """The conditional generator.

    Args:
        residual: Z, size of the residual latent, 1 to 16.
        width: channels inside the decoder, a multiple of 8.
        blocks: residual blocks of the decoder.
        conditioning: "film" or "concat"; see `ConditionalDecoder`.
        encoder_widths: channels of the encoder's convolutions, each of which halves the frames;
            multiples of 8.

    Raises:
        InputError: values that are not allowed; the message says what is.
    """

    residual: int = 8
    width: int = 160
    blocks: int = 4
    conditioning: str = "film"
    encoder_widths: tuple[int, ...] = (64, 64, 64)

    def __post_init__(self) -> None:
        check_choice("conditioning", self.conditioning, ("film", "concat"))
        check_between("residual", self.residual, 1, 16)
        check_at_least("blocks", self.blocks, 1)
        if self.width < 8 or self.width % 8:
            raise InputError(f"width is a positive multiple of 8, not {self.width}")
        if not self.encoder_widths or any(width < 8 or width % 8 for width in self.encoder_widths):
            raise InputError(
                f"encoder_widths are one or more multiples of 8, not {self.encoder_widths}"
            )


@dataclass(frozen=True)
class VocoderConfig:
    """The size of a vocoder.

    Args:
        width: channels between the blocks.
        hidden: channels inside a block.
        blocks: how many.
        kernel: frames of the convolution over time in each block, odd.
        wide: channels of the last hidden layer. It must be wide to tell apart the harmonic patterns
            of all pitches.
        updates: steps of the mel inversion that follows.

    Raises:
        InputError: values that are not allowed.
    """

    width: int = 128
    hidden: int = 384
    blocks: int = 3
    kernel: int = 5
    wide: int = 640
    updates: int = 5

    def __post_init__(self) -> None:
        for name in ("width", "hidden", "blocks", "kernel", "wide", "updates"):
            check_at_least(name, getattr(self, name), 1)
        if self.kernel % 2 == 0:
            raise InputError(f"kernel is odd, so that it has a middle, not {self.kernel}")


@dataclass(frozen=True)
class BandwidthConfig:
    """The front end and the size of the network of an extension.

    Args:
        front_end: makes the log-mels that the network reads. They end where resampling begins to
            fade a wave out, and have a shorter window than those of the models, so that attacks are
            located well in time.
        width: channels between the blocks.
        hidden: channels inside a block.
        blocks: how many.
        kernel: of the convolution over time in each block, frames, odd.

    Raises:
        InputError: values that are not allowed.
    """

    front_end: FrontEndConfig = field(
        default_factory=lambda: FrontEndConfig(22050, 512, 128, 48, 0.0, 10000.0)
    )
    width: int = 64
    hidden: int = 192
    blocks: int = 3
    kernel: int = 7

    def __post_init__(self) -> None:
        for name in ("width", "hidden", "blocks", "kernel"):
            check_at_least(name, getattr(self, name), 1)
        if self.kernel % 2 == 0:
            raise InputError(f"kernel is odd, so that it has a middle, not {self.kernel}")
        if self.front_end.sample_rate != 22050 or self.front_end.fmax > CROSS_OVER[0]:
            raise InputError(
                f"an extension makes 44100 Hz from 22050 Hz, and reads what lies below "
                f"{CROSS_OVER[0]:g} Hz"
            )


@dataclass(frozen=True)
class ClassifierConfig:
    """How a classifier is trained.

    Args:
        steps: of the optimiser.
        batch: clips a step.
        learning_rate: the highest; it rises linearly over a tenth of the steps and falls to zero
            along a cosine.
        width: channels of the first convolution; the later ones have four times as many.
        embedding: E, size of the embedding.
        dropout: share of the embedding's numbers that are set to zero in a step.
        smoothing: of the labels, against overconfidence (Szegedy et al. 2016).
        augmentation: from 0, which trains on the clips as they are, to 1, which varies them as much
            as recordings differ: see `train_classifier.augmented`.
        seed: of initial weights, batches and augmentation.

    Raises:
        InputError: values that are not allowed; the message says what is.
    """

    steps: int = 700
    batch: int = 48
    learning_rate: float = 3e-3
    width: int = 8
    embedding: int = 64
    dropout: float = 0.1
    smoothing: float = 0.05
    augmentation: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 2), ("width", 1), ("embedding", 1)):
            check_at_least(name, getattr(self, name), least)
        check_positive("learning_rate", self.learning_rate)
        check_at_least("augmentation", self.augmentation, 0)
        for name in ("dropout", "smoothing"):
            check_below_one(name, getattr(self, name))
        check_between("seed", self.seed, 0, rng.MAX_SEED)
