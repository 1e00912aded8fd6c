"""A training run that takes a moment, and what it writes."""

import json
from pathlib import Path
from typing import Any

from tootlearn.data.clips import Clips, synthesise
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.models.config import AutoencoderConfig, GeneratorConfig
from tootlearn.models.toot_model import TootModel
from tootlearn.training.config import TrainConfig
from tootlearn.training.train import train

# With all that has a state: batch statistics, noise in the latent, a prior.
CONFIG = TrainConfig(
    generator=GeneratorConfig(residual=2, width=8, blocks=1, encoder_widths=(8, 8)),
    autoencoder=AutoencoderConfig(
        latent=4, encoder_widths=(8, 8), decoder_start=8, decoder_widths=(8, 8)
    ),
    front_end=FrontEndConfig(hop=512, mels=16),
    kinds=("trumpet", "car_horn"),
    clips=40,
    steps=12,
    batch=8,
    warmup=3,
    check_every=5,
)


def clips_of(config: TrainConfig) -> Clips:
    """The synthetic clips that a config asks for."""
    return synthesise(
        config.kinds, config.clips, config.seed, FrontEnd(config.front_end), progress=False
    )


def run(config: TrainConfig, clips: Clips, out: Path, **options: Any) -> TootModel:
    """Train without a progress bar."""
    return train(config, clips, out, progress=False, **options)


def log(out: Path) -> list[dict[str, Any]]:
    """The rows that a run has logged."""
    return [json.loads(line) for line in (out / "log.jsonl").read_text("utf8").splitlines()]
