"""Fine-tuning: replayed toots, new kinds, and that nothing is forgotten."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tootlearn import rng
from tootlearn.controls import Kind
from tootlearn.data.clips import RECORDED, synthesise
from tootlearn.data.recipes import KINDS
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.models import model_file
from tootlearn.models.config import AutoencoderConfig, GeneratorConfig
from tootlearn.models.decoder import Condition
from tootlearn.models.toot_model import TootModel
from tootlearn.training import config as presets
from tootlearn.training import fine_tuning
from tootlearn.training.train import evaluate, train

FRONT_END = FrontEndConfig(hop=512, mels=16)
NEW = Kind("kazoo", (200.0, 400.0), (0.2, 1.0), (0.5, 2.0))
CHORD = Kind("organ", (200.0, 400.0), (0.2, 1.0), (0.5, 2.0), (1.0, 1.25, 1.5), steady=False)


@pytest.fixture
def base():
    """A small model of two kinds whose every weight, prior included, is random."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = TootModel(
            FRONT_END,
            Normalizer(torch.randn(16, 1), torch.rand(16, 1) + 0.5),
            [KINDS["trumpet"], KINDS["tuba"]],
            GeneratorConfig(residual=2, width=8, blocks=1, encoder_widths=(8, 8)),
            AutoencoderConfig(
                latent=4, encoder_widths=(8, 8), decoder_start=8, decoder_widths=(8, 8)
            ),
        )
        for t in model.state_dict().values():
            if t.is_floating_point():
                t.copy_(0.3 * torch.randn(t.shape).abs())
    return model.eval()


def decoded(model, controls, z):
    return model.generator.decode(Condition.of(controls), z)


# Rehearsal


def test_replayed_clips_are_what_the_model_draws_for_their_controls(base):
    played = fine_tuning.replay(base, 70, seed=5)
    assert played.kinds == base.kinds and len(set(played.controls.kind)) == 2
    noise = torch.from_numpy(
        np.stack([rng.normal(rng.child(5, i), rng.Stream.REPLAY_RESIDUAL, 2) for i in range(70)])
    ).float()
    with torch.no_grad():
        z = base.generator.prior.sample(Condition.of(played.controls), noise)
        drawing = decoded(base, played.controls, z)
    torch.testing.assert_close(played.log_mel.float(), drawing.log_mel, atol=0.01, rtol=0)
    octave = (
        drawing.notes[:, :, 0] - torch.from_numpy(np.log2(played.controls.pitch)).float()[:, None]
    )
    torch.testing.assert_close(played.bend, octave.unflatten(1, (-1, 2)).mean(2), atol=1e-4, rtol=0)
    few = fine_tuning.replay(base, 3, seed=5)
    torch.testing.assert_close(few.log_mel, played.log_mel[:3], atol=0.01, rtol=0)
    assert few.source == played.source[:3]


def test_a_model_without_a_generator_has_nothing_to_rehearse(base):
    base.generator = None
    with pytest.raises(InputError, match="no generator"):
        fine_tuning.replay(base, 4, seed=0)


@pytest.mark.parametrize(("own", "played", "times"), [(5, 20, 4), (30, 20, 1), (8, 20, 2)])
def test_the_own_clips_are_half_of_all(base, own, played, times):
    clips = replace(fine_tuning.replay(base, own, seed=1), origin=np.array(RECORDED, dtype=np.int8))
    mixed = fine_tuning.rehearsed(clips, fine_tuning.replay(base, played, seed=2))
    assert len(mixed) == played + times * own and np.sum(mixed.origin == RECORDED) == times * own


# New kinds


