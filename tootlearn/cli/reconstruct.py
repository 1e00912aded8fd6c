"""`tootlearn reconstruct`."""

from __future__ import annotations

from jsonargparse import Namespace

from tootlearn.cli.options import add_generator_options, load_generator
from tootlearn.cli.parser import Parser

HELP = "Encode a recording and decode it again: mono, at the model's sample rate."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument("input", type=str, help="a recording: WAV, FLAC, Ogg or MP3")
    parser.add_argument("output", type=str, help="what to write; the suffix is the format")
    add_generator_options(parser)


def run(args: Namespace) -> None:
    """Reconstruct the recording."""
    from tootlearn.dsp.audio import load_audio, save_audio

    generator = load_generator(args)
    wave, rate = load_audio(args.input, generator.sample_rate)
    save_audio(args.output, generator.reconstruct(wave), rate)
    print(
        f"{args.output}: {len(wave) / rate:.2f} s through {generator.latent} numbers "
        "a window of 2.04 s"
    )
