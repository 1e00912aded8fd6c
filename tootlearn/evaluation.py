"""How good is a model: does it obey its controls, and how well does it reconstruct, beside what can be had without a network.

Control is measured on generated toots, beside the synthesiser's own toots for the same controls: no network that learned from it
can be asked for more. Reconstruction is measured on whole (kind, pitch) groups that training never saw, beside PCA with as many
numbers, the nearest training clip and the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn import measures, rng
from tootlearn.controls import Controls
from tootlearn.data import synthesis
from tootlearn.data.clips import Clips
from tootlearn.front_end import WINDOW_SAMPLES
from tootlearn.generation import TootGenerator
from tootlearn.losses import frame_weights, squared_error
from tootlearn.metrics import rank_correlation
from tootlearn.normalization import Normalizer

# What a swap of one control may move of the others: f0 in cents, duration in s, brightness in its own unit, loudness in dB.
SWAP_TOLERANCE = {"pitch": 20.0, "duration": 0.03, "brightness": 0.2, "loudness": 2.0}


@dataclass(frozen=True)
class Obedience:
    """How sounds of one kind follow the controls that they were asked for.

    Args:
        f0_median, f0_within_50: absolute error in cents, and the share of toots within 50.
        duration_median: absolute error, ms.
        brightness_rank, loudness_rank: Spearman's rank correlation of what was asked for and what was measured.
        count: N.
    """

    f0_median: float
    f0_within_50: float
    duration_median: float
    brightness_rank: float
    loudness_rank: float
    count: int


def measure_controls(waves: Tensor, asked: Controls, kinds: Sequence[object], pyin: bool = True) -> Controls:
    """The controls of waves (B, N) at 22,050 Hz as measured: also the pitch, as the contract of each kind has it.

    Args:
        waves: (B, N).
        asked: what was asked for; the pitch is looked for around it.
        kinds: the `Kind`s that ``asked.kind`` counts.
        pyin: use pYIN where a kind has one steady f0 (slow, and blind to nothing); otherwise fit harmonics.
    """
    pitch = np.empty(len(asked))
    for k, kind in enumerate(kinds):
        rows = np.flatnonzero(asked.kind == k)
        if not len(rows):
            continue
        own, guess = waves[torch.from_numpy(rows)], torch.from_numpy(asked.pitch[rows]).float()
        if kind.steady and pyin:  # type: ignore[attr-defined]
            pitch[rows] = measures.median_f0(own, synthesis.SAMPLE_RATE, 30.0, 2 * kind.pitch[1]).numpy()  # type: ignore[attr-defined]
        else:
            found = measures.chord_f0(own, synthesis.SAMPLE_RATE, kind.intervals, guess)  # type: ignore[attr-defined]
            pitch[rows] = found.numpy()
    others = synthesis.measured(waves, asked.kind, asked.pitch, list(kinds))  # type: ignore[arg-type]
    return Controls(asked.kind, pitch, others.duration, others.brightness, others.loudness)


def obedience(asked: Controls, found: Controls) -> Obedience:
    """Compare controls that were asked for with what was measured, over a batch."""
    cents = np.abs(1200 * np.log2(found.pitch / asked.pitch))
    cents = np.nan_to_num(cents, nan=1200.0)  # no pitch found: an octave off
    ranks = [
        rank_correlation(torch.from_numpy(getattr(asked, name)), torch.from_numpy(getattr(found, name)))
        for name in ("brightness", "loudness")
    ]
    duration = float(np.median(np.abs(found.duration - asked.duration))) * 1000
    return Obedience(float(np.median(cents)), float(np.mean(cents <= 50)), duration, ranks[0], ranks[1], len(asked))


def asked_for(generator: TootGenerator, count: int, seed: int) -> Controls:
    """Controls as they occur in the synthesiser's population, the kinds in turn, within the ranges of the controls."""
    rows = []
    for i in range(count):
        k = i % len(generator.kinds)
        pitch, duration, brightness, loudness = synthesis.draw(generator.model.kinds[k], rng.child(seed, i))
        rows.append((k, pitch, duration, min(max(brightness, 0.0), 1.0), loudness))
    columns = np.array(rows).T
    return Controls(columns[0].astype(np.int64), *columns[1:])


