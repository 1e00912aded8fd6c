"""What can be set about training, and the settings that have a name."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from tootlearn import rng
from tootlearn.audio import InputError
from tootlearn.autoencoder import AutoencoderConfig, GeneratorConfig
from tootlearn.data.recipes import KINDS
from tootlearn.front_end import FrontEndConfig
from tootlearn.losses import PERCEPTUAL


@dataclass(frozen=True)
class TrainConfig:
    """What is trained, on what, and how.

    Args:
        generator: the conditional generator, or null.
        autoencoder: the plain autoencoder, or null.
        front_end: what log-mels are made with.
        kinds: of synthetic toots.
        clips: how many of them, held-out ones included; 0 for none.
        sampled: how many notes from a sound font, of those kinds that it has instruments for; 0 for none.
        font: the sound font (.sf2 or .sf3); null: see `sound_font.find_font`.
        data: folders of recordings (`data.folder`) or public data sets (`data.public`), or manifests.
        start_from: a model file to start from, or "default" for the shipped one; null: from scratch.
        replay: how many toots that model plays, so that it does not forget them.
        steps: of the optimiser.
        batch: clips a step.
        learning_rate: the highest; a cosine brings it to zero after a linear start.
        warmup: steps of that start, 1 or more.
        weight_decay: of AdamW.
        clip: the largest norm of the gradient; what is longer is scaled down to it.
        divergence: weight of the residual latent's divergence from its prior, for a nat. It starts 200 times as high
            and falls over the first half: what the controls can say is learned from the controls, and the residual
            gets the rest.
        latent_divergence: weight of the divergence of a variational autoencoder's latent, for a nat. It rises from 0
            over the first half: a latent that is punished before it is of use is never used.
        free_bits: nats that each of its numbers has free.
        convergence: weight of the spectral convergence of mel magnitudes.
        bend: weight of the squared error of f0, in octaves, where it is known.
        audible: weight of the squared error of what can be heard (`losses.audible_error`); 0 leaves it out, as it does
            the next two. All three count what the generator and what the autoencoder draws.
        multi_scale: weight of the error at several scales (`losses.multi_scale_error`).
        embedding: weight of the difference of what a small classifier makes of the sounds (`losses.feature_error`). The
            classifier is trained first (`classifier.listener`).
        seed: of data, initial weights, batches and noise.
        check_every: steps between looks at the held-out clips and checkpoints.

    Raises:
        InputError: values that are not allowed; the message says what is.
    """

    generator: GeneratorConfig | None = field(default_factory=GeneratorConfig)
    autoencoder: AutoencoderConfig | None = None
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    kinds: tuple[str, ...] = tuple(KINDS)
    clips: int = 9600
    sampled: int = 0
    font: str | None = None
    data: tuple[str, ...] = ()
    start_from: str | None = None
    replay: int = 0
    steps: int = 3000
    batch: int = 64
    learning_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 1e-3
    clip: float = 1.0
    divergence: float = 1e-4
    latent_divergence: float = 1e-4
    free_bits: float = 0.05
    convergence: float = 0.2
    bend: float = 10.0
    audible: float = 0.0
    multi_scale: float = 0.0
    embedding: float = 0.0
    seed: int = 0
    check_every: int = 500

    def __post_init__(self) -> None:
        if self.generator is None and self.autoencoder is None:
            raise InputError("nothing to train: give a generator, an autoencoder or both")
        for name in ("clips", "sampled", "replay"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is 0 or more, not {getattr(self, name)}")
        if not self.clips and not self.sampled and not self.data:
            raise InputError("nothing to train on: give synthetic clips, sampled ones, or data")
        if not self.kinds and (self.clips or self.sampled):
            raise InputError("nothing to train on: kinds has one name or more")
        if self.replay and not self.start_from:
            raise InputError("only a model that is started from can be replayed: give it, or replay 0")
        for name in ("steps", "batch", "warmup", "check_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is 1 or more, not {getattr(self, name)}")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is a positive number, not {getattr(self, name)}")
        for name in (
            "weight_decay",
            "divergence",
            "latent_divergence",
            "free_bits",
            "convergence",
            "bend",
            *PERCEPTUAL,
        ):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} is 0 or more, not {getattr(self, name)}")
        if not 0 <= self.seed <= rng.MAX_SEED:
            raise InputError(f"seed is 0 to {rng.MAX_SEED}, not {self.seed}")


# Principal components, and what convolutions over patches of four frames add to them.
_AUTOENCODER = AutoencoderConfig(
    latent=64,
    encoder_widths=(160,),
    stride=2,
    pooling="flatten",
    decoder_start=160,
    decoder_widths=(160,),
    residual=3,
    patch=4,
    upsampling="subpixel",
    dilated=True,
    activation="silu",
    norm="group",
    linear=True,
)

PRESETS: dict[str, TrainConfig] = {
    # What ships: controls to toots, and a plain autoencoder of 64 numbers for reconstruction. Brass is learned from
    # recorded instruments too, so it needs a sound font.
    "default": TrainConfig(autoencoder=_AUTOENCODER, clips=7200, sampled=2400),
    # The same without a sound font.
    "synthetic": TrainConfig(autoencoder=_AUTOENCODER),
    # What plays in the book's page: half the frames, and a generator alone, which is fetched in less than a megabyte.
    "tiny": TrainConfig(
        generator=GeneratorConfig(width=128, encoder_widths=(48, 48, 48)),
        front_end=FrontEndConfig(hop=512),
        clips=7200,
        sampled=2400,
    ),
    # Recordings of one's own, from scratch; of 50 clips a step sees all.
    "own": TrainConfig(autoencoder=_AUTOENCODER, kinds=(), clips=0, data=("recordings",), steps=1000, check_every=250),
    # A trained model hears recordings of one's own, and rehearses what it knew.
    "fine_tune": TrainConfig(
        autoencoder=_AUTOENCODER,
        kinds=(),
        clips=0,
        data=("recordings",),
        start_from="default",
        replay=960,
        steps=800,
        check_every=200,
    ),
    # The book's first model: three convolutions, a mean over time, two transposed convolutions.
    "baseline": TrainConfig(generator=None, autoencoder=AutoencoderConfig()),
}


def preset(name: str, **changes: Any) -> TrainConfig:
    """A preset with some fields changed.

    Raises:
        InputError: for an unknown preset.
    """
    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}: there are {', '.join(PRESETS)}")
    return replace(PRESETS[name], **changes)
