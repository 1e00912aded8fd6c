"""Evaluation: each figure against what is known by hand, by numpy, or by construction."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

import tootlearn
from tootlearn.controls import ONSET_SAMPLES, Controls
from tootlearn.data import synthesis
from tootlearn.data.clips import synthesise
from tootlearn.data.recipes import KINDS
from tootlearn.dsp import measures
from tootlearn.dsp.front_end import FrontEndConfig
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.evaluation import control, report
from tootlearn.evaluation.control import (
    ControlAccuracy,
    control_table,
    measured_controls,
    swap_test,
)
from tootlearn.evaluation.kind_accuracy import KindAccuracy
from tootlearn.evaluation.set_metrics import SetDistance
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models.autoencoder import AutoencoderConfig, GeneratorConfig
from tootlearn.models.toot_model import TootModel


@pytest.fixture(scope="module")
def g() -> TootGenerator:
    return tootlearn.load()


def controls(pitch, duration, brightness, loudness) -> Controls:
    columns = (
        np.asarray(column, dtype=np.float64) for column in (pitch, duration, brightness, loudness)
    )
    return Controls(np.zeros(len(pitch), dtype=np.int64), *columns)


def cents_off(cents: float) -> float:
    return 440 * 2 ** (cents / 1200)


# Control


def test_obedience_by_hand():
    asked = controls([440] * 5, [1.0] * 5, [0.1, 0.2, 0.3, 0.4, 0.5], [-30, -25, -20, -15, -10])
    found = controls(
        [cents_off(0), cents_off(-10), cents_off(49), cents_off(51), np.nan],
        [1.0, 0.99, 1.02, 1.03, 0.9],
        [0.2, 0.1, 0.3, 0.4, 0.5],  # two neighbours have changed places
        [-10, -15, -20, -25, -30],
    )
    obedience = ControlAccuracy.of(asked, found)
    assert obedience.f0_median == pytest.approx(49)
    assert obedience.f0_within_50 == pytest.approx(3 / 5)  # what has no pitch is not within
    assert obedience.duration_median == pytest.approx(20)
    # Spearman: 1 - 6 sum d^2 / (n (n^2 - 1))
    assert obedience.brightness_rank == pytest.approx(1 - 6 * 2 / (5 * 24))
    assert obedience.loudness_rank == pytest.approx(-1)
    assert obedience.count == 5


def test_a_toot_without_a_sound_does_not_pass_for_obedience():
    asked = controls([440] * 3, [1.0] * 3, [0.1, 0.2, 0.3], [-30, -20, -10])
    silent = controls([np.nan] * 3, [0.0] * 3, [np.nan] * 3, [-np.inf] * 3)
    obedience = ControlAccuracy.of(asked, silent)
    assert (
        obedience.f0_median >= 1200
        and obedience.f0_within_50 == 0
        and obedience.duration_median == 1000
    )
    assert np.isnan(obedience.brightness_rank)


def test_measured_controls_are_those_that_the_synthesiser_was_asked_for():
    kinds = [KINDS["trumpet"], KINDS["car_horn"]]
    asked = controls([330.0, 400.0], [0.6, 0.6], [0.5, 0.5], [-20, -20])
    asked = Controls(
        np.array([0, 1]), asked.pitch, asked.duration, asked.brightness, asked.loudness
    )
    waves = torch.stack(
        [
            torch.from_numpy(synthesis.render(k.name, p, 0.6, 0.5, -20, 3))
            for k, p in zip(kinds, asked.pitch, strict=True)
        ]
    )
    found = measured_controls(waves, asked, kinds, pyin=False)
    assert (np.abs(1200 * np.log2(found.pitch / asked.pitch)) < 25).all()
    np.testing.assert_allclose(found.duration, 0.6, atol=0.04)
    np.testing.assert_allclose(found.brightness, 0.5, atol=0.2)
    np.testing.assert_allclose(found.loudness, -20, atol=0.5)


def test_steady_kinds_are_tracked_everywhere_and_others_near_their_pitch(monkeypatch):
    tracked = []
    monkeypatch.setattr(
        measures,
        "median_f0",
        lambda wave, *rest: tracked.append(rest) or torch.full((len(wave),), 99.0),
    )
    kinds = [KINDS["trumpet"], KINDS["car_horn"]]
    asked = Controls(
        np.array([1, 0, 1]), np.array([400.0] * 3), *(np.full(3, v) for v in (0.5, 0.5, -20.0))
    )
    waves = torch.from_numpy(synthesis.render("car_horn", 400.0, 0.5, 0.5, -20, 3)).expand(3, -1)
    found = measured_controls(waves, asked, kinds)
    assert found.pitch[1] == 99 and (np.abs(found.pitch[[0, 2]] - 400) < 5).all()
    assert tracked == [(22050, 30.0, 2 * KINDS["trumpet"].pitch[1])]


def test_natural_controls_take_turns_and_do_not_depend_on_the_count(g):
    few, many = (synthesis.natural_controls(g.model.kinds, count, 3) for count in (6, 40))
    assert few.kind.tolist() == [0, 1, 2, 3, 4, 5] and many.kind[:13].tolist() == [*range(12), 0]
    for name in ("pitch", "duration", "brightness", "loudness"):
        assert np.array_equal(getattr(few, name), getattr(many, name)[:6])
    assert ((many.brightness >= 0) & (many.brightness <= 1)).all()


def test_control_table_of_the_shipped_model(g):
    table = control_table(g, count=48, seed=7, pyin=False)
    assert list(table) == [*g.kinds, "all"]
    for name, row in table.items():
        assert set(row) == {"generated", "synthesiser"}
        assert {o.count for o in row.values()} == {48 if name == "all" else 4}
    ours, theirs = table["all"]["generated"], table["all"]["synthesiser"]
    # the yardstick itself is straight
    assert theirs.f0_median < 10 and theirs.brightness_rank > 0.85
    assert ours.f0_median < 20 and ours.f0_within_50 > 0.9
    assert ours.duration_median < 30
    assert ours.brightness_rank > 0.9 and ours.loudness_rank > 0.9


def test_control_table_sees_a_generator_that_does_not_listen(g, monkeypatch):
    deaf = g.generate("trumpet", 300.0, 0.5, 0.5, -20, seed=1)
    monkeypatch.setattr(g, "render", lambda *_: deaf)
    ours = control_table(g, count=12, pyin=False)["all"]["generated"]
    assert ours.f0_median > 50 and ours.f0_within_50 < 0.5 and ours.duration_median > 50
    assert not ours.loudness_rank > 0.5


def test_swap_test_of_the_shipped_model(g):
    table = swap_test(g, seeds=range(2))
    assert list(table) == ["pitch", "duration", "brightness", "loudness"]
    for name, row in table.items():
        assert row["obeyed"] == 1, name
        if name != "pitch":
            assert row["pitch"] < 25
        if name != "duration":
            assert row["duration"] < 0.04
        if name != "brightness":
            assert row["brightness"] < 0.15
        if name != "loudness":
            assert row["loudness"] < 1
    assert table["loudness"]["loudness"] == pytest.approx(6.4, abs=1)  # 40 % of 16 dB
    assert table["brightness"]["brightness"] == pytest.approx(0.4, abs=0.1)
    octaves = np.median([np.log2(k.pitch[1] / k.pitch[0]) for k in g.model.kinds])
    assert table["pitch"]["pitch"] == pytest.approx(0.4 * 1200 * octaves, rel=0.1)


def test_swapped_controls_stay_in_the_window_and_differ_in_one(g):
    for index, kind in enumerate(g.model.kinds):
        for name in ("pitch", "duration", "brightness", "loudness"):
            low, high = (control._within(index, kind, name, share) for share in (0.3, 0.7))
            differing = [
                n
                for n in ("pitch", "duration", "brightness", "loudness")
                if getattr(low, n) != getattr(high, n)
            ]
            assert differing == [name] and getattr(low, name) < getattr(high, name)
            assert kind.pitch[0] < low.pitch < high.pitch * 1.0001 < kind.pitch[1]
    assert control._ROOM > ONSET_SAMPLES


# Reports


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
    obedience = ControlAccuracy(1.5, 0.9, 12.0, 0.95, 0.99, 8)
    swapped = {
        "pitch": dict.fromkeys(("pitch", "duration", "brightness", "loudness", "obeyed"), 0.5)
    }
    rebuilt = {"mean": {"error": 1.0, "lsd": 8.0, "count": 3}}
    monkeypatch.setattr(report, "control_table", lambda *_: {"all": {"generated": obedience}})
    monkeypatch.setattr(report, "swap_test", lambda *_: swapped)
    monkeypatch.setattr(report, "reconstruction_table", lambda *_: rebuilt)
    clips = synthesise(["trumpet"], 30, 1, g.model.front_end, progress=False)
    monkeypatch.setattr(report, "training_clips", lambda *_: clips)
    monkeypatch.setattr(report, "judge_of", lambda *_: None)
    monkeypatch.setattr(report, "LEAST", 1)
    compared = SetDistance(2.5, 0.5, 1.5, 0.25, 8)
    monkeypatch.setattr(report, "set_table", lambda *_: {"coverage": compared})
    named = {"all": {"generated": KindAccuracy(0.9, "", 8), "held out": KindAccuracy(0.95, "", 5)}}
    monkeypatch.setattr(report, "kind_table", lambda *_: named)
    whole = {
        "control": {"all": {"generated": asdict(obedience)}},
        "swap": swapped,
        "kind": {"all": {who: asdict(r) for who, r in named["all"].items()}},
        "set": {"coverage": asdict(compared)},
        "reconstruction": rebuilt,
    }
    assert report.report(g) == whole
    assert json.loads(json.dumps(whole)) == whole
    for part in report.PARTS:
        assert report.report(g, only=part) == {part: whole[part]}
    monkeypatch.setattr(report, "LEAST", 100)  # too few held-out sounds to compare with
    assert set(report.report(g)) == set(whole) - {"set"}
    assert set(report.report(half(SMALL_GENERATOR))) == {"control", "swap"}
    assert set(report.report(half(autoencoder=SMALL_AUTOENCODER))) == {"reconstruction"}


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
            "'everything': there are control, swap, kind, set, reconstruction",
        ),
    ],
)
def test_a_report_that_cannot_be_says_why(model, only, named):
    with pytest.raises(InputError, match=named):
        report.report(model, count=1, only=only)


def test_too_few_toots_for_the_kinds(g):
    with pytest.raises(InputError, match="count is 12 or more"):
        control_table(g, count=3)


def test_training_clips_are_those_of_the_model_file():
    model = half(SMALL_GENERATOR)
    model.description = {"provenance": {"config": {"kinds": ["trumpet"], "clips": 12, "seed": 5}}}
    expected = synthesise(["trumpet"], 12, 5, model.model.front_end, progress=False)
    assert torch.equal(report.training_clips(model).log_mel, expected.log_mel)
    model.description = {}
    with pytest.raises(InputError, match="does not say what it was trained on"):
        report.training_clips(model)


def test_what_it_was_trained_on_can_be_said(g, monkeypatch):
    clips = synthesise(["trumpet"], 30, 1, g.model.front_end, progress=False)
    asked, given = [], []
    monkeypatch.setattr(report, "kind_table", lambda *rest: asked.append(rest) or {})
    monkeypatch.setattr(report, "training_clips", lambda *rest: given.append(rest[1:]) or clips)
    monkeypatch.setattr(report, "judge_of", lambda model, learn: ("judge", model, len(learn)))
    report.report(g, 24, 3, "kind", ["mine"], "my.sf2")
    ((generator, held_out, judge, *rest),) = asked
    assert given == [(["mine"], "my.sf2")] and rest == [24, 3]
    assert generator is g and judge == ("judge", g, len(clips.split()[0]))
    assert torch.equal(held_out.log_mel, clips.split()[1].log_mel)


def test_the_text_shows_every_number():
    taken = KindAccuracy(0.83, "ship_horn", 12)
    report = {
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
        "kind": {
            "tuba": {"generated": asdict(taken), "held out": asdict(KindAccuracy(0.94, "", 31))}
        },
        "set": {"density": asdict(SetDistance(0.912, 0.034, 1.056, 0.078, 60))},
        "reconstruction": {"PCA, 9 numbers": {"error": 0.1357, "lsd": 2.46, "count": 17}},
    }
    control, swap, kind, sets, reconstruction = report.as_text(report).split("\n\n")
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
    assert report.as_text({"swap": report["swap"]}).startswith("swap")
