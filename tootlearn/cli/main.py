"""The command `tootlearn`: a tree of subcommands, and errors as one line with an exit status."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Sequence
from types import ModuleType

from tootlearn.cli.parser import Parser, fail
from tootlearn.errors import InputError, did_you_mean
from tootlearn.version import __version__

COMMANDS = (
    *("generate", "vary", "morph", "batch", "play"),
    *("train", "tune", "runs", "data", "train-vocoder", "train-bandwidth"),
    *("reconstruct", "denoise", "evaluate", "info", "export"),
    *("lab", "book", "doctor", "completion"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: the words after `tootlearn`; None for those of this process.

    Raises:
        SystemExit: with status 2 and one line on stderr for what the user can mend, 130 for Ctrl-C,
            1 if `doctor` finds something broken, 0 after a help text.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _run(words)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except ImportError as error:
        fail(f"a package is missing or broken ({error}): `tootlearn doctor` says which")
    except OSError as error:
        fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    except InputError as error:
        fail(str(error))


def build_parser(words: Sequence[str] = (), filled: Collection[str] = COMMANDS) -> Parser:
    """The parser of all commands.

    Args:
        words: the words after `tootlearn`, which decide the defaults of some commands.
        filled: the commands that get their options; the others have a name and one line of help,
            which takes no import of torch.
    """
    parser = Parser(
        prog="tootlearn",
        version=__version__,
        description="Toots from a neural network: generate, train, evaluate, learn.",
        epilog="tootlearn COMMAND --help shows the options of a command.",
    )
    subcommands = parser.add_subcommands(
        dest="command", title="commands", description=None, metavar="COMMAND"
    )
    for name in COMMANDS:
        command = _module(name)
        subparser = Parser(description=command.HELP, words=words[1:])
        subcommands.add_subcommand(name, subparser, help=command.HELP)
        subparser.prog = f"tootlearn {name}"
        if name in filled:
            command.add_arguments(subparser)
    return parser


def _run(words: list[str]) -> None:
    names = ", ".join(COMMANDS)
    if not words:
        fail(f"give a command: {names}")
    if words[0] not in (*COMMANDS, "-h", "--help", "--version"):
        fail(
            f"there is no command {words[0]!r}: {did_you_mean(words[0], COMMANDS)}there are {names}"
        )
    args = build_parser(words, words[:1]).parse_args(words)
    _module(args.command).run(args[args.command])


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"tootlearn.cli.{name.replace('-', '_')}")
