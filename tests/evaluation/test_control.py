"""Control: errors by hand, controls measured on synthetic toots, and the swap test."""

import numpy as np
import pytest
import torch

import tootlearn
from tootlearn.controls import ONSET_SAMPLES, Controls
from tootlearn.data import synthesis
from tootlearn.data.recipes import KINDS
from tootlearn.dsp import measures
from tootlearn.errors import InputError
from tootlearn.evaluation import control
from tootlearn.evaluation.control import (
    ControlAccuracy,
    control_table,
    measured_controls,
    swap_test,
)
from tootlearn.generation.toot_generator import TootGenerator


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


def test_accuracy_by_hand():
    requested = controls([440] * 5, [1.0] * 5, [0.1, 0.2, 0.3, 0.4, 0.5], [-30, -25, -20, -15, -10])
    result = controls(
        [cents_off(0), cents_off(-10), cents_off(49), cents_off(51), np.nan],
        [1.0, 0.99, 1.02, 1.03, 0.9],
        [0.2, 0.1, 0.3, 0.4, 0.5],  # two neighbours have changed places
        [-10, -15, -20, -25, -30],
    )
    accuracy = ControlAccuracy.of(requested, result)
    assert accuracy.f0_median == pytest.approx(49)
    assert accuracy.f0_within_50 == pytest.approx(3 / 5)  # what has no pitch is not within
    assert accuracy.duration_median == pytest.approx(20)
    # Spearman: 1 - 6 sum d^2 / (n (n^2 - 1))
    assert accuracy.brightness_rank == pytest.approx(1 - 6 * 2 / (5 * 24))
    assert accuracy.loudness_rank == pytest.approx(-1)
    assert accuracy.count == 5


def test_a_toot_without_a_sound_does_not_pass_for_accuracy():
    requested = controls([440] * 3, [1.0] * 3, [0.1, 0.2, 0.3], [-30, -20, -10])
    silent = controls([np.nan] * 3, [0.0] * 3, [np.nan] * 3, [-np.inf] * 3)
    accuracy = ControlAccuracy.of(requested, silent)
    assert (
        accuracy.f0_median >= 1200
        and accuracy.f0_within_50 == 0
        and accuracy.duration_median == 1000
    )
    assert np.isnan(accuracy.brightness_rank)


def test_measured_controls_are_those_that_the_synthesiser_was_asked_for():
    kinds = [KINDS["trumpet"], KINDS["car_horn"]]
    requested = controls([330.0, 400.0], [0.6, 0.6], [0.5, 0.5], [-20, -20])
    requested = Controls(
        np.array([0, 1]),
        requested.pitch,
        requested.duration,
        requested.brightness,
        requested.loudness,
    )
    waves = torch.stack(
        [
            torch.from_numpy(synthesis.render(k.name, p, 0.6, 0.5, -20, 3))
            for k, p in zip(kinds, requested.pitch, strict=True)
        ]
    )
    measured = measured_controls(waves, requested, kinds, pyin=False)
    assert (np.abs(1200 * np.log2(measured.pitch / requested.pitch)) < 25).all()
    np.testing.assert_allclose(measured.duration, 0.6, atol=0.04)
    np.testing.assert_allclose(measured.brightness, 0.5, atol=0.2)
    np.testing.assert_allclose(measured.loudness, -20, atol=0.5)


def test_steady_kinds_are_tracked_everywhere_and_others_near_their_pitch(monkeypatch):
    tracked = []
    monkeypatch.setattr(
        measures,
        "median_f0",
        lambda wave, *rest: tracked.append(rest) or torch.full((len(wave),), 99.0),
    )
    kinds = [KINDS["trumpet"], KINDS["car_horn"]]
    requested = Controls(
        np.array([1, 0, 1]), np.array([400.0] * 3), *(np.full(3, v) for v in (0.5, 0.5, -20.0))
    )
    waves = torch.from_numpy(synthesis.render("car_horn", 400.0, 0.5, 0.5, -20, 3)).expand(3, -1)
    measured = measured_controls(waves, requested, kinds)
    assert measured.pitch[1] == 99 and (np.abs(measured.pitch[[0, 2]] - 400) < 5).all()
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


@pytest.mark.slow
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


def test_too_few_toots_for_the_kinds(g):
    with pytest.raises(InputError, match="count is 12 or more"):
        control_table(g, count=3)
