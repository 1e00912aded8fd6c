"""Set tootlearn up from a bare clone and use it, with nothing but Python 3.11 or newer.

    python run.py toots             writes toots/*.wav and toots/contact_sheet.png
    python run.py toots OPTIONS     the same with options of `tootlearn generate`
    python run.py test              runs the tests that are neither slow nor the book's
    python run.py test --all        runs all tests, also those of notebooks and site, with coverage
    python run.py test OPTIONS      runs pytest with these options

The first call makes the virtual environment .venv and installs the package and what it needs there,
in the tested versions of constraints.txt. Later calls find that done, and start at once until a
requirement changes.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
EXTRAS = {"toots": "", "test": "[train,mlflow,export,play,book,test]"}


def command(name: str, options: list[str]) -> list[str]:
    """The command line, to be run in ROOT, that `run.py NAME OPTIONS` stands for."""
    if name == "toots":
        return [
            str(PYTHON.with_name("tootlearn" + PYTHON.suffix)),
            "generate",
            "--out",
            "toots",
            *options,
        ]
    processes = ["--numprocesses=2", "--no-loadscope-reorder"]
    if not options:
        options = [*processes, "-m", "not slow and not book"]
    elif options[0] == "--all":
        options = ["--cov", *processes, *options[1:]]
    return [str(PYTHON), "-m", "pytest", *options]


def state() -> str:
    """A digest of all that the installation depends on: requirements, version, the clone's place
    and the Python.
    """
    digest = hashlib.sha256(f"{ROOT} {sys.version}".encode())
    for name in ("pyproject.toml", "constraints.txt", "tootlearn/version.py"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def usable() -> bool:
    """Whether .venv holds a working pip: not so after a broken-off start, or when its Python has
    been removed.
    """
    try:
        return (
            subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode == 0
        )
    except OSError:
        return False


def install(extras: str) -> None:
    """Install the package, editable, into .venv, making that first if need be. Raises
    CalledProcessError.
    """
    if not usable():
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check"]
    if not sys.stdout.isatty():  # a log wants no progress bars
        pip.append("--quiet")
    tested = ["--constraint", "constraints.txt"]
    if subprocess.run([*pip, *tested, "--editable", "." + extras], cwd=ROOT).returncode != 0:
        print(
            "run.py: the tested versions do not install here; trying the newest that do",
            file=sys.stderr,
            flush=True,
        )
        subprocess.run([*pip, "--editable", "." + extras], cwd=ROOT, check=True)


def set_up(name: str) -> None:
    """Install what `run.py NAME` needs, unless a marker in .venv says that this was done in the
    present state.
    """
    marker, wanted = VENV / f"ready-{name}", state()
    if marker.is_file() and marker.read_text() == wanted and usable():
        return
    print(
        "run.py: setting up .venv, once (PyTorch is large: minutes, and up to 6 GB)",
        file=sys.stderr,
        flush=True,
    )
    install(EXTRAS[name])
    marker.write_text(wanted)


def main(arguments: list[str]) -> int:
    """Set up and run; returns the exit status."""
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python may run this file
        print(
            "run.py: Python 3.11 or newer is needed, this is " + sys.version.split()[0],
            file=sys.stderr,
        )
        return 2
    if not arguments or arguments[0] not in EXTRAS:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        set_up(arguments[0])
    except subprocess.CalledProcessError as error:
        print(f"run.py: setting up failed ({error}); what it said stands above", file=sys.stderr)
        return 1
    return subprocess.run(command(arguments[0], arguments[1:]), cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
