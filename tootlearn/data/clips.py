"""Clips: log-mels with their controls, ready to train on, and the split into what is learned and what is held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from tootlearn.controls import Controls, Kind, hz_to_midi
from tootlearn.data import synthesis
from tootlearn.data.recipes import KINDS
from tootlearn.front_end import FrontEnd

HOLD_OUT_EVERY = 6  # of the semitones of a kind, one in so many is held out


@dataclass(frozen=True)
class Clips:
    """A set of B clips.

    Args:
        log_mel: (B, M, T), natural logarithm, float16 to save memory (steps of .008 at most, .07 dB).
        controls: of the clips.
        kinds: what ``controls.kind`` counts.
    """

    log_mel: Tensor
    controls: Controls
    kinds: tuple[Kind, ...]

    def __len__(self) -> int:
        return len(self.log_mel)

    def __getitem__(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Clips:
        index = rows if isinstance(rows, slice) else torch.from_numpy(rows)
        return Clips(self.log_mel[index], self.controls[rows], self.kinds)

    def split(self) -> tuple[Clips, Clips]:
        """Training clips and held-out clips. Whole (kind, semitone) groups are held out: no note has a twin.

        Each of six kinds holds out other semitones, so that every note of the keyboard is learned by most of them.
        """
        held_out = (np.round(hz_to_midi(self.controls.pitch)) + 5 * self.controls.kind) % HOLD_OUT_EVERY == 0
        return self[~held_out], self[held_out]


def synthesise(kinds: Sequence[str], count: int, seed: int, front_end: FrontEnd, progress: bool = True) -> Clips:
    """Natural toots of these kinds in turn, from the synthesiser.

    Args:
        kinds: names out of `recipes.KINDS`.
        count: B.
        seed: of the set; clip i is the same whatever ``count``.
        front_end: makes the log-mels; its sample rate must be the synthesiser's.
        progress: show a bar on stderr.

    Raises:
        ValueError: if there is nothing to make, or the sample rates differ.
    """
    if count < 1 or not kinds:
        raise ValueError(f"give at least one kind and one clip, not {count} clips of {len(kinds)} kinds")
    if front_end.config.sample_rate != synthesis.SAMPLE_RATE:
        raise ValueError(
            f"the synthesiser works at {synthesis.SAMPLE_RATE} Hz, the front end at {front_end.config.sample_rate}"
        )
    parts, controls = [], []
    step = 64 * len(kinds)
    with tqdm(total=count, desc="toots", unit="", disable=not progress, leave=False) as bar:
        for start in range(0, count, step):
            waves, measured = synthesis.toots(kinds, min(step, count - start), seed, start)
            parts.append(front_end(waves).half())
            controls.append(measured)
            bar.update(len(waves))
    return Clips(torch.cat(parts), Controls.concatenate(controls), tuple(KINDS[name] for name in kinds))
