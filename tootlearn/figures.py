"""Pictures of sound: waves, spectrograms and log-mels in a notebook, and a contact sheet of many
sounds.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError
from tootlearn.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

COLOURS = "magma"  # perceptually uniform, from black
RANGE_DB = 80.0  # from black to the brightest colour
SILENCE_DB = -120.0  # the level that a magnitude of zero is drawn at
RANGE_LOG_MEL = RANGE_DB * math.log(10) / 20  # the same in natural logarithms: 9.2
# a light background with dark lines can be read on light and on dark pages; a clear one could not
STYLE: Any = {
    "figure.facecolor": "#fcfcfa",
    "savefig.facecolor": "#fcfcfa",
    "figure.figsize": (7.0, 2.6),
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "figure.constrained_layout.use": True,
    "axes.facecolor": "#fcfcfa",
    "axes.grid": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "axes.prop_cycle": (
        "cycler('color', ['#3b528b', '#c4421a', '#1f7a5c', '#7a4ea3', '#8a6d00', '#4d4d4d'])"
    ),
    "lines.linewidth": 1.2,
    "font.size": 9.0,
    "legend.frameon": False,
    "image.cmap": COLOURS,
    "image.interpolation": "nearest",
    "image.aspect": "auto",
    "image.origin": "lower",
}


def style() -> None:
    """Draw all figures from here on in the style of the book: a light background, and lines whose
    colours also differ in grey.
    """
    import matplotlib

    matplotlib.rcParams.update(STYLE)


def waveform(
    wave: Tensor | NDArray[Any],
    ax: Axes | None = None,
    title: str = "",
    sample_rate: int = 22050,
    start: float = 0.0,
) -> Axes:
    """Draw a wave (N,) over time in s, on an axis from -1 to 1, or more if the wave exceeds that.

    Args:
        wave: (N,).
        ax: where to draw; None makes a new figure.
        title: of the figure.
        sample_rate: Hz.
        start: time of the first sample, s.

    Returns:
        The axes.
    """
    ax = _axes(ax)
    samples = _array(wave, 1)
    seconds = start + np.arange(len(samples)) / sample_rate
    ax.plot(seconds, samples, linewidth=0.6 if len(samples) > 2000 else 1.2)
    top = max(1.0, float(np.abs(samples).max(initial=0)))
    ax.set(xlim=(start, start + len(samples) / sample_rate), ylim=(-top, top))
    ax.set(xlabel="time (s)", ylabel="sample", title=title)
    return ax


def spectrogram(
    sound: Tensor | NDArray[Any],
    ax: Axes | None = None,
    title: str = "",
    sample_rate: int = 22050,
    n_fft: int = 1024,
    hop: int = 256,
    top: float | None = None,
    colourbar: bool = True,
) -> AxesImage:
    """Draw magnitudes in dB over time in s and frequency in kHz; the colours span 80 dB.

    Args:
        sound: a wave (N,), or a magnitude or complex spectrum (F, T) made with this hop.
        ax: where to draw; None makes a new figure.
        title: of the figure.
        sample_rate: Hz.
        n_fft: of the STFT of a wave.
        hop: samples from frame to frame.
        top: the level in dB of the brightest colour; None takes that of the loudest bin. Give the
            same to pictures that are to be compared.
        colourbar: whether to draw it.

    Returns:
        The image, whose `get_clim()[1]` is the top that was used.
    """
    spectrum = torch.as_tensor(sound).detach().cpu()
    if spectrum.ndim == 1:
        spectrum = Stft(n_fft, hop).magnitude(spectrum.float())
    levels = 20 * np.log10(_array(spectrum.abs(), 2).clip(1e-12))
    top = max(float(levels.max()), SILENCE_DB + RANGE_DB) if top is None else top
    extent = (0.0, levels.shape[1] * hop / sample_rate, 0.0, sample_rate / 2000)
    return _image(
        levels,
        ax,
        title,
        extent,
        (top - RANGE_DB, top),
        "frequency (kHz)",
        "dB" if colourbar else "",
    )


def log_mel(
    x: Tensor | NDArray[Any],
    front_end: FrontEnd | None = None,
    ax: Axes | None = None,
    title: str = "",
    top: float | None = None,
    colourbar: bool = True,
) -> AxesImage:
    """Draw a log-mel over time in s and mel bands; the colours span 80 dB, 9.2 in natural
    logarithms.

    Args:
        x: (M, T), natural logarithms.
        front_end: what made it; None means the default one.
        ax: where to draw; None makes a new figure.
        title: of the figure.
        top: the value of the brightest colour; None takes the largest.
        colourbar: whether to draw it.

    Returns:
        The image, whose `get_clim()[1]` is the top that was used.
    """
    config = (front_end or FrontEnd()).config
    values = _array(x, 2)
    top = max(float(values.max()), math.log(config.floor) + RANGE_LOG_MEL) if top is None else top
    extent = (0.0, values.shape[1] * config.hop / config.sample_rate, 0.0, float(values.shape[0]))
    return _image(
        values, ax, title, extent, (top - RANGE_LOG_MEL, top), "mel band", "ln" if colourbar else ""
    )


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots()[1]


def _array(values: Tensor | NDArray[Any], dimensions: int) -> NDArray[Any]:
    array = np.asarray(torch.as_tensor(values).detach().cpu().numpy())
    if array.ndim != dimensions or array.size == 0:
        shape = {1: "(N,)", 2: "(F, T)"}[dimensions]
        raise InputError(f"to draw this, give an array of shape {shape}, not {array.shape}")
    return array


def _image(
    values: NDArray[Any],
    ax: Axes | None,
    title: str,
    extent: tuple[float, float, float, float],
    limits: tuple[float, float],
    ylabel: str,
    unit: str,
) -> AxesImage:
    ax = _axes(ax)
    image = ax.imshow(
        values,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap=COLOURS,
        vmin=limits[0],
        vmax=limits[1],
    )
    ax.set(xlabel="time (s)", ylabel=ylabel, title=title)
    if unit:
        ax.figure.colorbar(image, ax=ax, label=unit)
    return image


def contact_sheet(
    path: str | os.PathLike[str],
    waves: Sequence[NDArray[np.float32]],
    titles: Sequence[str],
    sample_rate: int,
    columns: int = 4,
) -> None:
    """Draw waveforms over spectrograms, all on one time axis, one level axis and one colour scale.

    The brightest colour is the loudest bin of all sounds, so a quiet sound is drawn darker than a
    loud one.

    Args:
        path: of the PNG.
        waves: one or more, each (N,), in [-1, 1].
        titles: one for each.
        sample_rate: Hz.
        columns: sounds in a row.

    Raises:
        InputError: if the file cannot be written; no partial file is left.
        ValueError: if there is nothing to draw, or not one title for each wave.
    """
    if not waves or len(waves) != len(titles):
        raise ValueError(
            f"give one wave or more and a title for each, not {len(waves)} and {len(titles)}"
        )
    from matplotlib.figure import Figure

    columns = min(columns, len(waves))
    rows = -(-len(waves) // columns)
    seconds = max(len(wave) for wave in waves) / sample_rate
    stft = Stft(1024, 256)
    figure = Figure(figsize=(3.1 * columns, 3.0 * rows), layout="constrained", dpi=110)
    grid = figure.subplots(
        2 * rows,
        columns,
        squeeze=False,
        sharex=True,
        gridspec_kw={"height_ratios": [1, 2.4] * rows},
    )
    magnitudes = [stft.magnitude(torch.from_numpy(np.ascontiguousarray(wave))) for wave in waves]
    levels = [(20 * magnitude.log10()).clamp_min(SILENCE_DB).numpy() for magnitude in magnitudes]
    # so that silence on its own is black
    top = max(SILENCE_DB + RANGE_DB, *(float(level.max()) for level in levels))
    for i in range(rows * columns):
        above, below = (
            grid[2 * (i // columns), i % columns],
            grid[2 * (i // columns) + 1, i % columns],
        )
        if i >= len(waves):
            above.axis("off")
            below.axis("off")
            continue
        above.plot(np.arange(len(waves[i])) / sample_rate, waves[i], linewidth=0.4, color="#3b528b")
        above.set(ylim=(-1, 1), xlim=(0, seconds), title=titles[i])
        above.title.set_fontsize(8)
        extent = (0, len(waves[i]) / sample_rate, 0, sample_rate / 2000)
        below.imshow(
            levels[i],
            origin="lower",
            aspect="auto",
            extent=extent,
            cmap=COLOURS,
            vmin=top - RANGE_DB,
            vmax=top,
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
    atomic_write(Path(path), content.getvalue())


# title, names, heights and spreads by who
Bars = tuple[str, list[str], dict[str, list[float]], dict[str, list[float]]]


def _of_groups(table: dict[str, dict[str, Any]], figures: dict[str, str]) -> list[Bars]:
    """A panel for each figure of a table {group: {who: figures}}."""
    who = list(next(iter(table.values())))
    return [
        (
            title,
            list(table),
            {w: [float(row[w][figure]) for row in table.values()] for w in who},
            {},
        )
        for figure, title in figures.items()
    ]


def _of_sets(table: dict[str, dict[str, float]]) -> list[Bars]:
    """A panel for each distance, since each has a scale of its own."""
    sides = {"generated": ("value", "spread"), "real": ("floor", "floor_spread")}
    return [
        (
            f"{name}\nN = {row['count']}",
            [""],
            {who: [row[at]] for who, (at, _) in sides.items()},
            {who: [row[spread]] for who, (_, spread) in sides.items()},
        )
        for name, row in table.items()
    ]


def _of_rows(table: dict[str, dict[str, float]], figures: dict[str, str]) -> list[Bars]:
    """A panel for each figure of a table {row: figures}."""
    return [
        (title, list(table), {"": [row[figure] for row in table.values()]}, {})
        for figure, title in figures.items()
    ]


def _of_liveliness(table: dict[str, dict[str, dict[str, float]]]) -> list[Bars]:
    """A panel for each of a few measures: toots beside recordings."""
    shown = {
        "wander_slow_db": "levels of bands, 1 to 6 Hz (dB)",
        "partial_db": "levels of partials (dB)",
        "noise_mid_db": "noise, 0.5 to 2 kHz (dB)",
    }
    who = ("generated", "synthesiser", "recorded")
    return [
        (
            title,
            list(table),
            {w: [row[name].get(w, math.nan) for row in table.values()] for w in who},
            {},
        )
        for name, title in shown.items()
    ]


_CONTROL = {
    "f0_median": "f0 error, median (cents)",
    "duration_median": "duration error, median (ms)",
}
_PANELS: dict[str, Callable[[Any], list[Bars]]] = {
    "control": lambda table: _of_groups(table, _CONTROL),
    "kind": lambda table: _of_groups(table, {"right": "named right by a classifier"}),
    "set": _of_sets,
    "liveliness": _of_liveliness,
    "swap": lambda table: _of_rows(table, {"obeyed": "moved the way it was asked to"}),
    "reconstruction": lambda table: _of_rows(table, {"error": "squared error", "lsd": "LSD (dB)"}),
}


def evaluation_sheet(path: str | os.PathLike[str], report: dict[str, Any]) -> None:
    """Draw the tables of `report.evaluate_model`: generated toots beside their yardsticks, a row of
    panels for each part.

    Args:
        path: of the PNG.
        report: one part or more.

    Raises:
        InputError: if the file cannot be written; no partial file is left.
        ValueError: if there is nothing to draw.
    """
    rows = [_PANELS[part](report[part]) for part in _PANELS if part in report]
    if not rows:
        raise ValueError("the report has no part to draw")
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE | {"font.size": 8.0}):
        figure = Figure(figsize=(11, 3.0 * len(rows)), layout="constrained", dpi=110)
        parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
        for part, row in zip(parts, rows, strict=True):
            axes = part.subplots(1, len(row), squeeze=False)[0]
            for ax, (title, names, columns, spreads) in zip(axes, row, strict=True):
                place = np.arange(len(names))[:, None] + np.linspace(-0.2, 0.2, len(columns))[
                    None
                ] * (len(columns) > 1)
                for i, (who, values) in enumerate(columns.items()):
                    ax.bar(
                        place[:, i],
                        values,
                        0.8 / len(columns) / 1.1,
                        label=who,
                        yerr=spreads.get(who),
                        capsize=2,
                    )
                ax.set_title(title)
                shown = [name.replace(", ", "\n") for name in names]
                ax.set_xticks(range(len(names)), shown, rotation=60 if len(names) > 5 else 0)
                if len(columns) > 1 and ax is axes[0]:
                    ax.legend(fontsize="small")
        content = io.BytesIO()
        figure.savefig(content, format="png")
    atomic_write(Path(path), content.getvalue())
