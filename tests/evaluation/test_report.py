"""Reports: which tables a model has, as plain data and as text."""

import json
from dataclasses import asdict

import pytest
import torch

import tootlearn
from tootlearn.data.clips import synthesise
from tootlearn.data.recipes import KINDS
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.evaluation import report
from tootlearn.evaluation.control import ControlAccuracy
from tootlearn.evaluation.kind_accuracy import KindAccuracy
from tootlearn.evaluation.set_metrics import SetDistance
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models.config import AutoencoderConfig, GeneratorConfig
from tootlearn.models.toot_model import TootModel


@pytest.fixture(scope="module")
def g() -> TootGenerator:
    return tootlearn.load()


def half(
    generator: GeneratorConfig | None = None, autoencoder: AutoencoderConfig | None = None
) -> TootGenerator:
    """An untrained model of one kind that holds what is given, and does not say what it was trained
    on.
    """
    normalizer = Normalizer(torch.zeros(128, 1), torch.ones(128, 1))
    return TootGenerator(
        TootModel(FrontEndConfig(), normalizer, [KINDS["trumpet"]], generator, autoencoder), {}
    )


SMALL_GENERATOR = GeneratorConfig(2, 8, 1, encoder_widths=(8,))
SMALL_AUTOENCODER = AutoencoderConfig(4, (8,), decoder_start=8, decoder_widths=(8,))


def test_report_is_plain_data_of_the_parts_that_are_asked_for(g, monkeypatch):
    accuracy = ControlAccuracy(1.5, 0.9, 12.0, 0.95, 0.99, 8)
    swapped = {
        "pitch": dict.fromkeys(("pitch", "duration", "brightness", "loudness", "obeyed"), 0.5)
    }
    alive = {"trumpet": {"partial_db": {"generated": 0.5, "synthesiser": 1.5, "binding": False}}}
    rebuilt = {"mean": {"error": 1.0, "lsd": 8.0, "count": 3}}
    monkeypatch.setattr(report, "control_table", lambda *_: {"all": {"generated": accuracy}})
    monkeypatch.setattr(report, "swap_test", lambda *_: swapped)
    monkeypatch.setattr(report, "liveliness_table", lambda *_: alive)
    monkeypatch.setattr(report, "reconstruction_table", lambda *_: rebuilt)
    clips = synthesise(["trumpet"], 30, 1, g.model.front_end, progress=False)
    monkeypatch.setattr(report, "training_clips_of", lambda *_: clips)
    monkeypatch.setattr(report, "judge_of", lambda *_: None)
    monkeypatch.setattr(report, "LEAST", 1)
    compared = SetDistance(2.5, 0.5, 1.5, 0.25, 8)
    monkeypatch.setattr(report, "set_table", lambda *_: {"coverage": compared})
    named = {"all": {"generated": KindAccuracy(0.9, "", 8), "held out": KindAccuracy(0.95, "", 5)}}
    monkeypatch.setattr(report, "kind_table", lambda *_: named)
    whole = {
        "control": {"all": {"generated": asdict(accuracy)}},
        "swap": swapped,
        "liveliness": alive,
        "kind": {"all": {who: asdict(r) for who, r in named["all"].items()}},
        "set": {"coverage": asdict(compared)},
        "reconstruction": rebuilt,
    }
    assert report.evaluate_model(g) == whole
    assert json.loads(json.dumps(whole)) == whole
    for part in report.PARTS:
        assert report.evaluate_model(g, only=part) == {part: whole[part]}
    monkeypatch.setattr(report, "LEAST", 100)  # too few held-out sounds to compare with
    assert set(report.evaluate_model(g)) == set(whole) - {"set"}
    assert set(report.evaluate_model(half(SMALL_GENERATOR))) == {"control", "swap", "liveliness"}
    assert set(report.evaluate_model(half(autoencoder=SMALL_AUTOENCODER))) == {"reconstruction"}


@pytest.mark.parametrize(
    ("model", "only", "named"),
    [
        (half(SMALL_GENERATOR), "reconstruction", "no autoencoder"),
        (half(autoencoder=SMALL_AUTOENCODER), "control", "no generator"),
        (half(autoencoder=SMALL_AUTOENCODER), "swap", "no generator"),
        (half(SMALL_GENERATOR), "kind", "does not say what it was trained on"),
        (half(autoencoder=SMALL_AUTOENCODER), None, "does not say what it was trained on"),
        (
            half(SMALL_GENERATOR),
            "everything",
            "'everything': there are control, swap, liveliness, kind, set, reconstruction",
        ),
    ],
)
def test_a_report_that_cannot_be_says_why(model, only, named):
    with pytest.raises(InputError, match=named):
        report.evaluate_model(model, count=1, only=only)


