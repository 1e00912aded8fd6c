"""tootlearn: learn to build a neural sound generator, and use one.

>>> import tootlearn
>>> g = tootlearn.load()
>>> wave = g.generate(kind="train_horn", pitch="A3", duration=0.6, seed=7)  # (N,), float32

The map, from the top down; each folder imports only from those below it:

    cli          the commands, one file each
    teaching     what the chapters use: players, exercises and their answers, dials
    evaluation   how good a model is                  tuning      searching for better settings
    training     from data to a model file            generation  from controls and a seed to a wave
    losses       what training minimises
    models       the networks and the model file      data        where sound comes from
    controls     what a user asks for                 figures     pictures
    dsp          audio, STFT, mel, normalization, phase, denoising, measures
    errors, files, rng, version                       what everything stands on

`weights` holds the model files that ship.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tootlearn.version import __version__

if TYPE_CHECKING:
    from tootlearn.generation.toot_generator import load
    from tootlearn.teaching.check import check
    from tootlearn.teaching.listen import listen

__all__ = ["__version__", "check", "listen", "load"]

_HOME = {
    "load": "generation.toot_generator",
    "listen": "teaching.listen",
    "check": "teaching.check",
}


def __getattr__(name: str) -> Any:
    """Import what is named here when it is asked for, so that `import tootlearn` costs next to
    nothing.
    """
    if name in _HOME:
        return getattr(importlib.import_module(f"tootlearn.{_HOME[name]}"), name)
    raise AttributeError(f"module 'tootlearn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
