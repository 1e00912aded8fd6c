"""tootlearn: learn to build a neural sound generator, and use one.

>>> import tootlearn
>>> g = tootlearn.load()
>>> wave = g.generate(kind="train_horn", pitch="A3", duration=0.6, seed=7)  # float32, (N,), at g.sample_rate
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tootlearn.exercises import check
    from tootlearn.generation import load
    from tootlearn.players import listen

__version__ = "0.1.0"
__all__ = ["__version__", "check", "listen", "load"]

_HOME = {"load": "generation", "listen": "players", "check": "exercises"}


def __getattr__(name: str) -> Any:
    """Import what is named here when it is asked for, so that `import tootlearn` costs next to nothing."""
    if name in _HOME:
        return getattr(importlib.import_module(f"tootlearn.{_HOME[name]}"), name)
    raise AttributeError(f"module 'tootlearn' has no attribute {name!r}")
