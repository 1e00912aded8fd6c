"""What can be wrong with an installation, looked for."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from tootlearn import __version__, generation
from tootlearn.audio import InputError, load, save

_OPTIONAL = {"torchaudio", "librosa"}  # imported where they are used: generation works without


class Finding(NamedTuple):
    """One thing that was looked at."""

    fine: bool
    what: str
    optional: bool = False  # generation works all the same


def examine() -> Iterator[Finding]:
    """Look at Python, packages, devices, the shipped model and the disk; what is broken comes with its cure."""
    yield Finding(
        sys.version_info >= (3, 11), f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    yield Finding(True, f"tootlearn {__version__} in {Path(__file__).parent}")
    for name in (
        "torch",
        "numpy",
        "scipy",
        "soundfile",
        "safetensors",
        "matplotlib",
        "jsonargparse",
        "torchaudio",
        "librosa",
    ):
        try:
            version = getattr(importlib.import_module(name), "__version__", "")
            yield Finding(True, f"{name} {version}")
        except Exception as error:  # a broken binary raises anything
            yield Finding(
                False, f"{name} does not import ({error}): pip install --force-reinstall {name}", name in _OPTIONAL
            )
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none; everything works on the CPU"
    yield Finding(True, f"{torch.get_num_threads()} threads of {os.cpu_count()} cores; GPU: {gpu}")
    yield _first_toot()
    yield _disk()


def _first_toot() -> Finding:
    started = time.perf_counter()
    try:
        wave = generation.load().generate(seed=1)
    except (InputError, OSError) as error:
        return Finding(False, f"the shipped model does not load ({error}): reinstall tootlearn")
    heard = bool(np.isfinite(wave).all()) and float(np.abs(wave).max()) > 0.001
    return Finding(
        heard, f"the shipped model makes a toot of {len(wave)} samples in {time.perf_counter() - started:.2f} s"
    )


def _disk() -> Finding:
    wave = torch.sin(torch.arange(2205) / 8.0) / 2
    try:
        with tempfile.TemporaryDirectory() as folder:
            for suffix in (".wav", ".flac", ".ogg", ".mp3"):
                save(Path(folder) / f"a{suffix}", wave, 22050)
                load(Path(folder) / f"a{suffix}")
    except (InputError, OSError) as error:
        return Finding(False, f"sound files cannot be written and read back ({error})")
    return Finding(True, "WAV, FLAC, Ogg and MP3 files are written and read back")
