"""The generator's half of `ablation.py`: what is trained, and how the toots that it plays are
judged.

For the controls of held-out clips, evenly among them, toots are played and measured:

* error: mean squared error of standardised log-mels of held-out clips, from controls and the
  encoder's residual;
* f0 (cents) and duration (ms): median error; brightness and loudness: rank correlation with the
  controls;
* kind: the share that a classifier names correctly. It was trained on the training clips alone,
  with its own seed;
* KAD, by embeddings of that classifier, as in `ablation.py`;
* new: median distance from the nearest training clip, as a share of that of other held-out clips.
  0 is a copy;
* parameters, and examples per second on one core.

Beside them the synthesiser for the same controls, and the training clip whose controls are nearest.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from shared import halved, place
from torch import Tensor

from tootlearn import rng
from tootlearn.data import synthesis
from tootlearn.data.clips import Clips
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.evaluation import set_metrics
from tootlearn.evaluation.control import ControlAccuracy, measured_controls
from tootlearn.evaluation.set_distances import clip_controls, coarse_log_mels
from tootlearn.generation import toot_generator
from tootlearn.models import classifier
from tootlearn.models.config import ClassifierConfig
from tootlearn.models.decoder import Condition
from tootlearn.training import dataset
from tootlearn.training.config import TrainConfig
from tootlearn.training.train import train
from tootlearn.training.train_classifier import train_classifier

JUDGE_SEED = 9000
SPLITS = 20  # halvings behind a KAD
COLUMNS = (
    "error",
    "f0",
    "duration",
    "brightness",
    "loudness",
    "kind",
    "KAD",
    "new",
    "parameters",
    "examples / s",
)
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "concatenation, no FiLM": {"conditioning": "concat"},
    "80 channels": {"width": 80},
    "2 blocks": {"blocks": 2},
    "residual of 2": {"residual": 2},
    "residual of 16": {"residual": 16},
}
WITHOUT_TRAINING = ("synthesiser", "nearest controls")


class Data(NamedTuple):
    """A set, ready to be judged on."""

    config: TrainConfig
    clips: Clips
    few: Clips  # the held-out clips whose controls are played
    judge: classifier.Classifier


def data(config: TrainConfig, count: int) -> Data:
    """Clips of a set, and what judges on them."""
    clips = dataset.gather_clips(config)
    learn, held_out = clips.split()
    judge = train_classifier(learn, ClassifierConfig(seed=JUDGE_SEED), config.front_end)
    few = held_out[np.linspace(0, len(held_out) - 1, count).round().astype(int)]
    few = replace(few, controls=clip_controls(few.controls, few.kinds, few.kinds))
    return Data(config, clips, few, judge)


def trained(row: str, seed: int, given: Data) -> dict[str, float]:
    """The figures of a variant, once it is trained."""
    config = changed(given.config, VARIANTS[row], seed)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        train(config, given.clips, Path(folder) / "run", progress=False)
        seconds = time.process_time() - started
        toots = toot_generator.load(Path(folder) / "run" / "model.safetensors")
    assert toots.model.generator is not None
    waves = torch.zeros(len(given.few), WINDOW_SAMPLES)
    asked = given.few.controls
    for i in range(len(asked)):
        own, toot = rng.child(JUDGE_SEED, i), asked[i : i + 1]
        place(waves[i], torch.from_numpy(toots.render(toot, toots.residual(toot, own), own)))
    return figures(given, waves) | {
        "error": toots.description["provenance"]["held_out"]["generation"],
        "parameters": sum(p.numel() for p in toots.model.generator.parameters()),
        "examples / s": config.steps * config.batch / seconds,
    }


def changed(config: TrainConfig, changes: dict[str, Any], seed: int) -> TrainConfig:
    """The config with these fields of its generator, or of its own, changed."""
    assert config.generator is not None
    own = {name: value for name, value in changes.items() if hasattr(config, name)}
    generator = replace(config.generator, **{k: v for k, v in changes.items() if k not in own})
    return replace(config, generator=generator, seed=seed, **own)


def untrained(row: str, given: Data) -> dict[str, float]:
    """The figures of what needs no training."""
    asked, learn = given.few.controls, given.clips.split()[0]
    if row == "nearest controls":
        numbers, known = Condition.of(asked).numbers, Condition.of(learn.controls).numbers
        other = torch.from_numpy(asked.kind[:, None] != learn.controls.kind)
        nearest = (torch.cdist(numbers, known) + 1e6 * other).argmin(1).numpy()
        return heard(given, learn.log_mel[nearest].float())
    waves = torch.zeros(len(asked), WINDOW_SAMPLES)
    for i in range(len(asked)):
        numbers = (
            float(x[i]) for x in (asked.pitch, asked.duration, asked.brightness, asked.loudness)
        )
        kind = given.few.kinds[asked.kind[i]].name
        waves[i] = torch.from_numpy(synthesis.render(kind, *numbers, rng.child(JUDGE_SEED, i)))
    return figures(given, waves)


def figures(given: Data, waves: Tensor) -> dict[str, float]:
    """Control, and what is `heard`, of toots (N, WINDOW_SAMPLES) played for the controls of the
    set.
    """
    asked = given.few.controls
    o = ControlAccuracy.of(asked, measured_controls(waves, asked, given.few.kinds, pyin=False))
    control = {
        "f0": o.f0_median,
        "within 50": o.f0_within_50,
        "duration": o.duration_median,
        "brightness": o.brightness_rank,
        "loudness": o.loudness_rank,
    }
    return control | heard(given, FrontEnd(given.config.front_end)(waves))


def heard(given: Data, log_mel: Tensor) -> dict[str, float]:
    """What the judge hears in log-mels (N, M, T), and how new they are."""
    true = given.few.log_mel.float()
    kinds = [given.few.kinds[k].name for k in given.few.controls.kind]
    made, real = given.judge.embeddings(log_mel), given.judge.embeddings(true)
    training_shapes = coarse_log_mels(given.clips.split()[0].log_mel)
    near, usual = (
        set_metrics.nearest_distance(coarse_log_mels(x), training_shapes).median()
        for x in (log_mel, true)
    )

    def right(x: Tensor) -> float:
        return float(np.mean([a == b for a, b in zip(given.judge.names(x), kinds, strict=True)]))

    return {
        "kind": right(log_mel),
        "kind, held out": right(true),
        "KAD": halved(made, real, SPLITS, JUDGE_SEED)[0],
        "KAD floor": halved(real, real, SPLITS, JUDGE_SEED)[0],
        "new": float(near / usual),
        "N": len(given.clips.split()[1]),
        "N sounds": len(true),
    }
