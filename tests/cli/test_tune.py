"""`tootlearn tune`."""

from pathlib import Path

from tootlearn.training import config as presets
from tootlearn.tuning import search


def test_the_search_gets_its_config_folder_and_trials(run, monkeypatch):
    calls = []
    monkeypatch.setattr(search, "run_search", lambda *args: calls.append(args))
    monkeypatch.setattr(search, "summary_text", lambda result: "the best")
    words = ("--preset", "baseline", "--steps", 7, "--space", "space.yaml", "--trials", 3)
    done = run("tune", *words, "--workers", 2, "--device", "cpu")
    assert done.status == 0 and "the best" in done.out and "best.yaml" in done.out
    ((asked, trials, workers),) = calls
    assert asked.config == presets.preset("baseline", steps=7)
    assert (asked.out, asked.space) == (Path("runs/tune-baseline"), Path("space.yaml"))
    assert (asked.metric, asked.storage, asked.device) == ("sum", None, "cpu")
    assert (trials, workers) == (3, 2)
