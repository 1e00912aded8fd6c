"""`tootlearn evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

from jsonargparse import Namespace

from tootlearn.cli.options import add_generator_options, load_generator
from tootlearn.cli.parser import Parser

HELP = "Measure control, likeness and reconstruction, each beside a yardstick."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument("--count", type=int, default=120, help="how many toots for each table")
    parser.add_argument("--seed", type=int, default=1000, help="of their controls")
    parser.add_argument(
        "--json", type=str | None, help="a file for the figures (default: none is written)"
    )
    parser.add_argument(
        "--figure", type=str | None, help="a PNG file for pictures of them (default: none is drawn)"
    )
    parser.add_argument(
        "--only",
        type=str | None,
        help="control, swap, liveliness, kind, set or reconstruction (default: all of them)",
    )
    parser.add_argument(
        "--data",
        type=str,
        nargs="+",
        default=[],
        help="the recordings that the model was trained on (default: none)",
    )
    parser.add_argument(
        "--font",
        type=str | None,
        help="the sound font that it was trained on (default: looked for on this machine)",
    )
    add_generator_options(parser)


def run(args: Namespace) -> None:
    """Print the tables."""
    from tootlearn.evaluation import report as evaluation
    from tootlearn.files import atomic_write

    report = evaluation.evaluate_model(
        load_generator(args), args.count, args.seed, args.only, args.data, args.font
    )
    print(evaluation.report_text(report))
    if args.json:
        atomic_write(Path(args.json), (json.dumps(report, indent=1) + "\n").encode())
    if args.figure:
        from tootlearn.figures import evaluation_sheet

        evaluation_sheet(args.figure, report)
