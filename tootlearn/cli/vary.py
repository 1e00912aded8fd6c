"""`tootlearn vary`."""

from __future__ import annotations

from jsonargparse import Namespace

from tootlearn.cli import recordings
from tootlearn.cli.options import (
    add_control_options,
    add_generator_options,
    add_out,
    add_sample_rate,
    add_seed,
    check_output,
    load_generator,
)
from tootlearn.cli.parser import Parser

HELP = "Make variations of a recording: other controls, and other toots like it."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument("input", type=str, help="a toot: WAV, FLAC, Ogg or MP3")
    parser.add_argument("--count", type=int, default=8, help="how many variations")
    parser.add_argument(
        "--amount",
        type=float,
        default=0.5,
        help="how far they go: 0 (as the recording) to 1 (all but the controls drawn again)",
    )
    parser.add_argument(
        "--is",
        type=str | None,
        dest="own_kind",
        help="the kind of the recording (default: estimated)",
    )
    parser.add_argument(
        "--at",
        type=str | None,
        help="the pitch of the recording, as for --pitch (default: estimated)",
    )
    add_control_options(
        parser,
        "the recording's",
        "another kind, into whose range pitch and duration go (default: the recording's)",
    )
    add_seed(parser)
    add_out(parser, "variations")
    add_sample_rate(parser)
    add_generator_options(parser, bandwidth=True)


def run(args: Namespace) -> None:
    """Make the variations."""
    from tootlearn.controls import ControlRequest
    from tootlearn.generation import variation

    check_output(args)
    generator = load_generator(args)
    sound = recordings.described(generator, args.input, args.own_kind, args.at)
    changes = ControlRequest(args.kind, args.pitch, args.duration, args.brightness, args.loudness)
    toots = variation.vary(
        generator,
        sound,
        args.count,
        args.seed,
        args.amount,
        changes,
        args.sample_rate,
    )
    recordings.write_folder(generator, toots, args.count, args)
