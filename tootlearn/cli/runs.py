"""The commands about many runs: `tootlearn tune` and `tootlearn runs`. They stand apart from `cli`
for its length.
"""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser

from tootlearn.cli.arguments import config_of, config_options, fail


def tune(parser: ArgumentParser, words: list[str]) -> None:
    """Search for better settings of training; what was left off is gone on with."""
    config_options(parser, words)
    parser.add_argument(
        "--out", type=str | None, help="folder of the search; runs/tune-PRESET without it"
    )
    parser.add_argument(
        "--space", type=str | None, help="a YAML file of fields and ranges; a usual one without it"
    )
    parser.add_argument(
        "--trials",
        type=int,
        default=30,
        help="how many there shall be in the end, earlier ones included",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="processes; more can join by the same command elsewhere",
    )
    parser.add_argument(
        "--metric",
        type=str,
        default="sum",
        help="held-out error: generation, reconstruction or sum",
    )
    parser.add_argument(
        "--storage",
        type=str | None,
        help="a URL, or a journal file .journal; SQLite in --out without it",
    )
    parser.add_argument("--device", type=str, default="auto", help="cpu, cuda, mps or auto")
    a = parser.parse_args(words)

    from tootlearn.training import train as training
    from tootlearn.tuning import search as tuning

    out, space = (
        Path(a.out or Path("runs") / f"tune-{a.preset}"),
        Path(a.space) if a.space else None,
    )
    search = tuning.Search(config_of(a), out, space, a.metric, a.storage, a.device)
    try:
        found = tuning.run(search, a.trials, a.workers)
    except training.Stopped as stopped:
        fail(str(stopped), 130)
    print(tuning.as_text(found))
    print(f"summary.json and pictures are in {out}: tootlearn train --config {out / 'best.yaml'}")


def runs(parser: ArgumentParser, words: list[str]) -> None:
    """List and compare the runs in a folder."""
    parser.add_argument(
        "folder", type=str, nargs="?", default="runs", help="where to look, with its sub-folders"
    )
    parser.add_argument(
        "--plot", type=str | None, help="also draw the held-out errors there, as PNG"
    )
    a = parser.parse_args(words)

    from tootlearn.training import runs

    found = runs.find(Path(a.folder))
    print(runs.table(found))
    if a.plot:
        runs.plot(found, Path(a.plot))
