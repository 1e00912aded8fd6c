"""All tables of a model: control, kinds, liveliness, set distances and reconstruction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tootlearn.data.clips import Clips
from tootlearn.errors import InputError
from tootlearn.evaluation.control import control_table, swap_test
from tootlearn.evaluation.kind_accuracy import judge_of, kind_table
from tootlearn.evaluation.liveliness import MEASURES, liveliness_table
from tootlearn.evaluation.reconstruction import autoencoder_of, reconstruction_table
from tootlearn.evaluation.set_distances import LEAST, set_table
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.training import dataset

PARTS = ("control", "swap", "liveliness", "kind", "set", "reconstruction")


def evaluate_model(
    generator: TootGenerator,
    count: int = 120,
    seed: int = 1000,
    only: str | None = None,
    data: Sequence[str] = (),
    font: str | None = None,
) -> dict[str, Any]:
    """All tables that a model can have, as plain data.

    Args:
        generator: the model.
        count, seed: see `control_table`.
        only: one of :data:`PARTS`; None for all.
        data, font: where the recordings and the sound font that it was trained on lie, see
            `dataset.training_clips`.

    Returns:
        {part: its table, as `control_table`, `swap_test`, `liveliness_table`, `kind_table`,
        `set_table` or `reconstruction_table` has it}.

    Raises:
        InputError: if there is no such table, the model lacks the half that ``only`` needs, or its
            file does not say what it was trained on.
    """
    if only is not None and only not in PARTS:
        raise InputError(f"there is no table {only!r}: there are {', '.join(PARTS)}")
    model, tables = generator.model, dict[str, Any]()
    if only == "control" or (only is None and model.generator):
        table = control_table(generator, count, seed)
        tables["control"] = {
            kind: {who: asdict(o) for who, o in row.items()} for kind, row in table.items()
        }
    if only == "swap" or (only is None and model.generator):
        tables["swap"] = swap_test(generator)
    if only == "liveliness" or (only is None and model.generator):
        tables["liveliness"] = liveliness_table(generator, count, seed)
    judged = model.generator and len(model.kinds) > 1
    by_classifier = [part for part in ("kind", "set") if only == part or (only is None and judged)]
    rebuilt = only == "reconstruction" or (only is None and model.autoencoder)
    if rebuilt:
        autoencoder_of(generator)  # before minutes go into the clips
    if by_classifier or rebuilt:
        clips = training_clips_of(generator, data, font)
    if by_classifier:
        learn, held_out = clips.split()
        judge = judge_of(generator, learn)
        if "kind" in by_classifier:
            kinds = kind_table(generator, held_out, judge, count, seed)
            tables["kind"] = {
                kind: {who: asdict(r) for who, r in row.items()} for kind, row in kinds.items()
            }
        if only == "set" or ("set" in by_classifier and min(2 * count, len(held_out)) >= LEAST):
            sets = set_table(generator, learn, held_out, judge, count, seed)
            tables["set"] = {name: asdict(distance) for name, distance in sets.items()}
    if rebuilt:
        tables["reconstruction"] = reconstruction_table(generator, clips)
    return tables


def training_clips_of(
    generator: TootGenerator, data: Sequence[str] = (), font: str | None = None
) -> Clips:
    """The clips that a model was trained with, held-out ones included, made again
    (`dataset.training_clips`).
    """
    try:
        trained = generator.description["provenance"]["config"]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"this model file does not say what it was trained on (no {error})"
        ) from error
    return dataset.training_clips(trained, generator.model.front_end.config, data, font)


def report_text(tables: dict[str, Any]) -> str:
    """The tables of `evaluate_model` as text."""
    blocks = []
    for part, rows in _ROWS.items():
        if part in tables:
            lines = (
                f"{name:36}" + "".join(f"{cell:>12}" for cell in cells)
                for name, *cells in rows(tables[part])
            )
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _control_rows(table: dict[str, Any]) -> Iterator[list[str]]:
    yield ["control", "f0 (cents)", "within 50", "time (ms)", "brightness", "loudness", "N"]
    yield ["", "median", "share", "median", "rank corr.", "rank corr.", ""]
    for kind, sources in table.items():
        for who, o in sources.items():
            errors = [f"{o['f0_median']:.1f}", f"{o['f0_within_50']:.0%}"]
            errors += [f"{o['duration_median']:.1f}"]
            ranks = [f"{o['brightness_rank']:.3f}", f"{o['loudness_rank']:.3f}"]
            yield [f"{kind}, {who}", *errors, *ranks, str(o["count"])]


def _swap_rows(table: dict[str, Any]) -> Iterator[list[str]]:
    columns = ["f0 (cents)", "time (s)", "brightness", "loudness", "obeyed"]
    yield ["swap of one control, change of", *columns]
    for name, r in table.items():
        moved = [f"{r['pitch']:.1f}", f"{r['duration']:.3f}", f"{r['brightness']:.3f}"]
        yield [name, *moved, f"{r['loudness']:.2f}", f"{r['obeyed']:.0%}"]


def _liveliness_rows(table: dict[str, Any]) -> Iterator[list[str]]:
    yield ["liveliness", "generated", "synthesiser", "recorded", "from", "to", "N", "near (g, s)"]
    for kind, rows in table.items():
        yield [kind, *[""] * 7]
        for name, row in rows.items():
            marks = {"generated": "g", "synthesiser": "s"}
            near = "".join(marks[who] for who in row.get("near", ()))
            known = ("recorded", "low", "high")
            cells = [f"{row[who]:.3g}" for who in marks]
            cells += [f"{row[x]:.3g}" if x in row else "" for x in known]
            cells += [str(row.get("recordings", "")), near or "-" * row["binding"]]
            yield [f"{'*' if row['binding'] else ' '} {MEASURES[name]}", *cells]
    heard = [row for rows in table.values() for row in rows.values() if row["binding"]]
    shares = [sum(who in row["near"] for row in heard) for who in ("generated", "synthesiser")]
    yield ["* binding, of which near recordings", *map(str, shares), str(len(heard)), *[""] * 4]


def _kind_rows(table: dict[str, Any]) -> Iterator[list[str]]:
    yield ["kind, by a classifier", "generated", "N", "held out", "N", "taken for"]
    for kind, sources in table.items():
        pairs = ((f"{r['right']:.0%}", str(r["count"])) for r in sources.values())
        yield [kind, *(cell for pair in pairs for cell in pair), sources["generated"]["taken_for"]]


def _set_rows(table: dict[str, Any]) -> Iterator[list[str]]:
    yield ["distance from held-out sounds", "generated", "+-", "real", "+-", "N"]
    for name, d in table.items():
        figures = [f"{d[x]:.3g}" for x in ("value", "spread", "floor", "floor_spread")]
        yield [name, *figures, str(d["count"])]


def _reconstruction_rows(table: dict[str, Any]) -> Iterator[list[str]]:
    yield ["reconstruction, held-out groups", "sq. error", "LSD (dB)", "N"]
    for name, r in table.items():
        yield [name, f"{r['error']:.4f}", f"{r['lsd']:.2f}", str(r["count"])]


_ROWS: dict[str, Callable[[dict[str, Any]], Iterator[list[str]]]] = {
    "control": _control_rows,
    "swap": _swap_rows,
    "liveliness": _liveliness_rows,
    "kind": _kind_rows,
    "set": _set_rows,
    "reconstruction": _reconstruction_rows,
}
