"""`tootlearn train`: presets, folders, Ctrl-C and going on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import tootlearn
from tests.cli.invoking import Interrupt
from tootlearn.dsp import audio
from tootlearn.training import config as presets
from tootlearn.training import loop, train

TINY = [  # seconds of training
    *("--preset", "synthetic", "--device", "cpu", "--kinds", "[trumpet,car_horn]", "--clips", "24"),
    *("--batch", "4", "--check-every", "1"),
    *("--generator.width", "8", "--generator.blocks", "1", "--generator.encoder-widths", "[8]"),
    *("--no-autoencoder", "--steps", "3"),
]


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
        patch.setattr(loop, "take_step", Interrupt(1, loop.take_step))
        done = run("train", *TINY, "--out", "parts")
    assert done.status == 130 and "Traceback" not in done.err
    assert "2 of 3" in done.err and "--resume" in done.err and "parts" in done.err
    assert not (tmp_path / "parts/model.safetensors").exists()
    assert run("train", *TINY, "--out", "parts", "--resume").status == 0
    whole, parts = (tmp_path / name / "model.safetensors" for name in ("whole", "parts"))
    with safe_open(whole, "pt") as a, safe_open(parts, "pt") as b:
        assert a.keys() == b.keys()
        names = a.keys()  # no mapping
        assert all(torch.equal(a.get_tensor(name), b.get_tensor(name)) for name in names)


def test_ctrl_c_before_training_leaves_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setattr("tootlearn.training.dataset.gather_clips", Interrupt(0))
    done = run("train", *TINY, "--out", "mine")
    assert done.status == 130 and "interrupted" in done.err and not (tmp_path / "mine").exists()


def test_a_preset_is_where_flags_start_from(run, monkeypatch):
    seen = []
    monkeypatch.setattr("tootlearn.training.dataset.gather_clips", lambda *_: None)
    monkeypatch.setattr("tootlearn.training.dataset.describe_clips", lambda *_: "")
    monkeypatch.setattr(train, "train", lambda config, *_: seen.append(config))
    baseline = (("--preset", "baseline"), ("--preset=baseline", "--autoencoder.latent", 16))
    for words in (*baseline, (), ("--steps", 7), ("--weights.generation-stft", 0.1)):
        assert run("train", *words).status == 0
    assert seen[0] == presets.PRESETS["baseline"] and seen[2] == presets.PRESETS["default"]
    assert seen[1] == presets.preset("baseline", autoencoder=presets.AutoencoderConfig(latent=16))
    assert seen[3] == presets.preset("default", steps=7)
    assert seen[4] == presets.preset("default", weights=seen[2].weights | {"generation_stft": 0.1})


def test_data_and_from_choose_the_preset(run, monkeypatch):
    seen = []
    monkeypatch.setattr("tootlearn.training.dataset.gather_clips", lambda *_: None)
    monkeypatch.setattr("tootlearn.training.dataset.describe_clips", lambda *_: "")
    monkeypatch.setattr(train, "train", lambda config, clips, out, *_: seen.append((config, out)))
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


@pytest.fixture
def kazoos(tmp_path):
    """Twelve recordings of a kind that nothing knows, and a letter."""
    from tootlearn.data.synthesis import render

    (tmp_path / "mine/kazoo").mkdir(parents=True)
    for i in range(12):
        wave = render("trumpet", 262.0 * 2 ** (i / 24), 0.3, 0.5, -15.0, seed=i)
        audio.save_audio(tmp_path / "mine/kazoo" / f"{i}.wav", wave, 22050)
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
        patch.setattr(loop, "take_step", Interrupt(0, loop.take_step))
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
