"""`tootlearn play`."""

from __future__ import annotations

from jsonargparse import Namespace

from tootlearn.cli.options import add_generator_options, add_server_options, load_generator
from tootlearn.cli.parser import Parser

HELP = "Play the model in the playground, a page on this machine."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    add_generator_options(parser)
    add_server_options(parser)


def run(args: Namespace) -> None:
    """Serve the playground."""
    from tootlearn.generation import playground

    playground.serve_playground(load_generator(args), args.port, not args.no_browser)
