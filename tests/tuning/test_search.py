"""A search over real, tiny runs: what it does, prunes, writes and refuses."""

import json
import math
import signal
from dataclasses import replace

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from tests.small import CONFIG as SMALL
from tests.small import clips_of
from tootlearn.cli import main
from tootlearn.errors import InputError
from tootlearn.training import loop, runs, train
from tootlearn.tuning import search as tuning

CONFIG = replace(SMALL, generator=None, steps=6, warmup=1, check_every=2)
SPACE = """
learning_rate: {low: 1e-6, high: 0.01, log: true}
autoencoder.norm: {choices: [batch, group]}
"""


@pytest.fixture(scope="module")
def clips():
    return clips_of(CONFIG)


@pytest.fixture
def search(tmp_path, clips, monkeypatch):
    monkeypatch.setattr("tootlearn.training.dataset.gather_clips", lambda *_, **__: clips)
    (tmp_path / "space.yaml").write_text(SPACE, encoding="utf8")
    out, journal = tmp_path / "search", str(tmp_path / "study.journal")
    return tuning.Search(CONFIG, out, tmp_path / "space.yaml", storage=journal)


def test_trials_train_and_what_is_best_is_written_and_trains(search, clips, tmp_path):
    found = tuning.run_search(search, 4)
    assert found["trials"] == {"complete": 4}
    study, _ = search.open()
    first = study.get_trials()[0]
    # the config that is started from
    assert first.params == {"learning_rate": 0.001, "autoencoder.norm": "batch"}
    assert found["started"] == first.value and found["best"]["value"] == min(
        trial.value for trial in study.get_trials()
    )
    assert (
        list(first.intermediate_values) == [2, 4, 6] and first.intermediate_values[6] == first.value
    )
    assert sum(found["importances"].values()) == pytest.approx(1, abs=1e-3)
    assert json.loads((search.out / "summary.json").read_text("utf8")) == found
    for name in ("history", "curves", "slices", "importances"):
        assert (search.out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    logs = sorted(path.name for path in (search.out / "trials/0002").iterdir())
    assert logs == ["config.json", "log.jsonl"]
    text = tuning.summary_text(found)
    assert (
        "held-out sum" in text
        and "learning_rate" in text
        and "importances of 4 complete trials can mislead" in text
    )
    assert "mislead" not in tuning.summary_text(found | {"trials": {"complete": 30}})
    told = {run.name: run.config for run in runs.find_runs(search.out / "trials")}
    assert [config["learning_rate"] for config in told.values()] == [
        t.params["learning_rate"] for t in study.trials
    ]

    best = tmp_path / "search/best.yaml"
    settings = yaml.safe_load(best.read_text("utf8"))
    assert settings["learning_rate"] == found["best"]["params"]["learning_rate"]
    main.main(["train", "--config", str(best), "--out", str(tmp_path / "run"), "--device", "cpu"])
    last = json.loads((tmp_path / "run/log.jsonl").read_text("utf8").splitlines()[-1])
    assert last["step"] == 6 and last["held_out"]["reconstruction"] == found["best"]["value"]


def test_a_search_of_augmentation_keeps_the_waves(tmp_path, monkeypatch):
    """The config that the search starts from has none, so nothing else would ask for them."""
    asked = []
    monkeypatch.setattr(
        "tootlearn.training.dataset.gather_clips", lambda *_, **how: asked.append(how["keep"])
    )
    config = replace(CONFIG, clips=0, data=("recordings",))
    for space, keep in (("augmentation.gain: {low: 0.0, high: 6.0}", True), (SPACE, False)):
        (tmp_path / "space.yaml").write_text(space, encoding="utf8")
        tuning.Search(config, tmp_path / "search", tmp_path / "space.yaml").gather_clips()
        assert asked.pop() is keep


def test_importances_need_trials_that_differ():
    space = {"learning_rate": optuna.distributions.FloatDistribution(0.1, 1.0)}

    def study(*values):
        made = optuna.create_study()
        for i, value in enumerate(values):
            made.add_trial(
                optuna.create_trial(
                    value=value, params={"learning_rate": 0.1 + i / 10}, distributions=space
                )
            )
        return made

    assert tuning._importances(study(1.0, 2.0)) == {} == tuning._importances(study(*[1.0] * 6))
    assert tuning._importances(study(1.0, 2.0, 3.0, 4.0)) == {"learning_rate": 1.0}
    few, pruned = study(1.0, 2.0, 3.0), optuna.trial.TrialState.PRUNED
    few.add_trial(
        optuna.create_trial(
            value=4.0, params={"learning_rate": 0.9}, distributions=space, state=pruned
        )
    )
    assert tuning._importances(few) == {}  # what was pruned has a value too


def test_a_run_that_falls_behind_is_pruned_and_so_is_one_without_a_number(
    search, clips, monkeypatch
):
    held = train.evaluate
    trained = []

    def evaluate(model, held_out, fabric=None):
        trained.append(model)
        number = held(model, held_out, fabric)["reconstruction"]
        runs = len({id(model) for model in trained})
        return {"reconstruction": {6: number + 9, 7: math.nan}.get(runs, number)}

    monkeypatch.setattr(train, "evaluate", evaluate)
    found = tuning.run_search(search, 7)
    assert found["trials"] == {"complete": 5, "pruned": 2}
    study, _ = search.open()
    cut = [trial for trial in study.get_trials() if trial.state == TrialState.PRUNED]
    assert [trial.number for trial in cut] == [5, 6]
    assert list(cut[0].intermediate_values) == [2] and not cut[1].intermediate_values
    rows = (search.out / "trials/0005/log.jsonl").read_text("utf8").splitlines()
    assert [json.loads(row)["step"] for row in rows] == [2]  # training itself was stopped


def test_ctrl_c_says_how_to_go_on_and_going_on_ends_the_search(search, monkeypatch):
    clip, calls = loop._clip, []

    def stop(*arguments):
        calls.append(arguments)
        if len(calls) == 9:
            signal.raise_signal(signal.SIGINT)
        return clip(*arguments)

    monkeypatch.setattr(loop, "_clip", stop)
    with pytest.raises(
        loop.Stopped, match="stopped with 1 of 3 trials: give the same command to go on"
    ):
        tuning.run_search(search, 3)
    found = tuning.run_search(search, 3)
    assert found["trials"] == {"complete": 3, "fail": 1}
    study, _ = search.open()
    assert study.get_trials()[1].params == study.get_trials()[2].params


def test_the_start_is_no_trial_where_it_is_outside_the_ranges(search, tmp_path):
    search.space.write_text("learning_rate: {low: 0.01, high: 0.02}", encoding="utf8")
    found = tuning.run_search(search, 1)
    assert found["started"] is None and 0.01 <= found["best"]["params"]["learning_rate"] <= 0.02


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"metric": "loudness"},
            "metric is one of sum, generation, reconstruction, not 'loudness'",
        ),
        ({"metric": "generation"}, "nothing that generation measures"),
    ],
)
def test_metrics_that_the_model_lacks_are_refused(search, change, message):
    with pytest.raises(InputError, match=message):
        replace(search, **change)


