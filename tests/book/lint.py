"""What a chapter must have, read from its notebook: `problems` lists in words what is missing or
wrong.
"""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median, quantiles
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 1_000_000  # bytes of a notebook
WIDEST = 80  # columns of code: more scrolls sideways in a page
CHECKED = "nbval-check-output"
# what a net that the notebook trained draws: no two machines round it alike
FREE = "nbval-ignore-output"
SECTIONS = ["## Exercises", "## Quiz", "## Summary"]
FENCE = re.compile(r"^(`{3,}|:{3,})\{?.*?^\1\s*$", re.M | re.S)


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def prose(notebook: dict[str, Any]) -> str:
    return "\n\n".join(
        source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown"
    )


def tags(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def problems(notebook: dict[str, Any], number: int, known: set[str]) -> list[str]:
    """All that is wrong with a chapter.

    Args:
        notebook: as JSON.
        number: of the chapter, from its file's name.
        known: the names of the exercises that `tootlearn.check` knows.
    """
    return [
        *head(notebook, number),
        *body(notebook),
        *exercises(notebook, number, known),
        *cells(notebook),
    ]


def head(notebook: dict[str, Any], number: int) -> list[str]:
    first = source(notebook["cells"][0])
    found = (
        []
        if first.startswith(f"# {number}. ")
        else [f"the title does not begin with '# {number}. '"]
    )
    objectives = re.search(
        r"\*\*You will be able to\*\*\n+(.*?)\n\n\*\*Before you start\*\*", first, re.S
    )
    items = re.split(r"^- ", objectives[1], flags=re.M)[1:] if objectives else []
    if not 3 <= len(items) <= 5:
        found.append(f"{len(items)} objectives, not 3 to 5")
    labels = set(re.findall(r"^:label: (\S+)", prose(notebook), re.M))
    for item in items:
        named = re.findall(r"\{ref\}`[^`<]*<(ex-[\w-]+)>`", item)
        if not named or not set(named) <= labels:
            found.append(f"an objective without an exercise: {item.strip()[:60]}")
    if not re.search(r"\*\*Time\*\*: \d+ minutes to read,\s+\d+ s\s+to\s+run", first):
        found.append("no line '**Time**: N minutes to read, N s to run'")
    return found


def body(notebook: dict[str, Any]) -> list[str]:
    text = prose(notebook)
    found = []
    places = [text.find(f"\n{title}\n") for title in SECTIONS]
    if -1 in places or places != sorted(places):
        found.append(f"the sections {', '.join(SECTIONS)} are not all there, in this order")
    bugs = re.findall(r"^:::+\{admonition\} Hear the bug.*?^:::+$", text, re.M | re.S)
    if not bugs:
        found.append("0 times 'Hear the bug', not once or more")
    for bug in bugs:
        named = re.search(r"`(tests/[\w/]+\.py)`,\s+`(test_\w+)`", bug)
        path = ROOT / (named[1] if named else "")
        if not named or not path.is_file() or f"def {named[2]}(" not in path.read_text("utf8"):
            found.append("'Hear the bug' does not name a test that is there")
    quiz = re.search(r"^## Quiz\n(.*?)^## ", text, re.M | re.S)
    questions = re.split(r"^\*\*[^*]+\*\*$", quiz[1], flags=re.M)[1:] if quiz else []
    if len(questions) != 3:
        found.append(f"{len(questions)} questions in the quiz, not 3")
    for part in questions:
        answers = re.findall(r"^:::+\{dropdown\} .+?\n(.*?)^:::+$", part, re.M | re.S)
        if len(answers) < 2 or any(len(answer.split()) < 4 for answer in answers):
            found.append(
                "a question of the quiz with fewer than 2 choices, or one that does not explain "
                "itself"
            )
    if not re.search(r"\*\*Sources\*\*.*\{cite", text, re.S):
        found.append("no line '**Sources**' with {cite}")
    if "{term}`" not in text:
        found.append("no term is linked to the glossary")
    if re.search(r"!\[|<img|<script|<iframe", text):
        found.append("an image or HTML in the prose: draw figures in code")
    glued = set(re.findall(r'glue\(\s*"([^"]+)"', "\n".join(map(source, code_cells(notebook)))))
    shown = set(re.findall(r"\{glue:\w*\}`([^`:]+)", text))
    found += [f"nothing is glued as {name}" for name in sorted(shown - glued)]
    return found


def exercises(notebook: dict[str, Any], number: int, known: set[str]) -> list[str]:
    text = prose(notebook)
    labels = re.findall(r"^:label: ex-(\S+)", text, re.M)
    found = [] if 3 <= len(labels) <= 5 else [f"{len(labels)} exercises, not 3 to 5"]
    code = code_cells(notebook)
    for label in labels:
        name = label.replace("-", ".")
        if not name.startswith(f"{number}.") or name not in known:
            found.append(
                f"exercise {name} is not registered in tootlearn/teaching/answers/ch{number:02d}.py"
            )
        if f"{{solution-start}} ex-{label}\n" not in text:
            found.append(f"exercise {name} has no solution")
        asked = [cell for cell in code if f'check("{name}"' in source(cell)]
        hidden = [cell for cell in asked if folded(cell)]
        if len(asked) < 2 or not hidden or len(hidden) == len(asked):
            found.append(
                f"exercise {name} is not checked both in its stub and in a folded solution"
            )
    used = set(re.findall(r'check\("([\d.]+)"', "\n".join(map(source, code))))
    astray = sorted(name for name in used if name.replace(".", "-") not in labels)
    found += [f'check("{name}") belongs to no exercise here' for name in astray]
    unused = {name for name in known if name.startswith(f"{number}.")} - used
    return found + [f"exercise {name} is registered and not asked" for name in sorted(unused)]


def folded(cell: dict[str, Any]) -> bool:
    """In the page by its tag, in JupyterLab by its metadata."""
    return (
        "hide-cell" in tags(cell)
        and cell["metadata"].get("jupyter", {}).get("source_hidden") is True
    )


def cells(notebook: dict[str, Any]) -> list[str]:
    found = []
    code = code_cells(notebook)
    lengths = [len([line for line in source(cell).splitlines() if line.strip()]) for cell in code]
    if median(lengths) > 6 or quantiles(lengths, n=10)[-1] > 15:
        tenth = quantiles(lengths, n=10)[-1]
        found.append(
            f"code cells are long: {median(lengths)} lines in the median, {tenth:.0f} in the "
            "ninth decile"
        )
    for cell in code:
        where = f"cell {cell['id']}"
        if any(len(line) > WIDEST for line in source(cell).splitlines()):
            found.append(f"{where}: a line of more than {WIDEST} columns")
        if re.search(r"^\s*(tootlearn\.)?listen\(", source(cell), re.M) and not {
            CHECKED,
            FREE,
        } & set(tags(cell)):
            found.append(f"{where}: a player whose fingerprint is not compared: tag it {CHECKED}")
        if CHECKED in tags(cell) and not compared(cell):
            found.append(f"{where}: nothing to compare: no execution count, or no text")
        if cell.get("execution_count") is None:
            found.append(f"{where}: never run")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if output["output_type"] == "error" and "raises-exception" not in tags(cell):
                found.append(f"{where}: it ends in an error")
            if (
                "image/png" in data
                and len(cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")) < 20
            ):
                found.append(f"{where}: a figure without alt text in mystnb.image.alt")
            html = "".join(data.get("text/html", ""))
            if any(
                not re.search(r'alt="[^"]{10,}"', image)
                for image in re.findall(r"<img[^>]*>", html)
            ):
                found.append(f"{where}: a picture in HTML without alt text")
    return found


def compared(cell: dict[str, Any]) -> bool:
    """Whether nbval has something to compare: it passes over cells without a count, and here over
    HTML and pictures.
    """
    return cell.get("execution_count") is not None and any(
        output["output_type"] == "stream" or "text/plain" in output.get("data", {})
        for output in cell["outputs"]
    )
