"""`tootlearn completion`."""

from __future__ import annotations

from typing import Literal

from jsonargparse import Namespace

from tootlearn.cli.parser import Parser

HELP = "Print a script that completes commands and options in a shell."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument("shell", type=Literal["bash", "zsh", "tcsh"], help="bash, zsh or tcsh")


def run(args: Namespace) -> None:
    """Print the script."""
    from tootlearn.cli.main import build_parser

    print(build_parser().get_completion_script(f"shtab-{args.shell}"))
