"""Keep in notebooks only the metadata that readers or the book use, so that a diff shows what an
author changed.

    python .ci/notebook_metadata.py NOTEBOOK...   rewrites those that differ; exits 1 if any did
    python .ci/notebook_metadata.py --check NOTEBOOK...  only names them

Outputs stay: the checks of the book compare them, but only those of cells with an execution count.
So code cells are counted in their order, 1, 2, 3; one that was never run stays without a count.
What was printed in pieces is joined. What goes is what editors add: kernel versions, timings,
collapsed states.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NOTEBOOK = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
KEPT_OF_NOTEBOOK = ("mystnb", "title")
KEPT_OF_CELL = ("tags", "mystnb", "slideshow")


def tidy(notebook: dict[str, Any]) -> dict[str, Any]:
    """Returns a copy of a notebook (format 4) with canonical metadata and execution counts."""
    cells, number = [], 0
    for cell in notebook["cells"]:
        metadata = {key: cell["metadata"][key] for key in KEPT_OF_CELL if cell["metadata"].get(key)}
        # solutions fold in JupyterLab by this
        if cell["metadata"].get("jupyter", {}).get("source_hidden"):
            metadata["jupyter"] = {"source_hidden": True}
        cell = {**cell, "metadata": metadata}
        if cell["cell_type"] == "code":
            number += 1
            ran = cell.get("execution_count") is not None or bool(cell["outputs"])
            count = number if ran else None
            outputs = [
                out | {"execution_count": count} if "execution_count" in out else out
                for out in cell["outputs"]
            ]
            cell |= {"execution_count": count, "outputs": joined(outputs)}
        cells.append(cell)
    kept = {key: value for key, value in notebook["metadata"].items() if key in KEPT_OF_NOTEBOOK}
    return {**notebook, "cells": cells, "metadata": {**NOTEBOOK, **kept}}


def joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was printed in one go, which the kernel may send in pieces, in one piece."""
    found: list[dict[str, Any]] = []
    for out in outputs:
        last = found[-1] if found else {}
        if (
            out["output_type"] == last.get("output_type") == "stream"
            and out["name"] == last["name"]
        ):
            found[-1] = last | {"text": "".join(last["text"]) + "".join(out["text"])}
        else:
            found.append(out)
    return found


def main(arguments: list[str]) -> int:
    """Returns 1 if a notebook was not tidy, else 0."""
    status = 0
    for path in (Path(name) for name in arguments if name != "--check"):
        before = path.read_text(encoding="utf-8")
        after = (
            json.dumps(tidy(json.loads(before)), indent=1, ensure_ascii=False, sort_keys=True)
            + "\n"
        )
        if after != before:
            status = 1
            print(f"{path}: metadata to tidy")
            if "--check" not in arguments:
                path.write_text(after, encoding="utf-8", newline="\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
