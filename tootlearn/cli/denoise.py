"""`tootlearn denoise`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import Namespace

from tootlearn.cli.parser import Parser, warn

HELP = "Clean a recording, or a folder of them: noise, offset, clicks at the ends, peaks."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument(
        "input", type=str, help="WAV, FLAC, Ogg or MP3, or a folder of them, with its sub-folders"
    )
    parser.add_argument(
        "output", type=str, help="what to write: a file for a file, a folder for a folder"
    )
    parser.add_argument(
        "--noise",
        type=str | None,
        help="a recording of the noise alone (default: taken from where it is quiet)",
    )


def run(args: Namespace) -> None:
    """Clean the recordings."""
    from tootlearn.data.cleaning import clean_file, clean_folder
    from tootlearn.dsp.audio import load_audio

    if args.noise:
        load_audio(args.noise)  # refused here, since the recordings are not at fault
    source, target = Path(args.input), Path(args.output)
    if source.is_dir():
        problems: list[str] = []
        done, count = clean_folder(source, target, args.noise, problems)
        warn(problems)
        print(
            f"{done} of {count} recordings of {source} are in {target}, cleaned: "
            "mono, at their own sample rates"
        )
    else:
        clean_file(source, target, args.noise)
        print(f"{target} is {source}, cleaned: mono, at its own sample rate")
