"""The built book: chapters print what is stored, nothing is broken or from elsewhere, reference and
chapters are linked both ways.
"""

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup

from tests.book.lint import CHECKED, NOTEBOOKS, ROOT, code_cells

pytestmark = pytest.mark.book
LOADING = "script[src], link[href]:not([rel=next], [rel=prev]), img[src], audio[src], source[src]"


NOT_COMPARED = {"text/html", "image/png", "image/svg+xml"}  # by nbval, see conftest.py
NOT_COMPARED |= {
    "application/vnd.jupyter.widget-view+json",  # which holds a random number
    "application/papermill.record/text/plain",  # of glue, which the build takes out
}


@pytest.fixture(scope="module")
def pages(built) -> dict[str, BeautifulSoup]:
    """The pages by their path below the site's root."""
    paths = sorted(built.html.rglob("*.html"))
    found = [path for path in paths if "_static" not in path.relative_to(built.html).parts]
    return {
        p.relative_to(built.html).as_posix(): BeautifulSoup(p.read_text("utf8"), "html.parser")
        for p in found
    }


def target(page: str, link: str) -> tuple[str, str]:
    """The path below the root that a relative link of a page leads to, and its fragment."""
    parts = urlsplit(link)
    whole = (
        (Path("/") / Path(page).parent / unquote(parts.path)) if parts.path else Path("/") / page
    )
    steps: list[str] = []
    for step in whole.parts[1:]:
        steps = steps[:-1] if step == ".." else [*steps, step]
    return "/".join(steps), unquote(parts.fragment)


def test_links_are_resolved_as_a_browser_does():
    assert target("book/api/dsp.html", "../../notebooks/a.html#x%20y") == (
        "notebooks/a.html",
        "x y",
    )
    assert target("book/intro.html", "#top") == ("book/intro.html", "top")


def printed(cell: dict) -> list:
    """The outputs of a cell as nbval compares them: what each stream holds, and then what is shown,
    without its pictures and HTML.

    The first output of a stream holds all of it. The build sees to that (nb_merge_streams), and
    leaves the others behind it.
    """
    streams: dict[str, str] = {}
    shown = []
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            streams.setdefault(output["name"], output["text"])
        else:
            data = output.get("data", {"error": output.get("evalue")})
            shown.append({kind: data[kind] for kind in data if kind not in NOT_COMPARED})
    return [streams, *filter(None, shown)]


