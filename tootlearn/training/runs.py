"""Runs on this machine, side by side: what their folders tell, as a table and as curves."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from tootlearn.errors import InputError
from tootlearn.figures import STYLE
from tootlearn.files import atomic_write
from tootlearn.models import model_file

_RESULTS = ("model.safetensors", "vocoder.safetensors", "bandwidth.safetensors")
_FILES = ("log.jsonl", "checkpoint.safetensors", *_RESULTS)


@dataclass(frozen=True)
class Run:
    """A run's folder, read as far as it can be.

    Args:
        name: the folder, from where was looked.
        rows: of its log, in order.
        state: "finished", "stopped" (it can be resumed), or "log only".
        config: as nested dictionaries; empty if no file tells it.
        seconds: of training, where it is finished.
        problems: what is wrong with its files.
    """

    name: str
    rows: list[dict[str, Any]]
    state: str
    config: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    problems: tuple[str, ...] = ()

    @property
    def steps(self) -> int | None:
        """The last step that was logged."""
        return self.rows[-1]["step"] if self.rows else None

    @property
    def held_out(self) -> dict[str, float]:
        """The held-out errors of the last check."""
        return self.rows[-1]["held_out"] if self.rows else {}


def find_runs(folder: Path) -> list[Run]:
    """All runs in a folder and its sub-folders, sorted by name.

    Raises:
        InputError: if it is no folder, or has no run.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give one with runs, such as runs")
    homes = sorted({path.parent for name in _FILES for path in folder.rglob(name)})
    if not homes:
        raise InputError(
            f"{folder} has no runs: tootlearn train makes one, in runs/ unless told otherwise"
        )
    return [read_run(home, home.relative_to(folder).as_posix()) for home in homes]


def read_run(folder: Path, name: str) -> Run:
    """A run, whatever state it is in: what cannot be read is among its problems."""
    rows, problems = _log(folder / "log.jsonl")
    config: dict[str, Any] = {}
    seconds, state = None, "log only"
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.exists():
        state = "stopped"
        try:
            with safe_open(str(checkpoint), framework="pt") as file:
                config = dict(json.loads(file.metadata()["config"]))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            problems.append("checkpoint damaged")
    # of a trial of a search, which keeps no checkpoint
    if (alone := folder / "config.json").exists():
        try:
            config = config or dict(json.loads(alone.read_text("utf8")))
        except (OSError, TypeError, ValueError):
            problems.append("config.json damaged")
    for result in (folder / name for name in _RESULTS):
        if result.exists():
            try:
                provenance = model_file.read_metadata(result)["provenance"]
            except (InputError, KeyError):
                problems.append(f"{result.name} damaged")
            else:
                config, seconds, state = (
                    config or provenance.get("config", {}),
                    provenance.get("seconds"),
                    "finished",
                )
    return Run(name, rows, state, config, seconds, tuple(problems))


def _log(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    try:
        lines = path.read_text("utf8").splitlines()
    except (OSError, UnicodeDecodeError):
        return [], ["no log that can be read"]
    rows: dict[int, dict[str, Any]] = {}  # a run that was killed after a check repeats its row
    problems = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            rows[int(row["step"])] = row | {
                "held_out": {k: float(v) for k, v in row["held_out"].items()}
            }
        except (ValueError, TypeError, KeyError, AttributeError):
            problems.append(f"log line {number} damaged")
    return [rows[step] for step in sorted(rows)], problems


def table(runs: Sequence[Run]) -> str:
    """A line a run: state, steps, held-out errors, seconds, the fields in which configs differ,
    what is wrong.
    """
    errors = list(dict.fromkeys(name for run in runs for name in run.held_out))
    configs = [flat(run.config) for run in runs]
    known = [config for config in configs if config]
    names = list(dict.fromkeys(name for config in known for name in config))
    differ = [
        name for name in names if len({json.dumps(config.get(name, "")) for config in known}) > 1
    ]
    lines = [["run", "state", "steps", *errors, "seconds", *differ, "problems"]]
    for run, config in zip(runs, configs, strict=True):
        cells = [
            run.name,
            run.state,
            _cell(run.steps),
            *(_cell(run.held_out.get(name)) for name in errors),
        ]
        cells += [
            _cell(run.seconds),
            *(_cell(config.get(name)) for name in differ),
            "; ".join(run.problems),
        ]
        lines.append(cells)
    if not any(run.problems for run in runs):
        lines = [line[:-1] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def plot(runs: Sequence[Run], path: Path) -> None:
    """Draw the held-out errors over the steps, a panel for each kind of error, as PNG.

    Raises:
        InputError: if no run has any, or the file cannot be written.
    """
    names = list(
        dict.fromkeys(name for run in runs for row in run.rows for name in row["held_out"])
    )
    if not names:
        raise InputError("no run has a log to draw")
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.5 * len(names) + 1, 3.4), layout="constrained", dpi=110)
        for ax, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            for run in runs:
                points = [
                    (row["step"], row["held_out"][name])
                    for row in run.rows
                    if name in row["held_out"]
                ]
                if points:
                    ax.plot(*zip(*points, strict=True), label=run.name, marker=".")
            ax.set(title=f"held-out {name}", xlabel="step", yscale="log")
            ax.legend(fontsize="small")
        page = io.BytesIO()
        figure.savefig(page, format="png")
    atomic_write(path, page.getvalue())


def flat(config: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """The fields of a config, those of its parts with a dot, each after ``before``:
    {"autoencoder.latent": 64}.
    """
    fields: dict[str, Any] = {}
    for name, value in config.items():
        fields |= (
            flat(value, f"{before}{name}.")
            if isinstance(value, Mapping)
            else {before + name: value}
        )
    return fields


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
