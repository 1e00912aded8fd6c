"""The command `tootlearn`: a thin caller of the package."""

from __future__ import annotations

import time

_STARTED = time.perf_counter()

import argparse  # noqa: E402
import difflib  # noqa: E402
import re  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, NoReturn  # noqa: E402

from jsonargparse import ArgumentParser, Namespace  # noqa: E402

from tootlearn import __version__  # noqa: E402
from tootlearn.audio import InputError  # noqa: E402


class _Parser(ArgumentParser):
    """A parser whose errors are one line, and name the nearest flag to one that does not exist."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        unknown = re.findall(r"(?<![\w-])--[\w.-]+", message) if "nrecognized" in message or "not expected" in message else []
        if unknown:
            near = difflib.get_close_matches(unknown[0].split("=")[0], _flags(self), n=1, cutoff=0.4)
            message = f"unknown flag {unknown[0]}" + (f": did you mean {near[0]}?" if near else "")
        sys.stderr.write(f"tootlearn: error: {' '.join(message.split())}\n")
        raise SystemExit(2)


def _flags(parser: argparse.ArgumentParser) -> list[str]:
    found = []
    for action in parser._actions:
        found += action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            found += [flag for sub in set(action.choices.values()) for flag in _flags(sub)]
    return found


def _parser(preset: str) -> ArgumentParser:
    from tootlearn.training import TrainConfig
    from tootlearn.training import preset as named

    parser = _Parser(prog="tootlearn", description="Toots from a neural network: generate, train, evaluate.", version=__version__)
    commands = parser.add_subcommands(dest="command")

    sub = _Parser(description="Make toots: WAV files, a list of them and a picture.")
    sub.add_argument("--kind", type=str | None, help="which kind; without it, all in turn")
    sub.add_argument("--pitch", type=str | None, help="Hz (440), note (A4, Bb3) or MIDI (midi:69); without it, drawn")
    sub.add_argument("--duration", type=float | None, help="s")
    sub.add_argument("--brightness", type=float | None, help="0 (dark) to 1 (bright)")
    sub.add_argument("--loudness", type=float | None, help="dBFS, -36 to -6")
    sub.add_argument("--count", type=int, default=8, help="how many")
    sub.add_argument("--seed", type=int, default=0, help="the same seed gives the same toots")
    sub.add_argument("--out", type=Path, default=Path("toots"), help="folder")
    sub.add_argument("--sample_rate", "--sample-rate", type=int | None, help="Hz; the model's own without it")
    sub.add_argument("--texture", type=float, default=1.0, help="how much of the learned randomness is put in, 0 to 1")
    _model_and_device(sub)
    commands.add_subcommand("generate", sub)

    sub = _Parser(description="Train a model on toots of the synthesiser.")
    sub.add_argument("--preset", type=str, default="default", help="what to start from: default or baseline")
    sub.add_argument("--out", type=Path | None, help="folder of the run; runs/PRESET without it")
    sub.add_argument("--resume", action="store_true", help="go on from the checkpoint in the folder")
    sub.add_argument("--device", type=str, default="auto", help="cpu, cuda, mps or auto")
    sub.add_class_arguments(TrainConfig, "config", fail_untyped=True)
    sub.set_defaults({"config": _plain(named(preset))})
    commands.add_subcommand("train", sub)

    sub = _Parser(description="Encode a recording and decode it again.")
    sub.add_argument("input", type=Path, help="WAV, FLAC, Ogg or MP3")
    sub.add_argument("output", type=Path, help="what to write; the suffix is the format")
    _model_and_device(sub)
    commands.add_subcommand("reconstruct", sub)

    sub = _Parser(description="Measure control and reconstruction, beside what can be had without a network.")
    sub.add_argument("--count", type=int, default=120, help="toots for the control table")
    sub.add_argument("--seed", type=int, default=1000, help="of their controls")
    sub.add_argument("--json", type=Path | None, help="also write the figures there")
    sub.add_argument("--only", type=str | None, help="control, swap or reconstruction")
    _model_and_device(sub)
    commands.add_subcommand("evaluate", sub)

    sub = _Parser(description="What a model file holds.")
    sub.add_argument("model", type=Path | None, nargs="?", help="a model file; the shipped one without it")
    commands.add_subcommand("info", sub)

    commands.add_subcommand("doctor", _Parser(description="Check this installation, and say how to mend it."))
    return parser


def _model_and_device(parser: ArgumentParser) -> None:
    parser.add_argument("--model", type=Path | None, help="a model file; the shipped one without it")
    parser.add_argument("--device", type=str, default="cpu", help="cpu, cuda, mps or auto")


def _plain(config: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(config)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit status 0, 2 for what the user can mend, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _run(words)
    except InputError as error:
        sys.stderr.write(f"tootlearn: error: {error}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        sys.stderr.write("tootlearn: interrupted\n")
        raise SystemExit(130) from None


def _run(words: list[str]) -> None:
    asked = re.search(r"--preset[ =](\S+)", " ".join(words))
    arguments = _parser(asked[1] if asked else "default").parse_args(words)
    command: Namespace = arguments[arguments.command] if arguments.command else Namespace()
    if arguments.command == "generate":
        _generate(command)


def _generate(a: Namespace) -> None:
    pass
