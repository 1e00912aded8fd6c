"""Training on a handful of toots with a small front end: what is learned, and in which steps."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from small import CONFIG, clips_of

from tootlearn import losses
from tootlearn.dsp.front_end import FrontEndConfig
from tootlearn.errors import InputError
from tootlearn.evaluation.reconstruction import pca
from tootlearn.models import model_file
from tootlearn.models.autoencoder import AutoencoderConfig
from tootlearn.training import config as presets
from tootlearn.training import train as training
from tootlearn.training.batches import batch_rows
from tootlearn.training.objective import Objective
from tootlearn.training.schedule import learning_rate
from tootlearn.training.train import train


@pytest.fixture(scope="module")
def clips():
    return clips_of(CONFIG)


def run(config, clips, out, **options):
    return train(config, clips, out, progress=False, **options)


def log(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text("utf8").splitlines()]


# What is learned


def test_principal_components_are_those_of_the_training_clips_and_training_adds_to_them(
    clips, tmp_path
):
    wide = {
        "encoder_widths": (16,),
        "stride": 2,
        "pooling": "flatten",
        "decoder_start": 16,
        "decoder_widths": (16,),
    }
    linear = AutoencoderConfig(
        latent=4, residual=1, activation="silu", norm="group", patch=2, linear=True, **wide
    )
    config = replace(CONFIG, generator=None, autoencoder=linear, steps=100, learning_rate=3e-3)
    learn, _ = clips.split()
    first = training.build(config, learn)
    x = first.normalizer(learn.log_mel.float())
    by_hand = pca(x, x, 4)
    with torch.inference_mode():  # of 88 frames 32 coordinates are kept
        assert float((first.autoencoder.eval()(x) - by_hand).square().mean()) < 0.01 * float(
            by_hand.square().mean()
        )
    weight = training.Batch.of(learn, config.front_end, torch.device("cpu")).weight
    before = float(losses.squared_error(by_hand, x, weight))
    model = run(config, clips, tmp_path / "run")
    with torch.inference_mode():
        assert float(losses.squared_error(model.autoencoder(x), x, weight)) < 0.95 * before
    # it is not trained
    assert torch.equal(model.autoencoder.linear.mean, first.autoencoder.linear.mean.half().float())


def test_the_losses_fall_on_the_clips_and_on_those_held_out(clips, tmp_path):
    config = replace(
        CONFIG,
        steps=80,
        learning_rate=1e-2,
        check_every=10,
        weights={"generation_divergence": 1e-3},
    )
    model = run(config, clips, tmp_path / "run")
    rows = log(tmp_path / "run")
    assert [row["step"] for row in rows] == list(range(10, 81, 10))
    for name in ("generation", "reconstruction"):
        assert rows[-1][name] < 0.6 * rows[0][name], name
        assert rows[-1]["held_out"][name] < 0.8 * rows[0]["held_out"][name], name
    assert rows[-1]["generation_convergence"] < rows[0]["generation_convergence"]
    assert rows[-1]["generation_divergence"] >= 0
    learn, held_out = clips.split()
    final = model_file.read_metadata(tmp_path / "run" / "model.safetensors")["provenance"][
        "held_out"
    ]
    assert final == rows[-1]["held_out"]
    # it is stored in 16 bits
    assert training.evaluate(model, held_out) == pytest.approx(final, rel=0.01)
    assert model.generator.prior_mean.any()  # fitted at the end
    residual = model.generator.encode(*_seen(learn, config))[0]
    for kind in range(2):
        own = residual[torch.from_numpy(learn.controls.kind == kind)]
        torch.testing.assert_close(
            model.generator.prior_mean[kind], own.mean(0), atol=0.02, rtol=0.05
        )


def _seen(clips, config):
    everything = training.Batch.of(clips, config.front_end, torch.device("cpu"))
    return everything.log_mel.float(), everything.controls


@pytest.mark.parametrize("part", ["generator", "autoencoder"])
def test_each_part_can_be_trained_alone(clips, tmp_path, part):
    other = {"generator": "autoencoder", "autoencoder": "generator"}[part]
    model = run(replace(CONFIG, steps=2, **{other: None}), clips, tmp_path / "run")
    assert getattr(model, part) is not None and getattr(model, other) is None
    name = {"generator": "generation", "autoencoder": "reconstruction"}[part]
    assert log(tmp_path / "run")[-1]["held_out"].keys() == {name}


def test_statistics_come_from_the_training_clips_alone(clips):
    learn, held_out = clips.split()
    assert len(learn) and len(held_out)
    model = training.build(CONFIG, learn)
    x = model.normalizer(learn.log_mel.float())
    weight = training.Batch.of(learn, CONFIG.front_end, torch.device("cpu")).weight
    mean = (x * weight[:, None]).sum((0, 2)) / weight.sum()
    torch.testing.assert_close(mean, torch.zeros(16), atol=1e-3, rtol=0)
    assert not torch.allclose(
        training.build(CONFIG, held_out).normalizer.mean, model.normalizer.mean
    )


def test_a_batch_has_the_weights_and_controls_of_its_clips(clips):
    everything = training.Batch.of(clips, CONFIG.front_end, torch.device("cpu"))
    batch = everything[torch.tensor([7, 3])]
    assert batch.log_mel.dtype == torch.float32 and torch.equal(
        batch.log_mel[0], clips.log_mel[7].float()
    )
    assert batch.controls.kind.tolist() == clips.controls.kind[[7, 3]].tolist()
    np.testing.assert_allclose(
        batch.controls.octave.exp2(), clips.controls.pitch[[7, 3]], rtol=1e-5
    )
    duration = torch.tensor(clips.controls.duration, dtype=torch.float32)
    assert torch.equal(batch.weight, losses.frame_weights(duration, 88, 512, 22050)[[7, 3]])


def test_evaluation_is_the_squared_error_and_leaves_the_model_alone(clips):
    held_out = clips.split()[1]
    model = training.build(CONFIG, held_out).train()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    found = training.evaluate(model, held_out)
    assert model.training and all(
        torch.equal(t, before[name]) for name, t in model.state_dict().items()
    )
    model.eval()
    log_mel, controls = _seen(held_out, CONFIG)
    weight = training.Batch.of(held_out, CONFIG.front_end, torch.device("cpu")).weight.numpy()[
        :, None
    ]
    with torch.no_grad():
        x = model.normalizer(log_mel)
        drawn = model.generator.decode(
            controls, model.generator.encode(log_mel, controls)[0]
        ).log_mel
        expected = {
            "generation": np.mean(((model.normalizer(drawn) - x) ** 2).numpy() * weight),
            "reconstruction": np.mean(((model.autoencoder(x) - x) ** 2).numpy() * weight),
        }
    assert found == pytest.approx(expected, abs=2e-5)


# Steps


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_a_run_is_the_plain_loop_to_the_bit(clips, tmp_path, norm):
    """What devices, precision and parts need must change nothing where there is one of each."""
    config = replace(
        CONFIG, autoencoder=replace(CONFIG.autoencoder, norm=norm, variational=True), steps=6
    )
    learn, _ = clips.split()
    model = training.build(config, learn).train()
    everything = training.Batch.of(learn, config.front_end, torch.device("cpu"))
    objective = Objective(model, config)
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    for step in range(config.steps):
        optimizer.param_groups[0]["lr"] = learning_rate(
            config.learning_rate, step, config.steps, config.warmup
        )
        rows = batch_rows(config.seed, config.batch, step, len(learn))
        loss, terms = objective(everything[rows], step)
        optimizer.zero_grad()
        loss.backward()
        for network in (model.generator, model.autoencoder):
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimizer.step()
    run(config, clips, tmp_path / "run")
    saved = load_file(tmp_path / "run" / "checkpoint.safetensors")
    assert all(torch.equal(saved[f"model.{name}"], t) for name, t in model.state_dict().items())
    assert {k: v for k, v in log(tmp_path / "run")[-1].items() if k in terms} == {
        name: round(term.item(), 6) for name, term in terms.items()
    }


@given(count=st.integers(1, 40), batch=st.integers(1, 50), seed=st.integers(0, 9))
def test_every_clip_comes_once_in_each_epoch(count, batch, seed):
    steps = -(-3 * count // batch)
    rows = torch.cat([batch_rows(seed, batch, step, count) for step in range(steps)])[: 3 * count]
    assert (rows.view(3, count).sort(1).values == torch.arange(count)).all()


def test_batches_are_shuffled_anew_in_each_epoch_and_a_function_of_seed_and_step_alone():
    first, second = batch_rows(0, 32, 0, 32), batch_rows(0, 32, 1, 32)
    assert not torch.equal(first, second) and not torch.equal(first, torch.arange(32))
    torch.manual_seed(3)
    assert torch.equal(batch_rows(0, 32, 1, 32), second)
    assert not torch.equal(batch_rows(1, 32, 1, 32), second)


def test_the_learning_rate_rises_linearly_and_falls_by_a_cosine():
    rate = [learning_rate(2.0, step, 1000, warmup=100) for step in range(1000)]
    assert rate[0] == pytest.approx(2 / 100) and rate[49] == pytest.approx(1.0, rel=0.01)
    assert max(rate) == pytest.approx(2.0, rel=0.03) and abs(int(np.argmax(rate)) - 99) <= 1
    for step in (200, 500, 750):
        assert rate[step] == pytest.approx(1 + math.cos(math.pi * step / 1000))
    assert 0 < rate[-1] < 1e-4 and (np.diff(rate[100:]) < 0).all()
    assert learning_rate(0.5, 0, 1, warmup=1) == 0.5


def test_initial_weights_depend_on_the_seed_alone(clips):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    models = [training.build(replace(CONFIG, seed=seed), clips) for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(3), expected)  # the caller's random numbers are not touched
    a, b, c = (torch.cat([p.flatten() for p in model.parameters()]) for model in models)
    assert torch.equal(a, b) and not torch.equal(a, c)


# What is saved


def test_a_model_file_says_what_it_was_trained_on(clips, tmp_path):
    run(CONFIG, clips, tmp_path)
    provenance = model_file.read_metadata(tmp_path / "model.safetensors")["provenance"]
    assert provenance["steps"] == 12 and provenance["seed"] == 0 and "trumpet" in provenance["data"]
    assert provenance["config"] == json.loads(json.dumps(asdict(CONFIG)))
    assert provenance["versions"].keys() >= {"tootlearn", "torch", "python"}


# Bad input


def test_clips_that_do_not_go_with_the_config_are_refused_before_a_folder_is_made(clips, tmp_path):
    out = tmp_path / "run"
    for change, message in (
        (
            {"front_end": FrontEndConfig(hop=512, mels=24)},
            r"makes \(24, 88\) .* the clips have \(16, 88\)",
        ),
        ({"front_end": FrontEndConfig(hop=256, mels=16)}, r"makes \(16, 176\)"),
        ({"kinds": ("tuba", "trumpet")}, "asks for tuba, trumpet, but the clips are of "),
    ):
        with pytest.raises(InputError, match=message):
            run(replace(CONFIG, **change), clips, out)
    with pytest.raises(InputError, match="1 clips are too few"):
        run(CONFIG, clips[:1], out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("wrong", "allowed"),
    [
        ({"generator": None, "autoencoder": None}, "a generator, an autoencoder or both"),
        ({"kinds": ()}, "one name or more"),
        ({"clips": -1}, "clips is 0 or more, not -1"),
        ({"clips": 0}, "synthetic clips, sampled ones, or data"),
        ({"sampled": -1}, "sampled is 0 or more, not -1"),
        ({"bright": 1.5}, "bright is 0 to 1, not 1.5"),
        ({"bright": math.nan}, "bright is 0 to 1, not nan"),
        ({"replay": 5}, "only a model that is started from"),
        ({"steps": 0}, "steps is 1 or more, not 0"),
        ({"batch": -1}, "batch is 1 or more, not -1"),
        ({"warmup": 0}, "warmup is 1 or more, not 0"),
        ({"check_every": 0}, "check_every is 1 or more, not 0"),
        ({"learning_rate": 0.0}, "learning_rate is a positive number, not 0.0"),
        ({"learning_rate": math.nan}, "learning_rate is a positive number, not nan"),
        ({"clip": math.inf}, "clip is a positive number, not inf"),
        ({"weight_decay": -1.0}, "weight_decay is 0 or more, not -1.0"),
        ({"free_bits": math.nan}, "free_bits is 0 or more, not nan"),
        ({"seed": -1}, "seed is 0 to 9007199254740991, not -1"),
    ],
)
def test_configs_that_cannot_be_are_refused_with_what_can(wrong, allowed):
    with pytest.raises(InputError, match=allowed):
        replace(CONFIG, **wrong)


def test_presets_can_be_changed_by_field_and_unknown_ones_are_named():
    assert presets.preset("baseline").autoencoder == AutoencoderConfig()
    assert presets.preset("baseline").generator is None
    assert presets.preset("default", steps=7) == replace(presets.PRESETS["default"], steps=7)
    with pytest.raises(
        InputError, match="unknown preset 'best': there are default, synthetic, tiny, own, "
    ):
        presets.preset("best")
