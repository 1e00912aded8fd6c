"""Runs in a folder, whole and broken, as a table and as curves."""

import json
from dataclasses import asdict, replace

import pytest

from tests.small import CONFIG as SMALL
from tests.small import clips_of
from tootlearn.cli import main
from tootlearn.errors import InputError
from tootlearn.training import checkpoint, runs
from tootlearn.training.train import train

CONFIG = replace(SMALL, generator=None, steps=4, warmup=1, check_every=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run, one with other settings that was stopped, and some that are broken."""
    folder = tmp_path_factory.mktemp("runs")
    clips = clips_of(CONFIG)
    train(CONFIG, clips, folder / "whole", progress=False)
    other = replace(CONFIG, learning_rate=0.002, autoencoder=replace(CONFIG.autoencoder, latent=5))
    (folder / "deep/stopped").mkdir(parents=True)
    checkpoint.save_checkpoint(folder / "deep/stopped/checkpoint.safetensors", asdict(other), 2, {})
    (folder / "deep/stopped/log.jsonl").write_text(
        '{"step": 2, "held_out": {"reconstruction": 0.75}}\n' * 2, "utf8"
    )
    (folder / "broken").mkdir()
    (folder / "broken/log.jsonl").write_text(
        '{"step": 2, "held_out": {"generation": 0.5}}\n{"step": 4, "he', "utf8"
    )
    (folder / "broken/model.safetensors").write_bytes(b"no model")
    (folder / "nothing").mkdir()
    (folder / "nothing/checkpoint.safetensors").write_bytes(b"")
    return folder


def rows(text):
    head, *lines = text.splitlines()
    starts = [head.index(f" {name}") + 1 if i else 0 for i, name in enumerate(head.split())]
    cells = [
        [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        for line in lines
    ]
    return {cell[0]: dict(zip(head.split(), cell, strict=True)) for cell in cells}


def test_the_table_has_states_errors_and_the_fields_that_differ(folder):
    told = rows(runs.table(runs.find_runs(folder)))
    last = json.loads((folder / "whole/log.jsonl").read_text("utf8").splitlines()[-1])
    whole, stopped = told["whole"], told["deep/stopped"]
    assert whole["state"] == "finished" and whole["steps"] == "4" and float(whole["seconds"]) >= 0
    assert float(whole["reconstruction"]) == pytest.approx(
        last["held_out"]["reconstruction"], rel=1e-3
    )
    assert (stopped["state"], stopped["steps"], stopped["reconstruction"]) == (
        "stopped",
        "2",
        "0.75",
    )
    assert (whole["autoencoder.latent"], stopped["autoencoder.latent"]) == ("4", "5")
    assert (whole["learning_rate"], stopped["learning_rate"]) == ("0.001", "0.002")
    assert "clips" not in whole and "autoencoder.norm" not in whole


def test_broken_runs_are_listed_with_what_is_wrong(folder):
    told = rows(runs.table(runs.find_runs(folder)))
    assert told["broken"]["problems"] == "log line 2 damaged; model.safetensors damaged"
    assert told["broken"]["generation"] == "0.5" and told["broken"]["steps"] == "2"
    assert told["nothing"]["problems"] == "no log that can be read; checkpoint damaged"
    assert told["whole"]["problems"] == "" and len(told) == 4


def test_a_config_that_lies_beside_the_log_is_told_and_a_broken_one_is_a_problem(tmp_path):
    """A trial of a search keeps nothing else that would say what it tried."""
    for name, text in (
        ("a", '{"learning_rate": 0.5, "batch": 8}'),
        ("b", '{"learning_rate": 0.25, "batch": 8}'),
        ("c", "{"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.jsonl").write_text(
            '{"step": 2, "held_out": {"generation": 0.5}}\n', "utf8"
        )
        (tmp_path / name / "config.json").write_text(text, "utf8")
    told = rows(runs.table(runs.find_runs(tmp_path)))
    assert [told[name]["learning_rate"] for name in "abc"] == [
        "0.5",
        "0.25",
        "-",
    ] and "batch" not in told["a"]
    assert [told[name]["problems"] for name in "abc"] == ["", "", "config.json damaged"]


def test_runs_without_fault_have_no_column_of_problems(folder):
    assert "problems" not in runs.table([runs.read_run(folder / "whole", "whole")])


def test_the_command_prints_the_table_and_draws_curves(folder, tmp_path, capsys):
    main.main(["runs", str(folder), "--plot", str(tmp_path / "curves.png")])
    assert capsys.readouterr().out.splitlines() == runs.table(runs.find_runs(folder)).splitlines()
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_where_there_are_no_runs_it_is_said(folder, tmp_path):
    with pytest.raises(InputError, match="has no runs: tootlearn train makes one"):
        runs.find_runs(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        runs.find_runs(tmp_path / "none")
    with pytest.raises(InputError, match="no run has a log to draw"):
        runs.plot([runs.read_run(folder / "nothing", "nothing")], tmp_path / "x.png")
