"""Following the book along: a reader's edits are never lost, and the pages are served to this machine alone."""

import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from tootlearn import cli, reading
from tootlearn.audio import InputError


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Path:
    package = tmp_path / "site-packages/tootlearn"
    (package / "notebooks/sounds").mkdir(parents=True)
    for name in ("00_a.ipynb", "01_b.ipynb", "sounds/horn.mp3", "notes.txt"):
        (package / "notebooks" / name).write_text(f"shipped {name}")
    monkeypatch.setattr(reading, "PACKAGE", package)
    return package / "notebooks"


NAMES = ["00_a.ipynb", "01_b.ipynb", "sounds/horn.mp3"]


def test_notebooks_and_sounds_are_copied_once(shipped, tmp_path):
    folder = tmp_path / "deep/mine"
    assert reading.copy_notebooks(folder) == (NAMES, [], [], [])
    assert (folder / "sounds/horn.mp3").read_text() == "shipped sounds/horn.mp3"
    assert not (folder / "notes.txt").exists()
    assert reading.copy_notebooks(folder) == ([], NAMES, [], [])


@pytest.mark.parametrize("fresh", [False, True])
def test_edits_are_kept(shipped, tmp_path, fresh):
    folder = tmp_path / "mine"
    reading.copy_notebooks(folder)
    edited = folder / NAMES[0]
    for text in ("mine", "mine too"):
        edited.write_text(text)
        done = reading.copy_notebooks(folder, fresh)
        assert done == (([NAMES[0]], NAMES[1:], [], [NAMES[0]]) if fresh else ([], NAMES[1:], [NAMES[0]], []))
    if fresh:
        assert edited.read_text() == f"shipped {NAMES[0]}"
        assert (folder / "00_a.ipynb.bak").read_text() == "mine"
        assert (folder / "00_a.ipynb.bak2").read_text() == "mine too"
    else:
        assert edited.read_text() == "mine too"


def test_folders_that_will_not_do(shipped, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        reading.copy_notebooks(tmp_path / "file")
    with pytest.raises(InputError, match="give another folder"):
        reading.copy_notebooks(shipped)


def test_an_installation_without_notebooks_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PACKAGE", tmp_path / "a/tootlearn")
    with pytest.raises(InputError, match="no notebooks"):
        reading.notebooks()


def test_a_clone_has_its_own():
    assert reading.notebooks() == Path(__file__).resolve().parents[1] / "notebooks"


def test_lab_copies_tells_and_opens(shipped, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr(reading, "open_lab", lambda folder, browser: opened.append((folder, browser)) or 0)
    with pytest.raises(SystemExit) as done:
        cli.main(["lab"])
    assert done.value.code == 0 and opened == [(Path("tootlearn-book"), True)]
    assert "3 files are new in tootlearn-book" in capsys.readouterr().out
    Path("tootlearn-book/00_a.ipynb").write_text("mine")
    cli.main(["lab", "--no-open"])
    assert "left as they are, since they differ from what ships: 00_a.ipynb (--fresh" in capsys.readouterr().out
    cli.main(["lab", "--no-open", "--fresh"])
    assert "yours are beside them as .bak: 00_a.ipynb" in capsys.readouterr().out
    assert len(opened) == 1


def test_lab_is_this_python_s_own(tmp_path, monkeypatch):
    pytest.importorskip("jupyterlab")
    monkeypatch.setattr(reading.os, "geteuid", lambda: 1000, raising=False)
    command = reading.lab_command(tmp_path, browser=False)
    assert command[:3] == [sys.executable, "-m", "jupyterlab"] and command[-1] == "--no-browser"
    assert f"--ServerApp.root_dir={tmp_path}" in command and "--allow-root" not in command
    monkeypatch.setattr(reading.os, "geteuid", lambda: 0, raising=False)
    assert reading.lab_command(tmp_path)[4:] == ["--allow-root"]


def test_without_jupyterlab_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "tootlearn\[book\]"'):
        reading.lab_command(tmp_path)


def test_book_that_was_not_built_says_how(shipped, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as done:
        cli.main(["book"])
    assert done.value.code == 2
    said = capsys.readouterr().err
    assert "tootlearn lab" in said and "jupyter-book build . -n -W" in said


def test_book_is_served_to_this_machine_alone(shipped, tmp_path, monkeypatch):
    built = tmp_path / "_build/html"
    built.mkdir(parents=True)
    (built / "index.html").write_text("<h1>toots</h1>")
    monkeypatch.chdir(tmp_path)
    assert reading.site() == built
    with reading.server(reading.site()) as book:
        threading.Thread(target=book.serve_forever, daemon=True).start()
        assert book.server_address[0] == "127.0.0.1"
        with urllib.request.urlopen(f"http://127.0.0.1:{book.server_port}/") as page:
            assert page.read() == b"<h1>toots</h1>"
        with pytest.raises(InputError, match="--port"):
            reading.server(built, book.server_port)
        book.shutdown()


def test_serve_prints_the_address_and_opens_it(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(reading.webbrowser, "open", opened.append)
    monkeypatch.setattr(reading.http.server.ThreadingHTTPServer, "serve_forever", lambda self: None)
    reading.serve(tmp_path)
    reading.serve(tmp_path, browser=False)
    assert len(opened) == 1 and f"the book is at {opened[0]} until" in capsys.readouterr().out
