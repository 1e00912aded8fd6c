"""Roles as plain text: a copied chapter reads right where nothing fills them in, and runs as it
did.
"""

import json
import re

import pytest

from tootlearn.teaching import myst_roles, notebooks

SOURCE = notebooks.notebooks()
CITED, CHAPTERS = myst_roles.references(notebooks.bibliography(SOURCE)), myst_roles.titles(SOURCE)
SHIPPED = {name: (SOURCE / f"{name}.ipynb").read_text("utf8") for name in sorted(CHAPTERS)}


def plain(text: str, *outputs: dict) -> str:
    """One Markdown cell, after a code cell with these outputs, as it is copied."""
    cells = [
        {"cell_type": "code", "outputs": outputs},
        {"cell_type": "markdown", "source": text.splitlines(True)},
    ]
    return json.loads(myst_roles.plain(json.dumps({"cells": cells}), CITED, CHAPTERS))["cells"][1][
        "source"
    ]


def glue(name: str, kept: str) -> dict:
    return {"data": {myst_roles.GLUED: kept}, "metadata": {"scrapbook": {"name": name}}}


@pytest.mark.parametrize("name", SHIPPED)
def test_no_role_is_left_in_a_chapter_and_its_code_is_as_it_was(name):
    before = json.loads(SHIPPED[name])
    after = json.loads(myst_roles.plain(SHIPPED[name], CITED, CHAPTERS))
    prose = "\n".join(
        "".join(cell["source"]) for cell in after["cells"] if cell["cell_type"] == "markdown"
    )
    assert re.findall(r"\{[\w:]+\}`.*", prose) == []
    assert "$$ (" not in prose and "(eq-" not in prose
    for old, new in zip(before["cells"], after["cells"], strict=True):
        if old["cell_type"] == "code":
            assert json.dumps(old) == json.dumps(new)
        assert {**old, "source": ""} == {**new, "source": ""}


def test_a_number_is_the_one_that_the_code_made():
    text = myst_roles.plain(SHIPPED["00_sound"], CITED, CHAPTERS)
    assert "Half the amplitude is -6.0 dB" in text  # 20 log10 of 1/2 is -6.02
    assert (
        plain("{glue:text}`a`, {glue:text}`b`", glue("a", "'-1.5'"), glue("b", "64")) == "-1.5, 64"
    )
    assert plain("{glue:text}`a`") == "{glue:text}`a`"  # not run: better than a number made up


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("{py:func}`~tootlearn.dsp.audio.peak_db`", "`peak_db`"),
        (
            "{py:meth}`FrontEnd.magnitude <tootlearn.dsp.front_end.FrontEnd.magnitude>`",
            "`FrontEnd.magnitude`",
        ),
        ("{py:mod}`tootlearn.dsp.measures`", "`tootlearn.dsp.measures`"),
        ("{term}`wave`", "wave"),
        ("{term}`mel\nbands <mel band>`", "mel\nbands"),
        ("{ref}`exercise 1.2 <ex-1-2>`", "exercise 1.2"),
        ("{cite:p}`shannon1949communication`", "(Shannon 1949)"),
        ("{cite:t}`griffin1984signal`", "Griffin and Lim (1984)"),
        ("{cite:t}`decheveigne2002yin`", "de Cheveigné and Kawahara (2002)"),
        ("{cite:p}`kingma2014auto,engel2020ddsp`", "(Kingma and Welling 2014; Engel et al. 2020)"),
        ("{doc}`/notebooks/01_stft`", "[1. The STFT: which frequencies sound when](01_stft.ipynb)"),
        ("{doc}`this <01_stft>`", "this"),
        ("{doc}`/book/model_card`", 'the page "model card" of the book'),
        ("`{term}` and `x <y>`", "`{term}` and `x <y>`"),
    ],
)
def test_words_for_each_role(role, words):
    assert plain(role) == words


def test_equations_are_numbered_as_they_come_and_named_by_their_numbers():
    text = "$$a$$ (eq-a)\n\n$$\nb\n$$ (eq-b)\n\nby {eq}`eq-b` from {eq}`eq-a`"
    assert plain(text) == "$$a\\tag{1} $$\n\n$$\nb\n\\tag{2} $$\n\nby (2) from (1)"


def test_every_source_that_a_chapter_cites_has_a_name_and_a_year():
    result = re.findall(r"\{cite:.\}`([^`]+)`", "".join(SHIPPED.values()))
    cited = {key for keys in result for key in keys.split(",")}
    assert len(cited) > 20 and cited <= set(CITED)
    assert all(
        re.fullmatch(r"\d{4}", year) and names[0].isalpha() for names, year in CITED.values()
    )
