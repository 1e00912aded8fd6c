"""How far a set of generated toots is from real sounds, and whether it is new: distances beside
their floor.

Toots are generated for the controls of held-out sounds, so both sets have the same controls.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tootlearn import rng
from tootlearn.controls import LOUDNESS_RANGE, Controls, Kind
from tootlearn.data.clips import Clips
from tootlearn.errors import InputError
from tootlearn.evaluation import set_metrics
from tootlearn.evaluation.kind_accuracy import generated_log_mels
from tootlearn.evaluation.set_metrics import SetDistance
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models import classifier
from tootlearn.models.classifier import Classifier

DISTANCES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "kernel audio distance": set_metrics.kernel_distance,
    "Frechet audio distance": set_metrics.frechet_distance,
    "density": set_metrics.density,
    "coverage": set_metrics.coverage,
}
LEAST = 2 * (set_metrics.NEIGHBOURS + 1)  # held-out sounds that density can be measured with
_SOUNDING = 1e-4  # of the power of the loudest frame (-40 dB)
_DEPTH = 9.2  # nats: 80 dB
_BLOCK = (4, 8)  # bands and frames that are averaged to look for copies
_QUIET = 1 / 3  # of the range of `classifier.relative`: noise 35 dB below the peak hides no copy


def set_table(
    generator: TootGenerator,
    learn: Clips,
    held_out: Clips,
    judge: Classifier,
    count: int = 120,
    seed: int = 1000,
) -> dict[str, SetDistance]:
    """How far generated toots are from held-out sounds, by embeddings, and from training clips, by
    log-mels.

    Args:
        generator: the model.
        learn: what it was trained on.
        held_out: what it was not, of the same kinds.
        judge: makes the embeddings; it was trained on ``learn`` alone.
        count: toots to generate, each for the controls of a held-out sound.
        seed: of the choice, the toots and the halvings.

    Returns:
        {distance: its value, the floor, and N}. No judge judges itself: the distances by the
        embeddings of ``judge``, which the project trained, stand beside those by
        `mel_statistics`, which nobody trained. "nearest training clip" is the median distance of a
        toot's log-mel from that of the nearest clip, and "nearer than most" the share of toots that
        are nearer than 95 % of the held-out sounds: 0.05 where toots are as new as these, more
        where some are copies.

    Raises:
        InputError: if less than 12 held-out sounds are of the model's kinds, or ``count`` is less
            than 6.
    """
    names = [kind.name for kind in generator.model.kinds]
    held_out = held_out[
        np.array([held_out.kinds[k].name in names for k in held_out.controls.kind], dtype=bool)
    ]
    if len(held_out) < LEAST or count < LEAST // 2:
        sizes = f"{count} toots and {len(held_out)} held-out sounds"
        raise InputError(f"{sizes} are too few to compare: {LEAST // 2} and {LEAST} are needed")
    order = np.argsort(rng.words(seed, rng.Stream.SET_CHOICE, len(held_out)), kind="stable")[:count]
    log_mels = generated_log_mels(
        generator,
        clip_controls(held_out.controls[order], held_out.kinds, generator.model.kinds),
        seed,
    )
    embeddings: dict[str, Callable[[Tensor], Tensor]] = {
        "": judge.embeddings,
        ", mel statistics": mel_statistics,
    }
    table: dict[str, SetDistance] = {}
    for by, embed in embeddings.items():
        generated, real = embed(log_mels), embed(held_out.log_mel)
        table |= {
            name + by: set_metrics.against_floor(distance, generated, real, seed=seed)
            for name, distance in DISTANCES.items()
        }
    learned = coarse_log_mels(learn.log_mel)
    near, usual = (
        set_metrics.nearest_distance(coarse_log_mels(x), learned)[:, None]
        for x in (log_mels, held_out.log_mel)
    )
    for name, measure in (("nearest training clip", _median), ("nearer than most", _nearer)):
        table[name] = set_metrics.against_floor(measure, near, usual, seed=seed)
    return table


def mel_statistics(log_mel: Tensor) -> Tensor:
    """Means and standard deviations over time of log-mels (B, M, T): an embedding (B, 2 M) that
    nobody trained.

    Over frames within `_SOUNDING` of the loudest, relative to the clip's peak, and not below
    `_DEPTH` there: level and silence do not count.
    """
    rows = []
    for x in log_mel:
        x = x.float() - x.max()
        level = x.exp().square().sum(0)
        held = x[:, level >= _SOUNDING * level.max()].clamp_min(-_DEPTH)
        rows.append(torch.cat([held.mean(1), held.std(1, correction=0)]))
    return torch.stack(rows)


def _median(near: Tensor, _: Tensor) -> float:
    return float(near.median())


def _nearer(near: Tensor, usual: Tensor) -> float:
    return set_metrics.copied_share(near, usual)


def clip_controls(controls: Controls, kinds: tuple[Kind, ...], known: tuple[Kind, ...]) -> Controls:
    """Measured controls clipped to a model's ranges, with kinds as the model counts them."""
    index = [[kind.name for kind in known].index(kinds[k].name) for k in controls.kind]
    pitch, duration = (
        np.array([getattr(known[k], name) for k in index]) for name in ("pitch", "duration")
    )
    return Controls(
        np.array(index),
        controls.pitch.clip(*pitch.T),
        controls.duration.clip(*duration.T),
        controls.brightness.clip(0, 1),
        controls.loudness.clip(*LOUDNESS_RANGE),
    )


def coarse_log_mels(log_mel: Tensor) -> Tensor:
    """Log-mels (B, M, T) relative to their peaks, averaged over blocks, loud parts only: (B, E).

    A copy is still near its original by these.
    """
    parts = ((classifier.relative(x.float()) - _QUIET).clamp_min(0) for x in log_mel.split(256))
    return torch.cat([functional.avg_pool2d(x, _BLOCK).flatten(1) for x in parts])
