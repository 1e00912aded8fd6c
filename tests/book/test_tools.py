"""The tools of the book: the script that runs a chapter, and what mends the pages."""

import importlib.util
import json
import sys

import pytest

from tests.book.lint import ROOT

pytestmark = pytest.mark.book


def module(path: str):
    """A file that is not in a package, imported with its folder on the path."""
    file = ROOT / path
    sys.path.insert(0, str(file.parent))
    try:
        spec = importlib.util.spec_from_file_location(file.stem, file)
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
    finally:
        sys.path.remove(str(file.parent))
    return loaded


# .ci/chapter.py

DRAFT = """---
kernelspec: {display_name: mine, language: python, name: python3}
---
# 0. Small

**Time**: 1 minutes to read, 99 s to run on 2 CPU cores.

```{code-cell} ipython3
---
tags: [nbval-check-output]
mystnb:
  image:
    alt: words
---
print(2 + 2)
```
"""


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    script = module(".ci/chapter.py")
    monkeypatch.setattr(script, "NOTEBOOKS", tmp_path)
    return script


def test_a_draft_becomes_a_notebook_that_has_run(chapter, tmp_path, capsys):
    (tmp_path / "draft.md").write_text(DRAFT)
    assert chapter.main(["00_small", "--from", str(tmp_path / "draft.md")]) == 0
    text, code = json.loads((tmp_path / "00_small.ipynb").read_text("utf8"))["cells"]
    assert (text["id"], code["id"], code["execution_count"]) == ("cell-00", "cell-01", 1)
    assert code["outputs"] == [{"name": "stdout", "output_type": "stream", "text": "4\n"}]
    assert code["metadata"] == {
        "tags": ["nbval-check-output"],
        "mystnb": {"image": {"alt": "words"}},
    }
    assert "99 s to run" not in text["source"] and " s to run on 2" in text["source"]
    assert "00_small.ipynb: " in capsys.readouterr().out
    before = (tmp_path / "00_small.ipynb").read_bytes()
    assert chapter.main(["00_small", "--to", str(tmp_path / "again.md")]) == 0
    assert chapter.main(["notebooks/00_small.ipynb", "--from", str(tmp_path / "again.md")]) == 0
    assert (tmp_path / "00_small.ipynb").read_bytes() == before


def test_figures_are_kept_whatever_backend_is_set(chapter, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    (tmp_path / "draft.md").write_text(
        DRAFT.replace("print(2 + 2)", "from matplotlib import pyplot as plt\nplt.plot([1, 2]);")
    )
    assert chapter.main(["00_small", "--from", str(tmp_path / "draft.md")]) == 0
    (output,) = json.loads((tmp_path / "00_small.ipynb").read_text("utf8"))["cells"][1]["outputs"]
    assert "image/png" in output["data"]


def test_a_chapter_that_fails_is_left_as_it_was(chapter, tmp_path):
    (tmp_path / "00_small.ipynb").write_text("old")
    (tmp_path / "draft.md").write_text(DRAFT.replace("print(2 + 2)", "1 / 0"))
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        chapter.main(["00_small", "--from", str(tmp_path / "draft.md")])
    assert (tmp_path / "00_small.ipynb").read_text() == "old"


# book/extensions


def test_pages_are_mended():
    mend = module("book/extensions/accessible.py").mend
    page = mend(
        "<html><body><button title='Menu'><i title='x'></i></button>"
        "<details><summary aria-label='Toggle'><p>Show</p></summary></details>"
        "<a>Part</a><details><summary><i></i></summary></details>"
        "<details><summary>Expand for references to <a href='#x'>x</a></summary></details>"
        "<div role='doc-biblioentry'></div><table><tr><th></th><th>a</th></tr></table>"
        "<p id='exercise-content'></p><p id='exercise-content'></p><p id='mine'></p>"
        "<script src='_static/vendor/ipywidgets/embed.js'></script></body></html>"
    )
    for part in (
        '<button aria-label="Menu" title="Menu"><i aria-hidden="true"></i></button>',
        "<summary><span>Show</span></summary>",
        '<summary aria-label="Pages below Part">',
        "<summary>Used in</summary>",
        "<div></div>",
        "<td></td><th>a</th>",
        '<p></p><p></p><p id="mine"></p>',
    ):
        assert part in page
    assert "<script" not in page


def test_widgets_that_are_shown_keep_their_bundle():
    mend = module("book/extensions/accessible.py").mend
    view = '<script type="application/vnd.jupyter.widget-view+json">{}</script>'
    assert "embed.js" in mend(
        f"<body>{view}<script src='_static/vendor/ipywidgets/embed.js'></script></body>"
    )


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("2 * pi, and `a * b`", r"2 \* pi, and `a * b`"),
        ("it is *measured* here, **twice**", "it is *measured* here, **twice**"),
        ("* a list", "* a list"),
        ("f(x, *, y)", r"f(x, \*, y)"),
        (">>> a * b", ">>> a * b"),
    ],
)
def test_stars_of_docstrings_mean_themselves(line, becomes):
    lines = [line]
    module("book/extensions/tootbook.py").plain(None, "function", "", None, None, lines)
    assert lines == [becomes]


def test_an_indented_block_of_a_module_stays_as_it_stands():
    lines = ["Words:", "", "    a * b", "    c", "", "More."]
    module("book/extensions/tootbook.py").plain(None, "module", "", None, None, lines)
    assert lines == ["Words:", "", "::", "", "    a * b", "    c", "", "More."]
