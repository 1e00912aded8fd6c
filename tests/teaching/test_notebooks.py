"""Following the book along: a reader's edits are never lost, and the pages are served to this
machine alone.
"""

import json
import os
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from tootlearn.cli import main
from tootlearn.errors import InputError
from tootlearn.teaching import notebooks


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Path:
    package = tmp_path / "site-packages/tootlearn"
    (package / "notebooks/sounds").mkdir(parents=True)
    for name in ("sounds/horn.mp3", "notes.txt"):
        (package / "notebooks" / name).write_text(f"shipped {name}")
    for name in ("00_a.ipynb", "01_b.ipynb"):
        cell = {"cell_type": "markdown", "source": [f"# shipped {name}\n", "a {term}`wave`"]}
        (package / "notebooks" / name).write_text(json.dumps({"cells": [cell]}))
    monkeypatch.setattr(notebooks, "PACKAGE", package)
    return package / "notebooks"


NAMES = ["00_a.ipynb", "01_b.ipynb", "sounds/horn.mp3"]


def test_notebooks_and_sounds_are_copied_once(shipped, tmp_path):
    folder = tmp_path / "deep/mine"
    assert notebooks.copy_notebooks(folder) == (NAMES, [], [], [])
    assert (folder / "sounds/horn.mp3").read_text() == "shipped sounds/horn.mp3"
    assert not (folder / "notes.txt").exists()
    assert notebooks.copy_notebooks(folder) == ([], NAMES, [], [])


@pytest.mark.parametrize("fresh", [False, True])
def test_edits_are_kept(shipped, tmp_path, fresh):
    folder = tmp_path / "mine"
    notebooks.copy_notebooks(folder)
    edited = folder / NAMES[0]
    for text in ("mine", "mine too"):
        edited.write_text(text)
        done = notebooks.copy_notebooks(folder, fresh)
        assert done == (
            ([NAMES[0]], NAMES[1:], [], [NAMES[0]]) if fresh else ([], NAMES[1:], [NAMES[0]], [])
        )
    if fresh:
        assert f"# shipped {NAMES[0]}" in edited.read_text()
        assert (folder / "00_a.ipynb.bak").read_text() == "mine"
        assert (folder / "00_a.ipynb.bak2").read_text() == "mine too"
    else:
        assert edited.read_text() == "mine too"


def test_a_word_of_the_reader_s_own_in_a_copy_is_an_edit(shipped, tmp_path):
    folder = tmp_path / "mine"
    notebooks.copy_notebooks(folder)
    copy = folder / NAMES[0]
    assert "a wave" in copy.read_text()
    copy.write_text(copy.read_text().replace("a wave", "a {term}`wave`"))
    assert notebooks.copy_notebooks(folder).kept == [NAMES[0]]


def test_folders_that_will_not_do(shipped, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        notebooks.copy_notebooks(tmp_path / "file")
    with pytest.raises(InputError, match="give another folder"):
        notebooks.copy_notebooks(shipped)


def test_an_installation_without_notebooks_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "PACKAGE", tmp_path / "a/tootlearn")
    with pytest.raises(InputError, match="no notebooks"):
        notebooks.notebooks()


def test_a_clone_has_its_own():
    assert notebooks.notebooks() == Path(__file__).resolve().parents[2] / "notebooks"


def test_lab_copies_tells_and_opens(shipped, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr(
        notebooks, "open_lab", lambda folder, browser: opened.append((folder, browser))
    )
    main.main(["lab"])
    assert opened == [(Path("tootlearn-book"), True)]
    assert "3 files are new in tootlearn-book" in capsys.readouterr().out
    Path("tootlearn-book/00_a.ipynb").write_text("mine")
    main.main(["lab", "--no-open"])
    assert (
        "left as they are, since they differ from what ships: 00_a.ipynb (--fresh"
        in capsys.readouterr().out
    )
    main.main(["lab", "--no-open", "--fresh"])
    assert "yours are beside them as .bak: 00_a.ipynb" in capsys.readouterr().out
    assert len(opened) == 1


def test_lab_opens_the_folder(tmp_path, monkeypatch):
    pytest.importorskip("jupyterlab")
    monkeypatch.setattr(notebooks.os, "geteuid", lambda: 1000, raising=False)
    assert notebooks.lab_command(tmp_path, browser=False)[1:] == [
        f"--ServerApp.root_dir={tmp_path}",
        "--no-browser",
    ]
    monkeypatch.setattr(notebooks.os, "geteuid", lambda: 0, raising=False)
    assert notebooks.lab_command(tmp_path)[2:] == ["--allow-root"]


def test_whoever_ends_the_command_ends_jupyterlab(shipped, tmp_path):
    """JupyterLab is this very process: a signal to a parent that waits for it would leave it
    running.
    """
    (tmp_path / "jupyterlab").mkdir()
    (tmp_path / "jupyterlab/__init__.py").touch()
    code = "import os, sys; print(os.getpid(), sys.argv[1:]); sys.exit(7)"
    (tmp_path / "jupyterlab/__main__.py").write_text(code)
    python_path = os.pathsep.join([str(tmp_path), str(Path(notebooks.__file__).parents[2])])
    command = [sys.executable, "-m", "tootlearn", "lab", str(tmp_path / "mine"), "--no-browser"]
    lab = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": python_path}
    )
    said, _ = lab.communicate()
    assert lab.returncode == 7
    assert (
        said.splitlines()[-1].startswith(f"{lab.pid} ['--ServerApp.root_dir=")
        and "--no-browser" in said
    )


def test_without_jupyterlab_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "tootlearn\[book\]"'):
        notebooks.lab_command(tmp_path)


def test_book_that_was_not_built_says_how(shipped, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as done:
        main.main(["book"])
    assert done.value.code == 2
    said = capsys.readouterr().err
    assert "tootlearn lab" in said and "jupyter-book build . -n -W" in said


def test_book_is_served_to_this_machine_alone(shipped, tmp_path, monkeypatch):
    built = tmp_path / "_build/html"
    built.mkdir(parents=True)
    (built / "index.html").write_text("<h1>toots</h1>")
    monkeypatch.chdir(tmp_path)
    assert notebooks.site() == built
    with notebooks.server(notebooks.site()) as book:
        threading.Thread(target=book.serve_forever, daemon=True).start()
        assert book.server_address[0] == "127.0.0.1"
        with urllib.request.urlopen(f"http://127.0.0.1:{book.server_port}/") as page:
            assert page.read() == b"<h1>toots</h1>"
        with pytest.raises(InputError, match="--port"):
            notebooks.server(built, book.server_port)
        book.shutdown()


def test_serve_prints_the_address_and_opens_it(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(notebooks.webbrowser, "open", opened.append)
    monkeypatch.setattr(
        notebooks.http.server.ThreadingHTTPServer, "serve_forever", lambda self: None
    )
    notebooks.serve_book(tmp_path)
    notebooks.serve_book(tmp_path, browser=False)
    assert len(opened) == 1 and f"the book is at {opened[0]} until" in capsys.readouterr().out
