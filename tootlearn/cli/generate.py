"""`tootlearn generate`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from jsonargparse import Namespace

from tootlearn import cli
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

HELP = "Make toots: WAV files, a list of them and a picture."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    add_control_options(parser, "drawn", "which kind (default: all in turn that can do the rest)")
    parser.add_argument("--count", type=int, default=8, help="how many toots")
    add_seed(parser, "the same seed gives the same toots, whatever the count")
    add_out(parser, "toots")
    add_sample_rate(parser)
    parser.add_argument(
        "--texture", type=float, default=1.0, help="how much noise the breath has, 0 to 1"
    )
    parser.add_argument(
        "--place",
        type=str,
        default="dry",
        help="dry, street, hall, or a file of an impulse response",
    )
    parser.add_argument(
        "--floor",
        type=float | None,
        help="noise of the place relative to the toot, dB (default: that of the place)",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="how far toots stray from the typical one, 0 (not at all) to 3",
    )
    parser.add_argument(
        "--envelope",
        type=str | None,
        help="levels in dB from beginning to end, such as 0,-6,-12,-3 (default: the model's)",
    )
    parser.add_argument(
        "--denoise", action="store_true", help="filter each toot as if it were a noisy recording"
    )
    add_generator_options(parser, bandwidth=True)


def run(args: Namespace) -> None:
    """Make the toots. Everything is checked before anything is written."""
    from tqdm import tqdm

    from tootlearn import rng
    from tootlearn.dsp import envelope
    from tootlearn.errors import InputError, check_range
    from tootlearn.generation import place, toot_files, toot_generator
    from tootlearn.generation.toot_files import Toot

    if args.count < 1:
        raise InputError(f"--count is 1 or more, not {args.count}")
    check_output(args)
    check_range("--texture", args.texture, 0, 1, "")
    place.check_place(args.place, args.floor)
    levels = None if args.envelope is None else envelope.parse_envelope(args.envelope)
    generator = load_generator(args)
    rate = generator.sample_rate if args.sample_rate is None else args.sample_rate
    kinds = [args.kind] if args.kind else generator.kinds_with(args.pitch, args.duration)
    given = (args.pitch, args.duration, args.brightness, args.loudness)
    requests = []
    for i in range(args.count):
        seed = rng.child(toot_generator.checked_seed(args.seed), i)
        controls = generator.controls(kinds[i % len(kinds)], *given, seed)
        requests.append((seed, controls, generator.residual(controls, seed, args.temperature)))

    def toots() -> Iterator[Toot]:
        bar = tqdm(requests, desc="toots", unit="", leave=False, disable=None)
        for seed, controls, residual in bar:
            wave = generator.render(
                controls, residual, seed, args.texture, rate, args.denoise, levels
            )
            wave = place.placed(wave, rate, args.place, seed, args.floor)
            yield Toot(wave, generator.kinds[int(controls.kind[0])], controls, seed)

    toot_files.write_toots(Path(args.out), toots(), rate)
    seconds = time.perf_counter() - cli.STARTED
    count = f"{args.count} toot{'s' if args.count > 1 else ''}"
    print(
        f"{count}, toots.csv and contact_sheet.png are in {args.out}, "
        f"{seconds:.1f} s after the start"
    )
