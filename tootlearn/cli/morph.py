"""`tootlearn morph`."""

from __future__ import annotations

from jsonargparse import Namespace

from tootlearn.cli import recordings
from tootlearn.cli.options import (
    add_generator_options,
    add_out,
    add_sample_rate,
    add_seed,
    check_output,
    load_generator,
)
from tootlearn.cli.parser import Parser

HELP = "Make the toots that lie between two recordings."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument("first", type=str, help="a toot: WAV, FLAC, Ogg or MP3")
    parser.add_argument("last", type=str, help="another toot")
    parser.add_argument("--steps", type=int, default=8, help="how many toots, both ends included")
    parser.add_argument(
        "--kinds", type=str, nargs=2, help="the kinds of the two recordings (default: estimated)"
    )
    add_seed(parser)
    add_out(parser, "morph")
    add_sample_rate(parser)
    add_generator_options(parser, bandwidth=True)


def run(args: Namespace) -> None:
    """Make the toots."""
    from tootlearn.generation import variation

    check_output(args)
    generator = load_generator(args)
    first, last = (
        recordings.described(generator, path, kind)
        for path, kind in zip((args.first, args.last), args.kinds or (None, None), strict=True)
    )
    toots = variation.morph(generator, first, last, args.steps, args.seed, args.sample_rate)
    recordings.write_folder(generator, toots, args.steps, args)
