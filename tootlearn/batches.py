"""Batches: clips as a step of training takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tootlearn import losses
from tootlearn.controls import ONSET_SAMPLES
from tootlearn.data.clips import BEND_FRAMES, Clips
from tootlearn.data.variants import Variants
from tootlearn.decoder import Condition
from tootlearn.presets import TrainConfig

UNKNOWN_BEND = 0.05  # how much a bend of 0 counts where none is known: a recording is near its pitch


@dataclass(frozen=True)
class Batch:
    """Clips as a step takes them: log-mels (B, M, T), controls, weights of frames (B, T), bend of f0 (B, T / 4)."""

    log_mel: Tensor
    controls: Condition
    weight: Tensor
    bend: Tensor  # octaves above the pitch; 0 where it is not known
    bend_weight: Tensor  # 1 while the toot lasts, `UNKNOWN_BEND` where it is not known, 0 after the toot
    heard: Tensor  # what the encoders get, (B, M, T): the log-mels, but for noise and masks of augmentation

    @classmethod
    def of(cls, clips: Clips, config: TrainConfig, device: torch.device, heard: Tensor | None = None) -> Batch:
        """All clips, on the device; ``heard`` is what the encoders get in place of their log-mels."""
        bend = clips.known_bend()
        seconds = config.front_end.hop / config.front_end.sample_rate
        start = torch.arange(bend.shape[1]) * BEND_FRAMES * seconds - ONSET_SAMPLES / config.front_end.sample_rate
        duration = torch.as_tensor(clips.controls.duration, dtype=torch.float32)
        sounding = (start >= 0) & (start <= duration[:, None])
        bend_weight = torch.where(bend.isnan(), UNKNOWN_BEND, 1.0) * sounding
        controls, weight = Condition.of(clips.controls, device), frame_weights(clips, config).to(device)
        log_mel = clips.log_mel.to(device)
        heard = log_mel if heard is None else heard.to(device)
        return cls(log_mel, controls, weight, bend.nan_to_num().to(device), bend_weight.to(device), heard)

    def __getitem__(self, rows: Tensor) -> Batch:
        rows = rows.to(self.log_mel.device)
        controls = Condition(*(column[rows] for column in self.controls))
        log_mel = self.log_mel[rows].float()
        heard = log_mel if self.heard is self.log_mel else self.heard[rows].float()
        return Batch(log_mel, controls, self.weight[rows], self.bend[rows], self.bend_weight[rows], heard)


def varied(variants: Variants, rows: Tensor, step: int, config: TrainConfig) -> Batch:
    """Variants of these of the clips, rows (B,), as step ``step`` takes them."""
    clips, heard = variants(rows, step * config.batch + np.arange(len(rows)))
    return Batch.of(clips, config, variants.device, heard)


def frame_weights(clips: Clips, config: TrainConfig) -> Tensor:
    """How much each frame of the clips counts, (B, T): `losses.frame_weights`."""
    duration = torch.as_tensor(clips.controls.duration, dtype=torch.float32)
    return losses.frame_weights(duration, clips.log_mel.shape[2], config.front_end.hop, config.front_end.sample_rate)
