"""What can be set about training, and the settings that have a name; none of this needs torch."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from typing import Any

from tootlearn import rng
from tootlearn.data.config import Augmentation
from tootlearn.data.recipes import KINDS
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.errors import (
    InputError,
    check_at_least,
    check_between,
    check_choice,
    check_positive,
    check_share,
)
from tootlearn.models.config import (
    AutoencoderConfig,
    BandwidthConfig,
    GeneratorConfig,
    VocoderConfig,
)

# Losses of what any network draws: `objective.Objective` names a term after the network and one of
# these.
DRAWING_LOSSES = ("convergence", "stft", "audible", "multi_scale", "embedding")

# What a term of the loss weighs unless a config says otherwise. The first part of a name says which
# network's drawing.
WEIGHTS = {
    "generation": 1.0,
    "generation_bend": 10.0,
    "generation_divergence": 1e-4,
    "reconstruction": 1.0,
    "reconstruction_divergence": 1e-4,
    **{
        f"{drawing}_{loss}": 0.0
        for drawing in ("generation", "reconstruction")
        for loss in DRAWING_LOSSES
    },
    "generation_convergence": 0.2,
}


@dataclass(frozen=True)
class TrainConfig:
    """What is trained, on what, and how.

    Args:
        generator: the conditional generator, if there is one.
        autoencoder: the plain autoencoder, if there is one.
        front_end: what log-mels are made with.
        kinds: of synthetic toots.
        clips: how many of them, held-out ones included; 0 for none.
        sampled: how many notes from a sound font, of the kinds that it has instruments for; 0 for
            none.
        bright: the share of these notes that are played as they were recorded, without the low pass
            that the synthesiser of the font has for softer notes.
        font: the sound font, .sf2 or .sf3 (default: looked for on this machine).
        data: folders of recordings (`data.folder`) or public data sets (`data.public`), or
            manifests.
        stream: read the data, one folder of shards (`data.shards`), while training, a few toots in
            memory at a time.
        start_from: a model file to start from, or "default" for the shipped one; None starts from
            scratch.
        replay: how many toots that model plays, so that it does not forget them.
        augmentation: how recordings are varied from step to step.
        steps: of the optimiser.
        batch: clips a step.
        learning_rate: the highest; a cosine brings it to zero after a linear start.
        warmup: steps of that start, 1 or more.
        weight_decay: of AdamW.
        clip: the largest norm of each network's gradient; what is longer is scaled down to it.
        weights: of the terms of the loss, by their names in the log; those not named keep what they
            have in :data:`WEIGHTS`, and 0 leaves a term out. "generation" is the squared error of
            what the generator draws, "reconstruction" that of what the autoencoder draws. Behind
            each of these names and "_" may follow

            - "convergence": of mel magnitudes (`log_mel.mel_convergence`);
            - "stft": of the wave (`MultiResolutionSTFTLoss`), the most expensive one;
            - "audible", "multi_scale", "embedding": of what is audible (`perceptual`); for the last
              one a classifier is trained first;
            - "divergence": of the residual, or of a variational latent, per nat. The generator's
              starts 200 times as high and falls over the first half of training, so that what the
              controls can explain is learned from them and the residual gets the rest. The
              autoencoder's rises from 0 over the first half: a latent that is penalised before it
              is useful is never used;
            - "bend", of the generator alone: the squared error of f0 in octaves, where it is known.
        free_bits: nats that each number of a variational latent has free.
        seed: of data, initial weights, batches and noise.
        check_every: steps between evaluations on the held-out clips, each with a checkpoint.

    Raises:
        InputError: values that are not allowed; the message says what is.
    """

    generator: GeneratorConfig | None = field(default_factory=GeneratorConfig)
    autoencoder: AutoencoderConfig | None = None
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    kinds: tuple[str, ...] = tuple(KINDS)
    clips: int = 9600
    sampled: int = 0
    bright: float = 0.0
    font: str | None = None
    data: tuple[str, ...] = ()
    stream: bool = False
    start_from: str | None = None
    replay: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    steps: int = 3000
    batch: int = 64
    learning_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 1e-3
    clip: float = 1.0
    weights: dict[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    free_bits: float = 0.05
    seed: int = 0
    check_every: int = 500

    def __post_init__(self) -> None:
        if self.generator is None and self.autoencoder is None:
            raise InputError("nothing to train: give a generator, an autoencoder or both")
        for name in ("clips", "sampled", "replay"):
            check_at_least(name, getattr(self, name), 0)
        check_share("bright", self.bright)
        if not self.clips and not self.sampled and not self.data:
            raise InputError("nothing to train on: give synthetic clips, sampled ones, or data")
        if self.stream and (len(self.data) != 1 or self.clips or self.sampled or self.start_from):
            raise InputError(
                "what is streamed is one folder of shards and nothing beside it: give --data "
                "SHARDS, with clips 0 and "
                "sampled 0, and nothing to start from; or leave stream out, and all is read into "
                "memory"
            )
        if self.augmentation.on and not self.data:
            raise InputError("augmentation is for recordings: give data, or leave augmentation out")
        if not self.kinds and (self.clips or self.sampled):
            raise InputError("nothing to train on: kinds has one name or more")
        if self.replay and not self.start_from:
            raise InputError(
                "only a model that is started from can be replayed: give it, or replay 0"
            )
        for name in ("steps", "batch", "warmup", "check_every"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("learning_rate", "clip"):
            check_positive(name, getattr(self, name))
        for name in ("weight_decay", "free_bits"):
            check_at_least(name, getattr(self, name), 0)
        self._check_weights()
        check_between("seed", self.seed, 0, rng.MAX_SEED)

    def _check_weights(self) -> None:
        for name, weight in self.weights.items():
            if name not in WEIGHTS:
                near = sorted(
                    WEIGHTS, key=lambda known: -difflib.SequenceMatcher(None, name, known).ratio()
                )
                raise InputError(f"there is no term {name!r} to weigh: there are {', '.join(near)}")
            check_at_least(f"the weight of {name}", weight, 0)
        object.__setattr__(self, "weights", WEIGHTS | self.weights)
        for part, drawing in (("generator", "generation"), ("autoencoder", "reconstruction")):
            judges = [drawing, *(f"{drawing}_{loss}" for loss in DRAWING_LOSSES)]
            if getattr(self, part) and not any(self.weights[name] for name in judges):
                raise InputError(
                    f"nothing trains the {part}: give {drawing} a weight, or set {part} to null"
                )


PRECISIONS = ("32", "bf16", "16")
STRATEGIES = ("auto", "ddp", "fsdp")


@dataclass(frozen=True)
class Compute:
    """How a run computes, and which checkpoints it keeps.

    With precision 32, the parts of a batch (by ``accumulate``, or by several processes) give the
    gradient of the whole, to rounding. A few things see a part and not the batch: batch norm,
    dropout, the free bits of a variational latent, the error of the bandwidth extension (a weighted
    mean), and the loss "stft", which turns only the first clips of each part into sound. Where
    toots are streamed, each process takes the error of f0 as a mean over its own toots.

    Args:
        precision: "32"; "bf16" or "16": convolutions and matrix products in 16 bits, weights and
            losses in 32 (Micikevicius et al. 2018). "16" scales the loss and needs CUDA.
        devices: how many of each machine, one process each; under `torchrun` the number that it
            started counts.
        nodes: how many machines.
        strategy: "auto", which is "ddp" for several processes: each has the whole model and a share
            of the batch. "fsdp", which would split the model as well, is refused: evaluation and
            checkpoints need all of it.
        accumulate: into how many parts a process splits its share of the batch, to save memory.
        compile: compile the networks with `torch.compile`, which needs a C++ compiler.
        keep_every: steps between checkpoints that are kept; 0 keeps only the last.
        best: save the weights that did best on the held-out clips, not the last ones. Their
            held-out error has then been chosen by that very error.

    Raises:
        InputError: values that are not allowed; the message says what is.
    """

    precision: str = "32"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    accumulate: int = 1
    compile: bool = False
    keep_every: int = 0
    best: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("precision", PRECISIONS), ("strategy", STRATEGIES)):
            check_choice(name, getattr(self, name), allowed)
        for name, least in (("devices", 1), ("nodes", 1), ("accumulate", 1), ("keep_every", 0)):
            check_at_least(name, getattr(self, name), least)


@dataclass(frozen=True)
class VocoderTrainConfig:
    """What a vocoder is trained on, and how.

    Args:
        front_end: of the log-mels that it turns into sound.
        vocoder: its size.
        synthetic: how many synthetic toots.
        sampled: how many notes of a sound font: half of them brass, a third other winds, the rest
            everything else.
        font: the sound font, .sf2 or .sf3 (default: looked for on this machine).
        data: folders of recordings, whatever they are called.
        steps: of the optimiser.
        batch: pieces a step.
        frames: of a piece.
        learning_rate: the highest; a cosine brings it to zero after a linear start of 100 steps.
        log_weight: of the error of the log-magnitude, beside that of the spectral convergence (in
            nats, times 0.2).
        peak_weight: of the error of the peaks' frequencies.
        augmentation: the share of rooms, noise and second sounds; 0 trains on the sounds as they
            are.
        seed: of data, initial weights, pieces and noise.
        check_every: steps between evaluations on the held-out sounds, each with a checkpoint.

    Raises:
        InputError: values that are not allowed.
    """

    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    synthetic: int = 3072
    sampled: int = 2400
    font: str | None = None
    data: tuple[str, ...] = ()
    steps: int = 10000
    batch: int = 40
    frames: int = 24
    learning_rate: float = 2e-3
    log_weight: float = 0.3
    peak_weight: float = 0.15
    augmentation: float = 0.4
    seed: int = 0
    check_every: int = 500

    def __post_init__(self) -> None:
        for name in ("synthetic", "sampled"):
            check_at_least(name, getattr(self, name), 0)
        if not self.synthetic and not self.sampled and not self.data:
            raise InputError("nothing to train on: give synthetic toots, sampled notes, or data")
        for name, least in (("steps", 1), ("batch", 2), ("frames", 4), ("check_every", 1)):
            check_at_least(name, getattr(self, name), least)
        check_positive("learning_rate", self.learning_rate)
        for name in ("log_weight", "peak_weight"):
            check_at_least(name, getattr(self, name), 0)
        check_share("augmentation", self.augmentation)
        check_between("seed", self.seed, 0, rng.MAX_SEED)


@dataclass(frozen=True)
class BandwidthTrainConfig:
    """What an extension is trained on, and how.

    Args:
        bandwidth: its size.
        synthetic: how many synthetic toots. They are made at 22,050 Hz, so they are played at twice
            their speed; harmonics that fall by a power of their number do so at any speed.
        sampled: how many notes of a sound font: half of them brass, a third other winds, the rest
            everything else.
        font: the sound font, .sf2 or .sf3 (default: looked for on this machine).
        data: folders of recordings at 32 kHz or more, whatever they are called.
        versions: how many versions of each sound are learned from, the first of them unchanged.
        steps: of the optimiser.
        batch: pieces a step.
        frames: of a piece.
        learning_rate: the highest; a cosine brings it to zero after a linear start of 100 steps.
        seed: of sounds, versions, initial weights and pieces.
        check_every: steps between evaluations on the held-out sounds, each with a checkpoint.

    Raises:
        InputError: values that are not allowed.
    """

    bandwidth: BandwidthConfig = field(default_factory=BandwidthConfig)
    synthetic: int = 1200
    sampled: int = 3000
    font: str | None = None
    data: tuple[str, ...] = ()
    versions: int = 2
    steps: int = 4000
    batch: int = 32
    frames: int = 64
    learning_rate: float = 2e-3
    seed: int = 0
    check_every: int = 500

    def __post_init__(self) -> None:
        for name in ("versions", "steps", "batch", "frames", "check_every"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("synthetic", "sampled"):
            check_at_least(name, getattr(self, name), 0)
        if not self.synthetic and not self.sampled and not self.data:
            raise InputError("nothing to train on: give synthetic toots, sampled notes, or data")
        check_positive("learning_rate", self.learning_rate)
        check_between("seed", self.seed, 0, rng.MAX_SEED)


# Perceptual losses, for the generator alone: they lower its error by a seventh, and bring toots
# nearer to recordings.
_PERCEPTUAL = {
    "generation_audible": 0.1,
    "generation_multi_scale": 0.3,
    "generation_embedding": 0.5,
}

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
    # What ships: controls to toots, and a plain autoencoder of 64 numbers for reconstruction. Brass
    # is learned from recorded instruments too, so it needs a sound font. So many steps take less
    # than 20 minutes on two cores.
    "default": TrainConfig(
        autoencoder=_AUTOENCODER,
        clips=7200,
        sampled=2400,
        bright=1.0,
        steps=2500,
        weights=_PERCEPTUAL,
    ),
    # The same without a sound font.
    "synthetic": TrainConfig(autoencoder=_AUTOENCODER),
    # What plays in the book's page: half the frames, and a generator alone, which is fetched in
    # less than a megabyte.
    "tiny": TrainConfig(
        generator=GeneratorConfig(width=128, encoder_widths=(48, 48, 48)),
        front_end=FrontEndConfig(hop=512),
        clips=7200,
        sampled=2400,
        bright=1.0,
        weights=_PERCEPTUAL,
    ),
    # Recordings of one's own, from scratch; of 50 clips a step sees all.
    "own": TrainConfig(
        autoencoder=_AUTOENCODER,
        kinds=(),
        clips=0,
        data=("recordings",),
        steps=1000,
        check_every=250,
    ),
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
