"""The commands `vary` and `morph`: thin callers of `variation`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

if TYPE_CHECKING:
    from tootlearn.generation.inversion import Description
    from tootlearn.generation.toot_files import Toot
    from tootlearn.generation.toot_generator import TootGenerator


def vary(parser: ArgumentParser, words: list[str]) -> None:
    """Variations of a recording."""
    parser.add_argument("input", type=str, help="WAV, FLAC, Ogg or MP3: a toot")
    parser.add_argument("--count", type=int, default=8, help="how many")
    parser.add_argument(
        "--amount",
        type=float,
        default=0.5,
        help="how far from it: 0 (as it is) to 1 (all else anew)",
    )
    parser.add_argument(
        "--is", type=str | None, dest="own_kind", help="which kind it is; found without it"
    )
    parser.add_argument("--at", type=str | None, help="its pitch, as for --pitch; found without it")
    parser.add_argument(
        "--kind", type=str | None, help="another kind; pitch and duration go into its range"
    )
    parser.add_argument(
        "--pitch", type=str | None, help="another pitch: Hz (440), note (A4, Bb3) or MIDI (midi:69)"
    )
    parser.add_argument("--duration", type=float | None, help="another duration, s")
    parser.add_argument("--brightness", type=float | None, help="another brightness, 0 to 1")
    parser.add_argument("--loudness", type=float | None, help="another loudness, dBFS, -36 to -6")
    _shared(parser, "variations")
    a = parser.parse_args(words)

    from tootlearn.generation import variation

    generator = _generator(a)
    sound = _described(generator, a.input, a.own_kind, a.at)
    changes = (a.kind, a.pitch, a.duration, a.brightness, a.loudness)
    toots = variation.vary(
        generator, sound, a.count, a.seed, a.amount, *changes, sample_rate=a.sample_rate
    )
    _write(generator, a.out, toots, a.count, a.sample_rate)


def morph(parser: ArgumentParser, words: list[str]) -> None:
    """From one recording to another."""
    parser.add_argument("first", type=str, help="WAV, FLAC, Ogg or MP3: a toot")
    parser.add_argument("last", type=str, help="another")
    parser.add_argument("--steps", type=int, default=8, help="how many toots, the ends included")
    parser.add_argument("--kinds", type=str, nargs=2, help="which kinds they are; found without it")
    _shared(parser, "morph")
    a = parser.parse_args(words)

    from tootlearn.generation import variation

    generator = _generator(a)
    sounds = [
        _described(generator, path, kind)
        for path, kind in zip((a.first, a.last), a.kinds or (None, None), strict=True)
    ]
    toots = variation.morph(generator, sounds[0], sounds[1], a.steps, a.seed, a.sample_rate)
    _write(generator, a.out, toots, a.steps, a.sample_rate)


COMMANDS = {
    "vary": (vary, "Make variations of a recording: other controls, and other toots like it."),
    "morph": (morph, "Make the toots that lie between two recordings."),
}


def _shared(parser: ArgumentParser, out: str) -> None:
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same toots")
    parser.add_argument("--out", type=str, default=out, help="folder")
    parser.add_argument(
        "--sample_rate", "--sample-rate", type=int | None, help="Hz; without it, the model's own"
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


def _generator(a: Namespace) -> TootGenerator:
    from tootlearn.errors import check_range
    from tootlearn.generation import toot_files, toot_generator

    toot_files.check_folder(Path(a.out))
    if a.sample_rate is not None:
        check_range("--sample-rate", a.sample_rate, *toot_generator.SAMPLE_RATES, " Hz")
    return toot_generator.load(a.model, a.device, a.vocoder, a.bandwidth)


def _described(
    generator: TootGenerator, path: str, kind: str | None, pitch: str | None = None
) -> Description:
    from tootlearn.dsp.audio import load
    from tootlearn.generation.inversion import describe

    sound = describe(generator, load(path, generator.sample_rate)[0], kind, pitch)
    c = sound.controls
    values = f"{c.pitch[0]:.1f} Hz, {c.duration[0]:.2f} s, brightness {c.brightness[0]:.2f}, {c.loudness[0]:.1f} dBFS"
    print(f"{path}: {generator.kinds[int(c.kind[0])]}, {values}; drawn within {sound.error:.1f} dB")
    return sound


def _write(
    generator: TootGenerator, out: str, toots: Iterator[Toot], count: int, sample_rate: int | None
) -> None:
    from tqdm import tqdm

    from tootlearn.generation import toot_files

    bar = tqdm(toots, desc="toots", unit="", total=count, leave=False, disable=None)
    done = toot_files.write(Path(out), bar, sample_rate or generator.sample_rate)
    print(f"{done} toot{'s' if done > 1 else ''}, toots.csv and contact_sheet.png are in {out}")
