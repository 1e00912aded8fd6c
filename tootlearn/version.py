"""The version of the package, in the one place where builds read it."""

__version__ = "0.1.0"