@pytest.mark.parametrize("new", [(), (NEW,), (NEW, CHORD)])
def test_a_model_that_meets_new_kinds_knows_the_old_ones_as_before(base, new):
    model = fine_tuning.extended(base, (*base.kinds, *new)).eval()
    assert model.kinds == (*base.kinds, *new)
    played = fine_tuning.replay(base, 6, seed=1)
    condition, z = (
        Condition.of(played.controls),
        torch.randn(6, 2, generator=torch.Generator().manual_seed(0)),
    )
    with torch.no_grad():
        ours, theirs = (part.generator.decode(condition, z).log_mel for part in (model, base))
        torch.testing.assert_close(ours, theirs)
        for ours, theirs in zip(
            model.generator.encode(played.log_mel.float(), condition),
            base.generator.encode(played.log_mel.float(), condition),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
        x = model.normalizer(played.log_mel.float())
        torch.testing.assert_close(
            model.autoencoder(x), base.autoencoder(base.normalizer(played.log_mel.float()))
        )
    ours, theirs = (part.generator.prior.sample(condition, z) for part in (model, base))
    torch.testing.assert_close(ours, theirs)


def test_a_new_kind_begins_as_the_mean_of_the_old(base):
    model = fine_tuning.extended(base, (*base.kinds, NEW))
    embedding, prior = model.generator.decoder.kind.weight, model.generator.prior_mean
    torch.testing.assert_close(embedding[2], embedding[:2].mean(0))
    torch.testing.assert_close(prior[2], prior[:2].mean(0))
    model.generator.decoder.kind.weight.data.zero_()
    assert base.generator.decoder.kind.weight.any()  # a copy


def test_the_notes_of_a_new_chord_are_drawn_where_they_belong(base):
    model = fine_tuning.extended(base, (*base.kinds, CHORD)).eval()
    controls = replace(
        fine_tuning.replay(base, 1, seed=1).controls, kind=np.array([2]), pitch=np.array([300.0])
    )
    with torch.no_grad():
        notes = decoded(model, controls, torch.zeros(1, 2)).notes[0, 10]
    torch.testing.assert_close(
        (notes - notes[0]).exp2(), torch.tensor([1.0, 1.25, 1.5]), atol=1e-4, rtol=0
    )


# The whole


def test_training_from_a_model_learns_the_new_and_keeps_the_old(tmp_path):
    about = {
        "generator": GeneratorConfig(residual=2, width=16, blocks=1, encoder_widths=(8, 8)),
        "autoencoder": None,
    }
    quick = {"steps": 60, "batch": 16, "warmup": 3, "learning_rate": 1e-2}
    start = presets.TrainConfig(
        **about, **quick, front_end=FRONT_END, kinds=("trumpet", "tuba"), clips=48
    )
    front_end = TootModel(
        FRONT_END, Normalizer(torch.zeros(16, 1), torch.ones(16, 1)), [NEW], **about
    ).front_end
    old = synthesise(start.kinds, start.clips, 0, front_end, progress=False)
    base = train(start, old, tmp_path / "base", progress=False)
    own = synthesise(["pea_whistle"], 24, 1, front_end, progress=False)
    own = replace(own, origin=np.array(RECORDED, dtype=np.int8), bend=None)
    model = str(tmp_path / "base/model.safetensors")
    config = replace(start, kinds=(), clips=0, data=("x",), replay=24, start_from=model)
    mixed = fine_tuning.rehearsed(own, fine_tuning.replay(base, 24, 0))
    tuned = train(config, mixed, tmp_path / "tuned", progress=False)
    assert [kind.name for kind in tuned.kinds] == ["trumpet", "tuba", "pea_whistle"]
    new = replace(own, kinds=tuned.kinds, controls=replace(own.controls, kind=np.full(24, 2)))
    untuned = fine_tuning.extended(base, tuned.kinds)
    assert error(tuned, new, config) < 0.6 * error(untuned, new, config)
    assert error(tuned, old, config) < 1.1 * error(base, old, config)
    told = model_file.read_metadata(tmp_path / "tuned/model.safetensors")["provenance"]
    assert (
        told["config"]["start_from"] == "model.safetensors"
        and "24 toots of the model" in told["data"]
    )
    assert str(tmp_path) not in str(told)  # where files lie is nobody else's business


def error(model, clips, config):
    return evaluate(model, clips)["generation"]
