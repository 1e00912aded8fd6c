"""`tootlearn lab`."""

from pathlib import Path

from tootlearn.teaching import notebooks


def test_the_folder_is_opened_unless_it_is_only_copied(run, monkeypatch):
    opened = []
    monkeypatch.setattr(notebooks, "open_lab", lambda *args: opened.append(args))
    done = run("lab", "mine", "--no-browser")
    assert "files are new in mine, 0 were there" in done.out and opened == [(Path("mine"), False)]
    assert "0 files are new in mine" in run("lab", "mine", "--no-open").out and len(opened) == 1
