"""`tootlearn info`."""

from __future__ import annotations

from jsonargparse import Namespace

from tootlearn.cli.parser import Parser

HELP = "Show what a model file holds."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument(
        "model", type=str | None, nargs="?", help="a model file (default: the shipped one)"
    )


def run(args: Namespace) -> None:
    """Print the summary."""
    from tootlearn.generation import toot_generator
    from tootlearn.models import model_file

    generator = toot_generator.load(args.model)
    print(model_file.summary(generator.model, generator.description))
