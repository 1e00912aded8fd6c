"""Kind accuracy: how often a classifier that was trained without generated toots names their kind.

A toot of the wrong kind gets the wrong name. The reverse does not hold: the right name does not
mean that a toot sounds good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from tootlearn import rng
from tootlearn.controls import ONSET_SAMPLES, Controls
from tootlearn.data.clips import Clips
from tootlearn.data.synthesis import natural_controls
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.errors import InputError
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models import classifier
from tootlearn.models.config import ClassifierConfig
from tootlearn.training.train_classifier import train_classifier


@dataclass(frozen=True)
class KindAccuracy:
    """The share of N toots that are named by their kind, and what the others are taken for."""

    right: float
    taken_for: str  # the most frequent wrong name; "" for none
    count: int

    @classmethod
    def of(cls, true: Sequence[str], named: Sequence[str], kind: str = "all") -> KindAccuracy:
        """From true names and given names, of the toots of one kind or of all."""
        pairs = [(t, n) for t, n in zip(true, named, strict=True) if kind in (t, "all")]
        wrong = Counter(n for t, n in pairs if t != n)
        right = 1 - wrong.total() / len(pairs) if pairs else float("nan")
        return cls(right, wrong.most_common(1)[0][0] if wrong and kind != "all" else "", len(pairs))


def judge_of(
    generator: TootGenerator, learn: Clips, config: ClassifierConfig | None = None
) -> classifier.Classifier:
    """A classifier of a model's kinds, trained on what the model was trained on.

    Args:
        generator: the model.
        learn: its training clips, without the held-out ones.
        config: of the classifier.

    Raises:
        InputError: if there are too few kinds or clips, or one of the model's kinds has no clips.
    """
    known = {kind.name for kind in learn.kinds}
    if missing := [kind.name for kind in generator.model.kinds if kind.name not in known]:
        raise InputError(
            f"there are no clips of {', '.join(missing)} to compare generated ones with"
        )
    return train_classifier(learn, config, generator.model.front_end.config)


def kind_table(
    generator: TootGenerator,
    held_out: Clips,
    judge: classifier.Classifier,
    count: int = 120,
    seed: int = 1000,
) -> dict[str, dict[str, KindAccuracy]]:
    """Kind accuracy of generated toots and of held-out sounds, by a classifier that was trained on
    training sounds alone.

    Args:
        generator: the model.
        held_out: sounds that neither it nor the classifier was trained on.
        judge: the classifier, see `judge_of`.
        count: N generated toots, the kinds in turn, with controls drawn from their usual ranges.
        seed: of the controls and the toots.

    Returns:
        {kind, or "all": {"generated" and "held out": their accuracy}}. Errors on the held-out
        sounds are the classifier's own, not the generator's.

    Raises:
        InputError: if the model has no generator, or ``count`` is less than one toot of each kind.
    """
    kinds = generator.model.kinds
    if count < len(kinds):
        raise InputError(f"count is {len(kinds)} or more, a toot of each kind, not {count}")
    requested = natural_controls(kinds, count, seed)
    names = {
        "generated": (
            [kinds[k].name for k in requested.kind],
            judge.names(generated_log_mels(generator, requested, seed)),
        ),
        "held out": (
            [held_out.kinds[k].name for k in held_out.controls.kind],
            judge.names(held_out.log_mel),
        ),
    }
    return {
        group: {who: KindAccuracy.of(true, named, group) for who, (true, named) in names.items()}
        for group in [*(kind.name for kind in kinds), "all"]
    }


def generated_log_mels(generator: TootGenerator, requested: Controls, seed: int) -> Tensor:
    """Log-mels (B, M, T) of generated toots, one for each row of controls, in windows like those of
    clips.
    """
    windows, most = torch.zeros(len(requested), WINDOW_SAMPLES), WINDOW_SAMPLES - ONSET_SAMPLES
    for i in tqdm(range(len(requested)), desc="toots", unit="", leave=False, disable=None):
        toot_seed, row = rng.child(seed, i), requested[i : i + 1]
        wave = torch.from_numpy(
            generator.render(row, generator.residual(row, toot_seed), toot_seed)
        )
        wave = wave[:most]
        windows[i, ONSET_SAMPLES : ONSET_SAMPLES + len(wave)] = wave
    log_mel: Tensor = generator.model.front_end(windows)
    return log_mel
