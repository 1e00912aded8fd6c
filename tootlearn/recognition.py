"""Whether the kind of a generated toot can be told, by a classifier that has never heard a generated one.

A kind that is drawn wrongly is named wrongly. The reverse does not hold: a name says nothing of how good a toot is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tqdm import tqdm

from tootlearn import classifier, rng
from tootlearn.audio import InputError
from tootlearn.classifier import ClassifierConfig
from tootlearn.controls import ONSET_SAMPLES
from tootlearn.data.clips import Clips
from tootlearn.data.synthesis import natural_controls
from tootlearn.front_end import WINDOW_SAMPLES
from tootlearn.generation import TootGenerator


@dataclass(frozen=True)
class Recognition:
    """How many toots are taken for what they are meant to be: the share of N, and what they are taken for otherwise."""

    right: float
    taken_for: str  # the most frequent wrong name; "" for none
    count: int

    @classmethod
    def of(cls, true: Sequence[str], named: Sequence[str], kind: str = "all") -> Recognition:
        """From true names and given names, of the toots of one kind or of all."""
        pairs = [(t, n) for t, n in zip(true, named, strict=True) if kind in (t, "all")]
        wrong = Counter(n for t, n in pairs if t != n)
        right = 1 - wrong.total() / len(pairs) if pairs else float("nan")
        return cls(right, wrong.most_common(1)[0][0] if wrong and kind != "all" else "", len(pairs))


def kind_table(
    generator: TootGenerator, clips: Clips, count: int = 120, seed: int = 1000, config: ClassifierConfig | None = None
) -> dict[str, dict[str, Recognition]]:
    """Generated toots named by a classifier that has heard training sounds only, beside held-out sounds of each kind.

    Args:
        generator: the model.
        clips: its training set and held-out set together; they are split here as they were in training.
        count: N generated toots, the kinds in turn, with controls as they occur.
        seed: of the controls and the toots.
        config: of the classifier.

    Returns:
        {kind, or "all": {"generated" and "held out": how many were named right}}. What the classifier misses among the
        held-out sounds, it misses through no fault of the generator.

    Raises:
        InputError: if there is no generator, less than a toot of each kind, or too few kinds or clips.
    """
    kinds = generator.model.kinds
    if count < len(kinds):
        raise InputError(f"count is {len(kinds)} or more, a toot of each kind, not {count}")
    if missing := [kind.name for kind in kinds if kind.name not in {k.name for k in clips.kinds}]:
        raise InputError(f"there are no clips of {', '.join(missing)} to compare generated ones with")
    asked = natural_controls(kinds, count, seed)
    windows, most = torch.zeros(count, WINDOW_SAMPLES), WINDOW_SAMPLES - ONSET_SAMPLES
    for i in tqdm(range(count), desc="kind", unit="toot", leave=False, disable=None):
        own, row = rng.child(seed, i), asked[i : i + 1]
        wave = torch.from_numpy(generator.render(row, generator.residual(row, own), own))[:most]
        windows[i, ONSET_SAMPLES : ONSET_SAMPLES + len(wave)] = wave
    learn, held_out = clips.split()
    judge = classifier.train(learn, config, generator.model.front_end.config)
    names = {
        "generated": ([kinds[k].name for k in asked.kind], judge.names(generator.model.front_end(windows))),
        "held out": ([clips.kinds[k].name for k in held_out.controls.kind], judge.names(held_out.log_mel)),
    }
    return {
        group: {who: Recognition.of(true, named, group) for who, (true, named) in names.items()}
        for group in [*(kind.name for kind in kinds), "all"]
    }
