"""Mend what the theme and its extensions leave inaccessible in a page.

Each step answers a rule of axe that the pages failed, in light or dark, wide or narrow;
`tests/book/test_browser.py` asks axe again.
"""

from __future__ import annotations

from collections import Counter

from bs4 import BeautifulSoup, Tag

OFTEN = ("exercise-content", "solution-content")  # ids that sphinx-exercise gives to each exercise


def mend(page: str) -> str:
    """A page of HTML -> the same page, accessible."""
    soup = BeautifulSoup(page, "html.parser")
    for step in (buttons, uses, folds, sidebar, citations, tables, twins, widgets):
        step(soup)
    return str(soup)


def buttons(soup: BeautifulSoup) -> None:
    """A name for buttons that are only a picture, and one that begins with what is seen for those
    that have text.
    """
    for button in soup.select("button"):
        for icon in button.select("i"):
            del icon["title"]
            icon["aria-hidden"] = "true"
        seen = " ".join(button.get_text(" ", strip=True).split())
        name = seen or button.get("aria-label") or button.get("title")
        if name:
            button["aria-label"] = name


def uses(soup: BeautifulSoup) -> None:
    """The fold in which codeautolink lists where a name is used: no link in what is clicked, and a
    plainer word.
    """
    for summary in soup.select("summary"):
        if summary.get_text().startswith("Expand for references to"):
            summary.string = "Used in"


def folds(soup: BeautifulSoup) -> None:
    """A name for each <summary>, which holds no paragraphs."""
    for summary in soup.select("summary"):
        for paragraph in summary.select("p"):
            paragraph.name = "span"
        if summary.get_text(strip=True):
            del summary["aria-label"]
        else:  # the arrow beside an entry of the table of contents
            entry = summary.find_previous("a")
            summary["aria-label"] = (
                f"Pages below {entry.get_text(strip=True)}" if isinstance(entry, Tag) else "More"
            )


def sidebar(soup: BeautifulSoup) -> None:
    """The sidebar's logo stood outside of all landmarks."""
    for part in soup.select("#pst-primary-sidebar"):
        part["role"], part["aria-label"] = "navigation", "Book"


def citations(soup: BeautifulSoup) -> None:
    """The roles of bibliography entries are out of use, and not allowed there."""
    for part in soup.select("[role=doc-biblioentry], .citation-list[role=list]"):
        del part["role"]


def tables(soup: BeautifulSoup) -> None:
    """A corner that heads nothing is no header."""
    for corner in soup.select("th"):
        if not corner.get_text(strip=True):
            corner.name = "td"


def widgets(soup: BeautifulSoup) -> None:
    """The widgets' bundle, two megabytes, where a cell made widgets but the page shows none."""
    if not soup.select('script[type="application/vnd.jupyter.widget-view+json"]'):
        scripts = (
            "[src*='vendor/ipywidgets']",
            "[type='application/vnd.jupyter.widget-state+json']",
        )
        for script in soup.select(", ".join(f"script{which}" for which in scripts)):
            script.decompose()


def twins(soup: BeautifulSoup) -> None:
    """Ids that stand more than once in a page, and to which nothing leads."""
    count = Counter(str(part["id"]) for part in soup.select("[id]"))
    for name in OFTEN:
        if count[name] > 1:
            for part in soup.select(f"#{name}"):
                del part["id"]
