"""The book linted as software: its configuration, its table of contents, its words, and each
chapter's form.
"""

import copy
import json
import re

import pytest
import yaml

from tests.book.lint import CHECKED, LARGEST, NOTEBOOKS, ROOT, code_cells, problems, prose, source
from tootlearn.cli.doctor import Trouble
from tootlearn.teaching.check import all_exercises

pytestmark = pytest.mark.book
KNOWN = {exercise.name for exercise in all_exercises()}
PAGES = sorted((ROOT / "book").rglob("*.md"))
CHAPTERS = 9  # 00 to 08: from then on the glossary has no words to spare


def load(path):
    return json.loads(path.read_text("utf8"))


def everything() -> str:
    return "\n".join(
        [path.read_text("utf8") for path in PAGES] + [prose(load(path)) for path in NOTEBOOKS]
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_chapter(path):
    assert re.fullmatch(r"\d\d_[a-z_]+", path.stem)
    assert path.stat().st_size <= LARGEST
    assert problems(load(path), int(path.stem[:2]), KNOWN) == []


def test_there_are_chapters():
    assert NOTEBOOKS


# The lint sees what it is for: one thing is broken in the first chapter at a time


def replaced(old: str, new: str, kind: str = "markdown"):
    def change(notebook):
        for cell in notebook["cells"]:
            if cell["cell_type"] == kind and old in source(cell):
                cell["source"] = source(cell).replace(old, new, 1)
                return
        raise AssertionError(f"nothing to break: {old}")

    return change


def untagged(notebook):
    next(cell for cell in code_cells(notebook) if CHECKED in cell["metadata"].get("tags", []))[
        "metadata"
    ]["tags"] = []


def uncounted(notebook):
    cell = next(
        cell for cell in code_cells(notebook) if CHECKED in cell["metadata"].get("tags", [])
    )
    cell["execution_count"] = None


def stripped(notebook):
    next(cell for cell in code_cells(notebook) if CHECKED in cell["metadata"].get("tags", []))[
        "outputs"
    ] = []


def without_alt(notebook):
    next(cell for cell in code_cells(notebook) if "mystnb" in cell["metadata"])["metadata"] = {}


def unfolded(notebook):
    next(cell for cell in code_cells(notebook) if "jupyter" in cell["metadata"])["metadata"].pop(
        "jupyter"
    )


def longer(notebook):
    for cell in code_cells(notebook):
        cell["source"] = "a = 1\n" * 7


def erring(notebook):
    code_cells(notebook)[0]["outputs"] = [{"output_type": "error"}]


def two_objectives(notebook):
    for bullet in ("\n- go from", "\n- say what"):
        replaced(bullet, bullet.replace("- ", ""))(notebook)


BROKEN = {
    "the title": replaced("# 0. ", "# 1. "),
    "2 objectives": two_objectives,
    "an objective without an exercise": replaced("<ex-0-3>", "<ex-0-9>"),
    "no line '**Time**": replaced("s to run", "s to wait"),
    "the sections": replaced("## Quiz", "## Questions"),
    "0 times 'Hear the bug'": replaced("Hear the bug", "A bug"),
    "does not name a test": replaced("test_what_cannot_be_saved", "test_what_cannot_be_read"),
    "questions in the quiz": replaced(":::{dropdown}", "**Why?**\n\n:::{dropdown}"),
    "does not explain itself": replaced("Yes: 11,025 samples / 22,050 samples a second.", "Yes."),
    "no line '**Sources**'": replaced("**Sources**", "Sources"),
    "HTML in the prose": replaced("## Summary", "<script>x</script>\n\n## Summary"),
    "nothing is glued as": replaced("{glue:text}`", "{glue:text}`other_"),
    "is not registered": replaced(":label: ex-0-1", ":label: ex-0-8"),
    "has no solution": replaced("{solution-start} ex-0-1", "{solution-start} ex-0-7"),
    "is not checked both": unfolded,
    "belongs to no exercise": replaced('check("0.1"', 'check("0.6"', "code"),
    "code cells are long": longer,
    "of more than 80 columns": replaced("import math", "import math" + " " * 80, "code"),
    "is not compared": untagged,
    "nothing to compare": uncounted,
    "never run": uncounted,
    "no execution count, or no text": stripped,
    "without alt text": without_alt,
    "ends in an error": erring,
}


@pytest.mark.parametrize("says", BROKEN)
def test_lint_sees(says):
    notebook = copy.deepcopy(load(NOTEBOOKS[0]))
    BROKEN[says](notebook)
    assert any(says in problem for problem in problems(notebook, 0, KNOWN))


def test_lint_sees_an_exercise_that_is_not_asked():
    assert "exercise 0.99 is registered and not asked" in problems(
        load(NOTEBOOKS[0]), 0, KNOWN | {"0.99"}
    )


# The book as a whole


class Strict(yaml.SafeLoader):
    """Refuses a key that stands twice: YAML's own rule, which PyYAML does not keep."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), (
            f"a key stands twice in line {node.start_mark.line + 1}: {keys}"
        )
        return super().construct_mapping(node, deep)


YAML = ["_config.yml", "_toc.yml", ".pre-commit-config.yaml", "environment.yml", "CITATION.cff"]
WORKFLOWS = sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / ".github/workflows").glob("*.yml")
)


@pytest.mark.parametrize("name", YAML + WORKFLOWS)
def test_no_key_stands_twice(name):
    assert yaml.load((ROOT / name).read_text("utf8"), Strict)


def test_a_key_that_stands_twice_is_seen():
    with pytest.raises(AssertionError, match="stands twice in line 1"):
        yaml.load("execute: {}\ntitle: x\nexecute: {}", Strict)


def toc_files() -> list[str]:
    toc = (ROOT / "_toc.yml").read_text("utf8")
    return re.findall(r"(?:file|root): (\S+)", toc)


def test_toc_and_files_agree():
    listed = toc_files()
    assert len(set(listed)) == len(listed)
    found = {path.relative_to(ROOT).with_suffix("").as_posix() for path in [*PAGES, *NOTEBOOKS]}
    assert set(listed) == found


def test_chapters_stand_in_order():
    chapters = [name for name in toc_files() if name.startswith("notebooks/")]
    assert chapters == sorted(chapters)


def test_every_module_is_in_the_reference():
    named = re.findall(r"automodule:: tootlearn\.(\S+)", everything())
    modules = {
        path.relative_to(ROOT / "tootlearn").with_suffix("").as_posix().replace("/", ".")
        for path in (ROOT / "tootlearn").rglob("*.py")
        if not path.stem.startswith("__") and path.parent.name != "answers"
    }
    assert len(named) == len(set(named)) and set(named) == modules


def glossary() -> list[str]:
    entries = re.search(
        r"```\{glossary\}\n(.*?)```", (ROOT / "book/glossary.md").read_text("utf8"), re.S
    )[1]
    return re.findall(r"^(\S.*)$", entries, re.M)


def used_terms(text: str) -> set[str]:
    return {
        (target or plain).lower()
        for plain, target in re.findall(r"\{term\}`([^`<]+?)(?:\s*<([^>]+)>)?`", text)
    }


def test_glossary_is_in_order_and_all_terms_are_there():
    terms = [term.lower() for term in glossary()]
    assert terms == sorted(set(terms))
    assert used_terms(everything()) <= set(terms)


@pytest.mark.skipif(
    len(NOTEBOOKS) < CHAPTERS, reason="the glossary serves chapters that are not there yet"
)
def test_no_term_is_unused():
    assert {term.lower() for term in glossary()} - used_terms(everything()) == set()


def test_citations_are_there_and_bibliography_is_in_order():
    keys = re.findall(r"^@\w+\{(\w+),", (ROOT / "book/references.bib").read_text("utf8"), re.M)
    assert keys == sorted(set(keys))
    cited = {
        key
        for group in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", everything())
        for key in group.split(",")
    }
    assert {key.strip() for key in cited} <= set(keys)


def test_glued_names_are_unique():
    names = [
        name
        for path in NOTEBOOKS
        for name in set(
            re.findall(r'glue\(\s*"([^"]+)"', "\n".join(map(source, code_cells(load(path)))))
        )
    ]
    assert len(names) == len(set(names))


def test_troubleshooting_has_an_entry_for_each_trouble_that_the_doctor_knows_and_for_no_other():
    page = (ROOT / "book/troubleshooting.md").read_text("utf8").split("## Other")[0]
    entries = re.findall(r"^`([^`\n]+)`\n: (.+(?:\n  .+)*)", page, re.M)
    told = [words.replace("...", "").strip() for words, _ in entries]
    assert sorted(told) == sorted([*(trouble.value for trouble in Trouble), "GPU: none"])
    assert all("Why:" in text and "What to do:" in text for _, text in entries)


def test_the_chapter_shows_the_slurm_script_as_it_is():
    script = (ROOT / "book/assets/train.slurm").read_text("utf8")
    assert f"```bash\n{script}```" in prose(load(ROOT / "notebooks/10_training_at_scale.ipynb"))
