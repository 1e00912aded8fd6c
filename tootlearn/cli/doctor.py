"""`tootlearn doctor`: what can be wrong with an installation, and its cure.

Nothing is imported at the top that may be broken, not even what reads the command line.
"""

from __future__ import annotations

import enum
import importlib
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tootlearn.version import __version__

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from tootlearn.cli.parser import Parser

HELP = "Check this installation, and say how to mend it."

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "soundfile",
    "safetensors",
    "matplotlib",
    "jsonargparse",
    "yaml",
    "tqdm",
)
# imported where they are used: generation works without
OPTIONAL_PACKAGES = ("torchaudio", "librosa", "lightning_fabric", "sklearn")
# other names
_TO_INSTALL = {"yaml": "PyYAML", "sklearn": "scikit-learn", "lightning_fabric": "lightning-fabric"}


class Trouble(enum.Enum):
    """What can be wrong, in the words by which it is told; the book's page on troubleshooting has
    an entry for each.
    """

    OLD_PYTHON = "is too old"
    BROKEN_PACKAGE = "does not import"
    NO_DEVICES = "threads and devices cannot be looked at"
    NO_TOOT = "the shipped model makes no toot"
    NONSENSE = "the shipped model makes a toot that peaks at"
    NO_FILES = "sound files cannot be written and read back"


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str  # for people; with its cure, if it is not fine
    trouble: Trouble | None = None
    optional: bool = False  # generation works all the same

    @property
    def fine(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.trouble is None


def examine() -> Iterator[Finding]:
    """Look at Python, packages, devices, the shipped model and the disk; what is broken comes with
    its cure.
    """
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    old = sys.version_info < (3, 11)
    advice = f"{python} {Trouble.OLD_PYTHON.value}: install 3.11 or newer"
    yield Finding(advice, Trouble.OLD_PYTHON) if old else Finding(python)
    yield Finding(f"tootlearn {__version__} in {Path(__file__).parents[1]}")
    for name in PACKAGES + OPTIONAL_PACKAGES:
        try:
            version = getattr(importlib.import_module(name), "__version__", "")
            yield Finding(f"{name} {version}".strip())
        except Exception as error:  # a broken binary raises anything
            trouble = Trouble.BROKEN_PACKAGE
            cure = f"pip install --force-reinstall {_TO_INSTALL.get(name, name)}"
            what = f"{name} {trouble.value} ({_line(error)}): {cure}"
            yield Finding(what, trouble, optional=name in OPTIONAL_PACKAGES)
    for look, trouble, cure in (
        (_devices, Trouble.NO_DEVICES, "mend torch first"),
        (_first_toot, Trouble.NO_TOOT, "reinstall tootlearn, once the packages above are fine"),
        (_disk, Trouble.NO_FILES, "look at the disk, and reinstall soundfile"),
    ):
        try:
            yield look()
        except Exception as error:
            yield Finding(f"{trouble.value}: {cure} ({_line(error)})", trouble)


def add_arguments(parser: Parser) -> None:
    """Add no options: there are none."""


def run(args: Namespace | None = None) -> None:
    """Print what is found.

    Raises:
        SystemExit: with status 1 if generation does not work.
    """
    healthy = True
    for finding in examine():
        healthy &= finding.fine or finding.optional
        print(
            f"{'ok  ' if finding.fine else 'note' if finding.optional else 'BAD '}  {finding.what}"
        )
    if not healthy:
        raise SystemExit(1)


def _devices() -> Finding:
    import torch

    gpu = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else "none; everything works on the CPU"
    )
    return Finding(f"{torch.get_num_threads()} threads of {os.cpu_count()} cores; GPU: {gpu}")


def _first_toot() -> Finding:
    from tootlearn.generation import toot_generator

    started = time.perf_counter()
    wave = toot_generator.load().generate(seed=1)
    took = time.perf_counter() - started
    peak = abs(wave).max()
    if not 0.001 < peak <= 1:  # NaN fails it too
        return Finding(
            f"{Trouble.NONSENSE.value} {peak:.3g}: reinstall tootlearn", Trouble.NONSENSE
        )
    return Finding(f"the shipped model makes a toot of {len(wave)} samples in {took:.2f} s")


def _disk() -> Finding:
    import torch

    from tootlearn.dsp.audio import load_audio, save_audio

    wave = torch.sin(torch.arange(2205) / 8.0) / 2
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".wav", ".flac", ".ogg", ".mp3"):
            save_audio(Path(folder) / f"a{suffix}", wave, 22050)
            load_audio(Path(folder) / f"a{suffix}")
    return Finding("WAV, FLAC, Ogg and MP3 files are written and read back")


def _line(error: Exception) -> str:
    """The first line of an error's message, or its name if it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
