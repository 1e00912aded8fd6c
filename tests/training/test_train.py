"""Training on a handful of toots with a small front end: what is learned, and in which steps."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.small import CONFIG, log, run
from tootlearn import losses
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.errors import InputError
from tootlearn.evaluation.reconstruction import pca
from tootlearn.models import model_file
from tootlearn.models.config import AutoencoderConfig
from tootlearn.training.batches import Batch, batch_rows
from tootlearn.training.objective import Objective
from tootlearn.training.schedule import learning_rate
from tootlearn.training.train import build, evaluate

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
    first = build(config, learn)
    x = first.normalizer(learn.log_mel.float())
    by_hand = pca(x, x, 4)
    with torch.inference_mode():  # of 88 frames 32 coordinates are kept
        assert float((first.autoencoder.eval()(x) - by_hand).square().mean()) < 0.01 * float(
            by_hand.square().mean()
        )
    weight = Batch.of(learn, config.front_end, torch.device("cpu")).weight
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
    assert evaluate(model, held_out) == pytest.approx(final, rel=0.01)
    assert model.generator.prior_mean.any()  # fitted at the end
    residual = model.generator.encode(*_seen(learn, config))[0]
    for kind in range(2):
        own = residual[torch.from_numpy(learn.controls.kind == kind)]
        torch.testing.assert_close(
            model.generator.prior_mean[kind], own.mean(0), atol=0.02, rtol=0.05
        )


def _seen(clips, config):
    everything = Batch.of(clips, config.front_end, torch.device("cpu"))
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
    model = build(CONFIG, learn)
    x = model.normalizer(learn.log_mel.float())
    weight = Batch.of(learn, CONFIG.front_end, torch.device("cpu")).weight
    mean = (x * weight[:, None]).sum((0, 2)) / weight.sum()
    torch.testing.assert_close(mean, torch.zeros(16), atol=1e-3, rtol=0)
    assert not torch.allclose(build(CONFIG, held_out).normalizer.mean, model.normalizer.mean)


def test_evaluation_is_the_squared_error_and_leaves_the_model_alone(clips):
    held_out = clips.split()[1]
    model = build(CONFIG, held_out).train()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    found = evaluate(model, held_out)
    assert model.training and all(
        torch.equal(t, before[name]) for name, t in model.state_dict().items()
    )
    model.eval()
    log_mel, controls = _seen(held_out, CONFIG)
    weight = Batch.of(held_out, CONFIG.front_end, torch.device("cpu")).weight.numpy()[:, None]
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
    model = build(config, learn).train()
    everything = Batch.of(learn, config.front_end, torch.device("cpu"))
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


def test_initial_weights_depend_on_the_seed_alone(clips):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    models = [build(replace(CONFIG, seed=seed), clips) for seed in (0, 0, 1)]
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
