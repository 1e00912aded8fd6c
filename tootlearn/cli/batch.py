"""The command `tootlearn batch`."""

from __future__ import annotations

import os

from jsonargparse import ArgumentParser


def command(parser: ArgumentParser, words: list[str]) -> None:
    """Read the words after `tootlearn batch` and do what they say."""
    parser.add_argument(
        "spec", type=str | None, nargs="?", help="a CSV file: what is blank in it is drawn"
    )
    parser.add_argument(
        "--example", action="store_true", help="print a table to start from, and stop"
    )
    parser.add_argument(
        "--out", type=str, default="batch", help="folder; what is there already is not made again"
    )
    parser.add_argument("--format", type=str, default="wav", help="wav or flac")
    parser.add_argument(
        "--sample_rate", "--sample-rate", type=int | None, help="Hz; without it, the model's own"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the rows that have none")
    parser.add_argument(
        "--workers", type=int, default=min(os.cpu_count() or 1, 60), help="processes"
    )
    parser.add_argument("--model", type=str | None, help="a model file; the shipped one without it")
    parser.add_argument("--device", type=str, default="cpu", help="cpu, cuda, mps or auto")
    parser.add_argument(
        "--vocoder", type=str | None, help='a vocoder or "none"; else the shipped one'
    )
    parser.add_argument(
        "--bandwidth",
        type=str | None,
        help='what is above 11 kHz: a file or "none"; else the shipped one',
    )
    a = parser.parse_args(words)

    from tootlearn.errors import InputError
    from tootlearn.generation import batch

    if a.example:
        print(batch.EXAMPLE, end="")
        return
    if a.spec is None:
        raise InputError("give a table, SPEC.csv: `tootlearn batch --example` prints one")
    source = batch.Source(a.model, a.device, a.vocoder, a.bandwidth)
    generator = source.load()
    toots = batch.read_spec(a.spec, generator, a.seed, a.format)
    rate = generator.sample_rate if a.sample_rate is None else a.sample_rate
    made, seconds = batch.render(toots, a.out, source, rate, a.workers, progress=True)
    print(
        f"{len(toots)} toots and manifest.csv are in {a.out}; {made} of them were made now, {seconds:.1f} s of sound"
    )