def control_table(generator: TootGenerator, count: int = 120, seed: int = 1000, pyin: bool = True) -> dict[str, dict[str, Obedience]]:
    """Obedience of generated toots and of the synthesiser's for the same controls.

    Args:
        generator: the model.
        count: N, over all kinds.
        seed: of the controls and the toots.
        pyin: see `measure_controls`.

    Returns:
        {kind or "all": {"generated": ..., "synthesiser": ...}}.
    """
    asked = asked_for(generator, count, seed)
    loud = asked.loudness.copy()
    waves = {"generated": torch.zeros(count, WINDOW_SAMPLES + 1024), "synthesiser": torch.zeros(count, WINDOW_SAMPLES + 1024)}
    for i in range(count):
        own, row = rng.child(seed, i), asked[i : i + 1]
        made = generator.render(row, generator.residual(row, own), own)
        waves["generated"][i, 512 : 512 + len(made)] = torch.from_numpy(made)
        args = (float(row.pitch[0]), float(row.duration[0]), float(row.brightness[0]), float(row.loudness[0]))
        waves["synthesiser"][i, :WINDOW_SAMPLES] = torch.from_numpy(synthesis.render(generator.kinds[row.kind[0]], *args, seed=own))
    asked = Controls(asked.kind, asked.pitch, asked.duration, asked.brightness, loud)
    table: dict[str, dict[str, Obedience]] = {}
    found = {who: measure_controls(w, asked, generator.model.kinds, pyin) for who, w in waves.items()}
    groups = {name: asked.kind == k for k, name in enumerate(generator.kinds)} | {"all": np.full(count, True)}
    for name, rows in groups.items():
        table[name] = {who: obedience(asked[rows], found[who][rows]) for who in waves}
    return table


def swap_test(generator: TootGenerator, seeds: Sequence[int] = range(8)) -> dict[str, dict[str, float]]:
    """Change one control, keep the residual: what moves?

    Returns:
        {control that was changed: {control: median absolute change as measured}}, f0 in cents, duration in s, loudness in dB;
        under "rank" the share of toots in which the measure of the changed control went the way that was asked for.
    """
    table: dict[str, dict[str, float]] = {}
    for name in SWAP_TOLERANCE:
        moves = []
        for kind_index, kind in enumerate(generator.model.kinds):
            for seed in seeds:
                low, high = (_typical(kind_index, kind, name, end) for end in (0.3, 0.7))
                residual = generator.residual(low, seed)
                pair = [generator.render(c, residual, seed) for c in (low, high)]
                waves = torch.zeros(2, WINDOW_SAMPLES + 1024)
                for wave, made in zip(waves, pair, strict=True):
                    wave[512 : 512 + len(made)] = torch.from_numpy(made)
                both = Controls.concatenate([low, high])
                found = measure_controls(waves, both, generator.model.kinds, pyin=False)
                moves.append(_moves(found, kind.octaves, both))
        change = np.array(moves)  # (toots, controls)
        table[name] = dict(zip(SWAP_TOLERANCE, np.median(np.abs(change), 0).tolist(), strict=True))
        table[name]["rank"] = float(np.mean(change[:, list(SWAP_TOLERANCE).index(name)] > 0))
    return table


def _typical(index: int, kind, name: str, share: float) -> Controls:  # type: ignore[no-untyped-def]
    """Controls in the middle of their ranges, but for the one called ``name``."""

    def along(control: str, low: float, high: float) -> NDArray[np.float64]:
        at = share if control == name else 0.5
        return np.array([low * (high / low) ** at if low > 0 else low + (high - low) * at])

    return Controls(
        np.array([index]), along("pitch", *kind.pitch), along("duration", *kind.duration), along("brightness", 0.0, 1.0),
        along("loudness", -30.0, -12.0),
    )  # fmt: skip


def _moves(found: Controls, octaves: tuple[float, float], asked: Controls) -> list[float]:
    """Signed change from the first to the second toot: f0 in cents relative to what was asked, and so on."""
    del octaves, asked
    return [
        float(1200 * np.log2(found.pitch[1] / found.pitch[0])),
        float(np.diff(found.duration)[0]),
        float(np.diff(found.brightness)[0]),
        float(np.diff(found.loudness)[0]),
    ]


def reconstruction_row(decoded: Tensor, x: Tensor, clips: Clips, normalizer: Normalizer, hop: int) -> tuple[float, float]:
    """Weighted squared error of standardised log-mels (B, M, T), and their log-spectral distance in dB over audible frames."""
    weight = frame_weights(torch.as_tensor(clips.controls.duration, dtype=torch.float32), x.shape[2], hop, synthesis.SAMPLE_RATE)
    error = float(squared_error(decoded, x, weight))
    difference = (decoded - x) * normalizer.std * (20 / np.log(10))
    per_frame = difference.square().mean(1).sqrt()  # (B, T)
    return error, float((per_frame * weight).mean())


def pca(train: Tensor, test: Tensor, size: int) -> Tensor:
    """Test clips (B, M, T) through the first ``size`` principal components of the training clips."""
    flat, mean = train.flatten(1), train.flatten(1).mean(0)
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(0)  # svd_lowrank draws its test matrix from the global generator
    basis = torch.svd_lowrank(flat - mean, q=size + 16, niter=4)[2][:, :size]
    torch.random.set_rng_state(generator_state)
    return ((test.flatten(1) - mean) @ basis @ basis.T + mean).view_as(test)


def nearest(train: Tensor, test: Tensor) -> Tensor:
    """For each test clip (B, M, T) the training clip at the least Euclidean distance."""
    flat = train.flatten(1)
    return torch.stack([train[int((flat - clip.flatten()).square().sum(1).argmin())] for clip in test])
