"""`tootlearn evaluate`: tables, figures and pictures."""

import json

from tootlearn.evaluation import report as evaluation


def test_evaluate_prints_its_tables_and_writes_them(run, tmp_path, monkeypatch):
    table = {"reconstruction": {"mean": {"error": 1.25, "lsd": 9.5, "count": 7}}}
    asked = []
    monkeypatch.setattr(
        evaluation, "evaluate_model", lambda generator, *rest: asked.append(rest) or table
    )
    words = (
        "--count",
        40,
        "--seed",
        3,
        "--only",
        "reconstruction",
        "--json",
        "figures.json",
        "--figure",
        "sheet.png",
    )
    done = run("evaluate", *words)
    assert asked == [(40, 3, "reconstruction", [], None)]
    assert done.status == 0 and "1.2500" in done.out and "9.50" in done.out
    assert json.loads((tmp_path / "figures.json").read_text()) == table
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
