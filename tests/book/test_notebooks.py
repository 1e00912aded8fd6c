"""What nbval sees: a changed package in a chapter, and changed outputs in small notebooks. The
chapters themselves are compared in `test_build`, whose build runs them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.book.budget import CHAPTER, table
from tests.book.lint import CHECKED, ROOT

pytestmark = pytest.mark.book


def nbval(
    notebook: Path, package: Path = ROOT, seconds: int = CHAPTER
) -> subprocess.CompletedProcess:
    """Run a notebook cell by cell against a package, up to the first that raises or prints
    something else.

    A cell that takes more than ``seconds`` is broken off and fails.
    """
    options = [
        "--nbval-lax",
        "--nbval-current-env",
        f"--nbval-cell-timeout={seconds}",
        "-p",
        "no:cacheprovider",
        "-qx",
    ]
    command = [sys.executable, "-m", "pytest", *options, str(notebook)]
    # a reader's kernel chooses what draws the figures; coverage is of no use here, and slow
    ours = ("MPLBACKEND", "COVERAGE_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    environment |= {"PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


# What must not pass unnoticed: each is done to a copy of the package

QUIETER = """

_render = TootGenerator.render


def _quieter(self, *arguments, **options):
    return _render(self, *arguments, **options) * np.float32(10 ** (-6 / 20))


TootGenerator.render = _quieter
"""
QUIETER_RECIPE = """

_as_it_was = render


def render(*arguments, **options):
    return _as_it_was(*arguments, **options) * np.float32(10 ** (-6 / 20))
"""
CHANGES = {
    "a gain of 6 dB in the synthesiser": ("00_sound", "data/synthesis.py", None, QUIETER_RECIPE),
    "a gain of 6 dB in the generator": (
        "08_generation",
        "generation/toot_generator.py",
        None,
        QUIETER,
    ),
    "the hop of the STFT": ("01_stft", "dsp/stft.py", "self.hop = hop\n", "self.hop = hop // 2\n"),
    "the hop of the front end": (
        "03_normalization",
        "dsp/config.py",
        "hop: int = 256",
        "hop: int = 128",
    ),
    "the epsilon of the logarithm": (
        "03_normalization",
        "dsp/config.py",
        "floor: float = 1e-5",
        "floor: float = 1e-4",
    ),
}


@pytest.fixture
def changed(tmp_path):
    """A copy of the package in which one file has been changed; the folder it stands in."""

    def change(name: str, old: str | None, new: str) -> Path:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "tootlearn", tmp_path / "tootlearn", ignore=ignored)
        path = tmp_path / "tootlearn" / name
        text = path.read_text("utf8")
        assert old is None or text.count(old) == 1, f"{name} does not hold {old!r} once"
        path.write_text(text + new if old is None else text.replace(old, new), encoding="utf8")
        return tmp_path

    return change


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_the_package_is_noticed(changed, what):
    chapter, name, old, new = CHANGES[what]
    path = ROOT / f"notebooks/{chapter}.ipynb"
    if not path.is_file():
        pytest.skip(f"{chapter} is not there yet")
    done = nbval(path, changed(name, old, new))
    assert done.returncode == 1, done.stdout[-3000:]
    noticed = "Cell outputs differ" in done.stdout or "caused an exception" in done.stdout
    assert noticed and "::Cell 0 _" not in done.stdout, done.stdout[-3000:]  # the imports pass


# How nbval compares, on small notebooks made here


def notebook(
    tmp_path: Path, source: str, printed: str, count: int | None = 1, tag: str = CHECKED
) -> Path:
    shown = {"text/html": "<audio>", "text/plain": "<player: toot>"}
    cell = {
        "cell_type": "code",
        "id": "a",
        "metadata": {"tags": [tag]},
        "source": source,
        "execution_count": count,
        "outputs": [
            {"output_type": "display_data", "metadata": {}, "data": shown},
            {"output_type": "stream", "name": "stdout", "text": printed},
        ],
    }
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    path = tmp_path / "small.ipynb"
    path.write_text(
        json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": [cell]})
    )
    return path


SOUND = "import math, torch, tootlearn\nt = torch.arange(22050) / 22050\n"
PLAYED = SOUND + "tootlearn.listen({{'toot': {} * torch.sin(2 * math.pi * 441 * t)}})"
LINE = "toot: peak -6.0 dBFS, RMS -9.0 dBFS, f0 441 Hz, centroid 453 Hz, 1.00 s\n"


def small(folder: Path, path: Path) -> bool:
    shutil.copy(ROOT / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return nbval(path).returncode == 0


def test_a_player_is_compared_by_its_fingerprint_and_not_by_its_bytes(tmp_path):
    assert small(tmp_path, notebook(tmp_path, PLAYED.format(0.5), LINE))


def test_half_the_amplitude_is_noticed(tmp_path):
    assert not small(tmp_path, notebook(tmp_path, PLAYED.format(0.25), LINE))


def test_without_a_count_or_a_tag_nothing_is_compared(tmp_path):
    """Why the lint insists on both: this is how nbval is, and not how it should be."""
    assert small(tmp_path, notebook(tmp_path, PLAYED.format(0.25), LINE, tag="other"))
    path = notebook(tmp_path, PLAYED.format(0.25), LINE, count=None)
    content = json.loads(path.read_text())
    content["cells"][0]["outputs"] = []
    path.write_text(json.dumps(content))
    assert small(tmp_path, path)


def test_a_cell_without_end_is_broken_off(tmp_path):
    path = notebook(tmp_path, "while True:\n    pass", "")
    shutil.copy(ROOT / "conftest.py", tmp_path)
    done = nbval(path, seconds=1)
    assert done.returncode == 1 and "Timeout of 1 seconds exceeded" in done.stdout, done.stdout[
        -3000:
    ]


# The table of seconds at the end


def test_the_table_shows_what_is_over_budget():
    head, *rows = table({"00_a": 91.0, "02_c": 540.0, "01_b": 90.0}, 2)
    assert "on 2 cores" in head
    assert [" ".join(line.split()) for line in rows] == [
        "00_a 91.0 over budget: 90 s",
        "01_b 90.0",
        "02_c 540.0 over budget: 90 s",
        "total 721.0 over budget: 720 s",
    ]


def test_the_run_ends_with_the_table_also_of_a_notebook_that_fails(tmp_path):
    shutil.copy(ROOT / "tests/book/conftest.py", tmp_path)
    lines = [
        "import pytest",
        "@pytest.mark.parametrize('name', ['00_a', '01_b'])",
        "def test(name, record_property):",
        "    record_property('took', [name, 95.5])",
        "    assert name == '00_a'",
    ]
    (tmp_path / "test_small.py").write_text("\n".join(lines))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    over = r"95\.5   over budget: 90 s\n"
    assert re.search(rf"= notebooks =+\n.*\n00_a +{over}01_b +{over}total +191\.0\n", done.stdout)
