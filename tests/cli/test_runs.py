"""`tootlearn runs`."""

from pathlib import Path

from tootlearn.training import runs


def test_the_folder_is_listed_and_drawn(run, monkeypatch):
    calls = []
    monkeypatch.setattr(runs, "find_runs", lambda folder: [folder])
    monkeypatch.setattr(runs, "table", lambda found: f"table of {found[0]}")
    monkeypatch.setattr(runs, "plot", lambda found, path: calls.append((found, path)))
    assert run("runs").out == "table of runs\n" and calls == []
    assert run("runs", "mine", "--plot", "curves.png").out == "table of mine\n"
    assert calls == [([Path("mine")], Path("curves.png"))]