def different(stored: dict, executed: dict) -> list[str]:
    """The sources of the checked cells that printed something else than what is stored."""
    pairs = zip(code_cells(stored), code_cells(executed), strict=True)
    return [
        a["source"]
        for a, b in pairs
        if CHECKED in a["metadata"].get("tags", []) and printed(a) != printed(b)
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_prints_what_is_stored(built, path):
    stored, executed = (
        nbformat.read(place, as_version=4)  # which joins what is kept as lines
        for place in (path, built.executed / "notebooks" / path.name)
    )
    assert all(cell["execution_count"] for cell in code_cells(executed))
    assert different(stored, executed) == []


def test_another_text_another_object_and_an_error_are_noticed():
    def cell(*outputs: dict, tag: str = CHECKED) -> dict:
        code = {"cell_type": "code", "metadata": {"tags": [tag]}, "source": "here"}
        return {"cells": [code | {"outputs": list(outputs)}]}

    def said(text: str, name: str = "stdout") -> dict:
        return {"output_type": "stream", "name": name, "text": text}

    def shown(text: str, html: str = "") -> dict:
        return {"output_type": "display_data", "data": {"text/plain": text, "text/html": html}}

    stored = cell(said("a\nb\n"), shown("<player>", "x"))
    same = cell(said("a\nb\n"), shown("<player>", "y"), said("b\n"))
    assert different(stored, same) == []
    for other in (
        cell(said("a\n"), shown("<player>")),
        cell(said("a\nb\n", "stderr"), shown("<player>")),
        cell(said("a\nb\n"), shown("<figure>")),
        cell(said("a\nb\n")),
    ):
        assert different(stored, other) == ["here"]
        assert different(cell(tag="free"), other) == []


def test_no_link_is_broken(built, pages):
    broken, ids = (
        [],
        {page: {part["id"] for part in soup.select("[id]")} for page, soup in pages.items()},
    )
    for page, soup in pages.items():
        base = "index.html" if soup.select_one("base") else page
        for link in soup.select("a[href]"):
            if urlsplit(link["href"]).scheme or link["href"] == "#":
                continue
            path, fragment = target(base, link["href"])
            astray = fragment and path in pages and fragment not in ids[path]
            if astray or not (built.html / path).is_file():
                broken.append((page, link["href"]))
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(built, pages):
    for page, soup in pages.items():
        base = "index.html" if soup.select_one("base") else page
        for part in soup.select(LOADING):
            address = part.get("src") or part["href"]
            if not address.startswith("data:"):
                assert not urlsplit(address).scheme and not address.startswith("//"), (
                    page,
                    address,
                )
                assert (built.html / target(base, address)[0]).is_file(), (page, address)
    for sheet in [*built.html.rglob("*.css")]:
        assert not re.search(
            r"url\([\"']?(?:https?:)?//|@import [\"'](?:https?:)?//", sheet.read_text("utf8")
        ), sheet


def test_every_picture_has_words(pages):
    for page, soup in pages.items():
        for image in soup.select("main img:not(.toggler)"):
            words = image.get("alt", "")
            assert len(words) >= 10 and not re.search(r"\.(png|svg|jpg)$", words), (
                page,
                str(image)[:200],
            )


def test_every_figure_is_in_its_page(pages):
    for path in NOTEBOOKS:
        outputs = [
            output
            for cell in code_cells(json.loads(path.read_text("utf8")))
            for output in cell["outputs"]
        ]
        kept = sum("image/png" in output.get("data", {}) for output in outputs)
        shown = len(pages[f"notebooks/{path.stem}.html"].select("main img[src*='_images/']"))
        assert shown == kept > 0, f"{path.stem}: {shown} of {kept} figures"


def test_no_system_message_and_no_raw_markup(pages):
    for page, soup in pages.items():
        assert not soup.select(".system-message, .problematic"), page
        if page.startswith("notebooks/"):
            text = " ".join(part.get_text(" ") for part in soup.select("main p, main li, main h2"))
            assert not re.search(r"\{(term|ref|cite|doc|glue|py|eq)[\w:]*\}|```|:::", text), page


def test_chapters_and_reference_lead_to_each_other(pages):
    for path in NOTEBOOKS:
        soup = pages[f"notebooks/{path.stem}.html"]
        assert soup.select("div.highlight a[href*='book/api/']"), (
            f"{path.stem}: its code leads to no reference"
        )
    listen = pages["book/api/teaching.html"].find(id="tootlearn.teaching.listen.listen").parent
    assert listen.select("details a[href*='notebooks/00_sound.html']")
    assert pages["book/api/dsp.html"].select("p a[href$='notebooks/00_sound.html']")


def test_status_lists_every_chapter_with_its_seconds(pages, record_property):
    rows = {row.get_text(" ", strip=True) for row in pages["book/status.html"].select("main tr")}
    for path in NOTEBOOKS:
        (row,) = [row for row in rows if row.startswith(f"notebooks/{path.stem} ")]
        (seconds,) = re.findall(r" (\d+\.\d+) ", row)
        record_property("took", [path.stem, float(seconds)])
    assert re.search(r"torch +\d", pages["book/status.html"].get_text())


def test_intro_begins_with_a_sound(pages):
    main = pages["book/intro.html"].select_one("main article")
    assert (
        main.select_one("audio").find_previous("h2").text.strip() == "Contents"
        and len(main.select("audio")) >= 2
    )


def test_solutions_are_folded_and_code_of_players_is_not(pages):
    soup = pages["notebooks/00_sound.html"]
    folded = [block.get_text() for block in soup.select("details.hide .cell_input div.highlight")]
    assert len(folded) == 5 and all("check(" in text for text in folded)


def test_the_page_for_what_is_not_there_works_at_any_address(pages):
    soup = pages["404.html"]
    assert soup.head.find()["href"] == "/" and soup.head.find().name == "base"
    assert soup.select_one("main a[href='book/intro.html']")


def test_chapters_can_be_downloaded(built):
    for path in NOTEBOOKS:
        shipped = json.loads((built.html / f"_sources/notebooks/{path.name}").read_text("utf8"))
        assert shipped["cells"] == json.loads(path.read_text("utf8"))["cells"]


def test_no_build_is_in_the_repository():
    ignored = (ROOT / ".gitignore").read_text("utf8").splitlines()
    assert "/_build/" in ignored and "/.ipynb_checkpoints/" in ignored
