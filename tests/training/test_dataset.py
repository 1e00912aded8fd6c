"""From a config to its clips: every source, its labels, its split, and what is said of it."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tootlearn.controls import Kind
from tootlearn.data import sampled, synthesis
from tootlearn.data.clips import RECORDED, SAMPLED, SYNTHETIC, synthesise
from tootlearn.data.recipes import KINDS
from tootlearn.dsp import audio
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.models.config import GeneratorConfig
from tootlearn.models.toot_model import TootModel
from tootlearn.training import dataset, fine_tuning
from tootlearn.training.config import TrainConfig

FRONT_END = FrontEndConfig(hop=512, mels=16)
CONFIG = TrainConfig(front_end=FRONT_END, kinds=("trumpet", "car_horn"), clips=12, seed=3)
OWN = replace(CONFIG, kinds=(), clips=0, data=("recordings",))


@pytest.fixture
def recordings(tmp_path):
    """Eight recordings of trumpets at 330 Hz, four of a kazoo at 262 Hz."""
    for i in range(12):
        label, hertz = ("trumpet", 330.0) if i < 8 else ("kazoo", 262.0)
        wave = torch.from_numpy(
            synthesis.render("trumpet", hertz, 0.4, 0.3 + 0.03 * i, -15.0, seed=i)
        )
        (tmp_path / "mine" / label).mkdir(parents=True, exist_ok=True)
        audio.save_audio(tmp_path / "mine" / label / f"{i}.wav", wave, 22050)
    (tmp_path / "mine" / "kazoo" / "letter.wav").write_text("Dear sir")
    return tmp_path / "mine"


@pytest.fixture
def labelled(recordings):
    """The same with their pitches in a manifest, so that none has to be measured."""
    labels = [("trumpet", 330) if i < 8 else ("kazoo", 262) for i in range(12)]
    rows = [f"{label}/{i}.wav,{label},{hertz}" for i, (label, hertz) in enumerate(labels)]
    (recordings / "manifest.csv").write_text("\n".join(["path,label,pitch", *rows]))
    return recordings


@pytest.fixture
def font(monkeypatch, tmp_path):
    """A font whose notes are those of the synthesiser."""

    def clips(path, kinds, count, seed, front_end, **about):
        assert path == tmp_path / "Choir.sf2"
        made = synthesise(kinds, count, seed, front_end, progress=False)
        return replace(made, origin=np.array(SAMPLED, dtype=np.int8))

    monkeypatch.setattr(sampled, "clips", clips)
    return str(tmp_path / "Choir.sf2")


@pytest.fixture
def base():
    """An untrained model of a kazoo, whose brightness has a scale of its own."""
    kinds = [Kind("kazoo", (200.0, 400.0), (0.2, 1.0), (0.0, 5.0))]
    small = GeneratorConfig(residual=2, width=8, blocks=1, encoder_widths=(8,))
    return TootModel(FRONT_END, Normalizer(torch.zeros(16, 1), torch.ones(16, 1)), kinds, small)


def gather(config, *rest, **options):
    return dataset.gather_clips(config, *rest, progress=False, **options)


def test_synthetic_clips_are_those_of_the_seed():
    expected = synthesise(CONFIG.kinds, 12, 3, FrontEnd(FRONT_END), progress=False)
    found = gather(CONFIG)
    assert torch.equal(found.log_mel, expected.log_mel) and (found.origin == SYNTHETIC).all()


def test_the_share_of_bright_notes_reaches_the_font(font, monkeypatch):
    asked, clips = [], sampled.clips
    monkeypatch.setattr(
        sampled,
        "clips",
        lambda *rest, **about: asked.append(about["bright"]) or clips(*rest, **about),
    )
    config = replace(CONFIG, sampled=5, font=font, bright=0.25)
    told = asdict(config) | {"font": "Choir.sf2"}
    gather(config)
    dataset.training_clips(told, FRONT_END, font=font)
    # an older file
    dataset.training_clips(
        {name: told[name] for name in told if name != "bright"}, FRONT_END, font=font
    )
    assert asked == [0.25, 0.25, 0.0]


def test_only_kinds_that_the_font_has_are_sampled(font):
    found = gather(replace(CONFIG, sampled=5, font=font))
    assert len(found) == 17 and [kind.name for kind in found.kinds] == ["trumpet", "car_horn"]
    notes = found.origin == SAMPLED
    assert np.sum(notes) == 5 and (found.controls.kind[notes] == 0).all()


def test_a_config_without_brass_needs_no_font():
    found = gather(replace(CONFIG, kinds=("car_horn",), sampled=5))
    assert len(found) == 12 and (found.origin == SYNTHETIC).all()


def test_a_missing_font_says_how_to_do_without(monkeypatch):
    def none():
        raise InputError("no sound font was found: install one")

    monkeypatch.setattr(dataset, "find_font", none)
    with pytest.raises(InputError, match="install one; or .*--preset synthetic"):
        gather(replace(CONFIG, clips=0, sampled=5))


def test_recordings_are_labelled_measured_and_split_by_source(recordings):
    problems = []
    found = gather(replace(OWN, data=(str(recordings),)), None, problems)
    assert len(found) == 12 and (found.origin == RECORDED).all()
    assert {kind.name for kind in found.kinds} == {"trumpet", "kazoo"}
    kazoo = found.controls.kind == [kind.name for kind in found.kinds].index("kazoo")
    np.testing.assert_allclose(found.controls.pitch[kazoo], 262, rtol=0.01)
    np.testing.assert_allclose(found.controls.pitch[~kazoo], 330, rtol=0.01)
    # its scale stays
    assert next(kind for kind in found.kinds if kind.name == "trumpet") == KINDS["trumpet"]
    assert len(problems) == 1 and "letter.wav" in problems[0]
    learn, held_out = found.split()
    assert not set(learn.source) & set(held_out.source) and set(held_out.controls.kind) == {0, 1}


def test_recordings_of_one_source_are_split_by_pitch(recordings):
    rows = "\n".join(f"trumpet/{i}.wav,trumpet,{330 * 2 ** (i / 12)},session" for i in range(8))
    (recordings / "manifest.csv").write_text("path,label,pitch,source\n" + rows)
    learn, held_out = gather(replace(OWN, data=(str(recordings),))).split()
    assert len(learn) and len(held_out)
    assert not set(np.round(learn.controls.pitch)) & set(np.round(held_out.controls.pitch))


def test_a_model_to_start_from_is_rehearsed_and_its_kinds_keep_their_scales(labelled, base):
    found = gather(replace(OWN, data=(str(labelled),), start_from="x", replay=10), base)
    assert [kind.name for kind in found.kinds] == ["kazoo", "trumpet"] and found.kinds[
        0
    ] == base.kinds[0]
    played = found.origin == SYNTHETIC
    assert (
        np.sum(played) == 10 and (found.controls.kind[played] == 0).all() and np.sum(~played) == 12
    )
    expected = fine_tuning.replay(base, 10, 3)
    assert torch.equal(found[played].log_mel, expected.log_mel)


def test_every_kind_of_the_model_is_rehearsed_at_least_once(labelled, base):
    found = gather(replace(OWN, data=(str(labelled),), start_from="x", replay=0), base)
    assert found.kinds[0] == base.kinds[0] and np.sum(found.origin == SYNTHETIC) == 1


# What is said of it


def test_the_description_counts_every_source_and_names_no_folder_above_it(labelled, font):
    config = replace(CONFIG, sampled=5, font=font, data=(str(labelled),))
    told = dataset.describe_clips(config, gather(config))
    assert (
        "12 synthetic toots of trumpet, car_horn; 5 notes of trumpet from Choir.sf2; 12 "
        "recordings of mine" in told
    )
    assert str(labelled.parent) not in told


def test_rehearsed_recordings_count_once(labelled, base):
    config = replace(OWN, data=(str(labelled),), start_from="x", replay=100)
    told = dataset.describe_clips(config, gather(config, base))
    assert (
        "100 toots of the model that training started from" in told
        and "12 recordings of mine" in told
    )


# What a model was trained on, again


def test_the_clips_of_a_model_file_can_be_made_again(font, labelled):
    config = replace(CONFIG, sampled=5, font=font, data=(str(labelled),))
    told = {"kinds": ["trumpet", "car_horn"], "clips": 12, "seed": 3}
    told |= {"sampled": 5, "font": "Choir.sf2", "data": ["mine"]}
    found = dataset.training_clips(told, FRONT_END, [str(labelled)], font)
    expected = gather(config)
    assert torch.equal(found.log_mel, expected.log_mel) and found.source == expected.source


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"start_from": "model.safetensors"}, "fine-tuned model cannot be made again"),
        ({"data": ["mine"]}, "trained on mine: say with --data"),
        ({"font": "Choir.sf2", "sampled": 5}, "notes of Choir.sf2: say with --font"),
        ({"clips": None}, "does not say what it was trained on"),
    ],
)
def test_what_cannot_be_made_again_says_what_to_give(told, message):
    about = {"kinds": ["trumpet"], "clips": 12, "seed": 3} | told
    with pytest.raises(InputError, match=message):
        dataset.training_clips({k: v for k, v in about.items() if v is not None}, FRONT_END)


def test_a_folder_for_a_model_without_recordings_is_a_mistake(tmp_path):
    with pytest.raises(InputError, match="trained on no recordings"):
        dataset.training_clips(
            {"kinds": ["trumpet"], "clips": 12, "seed": 3}, FRONT_END, [str(Path(tmp_path))]
        )
