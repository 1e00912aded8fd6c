"""tootlearn: learn to build a neural sound generator, and use one.

>>> import tootlearn
>>> g = tootlearn.load()
>>> wave = g.generate(kind="train_horn", pitch="A3", duration=0.6, seed=7)  # float32, (N,), at g.sample_rate
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tootlearn.generation import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import `load` when it is asked for, so that `import tootlearn` costs next to nothing."""
    if name == "load":
        from tootlearn.generation import load

        return load
    raise AttributeError(f"module 'tootlearn' has no attribute {name!r}")
