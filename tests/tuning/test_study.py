"""Studies that workers share, on a function of two parameters: found, pruned, killed, gone on
with.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import ANY

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from tootlearn.errors import InputError
from tootlearn.tuning import study as studies

ROOT = Path(__file__).resolve().parents[2]
SPACE = {"x": FloatDistribution(-5, 5), "y": IntDistribution(-3, 3)}
WORKER = """
import sys, time
from pathlib import Path
from optuna.distributions import FloatDistribution, IntDistribution
from tootlearn.tuning import study as studies

out, storage, hang = Path(sys.argv[1]), sys.argv[2], len(sys.argv) > 3

def objective(trial):
    if hang and trial.number == 2:
        print("hangs", flush=True)
        time.sleep(600)
    return (trial.params["x"] - 1) ** 2 + (trial.params["y"] - 2) ** 2

space = {"x": FloatDistribution(-5, 5), "y": IntDistribution(-3, 3)}
studies.work(studies.open_study(out, {"of": "a bowl"}, storage), space, 8, objective, out)
"""


def bowl(trial):
    return (trial.params["x"] - 1) ** 2 + (trial.params["y"] - 2) ** 2


def opened(out, storage=None, **options):
    return studies.open_study(
        out, {"of": "a bowl"}, storage or str(out.parent / "study.journal"), **options
    )


def work(study, trials, out, objective=bowl, **options):
    studies.work(study, SPACE, trials, objective, out, tell=lambda line: None, **options)


def ends(study):
    return [trial.state for trial in study.get_trials()]


def worker(out, storage, *more):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WORKER, str(out), storage, *more]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_proposals_find_the_bottom_better_than_chance(tmp_path):
    study = opened(tmp_path / "s", first={"x": 0.0, "y": 0})
    work(study, 40, tmp_path / "s")
    assert study.get_trials()[0].value == 5 and study.get_trials()[0].user_attrs == {
        "start": True,
        "worker": ANY,
    }
    random = [trial.value for trial in study.get_trials()[1 : studies.RANDOM_TRIALS]]
    assert study.best_value < 0.3 and study.best_value < min(random)
    assert ends(study) == [TrialState.COMPLETE] * 40
    work(study, 40, tmp_path / "s")
    assert len(study.get_trials()) == 40  # all is done already


def test_a_search_in_two_parts_proposes_what_it_does_in_one(tmp_path):
    whole = opened(tmp_path / "a/s")
    work(whole, 14, tmp_path / "a/s", seed=5)
    for trials in (6, 14):
        parts = opened(tmp_path / "b/s")
        work(parts, trials, tmp_path / "b/s", seed=5)
    params = [[trial.params for trial in study.get_trials()] for study in (whole, parts)]
    assert params[0] == params[1]
    other = opened(tmp_path / "c/s")
    work(other, 1, tmp_path / "c/s", seed=6)
    assert other.get_trials()[0].params != params[0][0]


def test_what_is_worse_than_the_median_is_pruned_before_its_end(tmp_path):
    reached = []

    def objective(trial):
        for step in range(4):
            reached.append((trial.number, step))
            trial.report(float(trial.number), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(trial.number)

    study = opened(tmp_path / "s")
    work(study, 7, tmp_path / "s", objective)
    assert ends(study) == [TrialState.COMPLETE] * 5 + [TrialState.PRUNED] * 2
    assert [step for number, step in reached if number == 6] == [0]


def test_no_number_is_pruned_and_bad_settings_fail_but_do_not_end_the_worker(tmp_path):
    def objective(trial):
        if trial.number == 1:
            raise InputError("widths do not fit")
        return float("nan") if trial.number == 0 else 1.0

    study = opened(tmp_path / "s")
    work(study, 3, tmp_path / "s", objective)
    assert ends(study) == [
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.COMPLETE,
        TrialState.COMPLETE,
    ]
    assert study.get_trials()[1].user_attrs["reason"] == "widths do not fit"


def test_a_search_in_which_all_fails_ends_with_the_reason(tmp_path):
    def objective(trial):
        raise InputError("the disk is full")

    study = opened(tmp_path / "s")
    with pytest.raises(InputError, match="4 trials failed, the last since the disk is full"):
        work(study, 4, tmp_path / "s", objective)


def test_an_interrupted_trial_comes_once_more_and_not_a_third_time(tmp_path):
    def objective(trial):
        if trial.number in (1, 2):
            raise KeyboardInterrupt
        return bowl(trial)

    study = opened(tmp_path / "s")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            work(study, 4, tmp_path / "s", objective)
    work(study, 4, tmp_path / "s", objective)
    params = [trial.params for trial in study.get_trials()]
    assert params[1] == params[2] and params.count(params[1]) == 2
    assert [state == TrialState.COMPLETE for state in ends(study)] == [
        True,
        False,
        False,
        True,
        True,
        True,
    ]


def test_a_worker_is_killed_and_the_other_does_its_trial_again(tmp_path):
    out, storage = tmp_path / "s", str(tmp_path / "study.journal")
    study = opened(out, storage)
    killed = worker(out, storage, "hang")
    assert killed.stdout.readline().startswith("trial 0 complete")
    assert killed.stdout.readline().startswith("trial 1 complete")
    assert killed.stdout.readline() == "hangs\n"
    before = [(trial.number, trial.value, trial.params) for trial in study.get_trials()[:2]]
    other = worker(out, storage)
    while not other.stdout.readline().startswith("trial 3 complete"):
        assert study.get_trials()[2].state == TrialState.RUNNING  # its worker lives
    killed.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    killed.wait()
    said = other.communicate()[0]
    assert other.returncode == 0 and "trial 2 was left behind" in said
    trials = study.get_trials()
    assert [(trial.number, trial.value, trial.params) for trial in trials[:2]] == before
    assert ends(study).count(TrialState.COMPLETE) == 8 and ends(study).count(TrialState.FAIL) == 1
    (again,) = (trial for trial in trials if "retry_of" in trial.user_attrs)
    assert (
        again.user_attrs["retry_of"] == 2
        and again.params == trials[2].params
        and again.value == bowl(again)
    )
    assert len({tuple(t.params.items()) for t in trials if t.state == TrialState.COMPLETE}) == 8
    assert len(list((out / "workers").iterdir())) == 1  # only who was killed left its lock


def test_two_processes_do_each_trial_once(tmp_path):
    out, storage = tmp_path / "s", f"sqlite:///{tmp_path / 'study.db'}"
    # neither finds a study: they make it at the same time
    both = [worker(out, storage), worker(out, storage)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    study = opened(out, storage)
    assert ends(study) == [TrialState.COMPLETE] * 8
    numbers = [
        int(line.split()[1])
        for text in said
        for line in text.splitlines()
        if line.endswith("are done")
    ]
    assert sorted(numbers) == list(range(8))


def test_a_study_of_something_else_and_storages_that_cannot_be_are_refused(tmp_path):
    opened(tmp_path / "s")
    with pytest.raises(
        InputError, match="holds a study of another of: give its own, or another --out"
    ):
        studies.open_study(tmp_path / "s", {"of": "a hill"}, str(tmp_path / "study.journal"))
    for storage, message in (
        ("study.txt", "neither a URL"),
        (f"sqlite:///{tmp_path / 'no/folder/study.db'}", "cannot be used: "),
        ("oracle9://x", "cannot be used: "),
    ):
        with pytest.raises(InputError, match=message):
            opened(tmp_path / "s", storage)


def test_without_optuna_the_line_that_installs_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'tootlearn\[train\]'"):
        opened(tmp_path / "s")
    assert not (tmp_path / "s").exists()
