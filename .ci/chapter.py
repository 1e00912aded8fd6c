"""Run a chapter from top to bottom in a fresh kernel, tidy it and save it with its outputs.

    python .ci/chapter.py 01_stft                  runs it and prints the seconds
    python .ci/chapter.py 01_stft --from draft.md  first makes it from MyST Markdown
    python .ci/chapter.py 01_stft --to draft.md    only writes it as MyST Markdown

The notebook is what is kept; the Markdown is for those who edit in a text editor, and stays out of
git. The line "N s to run" in the first cell is brought up to date when it is off by a quarter.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

sys.path.insert(0, str(Path(__file__).parent))
from notebook_metadata import tidy  # noqa: E402

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
LONGEST = 90  # s that a chapter may take on 2 cores


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name")
    parser.add_argument("--from", dest="draft", type=Path)
    parser.add_argument("--to", dest="text", type=Path)
    a = parser.parse_args(arguments)
    path = NOTEBOOKS / (Path(a.name).stem + ".ipynb")
    if a.text:
        import jupytext
        from jupytext.myst import CompactDumper, represent_dict

        # it knows no kind of dict but dict itself
        CompactDumper.add_multi_representer(dict, represent_dict)
        jupytext.write(jupytext.read(path), a.text, fmt="md:myst")
        return 0
    notebook = from_markdown(a.draft) if a.draft else nbformat.read(path, as_version=4)
    seconds = run(notebook)
    say_how_long(notebook, seconds)
    text = json.dumps(tidy(notebook), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"{path.name}: {seconds:.1f} s to run, {memory:.2f} GB at most, {len(text) / 1e6:.2f} MB")
    if seconds > LONGEST:
        print(f"{path.name} takes more than {LONGEST} s", file=sys.stderr)
    return int(seconds > LONGEST)


def from_markdown(draft: Path) -> nbformat.NotebookNode:
    import jupytext

    notebook = jupytext.read(draft, fmt="md:myst")
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):  # ids that do not change from draft to draft
        cell.id = f"cell-{number:02d}"
    return notebook


def run(notebook: nbformat.NotebookNode) -> float:
    """Execute in place, with the notebooks' folder as the kernel's; returns seconds with the
    kernel's start.
    """
    client = NotebookClient(
        notebook,
        timeout=LONGEST,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    # the kernel inherits it; with Agg, say, no figure would be kept
    os.environ.pop("MPLBACKEND", None)
    started = time.perf_counter()
    try:
        client.execute()
    except CellExecutionError as error:
        raise SystemExit(f"{error}\nThe notebook is as it was.") from None
    return time.perf_counter() - started


def say_how_long(notebook: nbformat.NotebookNode, seconds: float) -> None:
    for cell in notebook.cells[:2]:
        found = re.search(r"\b(\d+) s to run", cell.source)
        if found and abs(int(found[1]) - seconds) > max(2, 0.25 * seconds):
            cell.source = cell.source.replace(found[0], f"{max(1, round(seconds))} s to run", 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
