"""Pictures of sound."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tootlearn.audio import write_whole
from tootlearn.stft import Stft

COLOURS = "magma"  # perceptually uniform, from black
RANGE_DB = 80.0  # from black to the brightest colour
SILENCE_DB = -120.0  # what is drawn of a magnitude of zero


def contact_sheet(
    path: str | os.PathLike[str],
    waves: Sequence[NDArray[np.float32]],
    titles: Sequence[str],
    sample_rate: int,
    columns: int = 4,
) -> None:
    """Draw waveforms over spectrograms, all on one time axis, one level axis and one colour scale.

    The brightest colour is the loudest bin of all sounds: a quiet sound is drawn darker than a loud one.

    Args:
        path: of the PNG.
        waves: one or more, each (N,), in [-1, 1].
        titles: one for each.
        sample_rate: Hz.
        columns: sounds in a row.

    Raises:
        InputError: if the file cannot be written; nothing is left of it then.
        ValueError: if there is nothing to draw, or not one title for each wave.
    """
    if not waves or len(waves) != len(titles):
        raise ValueError(f"give one wave or more and a title for each, not {len(waves)} and {len(titles)}")
    from matplotlib.figure import Figure

    columns = min(columns, len(waves))
    rows = -(-len(waves) // columns)
    seconds = max(len(wave) for wave in waves) / sample_rate
    stft = Stft(1024, 256)
    figure = Figure(figsize=(3.1 * columns, 3.0 * rows), layout="constrained", dpi=110)
    grid = figure.subplots(
        2 * rows, columns, squeeze=False, sharex=True, gridspec_kw={"height_ratios": [1, 2.4] * rows}
    )
    magnitudes = [stft.magnitude(torch.from_numpy(np.ascontiguousarray(wave))) for wave in waves]
    levels = [(20 * magnitude.log10()).clamp_min(SILENCE_DB).numpy() for magnitude in magnitudes]
    top = max(SILENCE_DB + RANGE_DB, *(float(level.max()) for level in levels))  # silence alone is black
    for i in range(rows * columns):
        above, below = grid[2 * (i // columns), i % columns], grid[2 * (i // columns) + 1, i % columns]
        if i >= len(waves):
            above.axis("off")
            below.axis("off")
            continue
        above.plot(np.arange(len(waves[i])) / sample_rate, waves[i], linewidth=0.4, color="#3b528b")
        above.set(ylim=(-1, 1), xlim=(0, seconds), title=titles[i])
        above.title.set_fontsize(8)
        extent = (0, len(waves[i]) / sample_rate, 0, sample_rate / 2000)
        below.imshow(
            levels[i], origin="lower", aspect="auto", extent=extent, cmap=COLOURS, vmin=top - RANGE_DB, vmax=top
        )
        below.set(xlim=(0, seconds), facecolor="black")
        if i % columns == 0:
            below.set_ylabel("kHz", fontsize=8)
        if i // columns == rows - 1:
            below.set_xlabel("s", fontsize=8)
        above.tick_params(labelsize=6)
        below.tick_params(labelsize=6)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_whole(Path(path), content.getvalue())
