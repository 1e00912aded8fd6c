"""`tootlearn book`."""

from pathlib import Path

from tootlearn.teaching import notebooks


def test_the_site_is_served(run, monkeypatch):
    calls = []
    monkeypatch.setattr(notebooks, "site", lambda: Path("site"))
    monkeypatch.setattr(notebooks, "serve_book", lambda *args: calls.append(args))
    assert run("book").status == run("book", "--port", 8, "--no-browser").status == 0
    assert calls == [(Path("site"), 0, True), (Path("site"), 8, False)]
