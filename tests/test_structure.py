""".ci/structure.py: what it counts."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / ".ci/structure.py"


def figures(folder: Path) -> dict[str, str]:
    """What the script prints of a folder, by the first 18 characters of each line."""
    done = subprocess.run(
        [sys.executable, SCRIPT, folder], capture_output=True, text=True, check=True
    )
    return {line[:18].strip(): line[19:] for line in done.stdout.splitlines()}


def test_a_long_function_and_a_cycle_are_counted(tmp_path):
    package = tmp_path / "tootlearn"
    package.mkdir()
    (package / "a.py").write_text('"""A."""\n\nfrom tootlearn import b\n')
    (package / "b.py").write_text("def f():\n" + "    x = 1\n" * 49)
    before = figures(tmp_path)
    assert before["functions over 50"] == "0"
    assert before["modules' arrows"] == "1 on 2 floors"
    (package / "b.py").write_text("from tootlearn import a\n\n\ndef f():\n" + "    x = 1\n" * 50)
    after = figures(tmp_path)
    assert after["functions over 50"] == "1"
    assert after["modules' arrows"] == "2 on 1 floors"
