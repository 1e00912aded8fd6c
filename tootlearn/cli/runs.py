"""`tootlearn runs`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import Namespace

from tootlearn.cli.parser import Parser

HELP = "List and compare the runs in a folder."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument(
        "folder",
        type=str,
        nargs="?",
        default="runs",
        help="where to look, with its sub-folders (default: runs)",
    )
    parser.add_argument(
        "--plot", type=str | None, help="a PNG file for the held-out errors (default: none)"
    )


def run(args: Namespace) -> None:
    """Print the table."""
    from tootlearn.training import runs

    all_runs = runs.find_runs(Path(args.folder))
    print(runs.table(all_runs))
    if args.plot:
        runs.plot(all_runs, Path(args.plot))
