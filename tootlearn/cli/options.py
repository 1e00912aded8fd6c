"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from tootlearn.cli.parser import Parser

if TYPE_CHECKING:
    from tootlearn.generation.toot_generator import TootGenerator


def add_generator_options(parser: Parser, bandwidth: bool = False) -> None:
    """The model and what stands around it: `--model`, `--device`, `--vocoder`, `--bandwidth`."""
    parser.add_argument("--model", type=str | None, help="a model file (default: the shipped one)")
    add_device(parser, "cpu")
    parser.add_argument(
        "--vocoder", type=str | None, help='a vocoder file or "none" (default: the shipped one)'
    )
    if bandwidth:
        parser.add_argument(
            "--bandwidth",
            type=str | None,
            help='what adds sound above 11 kHz: a file or "none" (default: the shipped one)',
        )


def add_control_options(parser: Parser, default: str, kind: str) -> None:
    """`--kind`, `--pitch`, `--duration`, `--brightness` and `--loudness`.

    Args:
        parser: gets the options.
        default: what is taken where an option is not given.
        kind: what is said of `--kind`.
    """
    for name, hint, text in (
        ("kind", str, kind),
        ("pitch", str, f"Hz (440), a note (A4, Bb3) or MIDI (midi:69) (default: {default})"),
        ("duration", float, f"seconds (default: {default})"),
        ("brightness", float, f"0 (dark) to 1 (bright) (default: {default})"),
        ("loudness", float, f"dBFS, -36 to -6 (default: {default})"),
    ):
        parser.add_argument(f"--{name}", type=hint | None, help=text)


def add_device(parser: Parser, default: str = "auto") -> None:
    """`--device`."""
    parser.add_argument("--device", type=str, default=default, help="cpu, cuda, mps or auto")


def load_generator(args: Namespace) -> TootGenerator:
    """The generator that the options of :func:`add_generator_options` name."""
    from tootlearn.generation import toot_generator

    return toot_generator.load(args.model, args.device, args.vocoder, args.get("bandwidth"))


def add_out(parser: Parser, default: str, text: str = "the folder to write to") -> None:
    """`--out`, a folder."""
    parser.add_argument("--out", type=str, default=default, help=text)


def add_sample_rate(parser: Parser) -> None:
    """`--sample-rate`."""
    parser.add_argument(
        "--sample-rate", type=int | None, help="Hz, 8000 to 192000 (default: the model's, 22050)"
    )


def add_seed(parser: Parser, text: str = "the same seed gives the same toots") -> None:
    """`--seed`."""
    parser.add_argument("--seed", type=int, default=0, help=text)


def check_output(args: Namespace) -> None:
    """Refuse what cannot be written, before anything is made.

    Raises:
        InputError: for a folder that is a file, or a sample rate out of range.
    """
    from tootlearn.errors import check_range
    from tootlearn.generation import toot_files, toot_generator

    toot_files.check_folder(Path(args.out))
    if args.sample_rate is not None:
        check_range("--sample-rate", args.sample_rate, *toot_generator.SAMPLE_RATES, " Hz")


def add_server_options(parser: Parser) -> None:
    """`--port` and `--no-browser`, for pages served on this machine."""
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--no-browser", action="store_true", help="only serve, and print the address"
    )
