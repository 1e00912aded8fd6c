"""The links of the book and the pages that lead elsewhere.

python .ci/links.py         lists them, with where they stand
python .ci/links.py --ask   asks each whether it is there; exits 1 if one is not
"""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"https?://[^\s<>\"'`)\]}]+[^\s<>\"'`)\]}.,;:]")
DOI, ARXIV = re.compile(r"\bdoi\s*=\s*\{([^}]+)\}"), re.compile(r"arXiv:(\d{4}\.\d{4,5})")
AGENT = {"User-Agent": "Mozilla/5.0 (a link check of a book)"}


def links() -> dict[str, list[str]]:
    """Each address, and the files that it stands in."""
    found: dict[str, list[str]] = {}
    for name, text in texts():
        addresses = LINK.findall(text)
        addresses += [f"https://doi.org/{doi}" for doi in DOI.findall(text)]
        addresses += [f"https://arxiv.org/abs/{number}" for number in ARXIV.findall(text)]
        for address in addresses:
            found.setdefault(address, []).append(name)
    return {address: sorted(set(names)) for address, names in sorted(found.items())}


def texts() -> Iterator[tuple[str, str]]:
    """Name and prose of each page, chapter and the bibliography."""
    for path in sorted(
        [*ROOT.glob("*.md"), *(ROOT / "book").rglob("*.md"), *(ROOT / "book").glob("*.bib")]
    ):
        yield path.relative_to(ROOT).as_posix(), path.read_text("utf8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text("utf8"))["cells"]
        yield (
            path.relative_to(ROOT).as_posix(),
            "\n".join("".join(cell["source"]) for cell in cells),
        )


def answers(address: str) -> str:
    """What is wrong with an address, or nothing."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=AGENT), timeout=30):
            return ""
    except urllib.error.HTTPError as error:
        # there, but shy of robots
        return "" if error.code in (401, 403, 405, 429) else f"status {error.code}"
    except OSError as error:
        return str(error)


def main(arguments: list[str]) -> int:
    broken = 0
    for address, names in links().items():
        trouble = answers(address) if "--ask" in arguments else ""
        broken += bool(trouble)
        print(f"{address}  ({', '.join(names)}){'  BROKEN: ' + trouble if trouble else ''}")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
