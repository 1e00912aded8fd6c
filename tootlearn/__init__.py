"""tootlearn: learn to build a neural sound generator, and use one."""

__version__ = "0.1.0"
