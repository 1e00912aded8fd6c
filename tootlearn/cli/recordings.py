"""What `vary` and `morph` share: recordings in, toots out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

if TYPE_CHECKING:
    from tootlearn.generation.inversion import Inversion
    from tootlearn.generation.toot_files import Toot
    from tootlearn.generation.toot_generator import TootGenerator


def described(
    generator: TootGenerator, path: str, kind: str | None, pitch: str | None = None
) -> Inversion:
    """What a recording is as a toot of the model; printed, too."""
    from tootlearn.dsp.audio import load_audio
    from tootlearn.generation.inversion import invert

    sound = invert(generator, load_audio(path, generator.sample_rate)[0], kind, pitch)
    c = sound.controls
    print(
        f"{path}: {generator.kinds[int(c.kind[0])]}, {c.pitch[0]:.1f} Hz, {c.duration[0]:.2f} s, "
        f"brightness {c.brightness[0]:.2f}, {c.loudness[0]:.1f} dBFS; "
        f"drawn within {sound.error:.1f} dB"
    )
    return sound


def write_folder(
    generator: TootGenerator, toots: Iterator[Toot], count: int, args: Namespace
) -> None:
    """Write toots as they are made, and say where they are."""
    from tqdm import tqdm

    from tootlearn.generation import toot_files

    bar = tqdm(toots, desc="toots", unit="", total=count, leave=False, disable=None)
    done = toot_files.write_toots(Path(args.out), bar, args.sample_rate or generator.sample_rate)
    print(
        f"{done} toot{'s' if done > 1 else ''}, toots.csv and contact_sheet.png are in {args.out}"
    )
