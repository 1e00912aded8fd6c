"""What the chapters may take on two cores, and the table of what they took. No test fails by the
clock: it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

CHAPTER = 90  # s; no cell may take more
BOOK = 600  # s, all chapters together
# the two ways in which the tests run the notebooks
WAYS = ("compared by nbval", "run for the pages")


def table(seconds: Mapping[tuple[str, str], float], cores: int | None) -> Iterable[str]:
    """The lines of the table.

    Args:
        seconds: that each (way, notebook) took, with the start of its kernel; not all need be
            there.
        cores: of this machine.
    """
    names = sorted({name for _, name in seconds})
    width = max(map(len, [*names, "notebook"]))
    yield (
        f"{'notebook':{width}}"
        + "".join(f"{way:>20}" for way in WAYS)
        + f"   (s, on {cores} cores)"
    )
    for name in names:
        yield row(name, [seconds.get((way, name)) for way in WAYS], CHAPTER, width)
    totals = [[seconds[key] for key in sorted(seconds) if key[0] == way] for way in WAYS]
    yield row("total", [sum(found) if found else None for found in totals], BOOK, width)


def row(name: str, found: list[float | None], most: float, width: int) -> str:
    shown = "".join(f"{'-' if taken is None else f'{taken:.1f}':>20}" for taken in found)
    over = any(taken is not None and taken > most for taken in found)
    return f"{name:{width}}{shown}" + (f"   over budget: {most} s" if over else "")
