"""Accuracy of kinds: shares by hand, and a table that a wrong kind shows up in."""

import numpy as np
import pytest
import torch

import tootlearn
from tootlearn.controls import ONSET_SAMPLES
from tootlearn.data.clips import synthesise
from tootlearn.errors import InputError
from tootlearn.evaluation import kind_accuracy
from tootlearn.evaluation.kind_accuracy import KindAccuracy
from tootlearn.models.config import ClassifierConfig

CONFIG = ClassifierConfig(steps=50, batch=24, width=4, embedding=16, augmentation=0.1)


@pytest.fixture
def g():
    return tootlearn.load()


@pytest.fixture(scope="module")
def clips():
    g = tootlearn.load()
    return synthesise(g.kinds, 360, 5, g.model.front_end, progress=False)


def test_kind_accuracy_by_hand():
    true = ["tuba", "tuba", "tuba", "trumpet", "tuba"]
    named = ["tuba", "ship_horn", "ship_horn", "tuba", "trumpet"]
    assert KindAccuracy.of(true, named) == KindAccuracy(pytest.approx(1 / 5), "", 5)
    assert KindAccuracy.of(true, named, "tuba") == KindAccuracy(
        pytest.approx(1 / 4), "ship_horn", 4
    )
    assert KindAccuracy.of(true, named, "trumpet") == KindAccuracy(0, "tuba", 1)
    assert KindAccuracy.of(["tuba"], ["tuba"], "tuba") == KindAccuracy(1, "", 1)
    assert np.isnan(KindAccuracy.of(true, named, "bugle").right)


class Judge:
    """Stands for the classifier: hears the right kind in whatever it is given, and keeps what it
    was given.
    """

    def __init__(self, *answers):
        self.answers, self.heard = list(answers), []

    def names(self, log_mel):
        self.heard.append(log_mel)
        return self.answers[len(self.heard) - 1]


def test_kind_table_learns_from_training_sounds_and_hears_toots_where_clips_have_them(
    g, clips, monkeypatch
):
    learn, held_out = clips.split()
    own = [clips.kinds[k].name for k in held_out.controls.kind]
    requested = [*g.kinds, *g.kinds]
    judge, given = Judge([*requested[:-1], "tuba"], own), []
    monkeypatch.setattr(
        kind_accuracy, "train_classifier", lambda *rest: given.append(rest) or judge
    )
    table = kind_accuracy.kind_table(g, held_out, kind_accuracy.judge_of(g, learn, CONFIG), 24, 3)
    trained_on, config, front_end = given[0]
    assert torch.equal(trained_on.log_mel, learn.log_mel) and config == CONFIG
    assert front_end == g.model.front_end.config
    assert list(table) == [*g.kinds, "all"]
    assert table["all"]["generated"] == KindAccuracy(pytest.approx(23 / 24), "", 24)
    assert table[requested[-1]]["generated"] == KindAccuracy(0.5, "tuba", 2)
    assert table["all"]["held out"] == KindAccuracy(1, "", len(held_out))
    generated, real = judge.heard
    assert torch.equal(real, held_out.log_mel) and generated.shape == (24, *real.shape[1:])
    onset = ONSET_SAMPLES // g.model.front_end.config.hop
    loud = generated.amax(1) > generated.amax((1, 2))[:, None] - 3.5
    assert (loud.float().argmax(1) >= onset - 1).all()  # nothing before the onset, as in clips
    assert (loud.float().argmax(1) <= onset + 12).float().mean() > 0.9


def test_a_generator_that_draws_another_kind_is_seen(g, clips, monkeypatch):
    learn, held_out = clips.split()
    judge = kind_accuracy.judge_of(g, learn, CONFIG)
    honest = kind_accuracy.kind_table(g, held_out, judge, 24)["all"]["generated"].right
    same = g.generate("pea_whistle", 3000.0, 0.5, 0.5, -20, seed=1)
    monkeypatch.setattr(g, "render", lambda *_: same)
    false = kind_accuracy.kind_table(g, held_out, judge, 24)["all"]["generated"].right
    assert false <= 1 / 12 + 1e-9 and honest > 3 * false


def test_what_cannot_be_compared_is_refused(g, clips):
    with pytest.raises(InputError, match="count is 12 or more"):
        kind_accuracy.kind_table(g, clips, Judge(), 3)
    some = synthesise(("tuba", "trumpet"), 24, 1, g.model.front_end, progress=False)
    with pytest.raises(InputError, match="no clips of car_horn, .*, french_horn to compare"):
        kind_accuracy.judge_of(g, some)
