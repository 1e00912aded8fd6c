"""Batches: clips as a step of training takes them, and how processes share a step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tootlearn import losses, rng
from tootlearn.controls import ONSET_SAMPLES
from tootlearn.data.clips import BEND_FRAMES, Clips
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.errors import InputError
from tootlearn.models.decoder import Condition

# how much a bend of 0 counts where none is known: a recording is near its pitch
UNKNOWN_BEND = 0.05


@dataclass(frozen=True)
class Batch:
    """Clips as a step takes them: log-mels (B, M, T), controls, weights of frames (B, T), bend of
    f0 (B, T / 4).
    """

    log_mel: Tensor
    controls: Condition
    weight: Tensor
    bend: Tensor  # octaves above the pitch; 0 where it is not known
    # 1 while the toot lasts, `UNKNOWN_BEND` where it is not known, 0 after the toot
    bend_weight: Tensor
    # what the encoder gets, (B, M, T): the log-mels, but for noise and masks of augmentation
    encoder_input: Tensor
    first: int = 0  # place of its first clip in the batch of the whole step
    # of its B clips in the batch of the whole step; None: they are all of it
    places: Tensor | None = None

    @classmethod
    def of(
        cls,
        clips: Clips,
        front_end: FrontEndConfig,
        device: torch.device,
        encoder_input: Tensor | None = None,
    ) -> Batch:
        """All clips, on the device.

        Args:
            clips: B of them.
            front_end: what their log-mels were made with.
            device: where the batch goes.
            encoder_input: what the encoder gets in place of their log-mels, (B, M, T).
        """
        bend = clips.known_bend()
        seconds = front_end.hop / front_end.sample_rate
        start = (
            torch.arange(bend.shape[1]) * BEND_FRAMES * seconds
            - ONSET_SAMPLES / front_end.sample_rate
        )
        duration = torch.as_tensor(clips.controls.duration, dtype=torch.float32)
        sounding = (start >= 0) & (start <= duration[:, None])
        bend_weight = torch.where(bend.isnan(), UNKNOWN_BEND, 1.0) * sounding
        controls, weight = (
            Condition.of(clips.controls, device),
            clip_weights(clips, front_end).to(device),
        )
        log_mel = clips.log_mel.to(device)
        encoder_input = log_mel if encoder_input is None else encoder_input.to(device)
        return cls(
            log_mel,
            controls,
            weight,
            bend.nan_to_num().to(device),
            bend_weight.to(device),
            encoder_input,
        )

    def __getitem__(self, rows: Tensor) -> Batch:
        rows = rows.to(self.log_mel.device)
        log_mel = self.log_mel[rows].to(self.weight.dtype)
        encoder_input = (
            log_mel
            if self.encoder_input is self.log_mel
            else self.encoder_input[rows].to(self.weight.dtype)
        )
        return Batch(
            log_mel,
            self.controls.take(rows),
            self.weight[rows],
            self.bend[rows],
            self.bend_weight[rows],
            encoder_input,
        )

    def part(self, start: int, stop: int) -> Batch:
        """Its clips from ``start`` to before ``stop``, weighted so that the parts' losses add up to
        those of the whole.

        Each part counts by its number of clips, since losses are means over them. The error of the
        bend is a mean over the places where there is a bend, of which a part may have more than its
        share: its weights make up for that.
        """
        rows = torch.arange(start, stop)
        if self.places is not None:
            rows = torch.nonzero((self.places >= start) & (self.places < stop))[:, 0]
        part = self[rows]
        here, all_ = (
            ((x.bend_weight > 0).sum().clamp_min(1)).to(x.bend_weight.dtype) for x in (part, self)
        )
        bend_weight = part.bend_weight * (here * len(self.weight) / (all_ * len(rows)))
        return replace(part, bend_weight=bend_weight, first=start)


def clip_weights(clips: Clips, front_end: FrontEndConfig) -> Tensor:
    """How much each frame of the clips counts, (B, T): `losses.frame_weights`."""
    duration = torch.as_tensor(clips.controls.duration, dtype=torch.float32)
    return losses.frame_weights(
        duration, clips.log_mel.shape[2], front_end.hop, front_end.sample_rate
    )


def batch_rows(seed: int, batch: int, step: int, count: int) -> Tensor:
    """Which clips a step sees.

    The steps walk through one epoch after another. Each epoch has every clip once, in an order of
    its own.

    Args:
        seed: of the order.
        batch: clips a step.
        step: the first is 0.
        count: how many clips there are.

    Returns:
        (batch,) indices below ``count``.
    """
    places = np.arange(step * batch, (step + 1) * batch)
    rows = np.empty(batch, dtype=np.int64)
    for epoch in np.unique(places // count):
        order = np.argsort(
            rng.words(seed, rng.at_step(rng.Stream.BATCH, int(epoch)), count), kind="stable"
        )
        here = places // count == epoch
        rows[here] = order[places[here] % count]
    return torch.from_numpy(rows)


def shares(batch: int, processes: int, accumulate: int) -> list[list[tuple[int, int]]]:
    """Which clips of a batch each process takes, in parts one after another: (start, stop) by
    process and part.

    Every clip is in one part, and no two parts differ by more than one clip.

    Raises:
        InputError: if there are fewer clips than parts.
    """
    parts = processes * accumulate
    if batch < parts:
        raise InputError(
            f"a batch of {batch} cannot be shared among {processes} processes in {accumulate} "
            "parts each: "
            f"give --batch {parts} or more"
        )
    edges = [batch * part // parts for part in range(parts + 1)]
    spans = list(zip(edges[:-1], edges[1:], strict=True))
    return [spans[i : i + accumulate] for i in range(0, parts, accumulate)]
