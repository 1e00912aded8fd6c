"""Provenance: what a model file says about how it came to be, and what rights its training data
have.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tootlearn.data import public
from tootlearn.data.sound_font import find_font
from tootlearn.data.sounds import Sounds
from tootlearn.errors import InputError
from tootlearn.rng import STREAMS
from tootlearn.version import __version__

_PATHS = ("font", "start_from")  # fields of configs that hold a path; "data" holds several


def provenance(
    config: Any, data: str, held_out: Mapping[str, float], seconds: float, licence: str
) -> dict[str, Any]:
    """What a model file keeps of its training.

    Args:
        config: a dataclass with the fields ``seed`` and ``steps``. Of paths in it only names are
            kept: where files lie is private.
        data: what it was trained on, in words.
        held_out: errors on the held-out data.
        seconds: of training.
        licence: see `licence`.
    """
    fields = asdict(config)
    if "data" in fields:
        fields["data"] = [Path(path).name for path in fields["data"]]
    fields |= {name: Path(fields[name]).name for name in _PATHS if fields.get(name)}
    versions = {
        "tootlearn": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    return {
        "data": data,
        "seed": config.seed,
        "steps": config.steps,
        "held_out": dict(held_out),
        "seconds": round(seconds),
        "config": fields,
        "versions": versions,
        "licence": licence,
        "streams": STREAMS,
    }


def describe_sounds(
    sounds: Sounds,
    synthetic: int,
    sampled: int,
    font: str | None,
    data: Sequence[str],
    toots: str = "synthetic toots",
) -> str:
    """What a network was trained on that learns from sounds of all sorts (`data.sounds`), in words.

    Args:
        sounds: all of them.
        synthetic, sampled, font, data: what they were made of.
        toots: what the synthetic ones are.
    """
    parts = [f"{synthetic} {toots}"] if synthetic else []
    if sampled:
        parts.append(f"{sampled} notes of the instruments of {Path(font_name(font)).stem}")
    parts += [f"the recordings in {Path(path).name}" for path in data]
    held_out = int(sounds.held_out.sum())
    return f"{len(sounds.waves)} windows of {', '.join(parts)}; {held_out} of them held out"


def licence(
    synthetic: bool, sampled: bool, font: str | None, data: Sequence[str], start_from: bool = False
) -> str:
    """What is to be said about the rights in the training data.

    Args:
        synthetic: whether there are sounds of the synthesiser.
        sampled: whether there are notes of a sound font.
        font: its path; None for the one that is found on this machine.
        data: folders of recordings, or public data sets.
        start_from: whether the training started from another model.
    """
    fluid = sampled and "fluidr3" in font_name(font).lower()
    sources = ["what the first model was trained on"] if start_from else []
    sources += ["sounds that the package synthesises"] if synthetic else []
    if fluid:
        sources.append(
            "notes of the sound font FluidR3 (Copyright 2000-2013 Frank Wen and others; MIT "
            "licence)"
        )
    elif sampled:
        sources.append(f"notes of {font_name(font)}, whose licence applies too")
    for path in data:
        known = public.detect_data_set(path)
        rights = public.LICENCES[known] if known else "whose rights apply"
        sources.append(f"{known or f'recordings of {Path(path).name}'}, {rights}")
    free = not data and not start_from and (fluid or not sampled)
    return ("MIT; " if free else "") + "trained on " + " and on ".join(sources)


def font_name(font: str | None) -> str:
    """The file name of a sound font, given or found."""
    try:
        return Path(font).name if font else find_font().name
    except InputError:
        return "a sound font"
