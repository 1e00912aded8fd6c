"""`tootlearn book`."""

from __future__ import annotations

from jsonargparse import Namespace

from tootlearn.cli.options import add_server_options
from tootlearn.cli.parser import Parser

HELP = "Show the rendered book, if it was built, on this machine."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    add_server_options(parser)


def run(args: Namespace) -> None:
    """Serve the book."""
    from tootlearn.teaching import notebooks

    notebooks.serve_book(notebooks.site(), args.port, not args.no_browser)
