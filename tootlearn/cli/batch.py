"""`tootlearn batch`."""

from __future__ import annotations

import os

from jsonargparse import Namespace

from tootlearn.cli.options import add_generator_options, add_out, add_sample_rate, add_seed
from tootlearn.cli.parser import Parser

HELP = "Make a labelled set of toots from a table."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument(
        "spec", type=str | None, nargs="?", help="a CSV file; what it leaves blank is drawn"
    )
    parser.add_argument(
        "--example", action="store_true", help="print a table to start from, and stop"
    )
    add_out(parser, "batch", "the folder to write to; files that it has are not made again")
    parser.add_argument("--format", type=str, default="wav", help="wav or flac")
    add_sample_rate(parser)
    add_seed(parser, "of the rows that have none")
    parser.add_argument(
        "--workers", type=int, default=min(os.cpu_count() or 1, 60), help="how many processes"
    )
    add_generator_options(parser, bandwidth=True)


def run(args: Namespace) -> None:
    """Make what is missing of the set."""
    from tootlearn.errors import InputError
    from tootlearn.generation import batch

    if args.example:
        print(batch.EXAMPLE, end="")
        return
    if args.spec is None:
        raise InputError("give a table, SPEC.csv: `tootlearn batch --example` prints one")
    source = batch.Source(args.model, args.device, args.vocoder, args.bandwidth)
    generator = source.load()
    toots = batch.read_spec(args.spec, generator, args.seed, args.format)
    rate = generator.sample_rate if args.sample_rate is None else args.sample_rate
    made, seconds = batch.render_batch(toots, args.out, source, rate, args.workers, progress=True)
    print(
        f"{len(toots)} toots and manifest.csv are in {args.out}; {made} of them were made now, "
        f"{seconds:.1f} s of sound"
    )