def test_training_clips_are_those_of_the_model_file():
    model = half(SMALL_GENERATOR)
    model.description = {"provenance": {"config": {"kinds": ["trumpet"], "clips": 12, "seed": 5}}}
    expected = synthesise(["trumpet"], 12, 5, model.model.front_end, progress=False)
    assert torch.equal(report.training_clips_of(model).log_mel, expected.log_mel)
    model.description = {}
    with pytest.raises(InputError, match="does not say what it was trained on"):
        report.training_clips_of(model)


def test_what_it_was_trained_on_can_be_said(g, monkeypatch):
    clips = synthesise(["trumpet"], 30, 1, g.model.front_end, progress=False)
    requested, given = [], []
    monkeypatch.setattr(report, "kind_table", lambda *rest: requested.append(rest) or {})
    monkeypatch.setattr(report, "training_clips_of", lambda *rest: given.append(rest[1:]) or clips)
    monkeypatch.setattr(report, "judge_of", lambda model, learn: ("judge", model, len(learn)))
    report.evaluate_model(g, 24, 3, "kind", ["mine"], "my.sf2")
    ((generator, held_out, judge, *rest),) = requested
    assert given == [(["mine"], "my.sf2")] and rest == [24, 3]
    assert generator is g and judge == ("judge", g, len(clips.split()[0]))
    assert torch.equal(held_out.log_mel, clips.split()[1].log_mel)


def test_the_text_shows_every_number():
    taken = KindAccuracy(0.83, "ship_horn", 12)
    tables = {
        "control": {
            "tuba": {"generated": asdict(ControlAccuracy(12.34, 0.87, 45.6, 0.781, 0.892, 123))}
        },
        "swap": {
            "pitch": {
                "pitch": 345.6,
                "duration": 0.012,
                "brightness": 0.034,
                "loudness": 0.56,
                "obeyed": 0.75,
            }
        },
        "liveliness": {
            "tuba": {
                "partial_db": {
                    "generated": 0.345,
                    "synthesiser": 1.23,
                    "recorded": 1.08,
                    "low": 0.638,
                    "high": 2.36,
                    "recordings": 42,
                    "binding": True,
                    "near": ["synthesiser"],
                },
                "line_db": {"generated": 12.5, "synthesiser": float("nan"), "binding": False},
            }
        },
        "kind": {
            "tuba": {"generated": asdict(taken), "held out": asdict(KindAccuracy(0.94, "", 31))}
        },
        "set": {"density": asdict(SetDistance(0.912, 0.034, 1.056, 0.078, 60))},
        "reconstruction": {"PCA, 9 numbers": {"error": 0.1357, "lsd": 2.46, "count": 17}},
    }
    control, swap, alive, kind, sets, reconstruction = report.report_text(tables).split("\n\n")
    for text, numbers in (
        (control, ("tuba, generated", "12.3", "87%", "45.6", "0.781", "0.892", "123")),
        (swap, ("pitch", "345.6", "0.012", "0.034", "0.56", "75%")),
        (kind, ("tuba", "83%", "12", "94%", "31", "ship_horn")),
        (sets, ("density", "0.912", "0.034", "1.06", "0.078", "60")),
        (reconstruction, ("PCA, 9 numbers", "0.1357", "2.46", "17")),
    ):
        heading, last = text.splitlines()[0], text.splitlines()[-1]
        assert all(number in last for number in numbers)
        assert len(heading) == len(last)  # columns stand under their names
    assert report.report_text({"swap": tables["swap"]}).startswith("swap")
    heading, kind, partials, line, count = alive.splitlines()
    assert kind.strip() == "tuba"
    assert partials.startswith("* levels of partials")
    assert partials.split()[-7:] == ["0.345", "1.23", "1.08", "0.638", "2.36", "42", "s"]
    assert line.startswith("  line") and line.split()[-2:] == ["12.5", "nan"]
    assert count.split()[-3:] == ["0", "1", "1"]
    assert len({len(row) for row in alive.splitlines()}) == 1
