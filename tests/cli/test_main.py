"""The command line: what it writes, what it refuses and how, and that it needs neither network nor
slow packages.
"""

import csv
import errno
import itertools
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import tootlearn
from tootlearn import rng
from tootlearn.cli import main
from tootlearn.dsp import audio
from tootlearn.evaluation import report as evaluation
from tootlearn.training import config as presets
from tootlearn.training import steps
from tootlearn.training import train as training

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = Path(str(files("tootlearn") / "weights" / "default.safetensors"))
TINY = [  # seconds of training
    *("--preset", "synthetic", "--device", "cpu", "--kinds", "[trumpet,car_horn]", "--clips", "24"),
    *("--batch", "4", "--check-every", "1"),
    *("--generator.width", "8", "--generator.blocks", "1", "--generator.encoder-widths", "[8]"),
    *("--no-autoencoder", "--steps", "3"),
]


class Done(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Done:
        capsys.readouterr()
        status = 0
        try:
            main.main([str(word) for word in words])
        except SystemExit as done:
            status = done.code
        return Done(status, *capsys.readouterr())

    return call


@pytest.fixture
def refused(run, tmp_path):
    """Run what must be refused; returns the one line that it says."""

    def call(*words: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        done = run(*words)
        assert done.status == 2 and done.out == ""
        assert (
            done.err.startswith("tootlearn: error: ")
            and done.err.endswith("\n")
            and done.err.count("\n") == 1
        )
        assert sorted(tmp_path.rglob("*")) == before, "something is left behind"
        return done.err

    return call


def samples(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


# The first command, in a process of its own

BLOCKADE = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {broken}:
            raise ImportError(name + " is broken here")
sys.meta_path.insert(0, Broken())
def offline(event, args):
    if event in ("socket.__new__", "socket.connect", "socket.getaddrinfo", "socket.bind"):
        raise OSError("there is no network here")
sys.addaudithook(offline)
"""


def elsewhere(tmp_path: Path, *words: str, broken: tuple[str, ...]) -> subprocess.CompletedProcess:
    """`python -m tootlearn` in a process without sockets and in which some packages fail to import."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(BLOCKADE.format(broken=broken))
    paths = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tootlearn", *words]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)


def test_eight_toots_offline_and_the_same_bits_here_whatever_the_count(run, tmp_path):
    done = elsewhere(tmp_path, "generate", broken=("librosa", "torchaudio", "numba"))
    assert done.returncode == 0, done.stderr
    toots = sorted((tmp_path / "toots").glob("*.wav"))
    assert [toot.stem for toot in toots] == [
        f"{i:03d}_{tootlearn.load().kinds[i]}" for i in range(8)
    ]
    assert all(np.abs(samples(toot)).max() > 300 for toot in toots)
    assert (tmp_path / "toots/contact_sheet.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in (tmp_path / "toots").iterdir()} - {
        toot.name for toot in toots
    } == {
        "toots.csv",
        "contact_sheet.png",
    }
    seconds = done.stdout.split(" s after the start")[0].split()[-1]
    assert 0 < float(seconds) < 600

    run("generate", "--count", 3, "--out", "three")
    for here in sorted((tmp_path / "three").glob("*.wav")):
        assert here.read_bytes() == (tmp_path / "toots" / here.name).read_bytes()
    assert len(list((tmp_path / "three").glob("*.wav"))) == 3


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


def test_an_envelope_may_begin_with_a_minus(run, monkeypatch):
    seen = []
    monkeypatch.setattr("tootlearn.dsp.envelope.parse", lambda words: seen.append(words) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("generate", "--envelope", "-20,0", "--count", 1)
    assert seen == ["-20,0"]


def test_help_does_not_wait_for_torch():
    code = "import sys; from tootlearn.cli.main import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    for word in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", code, word], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0 and done.stderr == "" and done.stdout


# Help


def test_help_names_every_command_and_each_has_its_own(run):
    text = run("--help").out
    commands = "generate train train-vocoder train-bandwidth reconstruct denoise evaluate info lab book doctor"
    for command in commands.split():
        assert f"  {command} " in text
        own = run(command, "--help")
        assert (
            own.status == 0 and own.out.startswith(f"usage: tootlearn {command}") and own.err == ""
        )
    assert tootlearn.__version__ in run("--version").out


# generate


def test_options_reach_the_toots_and_the_table_says_how_to_make_each_again(run, tmp_path):
    words = (
        "--kind",
        "trumpet",
        "--pitch",
        "A3",
        "--duration",
        0.4,
        "--brightness",
        0.3,
        "--loudness",
        -24,
    )
    assert run("generate", *words, "--count", 2, "--seed", 9, "--out", "a/b").status == 0
    rows = list(csv.DictReader((tmp_path / "a/b/toots.csv").open()))
    assert [row["file"] for row in rows] == ["000_trumpet.wav", "001_trumpet.wav"]
    for row in rows:
        assert [
            float(row[name]) for name in ("pitch_hz", "duration_s", "brightness", "loudness_dbfs")
        ] == [
            220,
            0.4,
            0.3,
            -24,
        ]
        again = tootlearn.load().generate("trumpet", "A3", 0.4, 0.3, -24, seed=int(row["seed"]))
        audio.save(tmp_path / "again.wav", again, 22050)
        assert np.array_equal(
            samples(tmp_path / "again.wav"), samples(tmp_path / "a/b" / row["file"])
        )


def test_seeds_count_and_so_does_texture(run, tmp_path):
    for name, words in {"a": (), "b": ("--seed", 1), "c": ("--texture", 0)}.items():
        run("generate", "--kind", "steam_whistle", "--count", 1, "--out", name, *words)
    toots = {(tmp_path / name / "000_steam_whistle.wav").read_bytes() for name in "abc"}
    assert len(toots) == 3


def test_denoise_filters_each_toot(run, tmp_path, monkeypatch):
    words = ("--kind", "trumpet", "--count", 1, "--out")
    monkeypatch.setattr(
        "tootlearn.dsp.denoising.denoise",
        lambda wave, rate: wave * (torch.arange(len(wave)) < 9000),
    )
    assert (
        run("generate", *words, "whole").status
        == run("generate", *words, "short", "--denoise").status
        == 0
    )
    lengths = [len(samples(tmp_path / name / "000_trumpet.wav")) for name in ("whole", "short")]
    assert lengths[1] < 9000 and lengths[1] < lengths[0]


def test_kinds_take_turns_among_those_that_can(run, tmp_path):
    assert run("generate", "--duration", 0.2, "--count", 3, "--out", "short").status == 0
    # in the order of the kinds, without those that need longer
    able = ["car_horn", "bicycle_horn", "air_horn"]
    assert [path.stem for path in sorted(tmp_path.glob("short/*.wav"))] == [
        f"{i:03d}_{k}" for i, k in enumerate(able)
    ]


@pytest.mark.parametrize("flag", ["--sample-rate", "--sample_rate"])
def test_sample_rate(run, tmp_path, flag):
    assert run("generate", "--count", 1, flag, 48000, "--out", "out").status == 0
    assert soundfile.info(next(tmp_path.glob("out/*.wav"))).samplerate == 48000


def test_toots_join_what_is_in_the_folder(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("stays")
    run("generate", "--count", 1, "--out", "out")
    assert run("generate", "--count", 1, "--seed", 5, "--out", "out").status == 0
    assert (tmp_path / "out/mine.txt").read_text() == "stays"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("mine.txt", "000_car_horn.wav", "toots.csv", "contact_sheet.png"),
    }


def test_the_sheet_shows_as_many_as_fit_a_screen(run, monkeypatch):
    shown = []
    monkeypatch.setattr("tootlearn.generation.toot_files.SHOWN", 2)
    monkeypatch.setattr(
        "tootlearn.generation.toot_files.contact_sheet",
        lambda path, waves, titles, rate: shown.append(titles),
    )
    assert (
        run("generate", "--kind", "trumpet", "--pitch", 440, "--duration", 0.2, "--count", 3).status
        == 0
    )
    assert shown == [["trumpet  440 Hz  0.20 s"] * 2]


def test_a_full_disk_leaves_everything_as_it_was(refused, run, tmp_path, monkeypatch):
    run("generate", "--count", 2, "--out", "out")
    old = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:  # two toots are written by then
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(audio.os, "fsync", full)
    assert "No space left on device" in refused(
        "generate", "--count", 4, "--seed", 1, "--out", "out"
    )
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == old


def test_a_folder_that_may_not_be_written_is_named(refused, monkeypatch):
    def deny(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", deny)
    message = refused("generate", "--out", "locked")
    assert "locked" in message and "Permission denied" in message


def test_ctrl_c_leaves_no_toot(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tootlearn.generation.toot_files.contact_sheet", interrupt := Interrupt(after=0)
    )
    done = run("generate", "--count", 2)
    assert interrupt.calls == 1 and done.status == 130 and "Traceback" not in done.err
    assert list((tmp_path / "toots").iterdir()) == []


class Interrupt:
    """Stands in for a function: Ctrl-C arrives at the start of the call after the first `after`."""

    def __init__(self, after: int, function=None) -> None:
        self.after, self.function, self.calls = after, function, 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        if self.calls == self.after + 1:
            signal.raise_signal(signal.SIGINT)
        return self.function(*arguments, **options)


# What is refused


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (
            "",
            "generate, vary, morph, batch, play, train, tune, runs, data, train-vocoder, train-bandwidth, ",
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
            "'everything': there are control, swap, kind, set, reconstruction",
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
        ("train-bandwidth --synthetic 0 --sampled 0", "nothing to learn from"),
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


def test_out_that_is_a_file(refused, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "file is a file: give a folder" in refused("generate", "--out", "file")
    assert "Not a directory" in refused("generate", "--out", "file/below")
    assert (tmp_path / "file").read_text() == "mine"


def bad_model(path: Path, trouble: str) -> None:
    """Write a model file with this trouble."""
    if trouble == "empty":
        path.write_bytes(b"")
    elif trouble == "truncated":
        path.write_bytes(SHIPPED.read_bytes()[:500_000])
    elif trouble == "text":
        path.write_text("I am a model, honestly.\n" * 9)
    elif trouble == "foreign":
        save_file({"weight": torch.zeros(2)}, path)
    elif trouble == "pickle":
        path.write_bytes(pickle.dumps({"weight": [0.0]}))
    elif trouble == "torch":
        torch.save({"weight": torch.zeros(2)}, path)
    else:
        with safe_open(SHIPPED, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            description = json.loads(file.metadata()["tootlearn"])
        if trouble == "schema":
            description["schema"] = 99
        elif trouble == "front end":
            description["front_end"]["mels"] = 80
        elif trouble == "missing":
            del tensors["generator.prior_mean"]
        save_file(tensors, path, metadata={"tootlearn": json.dumps(description)})


@pytest.mark.parametrize(
    ("trouble", "named"),
    [
        ("empty", "truncated"),
        ("truncated", "truncated"),
        ("text", "safetensors"),
        ("foreign", "not those of a tootlearn model"),
        ("pickle", "pickle"),
        ("torch", "pickle"),
        ("schema", "schema 99"),
        ("front end", "front end"),
        ("missing", "missing"),
    ],
)
def test_a_bad_model_file_says_what_is_wrong_with_it(refused, tmp_path, trouble, named):
    bad_model(tmp_path / "bad.safetensors", trouble)
    for words in (("info", "bad.safetensors"), ("generate", "--model", "bad.safetensors")):
        message = refused(*words)
        assert "bad.safetensors" in message and named in message


@pytest.mark.parametrize("trouble", ["empty", "text", "directory", "no samples", "nan", "infinite"])
def test_a_recording_that_is_none_says_why(refused, tmp_path, trouble):
    path = tmp_path / "in.wav"
    if trouble == "empty":
        path.write_bytes(b"")
    elif trouble == "text":
        path.write_text("This is not a sound.\n")
    elif trouble == "directory":
        path.mkdir()
    else:
        wave = np.full(
            0 if trouble == "no samples" else 999,
            np.nan if trouble == "nan" else np.inf,
            dtype=np.float32,
        )
        soundfile.write(path, wave, 22050, subtype="FLOAT")
    assert "in.wav" in refused("reconstruct", "in.wav", "out.wav")


@pytest.mark.parametrize(
    ("output", "named"), [("out.txt", "'.txt'"), ("out", "''"), ("no/out.wav", "out.wav")]
)
def test_an_output_that_cannot_be_is_named(refused, tmp_path, output, named):
    soundfile.write(tmp_path / "in.wav", np.zeros(999), 22050)
    assert named in refused("reconstruct", "in.wav", output)


# reconstruct


def test_silence_comes_back_as_silence(run, tmp_path):
    soundfile.write(tmp_path / "in.wav", np.zeros(50000), 22050)
    done = run("reconstruct", "in.wav", "out.wav")
    assert done.status == 0 and "2.27 s" in done.out and "64 numbers" in done.out
    assert len(samples(tmp_path / "out.wav")) == 50000 and not samples(tmp_path / "out.wav").any()


def test_a_long_stereo_recording_of_eight_bits_and_another_rate(run, tmp_path):
    time = np.arange(3 * 44100) / 44100
    tone = 0.4 * np.sin(2 * np.pi * 440 * time) * (time < 2.5)
    soundfile.write(tmp_path / "in.wav", np.stack([tone, 0.5 * tone], 1), 44100, subtype="PCM_U8")
    assert run("reconstruct", "in.wav", "out.flac").status == 0
    info, back = soundfile.info(tmp_path / "out.flac"), samples(tmp_path / "out.flac")
    assert (info.samplerate, info.channels, info.frames) == (22050, 1, 3 * 22050)
    loud = np.abs(back[:44000]).max()
    assert loud > 1000 and np.abs(back[60000:]).max() < 0.1 * loud


# train


def test_train_makes_a_model_that_generates(run, tmp_path):
    done = run("train", *TINY, "--out", "mine")
    assert done.status == 0 and "mine/model.safetensors" in done.out.replace("\\", "/")
    made = run("generate", "--model", "mine/model.safetensors", "--count", 2, "--out", "toots")
    assert made.status == 0
    assert [path.stem for path in sorted(tmp_path.glob("toots/*.wav"))] == [
        "000_trumpet",
        "001_car_horn",
    ]
    told = run("info", "mine/model.safetensors").out
    assert "24 synthetic toots of trumpet, car_horn" in told and "steps        3" in told


def test_a_second_run_into_the_same_folder_is_refused(refused, run, tmp_path):
    run("train", *TINY, "--out", "mine")
    model = (tmp_path / "mine/model.safetensors").read_bytes()
    assert "mine holds a run already" in refused("train", *TINY, "--out", "mine")
    assert (tmp_path / "mine/model.safetensors").read_bytes() == model


def test_ctrl_c_says_how_to_go_on_and_going_on_gives_the_same_model(run, tmp_path, monkeypatch):
    run("train", *TINY, "--out", "whole")
    with monkeypatch.context() as patch:
        patch.setattr(steps, "clip_gradients", Interrupt(1, steps.clip_gradients))
        done = run("train", *TINY, "--out", "parts")
    assert done.status == 130 and "Traceback" not in done.err
    assert "2 of 3" in done.err and "--resume" in done.err and "parts" in done.err
    assert not (tmp_path / "parts/model.safetensors").exists()
    assert run("train", *TINY, "--out", "parts", "--resume").status == 0
    whole, parts = (tmp_path / name / "model.safetensors" for name in ("whole", "parts"))
    with safe_open(whole, "pt") as a, safe_open(parts, "pt") as b:
        assert a.keys() == b.keys()
        assert all(torch.equal(a.get_tensor(name), b.get_tensor(name)) for name in a.keys())  # noqa: SIM118


def test_ctrl_c_before_training_leaves_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setattr("tootlearn.training.dataset.gather", Interrupt(0))
    done = run("train", *TINY, "--out", "mine")
    assert done.status == 130 and "interrupted" in done.err and not (tmp_path / "mine").exists()


def test_a_preset_is_where_flags_start_from(run, monkeypatch):
    seen = []
    monkeypatch.setattr("tootlearn.training.dataset.gather", lambda *_: None)
    monkeypatch.setattr("tootlearn.training.dataset.describe", lambda *_: "")
    monkeypatch.setattr(training, "train", lambda config, *_: seen.append(config))
    baseline = (("--preset", "baseline"), ("--preset=baseline", "--autoencoder.latent", 16))
    for words in (*baseline, (), ("--steps", 7), ("--weights.generation-onset", 0.1)):
        assert run("train", *words).status == 0
    assert seen[0] == presets.PRESETS["baseline"] and seen[2] == presets.PRESETS["default"]
    assert seen[1] == presets.preset("baseline", autoencoder=presets.AutoencoderConfig(latent=16))
    assert seen[3] == presets.preset("default", steps=7)
    assert seen[4] == presets.preset("default", weights=seen[2].weights | {"generation_onset": 0.1})


def test_data_and_from_choose_the_preset(run, monkeypatch):
    seen = []
    monkeypatch.setattr("tootlearn.training.dataset.gather", lambda *_: None)
    monkeypatch.setattr("tootlearn.training.dataset.describe", lambda *_: "")
    monkeypatch.setattr(
        training, "train", lambda config, clips, out, *_: seen.append((config, out))
    )
    data = ("--data", "horns", "more/horns.csv")
    for words in (
        data,
        (*data, "--from", "default"),
        ("--data=horns", "--preset", "synthetic", "--clips", 24),
    ):
        assert run("train", *words).status == 0
    (own, where), (tuned, _), (both, _) = seen
    assert own == presets.preset("own", data=("horns", "more/horns.csv")) and where == Path(
        "runs/own"
    )
    shipped = tootlearn.load().model
    wanted = {"data": ("horns", "more/horns.csv"), "generator": shipped.generator.config}
    assert tuned == presets.preset("fine_tune", **wanted, autoencoder=shipped.autoencoder.config)
    assert both == presets.preset("synthetic", data=("horns",), clips=24)


def test_a_vocoder_is_trained_on_a_folder_and_generates(run, tmp_path):
    """Whatever the recordings are: no labels, and one that cannot be read."""
    time = np.arange(30000) / 22050
    (tmp_path / "mine").mkdir()
    for i in range(12):
        soundfile.write(
            tmp_path / f"mine/{i}.wav", 0.3 * np.sin(2 * np.pi * 110 * (i + 1) * time), 22050
        )
    (tmp_path / "mine/notes.wav").write_text("no sound")
    small = "--vocoder.width 8 --vocoder.hidden 8 --vocoder.blocks 1 --vocoder.wide 8 --steps 2 --batch 2 --device cpu"
    words = ("--data", tmp_path / "mine", "--synthetic", 0, "--sampled", 0, *small.split())
    trained = run("train-vocoder", *words, "--out", tmp_path / "run")
    assert (
        trained.status == 0
        and "12 windows of the recordings in mine" in trained.out
        and "notes.wav" in trained.err
    )
    file = tmp_path / "run/vocoder.safetensors"
    for speaker, folder in ((file, "a"), ("none", "b"), (None, "c")):
        chosen = ("--vocoder", speaker) if speaker else ()
        asked = ("--count", 1, "--kind", "trumpet", "--pitch", "A4", "--duration", 0.3)
        assert run("generate", *asked, *chosen, "--out", tmp_path / folder).status == 0
    sounds = [soundfile.read(tmp_path / folder / "000_trumpet.wav")[0] for folder in "abc"]
    assert not any(np.array_equal(x, y) for x, y in itertools.combinations(sounds, 2))
    again = run("train-vocoder", *words, "--out", tmp_path / "run")
    assert again.status == 2 and "--resume" in again.err


def test_an_extension_is_trained_on_a_folder_and_heard_at_higher_rates_alone(run, tmp_path):
    time = np.arange(45000) / 44100
    (tmp_path / "mine").mkdir()
    for i in range(12):
        wave = sum(
            np.sin(2 * np.pi * 110 * (i + 1) * k * time) / k for k in range(1, 20 // (i + 1) + 9)
        )
        soundfile.write(tmp_path / f"mine/{i}.wav", 0.1 * wave, 44100)
    small = "--bandwidth.width 8 --bandwidth.hidden 8 --bandwidth.blocks 1 --versions 1"
    small += " --steps 2 --batch 2 --device cpu"
    words = ("--data", tmp_path / "mine", "--synthetic", 0, "--sampled", 0, *small.split())
    trained = run("train-bandwidth", *words, "--out", tmp_path / "run")
    assert trained.status == 0 and "12 windows of the recordings in mine" in trained.out
    file = tmp_path / "run/bandwidth.safetensors"
    asked = ("--count", 1, "--kind", "trumpet", "--pitch", "A4", "--duration", 0.3)
    sounds = {}
    for rate in (22050, 44100):
        for name, chosen in (("own", file), ("none", "none"), ("shipped", None)):
            extra = ("--bandwidth", chosen) if chosen else ()
            out = tmp_path / f"{name}{rate}"
            assert run("generate", *asked, *extra, "--sample-rate", rate, "--out", out).status == 0
            sounds[name, rate] = soundfile.read(out / "000_trumpet.wav")[0]
    assert np.array_equal(sounds["own", 22050], sounds["none", 22050])
    assert np.array_equal(sounds["shipped", 22050], sounds["none", 22050])
    assert not any(
        np.array_equal(sounds[a, 44100], sounds[b, 44100])
        for a, b in itertools.combinations(("own", "none", "shipped"), 2)
    )


@pytest.fixture
def kazoos(tmp_path):
    """Twelve recordings of a kind that nothing knows, and a letter."""
    from tootlearn.data.synthesis import render

    (tmp_path / "mine/kazoo").mkdir(parents=True)
    for i in range(12):
        wave = render("trumpet", 262.0 * 2 ** (i / 24), 0.3, 0.5, -15.0, seed=i)
        audio.save(tmp_path / "mine/kazoo" / f"{i}.wav", wave, 22050)
    (tmp_path / "mine/kazoo/letter.wav").write_text("Dear sir")


QUICK = ("--device", "cpu", "--batch", 4, "--check-every", 1, "--steps", 2)


def test_a_folder_of_recordings_becomes_a_model(run, tmp_path, kazoos):
    small = ("--no-autoencoder", "--generator.width", 8, "--generator.encoder-widths", "[8]")
    done = run("train", "--data", "mine", *QUICK, *small, "--out", "run")
    assert done.status == 0 and "12 recordings of mine" in done.out and "letter.wav" in done.err
    assert run("generate", "--model", "run/model.safetensors", "--count", 1).status == 0
    assert [path.stem for path in tmp_path.glob("toots/*.wav")] == ["000_kazoo"]


def test_the_shipped_model_learns_a_new_kind_and_goes_on_after_ctrl_c(
    run, tmp_path, kazoos, monkeypatch
):
    words = ("train", "--data", "mine", "--from", "default", "--replay", 12, *QUICK)
    assert run(*words, "--out", "whole").status == 0
    with monkeypatch.context() as patch:
        patch.setattr(steps, "clip_gradients", Interrupt(0, steps.clip_gradients))
        assert run(*words, "--out", "parts").status == 130
    assert run(*words, "--out", "parts", "--resume").status == 0
    whole, parts = (
        tootlearn.load(tmp_path / name / "model.safetensors") for name in ("whole", "parts")
    )
    assert whole.kinds == (*tootlearn.load().kinds, "kazoo")
    np.testing.assert_array_equal(whole.generate("kazoo", seed=1), parts.generate("kazoo", seed=1))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--data", "nowhere"), "nowhere"),
        (("--data", "mine", "--from", "nowhere.safetensors"), "nowhere.safetensors"),
        (("--from", "default"), "recordings is no folder"),
        (("--replay", 7), "only a model that is started from"),
        (
            ("--from", "default", "--generator.width", 8),
            "keeps its generator: leave --generator out",
        ),
        (("--from", "default", "--front-end.hop", 512), "keeps its front_end"),
    ],
)
def test_training_data_that_cannot_be_had_is_named(refused, words, named):
    assert named in refused("train", *words)


# denoise


@pytest.fixture
def noisy(tmp_path):
    """A tone of 1 s in 2 s of noise, in a folder of its kind, and a second of other noise. Returns
    tone and mix.
    """
    both = torch.from_numpy(rng.normal(1, 0, 3 * 22050)).float() * 0.01
    tone = torch.zeros(2 * 22050)
    tone[11025:33075] = 0.3 * torch.sin(2 * torch.pi * 440 * torch.arange(22050) / 22050)
    (tmp_path / "mine/horn").mkdir(parents=True)
    audio.save(tmp_path / "mine/horn/a.wav", tone + both[: len(tone)], 22050)
    audio.save(tmp_path / "noise.wav", both[len(tone) :], 22050)
    return tone, tone + both[: len(tone)]


@pytest.mark.parametrize("words", [(), ("--noise", "noise.wav")])
def test_a_recording_is_cleaned(run, tmp_path, noisy, words):
    tone, mix = noisy
    before = (tmp_path / "mine/horn/a.wav").read_bytes()
    done = run("denoise", "mine/horn/a.wav", "clean.flac", *words)
    assert done.status == 0 and "clean.flac" in done.out and done.err == ""
    wave, rate = audio.load(tmp_path / "clean.flac")
    assert rate == 22050 and float((wave - tone).norm()) < 0.2 * float((mix - tone).norm())
    assert (tmp_path / "mine/horn/a.wav").read_bytes() == before


def test_a_folder_is_cleaned_under_the_same_names_and_what_cannot_be_is_told(run, tmp_path, noisy):
    (tmp_path / "mine/manifest.csv").write_text("path,label\nhorn/a.wav,horn\n")
    (tmp_path / "mine/horn/letter.wav").write_text("Dear sir")
    (tmp_path / "mine/horn/b.m4a").write_text("?")
    (tmp_path / "mine/.hidden.wav").write_text("?")
    soundfile.write(tmp_path / "mine/c.aiff", np.zeros((500, 2)), 44100)
    done = run("denoise", "mine", "cleaned/all")
    assert done.status == 0 and "2 of 4 recordings" in done.out
    assert "letter.wav" in done.err and "b.m4a" in done.err and done.err.count("\n") == 2
    out = tmp_path / "cleaned/all"
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert written == {"horn/a.wav", "c.aiff.wav", "manifest.csv"}
    assert (out / "manifest.csv").read_bytes() == (tmp_path / "mine/manifest.csv").read_bytes()
    assert float((audio.load(out / "horn/a.wav")[0] - noisy[0]).norm()) < 0.2 * float(
        (noisy[1] - noisy[0]).norm()
    )


def test_recordings_are_not_overwritten(refused, tmp_path, noisy):
    assert "mine is in mine, which must not change" in refused("denoise", "mine", "mine")
    assert "horn is a folder: name the file" in refused("denoise", "mine/horn/a.wav", "mine/horn")
    (tmp_path / "file").write_text("mine")
    assert "file is a file: give a folder" in refused("denoise", "mine", "file")


# info, evaluate


def test_info_shows_what_ships(run):
    text = run("info").out
    for word in (
        *tootlearn.load().kinds,
        "165 to 988",
        "0.12 to 1.8",
        "M parameters",
        "synthetic toots",
        "MIT",
    ):
        assert word in text


def test_evaluate_prints_its_tables_and_writes_them(run, tmp_path, monkeypatch):
    table = {"reconstruction": {"mean": {"error": 1.25, "lsd": 9.5, "count": 7}}}
    asked = []
    monkeypatch.setattr(evaluation, "report", lambda generator, *rest: asked.append(rest) or table)
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


# What no user did wrong


def test_a_bug_is_not_dressed_up_as_the_users_mistake(run, monkeypatch):
    def bug(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("tootlearn.generation.toot_generator.load", bug)
    with pytest.raises(ValueError, match="a bug"):
        run("info")