def test_a_search_of_nothing_or_of_another_config_is_refused(search):
    with pytest.raises(InputError, match="trials and workers are 1 or more, not 0 and 1"):
        tuning.run_search(search, 0)
    tuning.run_search(search, 1)
    with pytest.raises(InputError, match="holds a study of another config: "):
        tuning.run_search(replace(search, config=replace(CONFIG, steps=7)), 2)


def test_the_command_searches_with_two_workers(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.yaml").write_text(SPACE, encoding="utf8")
    words = [
        "tune",
        "--preset",
        "baseline",
        "--device",
        "cpu",
        "--kinds",
        "[trumpet,car_horn]",
        "--clips",
        "24",
    ]
    words += [
        "--batch",
        "4",
        "--steps",
        "2",
        "--check-every",
        "1",
        "--front-end.hop",
        "512",
        "--front-end.mels",
        "16",
    ]
    words += ["--trials", "4", "--workers", "2", "--space", "space.yaml", "--out", "found"]
    main.main(words)
    said = capsys.readouterr().out
    assert "trials: 4 complete" in said and "tootlearn train --config" in said
    assert (tmp_path / "found/study.db").exists()
    with pytest.raises(SystemExit) as refused:
        main.main([*words, "--batch", "5"])
    assert refused.value.code == 2 and "holds a study of another config" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["batch: many\n", "bach: 3\n", "batch: {"])
def test_a_config_file_that_is_wrong_is_refused_in_a_line(tmp_path, capsys, text):
    (tmp_path / "mine.yaml").write_text(text, encoding="utf8")
    for path in (tmp_path / "mine.yaml", tmp_path / "none.yaml"):
        with pytest.raises(SystemExit) as refused:
            main.main(["train", "--config", str(path), "--out", str(tmp_path / "run")])
        said = capsys.readouterr().err
        assert (
            refused.value.code == 2
            and said.count("\n") == 1
            and said.startswith("tootlearn: error: ")
        )
    assert not (tmp_path / "run").exists()
