"""The book on this machine: its notebooks in the reader's folder, JupyterLab, and its pages."""

from __future__ import annotations

import functools
import http.server
import os
import runpy
import sys
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, NoReturn

from tootlearn.errors import InputError
from tootlearn.teaching import myst_roles

PACKAGE = Path(__file__).parents[1]
SHIPPED = ("*.ipynb", "sounds/*")  # what a reader gets of the folder of notebooks
_BUILD = (
    "get a copy of the repository, and run there: "
    'pip install -e ".[book]" and: jupyter-book build . -n -W'
)


class Copied(NamedTuple):
    """What became of the shipped files; names are relative to the folder."""

    new: list[str]  # written
    same: list[str]  # there already, as shipped
    kept: list[str]  # differ from what ships: the reader's edits, or another version's
    aside: list[str]  # the reader's, moved to NAME.bak before the shipped file was written


def notebooks() -> Path:
    """The folder of the notebooks of this installation: in the package, or beside it in a clone."""
    for folder in (PACKAGE / "notebooks", PACKAGE.parent / "notebooks"):
        if any(folder.glob("*.ipynb")):
            return folder
    raise InputError("this installation holds no notebooks: install tootlearn again")


def bibliography(source: Path) -> str:
    """The text of the book's references.bib: beside the shipped notebooks, or in the clone's
    `book`.
    """
    places = (source / "references.bib", source.parent / "book/references.bib")
    return next((path.read_text("utf8") for path in places if path.is_file()), "")


def copy_notebooks(folder: Path, fresh: bool = False) -> Copied:
    """Copy the shipped notebooks and sounds into a folder, without overwriting what differs.

    Their roles become plain text on the way (`myst_roles.plain`), since JupyterLab does not fill
    them in.

    Args:
        folder: the destination; it is created if it does not exist.
        fresh: write the shipped files again, after what differs has been moved to NAME.bak
            (NAME.bak2, ...).

    Returns:
        What became of each file.

    Raises:
        InputError: the folder is a file, or the folder of the shipped notebooks itself.
    """
    source = notebooks()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: give a folder")
    if folder.resolve() == source.resolve():
        raise InputError(f"{folder} holds the shipped notebooks themselves: give another folder")
    cited, chapters = myst_roles.references(bibliography(source)), myst_roles.titles(source)
    done = Copied([], [], [], [])
    for path in sorted(file for pattern in SHIPPED for file in source.glob(pattern)):
        name = path.relative_to(source).as_posix()
        target = folder / name
        shipped = path.read_bytes()
        if path.suffix == ".ipynb":
            shipped = myst_roles.plain(shipped.decode(), cited, chapters).encode()
        if target.exists():
            if target.read_bytes() == shipped:
                done.same.append(name)
                continue
            if not fresh:
                done.kept.append(name)
                continue
            target.rename(_unused(target))
            done.aside.append(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(shipped)
        done.new.append(name)
    return done


def _unused(path: Path) -> Path:
    numbers = ["", *map(str, range(2, 1000))]
    return next(new for n in numbers if not (new := path.with_name(f"{path.name}.bak{n}")).exists())


def lab_command(folder: Path, browser: bool = True) -> list[str]:
    """The words of the command that opens JupyterLab in a folder.

    Raises:
        InputError: JupyterLab is not installed.
    """
    if find_spec("jupyterlab") is None:
        raise InputError('JupyterLab is not installed: pip install "tootlearn[book]"')
    options = [] if browser else ["--no-browser"]
    # root, as in most containers: JupyterLab asks for this option
    if getattr(os, "geteuid", lambda: 1)() == 0:
        options.append("--allow-root")
    return ["jupyter-lab", f"--ServerApp.root_dir={folder}", *options]


def open_lab(folder: Path, browser: bool = True) -> NoReturn:
    """Run JupyterLab in a folder, in this process, so that ending this process ends JupyterLab.

    Raises:
        SystemExit: with JupyterLab's exit status.
        InputError: JupyterLab is not installed.
    """
    sys.argv = lab_command(folder.resolve(), browser)
    runpy.run_module("jupyterlab", run_name="__main__", alter_sys=True)
    raise SystemExit(0)


def site() -> Path:
    """The folder of the rendered book: shipped in the package, or built in the clone or in this
    folder.

    Raises:
        InputError: there is none; it says how to build one.
    """
    for folder in (PACKAGE / "site", PACKAGE.parent / "_build/html", Path("_build/html")):
        if (folder / "index.html").is_file():
            return folder.resolve()
    raise InputError(
        "the book has not been built here. To read it as notebooks: tootlearn lab. To build "
        f"it, {_BUILD}"
    )


def server(folder: Path, port: int = 0) -> http.server.ThreadingHTTPServer:
    """A server of a folder's files for this machine alone; `serve_forever` starts it.

    Args:
        folder: of the files.
        port: 0 takes a free one, which is then `server_port`.

    Raises:
        InputError: the port is taken.
    """
    handler = functools.partial(_Quiet, directory=str(folder))
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise InputError(
            f"port {port} cannot be used ({error.strerror}): give another by --port"
        ) from error


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # the base class's name
        pass


def serve_book(folder: Path, port: int = 0, browser: bool = True) -> None:
    """Serve the book until Ctrl-C, and open it in a browser."""
    with server(folder, port) as book:
        address = f"http://127.0.0.1:{book.server_port}/"
        print(f"the book is at {address} until you press Ctrl-C", flush=True)
        if browser:
            webbrowser.open(address)
        book.serve_forever()
