"""`tootlearn export`: where the model goes."""

from pathlib import Path

from tootlearn.models import export


def test_what_is_written_is_named_after_the_model_unless_told_otherwise(run, refused, monkeypatch):
    written = []
    monkeypatch.setattr(export, "to_onnx", lambda out, model: written.append(out) or 1e-6)
    monkeypatch.setattr(export, "to_web", lambda out, model: written.append(out) or 5000)
    assert "tiny.onnx agrees" in run("export", "tiny", "--to", "onnx").out
    assert "5 kB" in run("export", "tiny", "--to", "web").out
    assert run("export", "tiny", "--to", "web", "--out", "page").status == 0
    assert written == [Path("tiny.onnx"), Path("tiny-web"), Path("page")]
    assert "give to" in refused("export", "tiny")
