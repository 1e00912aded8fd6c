"""The book's notebooks as JupyterLab shows them best: what only the build of the site can resolve
becomes plain text.

The chapters are written in MyST Markdown, whose roles stand for numbers that a cell has computed,
for sources, words of the glossary, functions and other pages. The site fills them in. A notebook
that is read by itself cannot, so its copy has the words in their place: "Half the amplitude is -6.0
dB" for the role that names the number.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# where `glue` keeps what it was given, as its repr
GLUED = "application/papermill.record/text/plain"
_ROLE = re.compile(r"(?<!`)\{([\w:]+)\}`([^`]+)`")
_TITLED = re.compile(r"(.+?)\s*<([^<>]+)>", re.DOTALL)  # `words <target>`
_EQUATION = re.compile(r"\$\$ \(([\w-]+)\)")  # the end of one that has a label
_ENTRY = re.compile(r"@\w+\{(\S+),\n(.*?)\n\}", re.DOTALL)
_CHAPTER = "/notebooks/"


def references(bibliography: str) -> dict[str, tuple[str, str]]:
    """BibTeX's keys, to the authors' names as they are cited and the year: "Box and Muller",
    "1958".
    """
    citations = {}
    for key, fields in _ENTRY.findall(bibliography):
        authors, year = (
            re.search(r"author = \{(.+?)\},", fields),
            re.search(r"year = \{(\d+)\}", fields),
        )
        if authors and year:
            names = [name.split(",")[0].strip("{}") for name in authors[1].split(" and ")]
            citations[key] = (
                f"{names[0]} et al." if len(names) > 2 else " and ".join(names),
                year[1],
            )
    return citations


def titles(folder: Path) -> dict[str, str]:
    """The titles of the chapters in a folder, by the names of their files without ending."""
    headings = {}
    for path in folder.glob("*.ipynb"):
        heading = re.search(
            r"^# (.+)", _text(json.loads(path.read_text("utf8"))["cells"][0]), re.MULTILINE
        )
        headings[path.stem] = heading[1] if heading else path.stem
    return headings


def plain(notebook: str, cited: Mapping[str, tuple[str, str]], chapters: Mapping[str, str]) -> str:
    """A notebook with plain text for roles in its Markdown; its code and outputs stay as they are.

    Args:
        notebook: the text of a .ipynb file, with the outputs from which numbers are taken.
        cited: `references` of the bibliography.
        chapters: `titles` of the folder, for links from one to another.

    Returns:
        The text of the .ipynb file, in the form that the book's notebooks are kept in.
    """
    content = json.loads(notebook)
    prose = [cell for cell in content["cells"] if cell["cell_type"] == "markdown"]
    labels = [label for cell in prose for label in _EQUATION.findall(_text(cell))]
    numbers = {label: f"({number})" for number, label in enumerate(labels, 1)}
    glued = _glued(content["cells"])

    def words(role: re.Match[str]) -> str:
        kind, inside = role[1], role[2]
        titled = _TITLED.fullmatch(inside)
        shown, target = (titled[1], titled[2]) if titled else (inside, inside)
        if kind == "glue:text":
            return glued.get(inside, role[0])
        if kind.startswith("cite:"):
            return _citation(
                [cited.get(key.strip(), (key, "")) for key in inside.split(",")], kind == "cite:t"
            )
        if kind == "doc":
            return _link(shown if titled else "", target, chapters)
        if kind == "eq":
            return numbers.get(inside, inside)
        if kind.startswith("py:"):
            return f"`{shown.rsplit('.', 1)[-1] if shown.startswith('~') else shown}`"
        return shown if kind in ("term", "ref") else role[0]

    for cell in prose:
        text = _ROLE.sub(words, _text(cell))
        cell["source"] = _EQUATION.sub(lambda end: rf"\tag{{{numbers[end[1]][1:-1]}}} $$", text)
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _text(cell: Mapping[str, Any]) -> str:
    return "".join(cell["source"])  # a text, or a list of lines


def _glued(cells: list[dict[str, Any]]) -> dict[str, str]:
    """What the cells of a notebook have glued, by name."""
    values = {}
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        name = output.get("metadata", {}).get("scrapbook", {}).get("name")
        if name and GLUED in output["data"]:
            text = "".join(output["data"][GLUED])
            values[name] = ast.literal_eval(text) if text[:1] in "'\"" else text
    return values


def _citation(sources: list[tuple[str, str]], in_the_sentence: bool) -> str:
    if in_the_sentence:
        return ", ".join(f"{names} ({year})" if year else names for names, year in sources)
    return f"({'; '.join(f'{names} {year}'.strip() for names, year in sources)})"


def _link(shown: str, target: str, chapters: Mapping[str, str]) -> str:
    """A link to a chapter in the same folder; of pages that only the site has, the name."""
    name = target.rsplit("/", 1)[-1]
    if target.startswith(_CHAPTER) and name in chapters:
        return f"[{shown or chapters[name]}]({name}.ipynb)"
    return shown or f'the page "{name.replace("_", " ")}" of the book'
