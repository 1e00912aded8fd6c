"""How accurately generated toots follow their controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from tootlearn import rng
from tootlearn.controls import ONSET_SAMPLES, Controls, Kind
from tootlearn.data import synthesis
from tootlearn.data.synthesis import natural_controls
from tootlearn.dsp import measures
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.errors import InputError
from tootlearn.evaluation.metrics import rank_correlation
from tootlearn.generation.toot_generator import TootGenerator

_SWAPPED = ("pitch", "duration", "brightness", "loudness")
_ROOM = WINDOW_SAMPLES + 2 * ONSET_SAMPLES  # samples: for a toot and some silence before and after


@dataclass(frozen=True)
class ControlAccuracy:
    """How accurately a set of toots follows its controls.

    Args:
        f0_median: absolute error, cents.
        f0_within_50: share of the toots within 50 cents.
        duration_median: absolute error, ms.
        brightness_rank, loudness_rank: Spearman's rank correlation of the control with its
            measure.
        count: N.
    """

    f0_median: float
    f0_within_50: float
    duration_median: float
    brightness_rank: float
    loudness_rank: float
    count: int

    @classmethod
    def of(cls, requested: Controls, measured: Controls) -> ControlAccuracy:
        """From the requested and the measured controls of the same toots."""
        # no pitch: an octave off
        cents = np.nan_to_num(np.abs(1200 * np.log2(measured.pitch / requested.pitch)), nan=1200.0)
        return cls(
            f0_median=float(np.median(cents)),
            f0_within_50=float(np.mean(cents <= 50)),
            duration_median=float(1000 * np.median(np.abs(measured.duration - requested.duration))),
            brightness_rank=rank_correlation(
                torch.from_numpy(requested.brightness), torch.from_numpy(measured.brightness)
            ),
            loudness_rank=rank_correlation(
                torch.from_numpy(requested.loudness), torch.from_numpy(measured.loudness)
            ),
            count=len(requested),
        )


def measured_controls(
    waves: Tensor, requested: Controls, kinds: Sequence[Kind], pyin: bool = True
) -> Controls:
    """The controls of waves as measured, the pitch too.

    Args:
        waves: (B, N) at 22,050 Hz.
        requested: the controls that were asked for. A chord is searched near their pitch, and
            brightness is relative to it.
        kinds: the kinds that ``requested.kind`` indexes.
        pyin: track kinds of one steady f0 by pYIN, which searches all pitches; otherwise fit
            harmonics near the requested pitch, which is fast.
    """
    pitch = np.empty(len(requested))
    for k, kind in enumerate(kinds):
        rows = np.flatnonzero(requested.kind == k)
        if not len(rows):
            continue
        toots = waves[torch.from_numpy(rows)]
        if kind.slide:
            toots = _starts(toots)
        if kind.steady and pyin:
            f0 = measures.median_f0(toots, synthesis.SAMPLE_RATE, 30.0, 2 * kind.pitch[1])
        else:
            guess = torch.from_numpy(requested.pitch[rows]).float()
            f0 = measures.chord_f0(toots, synthesis.SAMPLE_RATE, kind.intervals, guess)
        pitch[rows] = f0.double().numpy()
    others = synthesis.measured(waves, requested.kind, requested.pitch, kinds)
    return Controls(requested.kind, pitch, others.duration, others.brightness, others.loudness)


def _starts(waves: Tensor) -> Tensor:
    """The first fifth of each toot (B, N), with silence after it: where a slide still has its
    pitch.
    """
    extent = measures.measure(waves, synthesis.SAMPLE_RATE)
    end = (extent.onset + 0.2 * extent.duration).nan_to_num() * synthesis.SAMPLE_RATE
    return waves * (torch.arange(waves.shape[1]) < end[:, None])


def control_table(
    generator: TootGenerator, count: int = 120, seed: int = 1000, pyin: bool = True
) -> dict[str, dict[str, ControlAccuracy]]:
    """Control accuracy of generated toots, and of the synthesiser's for the same controls.

    Args:
        generator: the model.
        count: N, the kinds in turn, with controls drawn from their usual ranges.
        seed: of the controls and the toots.
        pyin: see `measured_controls`.

    Returns:
        {kind, or "all": {"generated" and "synthesiser": their accuracy}}.

    Raises:
        InputError: if the model has no generator, or ``count`` is less than one toot of each kind.
    """
    kinds = generator.model.kinds
    if count < len(kinds):
        raise InputError(f"count is {len(kinds)} or more, a toot of each kind, not {count}")
    requested = natural_controls(kinds, count, seed)
    measured = []
    for i in tqdm(range(count), desc="control", unit="toot", leave=False, disable=None):
        toot_seed, row = rng.child(seed, i), requested[i : i + 1]
        waves = torch.zeros(2, _ROOM)
        _place(waves[0], generator.render(row, generator.residual(row, toot_seed), toot_seed))
        pitch, duration, brightness, loudness = (float(getattr(row, name)[0]) for name in _SWAPPED)
        name = kinds[int(row.kind[0])].name
        rendered = synthesis.render(name, pitch, duration, brightness, loudness, toot_seed)
        waves[1, :WINDOW_SAMPLES] = torch.from_numpy(rendered)
        measured.append(measured_controls(waves, Controls.concatenate([row, row]), kinds, pyin))
    pairs = Controls.concatenate(measured)
    sources = {"generated": pairs[0::2], "synthesiser": pairs[1::2]}
    groups = {kind.name: requested.kind == k for k, kind in enumerate(kinds)} | {
        "all": requested.kind >= 0
    }
    return {
        name: {who: ControlAccuracy.of(requested[rows], f[rows]) for who, f in sources.items()}
        for name, rows in groups.items()
    }


def swap_test(
    generator: TootGenerator, seeds: Sequence[int] = range(8)
) -> dict[str, dict[str, float]]:
    """Change one control from 30 % to 70 % of its range, keep the rest and the residual: what
    moves?

    Args:
        generator: the model.
        seeds: of the residuals; each is used for every kind.

    Returns:
        For each control that was changed: the median absolute change of every control as measured
        (pitch in cents, duration in s, loudness in dB), and as "obeyed" the share of toots in which
        its own measure went up.
    """
    table = {}
    for changed, name in enumerate(_SWAPPED):
        moves = []
        kinds = tqdm(
            generator.model.kinds, desc=f"swap {name}", unit="kind", leave=False, disable=None
        )
        for index, kind in enumerate(kinds):
            pair = Controls.concatenate([_within(index, kind, name, share) for share in (0.3, 0.7)])
            for seed in seeds:
                residual = generator.residual(pair[:1], seed)
                waves = torch.zeros(2, _ROOM)
                for i in (0, 1):
                    _place(waves[i], generator.render(pair[i : i + 1], residual, seed))
                measured = measured_controls(waves, pair, generator.model.kinds, pyin=False)
                columns = [
                    1200 * np.log2(measured.pitch),
                    measured.duration,
                    measured.brightness,
                    measured.loudness,
                ]
                moves.append([column[1] - column[0] for column in columns])
        table[name] = dict(zip(_SWAPPED, np.median(np.abs(moves), 0).tolist(), strict=True))
        table[name]["obeyed"] = float(np.mean(np.array(moves)[:, changed] > 0))
    return table


def _within(index: int, kind: Kind, name: str, share: float) -> Controls:
    """Controls in the middle of their ranges, except ``name``, at ``share`` of its range."""

    def at(control: str, low: float, high: float) -> NDArray[np.float64]:
        return np.array([low + (high - low) * (share if control == name else 0.5)])

    return Controls(
        np.array([index]),
        2 ** at("pitch", *np.log2(kind.pitch)),
        at("duration", *kind.duration),
        at("brightness", 0.0, 1.0),
        at("loudness", -32.0, -16.0),  # where nothing is turned down to stay below full scale
    )


def _place(room: Tensor, wave: NDArray[np.float32]) -> None:
    room[ONSET_SAMPLES : ONSET_SAMPLES + len(wave)] = torch.from_numpy(wave)
