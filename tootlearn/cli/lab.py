"""`tootlearn lab`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import Namespace

from tootlearn.cli.parser import Parser

HELP = "Copy the book's notebooks into a folder of yours, and open JupyterLab there."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument(
        "folder",
        type=str,
        nargs="?",
        default="tootlearn-book",
        help="where to (default: tootlearn-book)",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="write the notebooks again; yours are moved to NAME.bak",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="start JupyterLab and print its address"
    )
    parser.add_argument("--no-open", action="store_true", help="only copy")


def run(args: Namespace) -> None:
    """Copy the notebooks and open them."""
    from tootlearn.teaching import notebooks

    folder = Path(args.folder)
    done = notebooks.copy_notebooks(folder, args.fresh)
    print(f"{len(done.new)} files are new in {folder}, {len(done.same)} were there")
    if done.kept:
        print(
            "left as they are, since they differ from what ships: "
            f"{', '.join(done.kept)} (--fresh replaces them)"
        )
    if done.aside:
        print(f"yours are beside them as .bak: {', '.join(done.aside)}")
    if not args.no_open:
        notebooks.open_lab(folder, not args.no_browser)
