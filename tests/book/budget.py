"""What the chapters may take on two cores, and the table of what they took. No test fails by the
clock: it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

CHAPTER = 90  # s; no cell may take more
BOOK = 720  # s, all chapters together


def table(seconds: Mapping[str, float], cores: int | None) -> Iterable[str]:
    """The lines of the table.

    Args:
        seconds: that each notebook took, with the start of its kernel.
        cores: of this machine.
    """
    rows = [(name, taken, CHAPTER) for name, taken in sorted(seconds.items())]
    rows.append(("total", sum(seconds.values()), BOOK))
    width = max(len(name) for name, *_ in rows)
    yield f"{'notebook':{width}}   seconds, on {cores} cores"
    for name, taken, most in rows:
        over = f"   over budget: {most} s" if taken > most else ""
        yield f"{name:{width}}{taken:10.1f}{over}"
