"""`tootlearn tune`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import Namespace

from tootlearn.cli.options import add_device
from tootlearn.cli.parser import Parser, fail
from tootlearn.cli.training_options import add_config_options, config_of

HELP = "Search for better settings of training, by one process or several."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    add_config_options(parser)
    parser.add_argument(
        "--out", type=str | None, help="the folder of the search (default: runs/tune-PRESET)"
    )
    parser.add_argument(
        "--space", type=str | None, help="a YAML file of fields and ranges (default: a usual one)"
    )
    parser.add_argument(
        "--trials", type=int, default=30, help="how many in the end, earlier ones included"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="how many processes; more can join by the same command elsewhere",
    )
    parser.add_argument(
        "--metric",
        type=str,
        default="sum",
        help="the held-out error: generation, reconstruction or sum",
    )
    parser.add_argument(
        "--storage",
        type=str | None,
        help="a URL, or a journal file .journal (default: SQLite in --out)",
    )
    add_device(parser)


def run(args: Namespace) -> None:
    """Search; a search that was interrupted is resumed."""
    from tootlearn.training import loop
    from tootlearn.tuning import search as tuning

    out = Path(args.out or Path("runs") / f"tune-{args.preset}")
    space = Path(args.space) if args.space else None
    search = tuning.Search(config_of(args), out, space, args.metric, args.storage, args.device)
    try:
        result = tuning.run_search(search, args.trials, args.workers)
    except loop.Stopped as stopped:
        fail(str(stopped), 130)
    print(tuning.summary_text(result))
    print(f"summary.json and pictures are in {out}: tootlearn train --config {out / 'best.yaml'}")
