"""The tree of commands: help, and what is refused and how."""

import shutil
import subprocess
import sys

import pytest

import tootlearn
from tests.cli.invoking import ROOT, elsewhere
from tootlearn.cli.main import COMMANDS


def test_without_torch_one_line_leads_to_the_doctor_who_names_it(tmp_path):
    broken = ("torch", "torchaudio", "librosa", "matplotlib")
    done = elsewhere(tmp_path, "doctor", broken=broken)
    assert done.returncode == 1 and done.stderr == ""
    bad = [line for line in done.stdout.splitlines() if line.startswith("BAD ")]
    assert any("torch does not import (torch is broken here): pip install" in line for line in bad)
    assert any("the shipped model makes no toot" in line for line in bad)
    assert any(line.startswith("note  librosa") for line in done.stdout.splitlines())

    shutil.rmtree(tmp_path / "site")
    done = elsewhere(tmp_path, "generate", broken=broken)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("tootlearn: error: ") and done.stderr.count("\n") == 1
    assert "tootlearn doctor" in done.stderr
    assert not (tmp_path / "toots").exists()


@pytest.mark.parametrize("broken", ["jsonargparse", "yaml"])
def test_the_doctor_does_not_need_what_reads_the_command_line(tmp_path, broken):
    done = elsewhere(tmp_path, "doctor", broken=(broken,))
    assert done.returncode == 1 and done.stderr == ""
    assert f"BAD   {broken} does not import" in done.stdout and done.stdout.count("ok  ") > 5
    shutil.rmtree(tmp_path / "site")
    done = elsewhere(tmp_path, "generate", broken=(broken,))
    assert (
        done.returncode != 0
        and done.stderr.startswith("tootlearn: error: ")
        and "tootlearn doctor" in done.stderr
    )


def test_no_help_waits_for_torch():
    code = """
import sys
from tootlearn.cli.main import COMMANDS, main
own = [[command, "--help"] for command in COMMANDS]
for words in ["--version"], ["--help"], ["data", "shard", "--help"], *own:
    try:
        main(words)
    except SystemExit as end:
        assert end.code == 0 and "torch" not in sys.modules, words
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.count("usage: ") == len(COMMANDS) + 2
    assert "null" not in done.stdout and "None" not in done.stdout


def test_help_names_every_command_and_each_has_its_own(run):
    text = run("--help").out
    for command in COMMANDS:
        assert f"  {command} " in text
        own = run(command, "--help")
        assert (
            own.status == 0 and own.out.startswith(f"usage: tootlearn {command}") and own.err == ""
        )
    assert tootlearn.__version__ in run("--version").out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (
            "",
            "generate, vary, morph, batch, play, train, tune, runs, data, train-vocoder, "
            "train-bandwidth, ",
        ),
        ("", "evaluate, info, export, lab, book, doctor, completion"),
        ("genrat", "did you mean generate?"),
        ("--count 3", "no command '--count'"),
        ("generate --cuont 3", "unknown flag --cuont: did you mean --count?"),
        ("generate --cuont=3", "unknown flag --cuont: did you mean --count?"),
        ("generate -q", "unknown flag -q"),
        ("generate trumpet", "'trumpet' is too much"),
        ("generate --count", "--count: expected one argument"),
        ("generate --count many", "--count: cannot use 'many': it takes a whole number"),
        ("generate --count 1.5", "--count: cannot use '1.5': it takes a whole number"),
        ("generate --duration long", "--duration: cannot use 'long': it takes a number"),
        ("generate --sample-rate x", "--sample-rate: cannot use 'x': it takes a whole number"),
        ("generate --count 0", "--count is 1 or more, not 0"),
        ("generate --count=-3", "--count is 1 or more, not -3"),
        ("generate --seed=-1", "-1"),
        ("generate --kind trumpt", "did you mean trumpet?"),
        ("generate --pitch H9", "'H9'"),
        ("generate --pitch -5", "'-5'"),
        ("generate --pitch 3", "pitch 3 Hz is out of range: give D#1 to G7 (38.89 to 3200 Hz)"),
        ("generate --kind trumpet --pitch C8", "trumpet: pitch 4186"),
        ("generate --duration -1", "duration -1 s is out of range"),
        (
            "generate --kind train_horn --duration 9",
            "train_horn: duration 9 s is out of range: give 0.35 to 1.9 s",
        ),
        ("generate --brightness 2", "brightness 2"),
        ("generate --loudness 3", "loudness 3 dB"),
        ("generate --texture 2", "--texture 2"),
        ("generate --place moon", "no place 'moon'"),
        ("generate --floor 3", "floor 3"),
        ("generate --sample-rate 0", "--sample-rate 0 Hz is out of range: give 8000 to 192000 Hz"),
        ("generate --device tpu", "'tpu': give cpu"),
        ("generate --model none.safetensors", "none.safetensors"),
        ("reconstruct", "input, output"),
        ("reconstruct none.wav out.wav", "none.wav does not exist"),
        ("denoise one.wav", "output"),
        ("denoise none.wav out.wav", "none.wav does not exist"),
        ("denoise . out --noise none.wav", "none.wav does not exist"),
        ("denoise . ../out", "holds no recordings"),
        ("denoise . out", "out is in .,"),
        (
            "evaluate --only everything",
            "'everything': there are control, swap, liveliness, kind, set, reconstruction",
        ),
        ("evaluate --count 1", "count is 12 or more"),
        ("info none.safetensors", "none.safetensors"),
        ("doctor --all", "unknown flag --all"),
        ("train --setps 3", "unknown flag --setps: did you mean --steps?"),
        ("train --steps few", "--steps: cannot use 'few': it takes a whole number"),
        ("train --steps 0", "steps is 1 or more, not 0"),
        ("train --generator.widt 8", "'widt': did you mean width?"),
        ("train --generator.width 7", "multiple of 8"),
        ("train --preset basline2", "'basline2': there are default, "),
        ("train --kinds [trumpt]", "'trumpt': did you mean trumpet?"),
        ("train --kinds trumpet", "--kinds: cannot use 'trumpet': it takes a list"),
        ("train --front-end.hop 300", "300"),
        ("generate --vocoder none.safetensors", "none.safetensors"),
        ("generate --bandwidth no.safetensors", "no.safetensors"),
        ("train-bandwidth --synthetic 0 --sampled 0", "nothing to train on"),
        ("train-bandwidth --synthetic 0 --sampled 0 --data none", "none is not a folder"),
        ("train-bandwidth --bandwidth.kernel 4", "kernel is odd"),
        ("train-vocoder --stesp 3", "unknown flag --stesp: did you mean --steps?"),
        ("train-vocoder --vocoder.kernel 4", "kernel is odd"),
        ("train-vocoder --synthetic 0 --sampled 0", "nothing to train on"),
        ("train-vocoder --synthetic 0 --sampled 0 --data none", "none is not a folder"),
        ("train --resume", "no checkpoint"),
    ],
)
def test_a_wrong_word_is_named_with_what_to_give(refused, words, named):
    assert named in refused(*words.split())


def test_a_bug_is_not_dressed_up_as_the_users_mistake(run, monkeypatch):
    def bug(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("tootlearn.generation.toot_generator.load", bug)
    with pytest.raises(ValueError, match="a bug"):
        run("info")
