"""Distances between sets: copies, repeated sounds and wrong kinds are far from real sounds."""

import numpy as np
import pytest
import torch

import tootlearn
from tootlearn.data.clips import synthesise
from tootlearn.errors import InputError
from tootlearn.evaluation import set_distances

DISTANCES = ("kernel audio distance", "Frechet audio distance", "density", "coverage")


class Judge:
    """Stands for the classifier: the mean of each band is the embedding."""

    def embeddings(self, log_mel):
        return log_mel.float().mean(2)


@pytest.fixture(scope="module")
def g():
    return tootlearn.load()


@pytest.fixture(scope="module")
def parts(g):
    return synthesise(g.kinds, 360, 5, g.model.front_end, progress=False).split()


def table(g, parts, monkeypatch, made=None, count=24):
    if made is not None:
        monkeypatch.setattr(set_distances, "generated_log_mels", lambda *_: made)
    return set_distances.set_table(g, *parts, Judge(), count, seed=3)


def test_toots_are_generated_for_the_controls_of_held_out_sounds(g, parts, monkeypatch):
    requested = []
    monkeypatch.setattr(
        set_distances,
        "generated_log_mels",
        lambda _, controls, seed: requested.append(controls) or parts[1].log_mel[:24],
    )
    result = set_distances.set_table(g, *parts, Judge(), 24, seed=3)
    (controls,) = requested
    assert len(controls) == 24 and list(result) == [
        *DISTANCES,
        *(f"{name}, mel statistics" for name in DISTANCES),
        "nearest training clip",
        "nearer than most",
    ]
    assert {d.count for d in result.values()} == {24}
    held_out = parts[1].controls
    pairs = {
        (int(k), round(float(p), 3)) for k, p in zip(held_out.kind, held_out.pitch, strict=True)
    }
    close = [
        any(k == kind and abs(p / pitch - 1) < 1e-3 for kind, pitch in pairs)
        for k, p in zip(controls.kind, controls.pitch, strict=True)
    ]
    assert np.mean(close) > 0.9  # but for those at the ends of their ranges


def test_kinds_are_counted_as_the_model_counts_them(g, parts):
    turned = tuple(reversed(g.model.kinds))
    controls = parts[1].controls[:6]
    result = set_distances.clip_controls(controls, g.model.kinds, turned)
    assert [turned[k].name for k in result.kind] == [g.model.kinds[k].name for k in controls.kind]
    assert (result.brightness >= 0).all() and (result.loudness <= -6).all()


def test_real_sounds_stand_on_the_floor_and_one_sound_alone_does_not(g, parts, monkeypatch):
    learn, held_out = parts
    real = table(g, parts, monkeypatch, held_out.log_mel[::2].float())
    for name in (*DISTANCES, "nearest training clip"):
        d = real[name]
        assert abs(d.value - d.floor) < 4 * (d.spread + d.floor_spread) + 0.05, name
    one = table(g, parts, monkeypatch, held_out.log_mel[:1].float().expand(24, -1, -1))
    assert one["coverage"].value < 0.4 * one["coverage"].floor
    assert one["Frechet audio distance"].value > 2 * one["Frechet audio distance"].floor


def test_copies_of_training_clips_are_seen_even_louder_and_with_some_noise(g, parts, monkeypatch):
    learn, _ = parts
    copies = learn.log_mel[:24].float() + 0.5
    copies = torch.maximum(copies, copies.amax((1, 2), keepdim=True) - 5.5)
    result = table(g, parts, monkeypatch, copies)
    assert result["nearer than most"].value > 0.8 and result["nearer than most"].floor < 0.3
    assert result["nearest training clip"].value < 0.5 * result["nearest training clip"].floor


def test_the_shipped_model_makes_new_toots_that_are_near_to_real_ones(g, parts, monkeypatch):
    result = table(g, parts, monkeypatch, count=12)
    assert result["nearer than most"].value < 0.5
    assert result["coverage"].value > 0.5 * result["coverage"].floor


def test_too_few_sounds_are_refused(g, parts):
    learn, held_out = parts
    with pytest.raises(InputError, match="5 toots and .* held-out sounds are too few"):
        set_distances.set_table(g, learn, held_out, Judge(), 5)
    with pytest.raises(InputError, match="24 toots and 11 held-out sounds are too few"):
        set_distances.set_table(g, learn, held_out[:11], Judge(), 24)


def test_mel_statistics_see_bands_and_their_movement_but_not_level_or_silence():
    steady = torch.full((1, 8, 40), -3.0)
    steady[:, 2] = 0.0
    found = set_distances.mel_statistics(steady)
    assert found.shape == (1, 16)
    torch.testing.assert_close(found[0, :8], steady[0, :, 0])
    assert not found[0, 8:].any()
    louder = torch.cat([steady + 2.5, torch.full((1, 8, 60), -40.0)], 2)
    torch.testing.assert_close(set_distances.mel_statistics(louder), found)
    moving = steady.clone()
    moving[:, 4] += torch.sin(torch.arange(40.0))
    different = set_distances.mel_statistics(moving)
    assert different[0, 12] > 0.5 and not different[0, 8:12].any()
