"""The criterion: which terms a step has, what they weigh, and how far each network's gradient goes."""

import json
import math
import signal
from dataclasses import replace

import pytest
import torch
from small import CONFIG, clips_of

from tootlearn.data import synthesis
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError
from tootlearn.losses import log_mel as losses
from tootlearn.losses import perceptual
from tootlearn.losses.log_mel import OF_DRAWINGS
from tootlearn.models.classifier import ClassifierConfig
from tootlearn.training import config as presets
from tootlearn.training import objective, steps, train_classifier
from tootlearn.training import train as training
from tootlearn.training.batches import Batch
from tootlearn.training.config import WEIGHTS, TrainConfig
from tootlearn.training.objective import Criterion
from tootlearn.training.train import train

EVERYTHING = dict.fromkeys(WEIGHTS, 0.5)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def clips():
    return clips_of(CONFIG)


@pytest.fixture
def quick_listener(monkeypatch):
    """A listener that is trained in a moment; a list of how often it was."""
    trained, listener = [], train_classifier.listener

    def quick(front_end, progress=False):
        trained.append(front_end)
        return listener(
            front_end, ClassifierConfig(steps=2, batch=8, width=4, embedding=8), clips=24
        )

    monkeypatch.setattr(train_classifier, "listener", quick)
    return trained


def started(config, clips):
    """Model, batch and criterion."""
    batch = Batch.of(clips, config, CPU)[torch.arange(8)]
    return training.build(config, clips), batch, Criterion.of(config, CPU)


def log(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text("utf8").splitlines()]


# Terms


def test_the_names_of_the_weights_are_those_of_the_log(clips, tmp_path, quick_listener):
    variational = replace(CONFIG.autoencoder, variational=True)
    config = replace(CONFIG, steps=2, weights=EVERYTHING, autoencoder=variational)
    train(config, clips, tmp_path / "run", progress=False)
    row = log(tmp_path / "run")[-1]
    assert row.keys() == WEIGHTS.keys() | {"step", "held_out"}
    # once a run
    assert all(row[name] > 0 for name in WEIGHTS) and quick_listener == [CONFIG.front_end]


def test_where_frames_overlap_much_every_second_one_is_heard(quick_listener):
    """As a listener does that has learned from frames twice as far apart: these are the same
    frames.
    """
    fine = replace(CONFIG.front_end, hop=256)
    config = replace(CONFIG, front_end=fine, weights={"generation_embedding": 0.5})
    judge = Criterion.of(config, torch.device("cpu"))
    assert quick_listener == [CONFIG.front_end]
    waves, _ = synthesis.toots(CONFIG.kinds, 4, 0)
    listener = train_classifier.listener(CONFIG.front_end)
    heard, expected = (
        judge.features(FrontEnd(fine)(waves)),
        listener.features(FrontEnd(CONFIG.front_end)(waves)),
    )
    for found, own in zip(heard, expected, strict=True):
        torch.testing.assert_close(found, own, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("part", ["generator", "autoencoder"])
def test_nobody_listens_to_a_network_that_there_is_not(quick_listener, part):
    drawing = {"generator": "generation", "autoencoder": "reconstruction"}[part]
    config = replace(CONFIG, weights={f"{drawing}_embedding": 0.5})
    assert Criterion.of(config, torch.device("cpu")).features and len(quick_listener) == 1
    assert Criterion.of(replace(config, **{part: None}), torch.device("cpu")).features is None
    assert len(quick_listener) == 1


def test_a_term_of_no_weight_is_left_out_and_the_listener_not_trained(clips, quick_listener):
    terms, _ = _terms(
        replace(CONFIG, weights={"generation_onset": 0.5, "generation_bend": 0}), clips
    )
    drawn = {"generation", "generation_convergence", "generation_divergence", "generation_onset"}
    assert terms.keys() == drawn | {"reconstruction"} and not quick_listener


def _terms(config, clips):
    model, batch, judge = started(config, clips)
    return judge.terms(model, batch, 0)


@pytest.mark.parametrize("drawing", ["generation", "reconstruction"])
@pytest.mark.parametrize("loss", OF_DRAWINGS)
def test_each_term_enters_the_total_by_its_weight_and_is_of_its_own_drawing(
    clips, quick_listener, drawing, loss
):
    name = f"{drawing}_{loss}"
    model, batch, without = started(replace(CONFIG, weights={name: 0.0}), clips)
    judge = Criterion.of(replace(CONFIG, weights={name: 0.75}), CPU)
    model.eval()
    (before, _), (total, terms) = (c(model, batch, 3) for c in (without, judge))
    assert terms[name] > 0
    torch.testing.assert_close(total - before, 0.75 * terms[name], rtol=1e-3, atol=1e-5)
    terms[name].backward()
    reached = {"generation": model.generator, "reconstruction": model.autoencoder}
    for part, network in reached.items():
        assert any(p.grad is not None and p.grad.any() for p in network.parameters()) == (
            part == drawing
        )


def test_the_terms_are_those_of_what_was_drawn(clips, quick_listener):
    model, batch, judge = started(replace(CONFIG, weights=EVERYTHING), clips)
    model.eval()
    with torch.no_grad():
        terms, _ = judge.terms(model, batch, 5)
        y = model.normalizer.inverse(model.autoencoder(model.normalizer(batch.log_mel)))
        x, weight = batch.log_mel, batch.weight
        expected = {
            "l1": objective.losses.absolute_error(y, x, weight),
            "convergence": objective.losses.mel_convergence(y, x),
            "envelope": objective.losses.envelope_error(y, x, weight),
            "difference": objective.losses.difference_error(y, x, weight),
            "onset": objective.losses.onset_error(y, x, weight),
            "stft": judge.waveform(y, x, CONFIG.seed, 5),
            "audible": perceptual.audible_error(y, x, weight, judge.audibility),
            "multi_scale": perceptual.multi_scale_error(y, x, weight),
            "embedding": perceptual.feature_error(judge.features(y), judge.features(x), weight),
        }
    for name, value in expected.items():
        torch.testing.assert_close(terms[f"reconstruction_{name}"], value)


def test_a_variational_latent_is_drawn_in_training_and_its_divergence_comes_to_count(clips):
    config = replace(
        CONFIG,
        generator=None,
        autoencoder=replace(CONFIG.autoencoder, variational=True),
        free_bits=0.0,
    )
    model, batch, judge = started(config, clips)
    first, again, later = (judge.terms(model, batch, step)[0] for step in (0, 0, 1))
    assert first["reconstruction"] == again["reconstruction"] != later["reconstruction"]
    with torch.no_grad():
        mean, log_scale = model.autoencoder.posterior(model.normalizer(batch.log_mel))
    gaussians = torch.distributions.Normal(mean, log_scale.exp())
    normal = torch.distributions.Normal(torch.zeros_like(mean), 1.0)
    by_torch = torch.distributions.kl_divergence(gaussians, normal).sum(1).mean()
    torch.testing.assert_close(
        first["reconstruction_divergence"].detach(), by_torch, rtol=1e-3, atol=1e-3
    )
    weights = [judge.weights(step)["reconstruction_divergence"] for step in (0, 3, 6, 11)]
    assert weights == pytest.approx([0, 0.5e-4, 1e-4, 1e-4])  # of 12 steps
    free = Criterion(replace(config, free_bits=5.0)).terms(model, batch, 0)[0]
    assert free["reconstruction_divergence"] >= 5 * config.autoencoder.latent


def test_the_divergence_weighs_200_times_as_much_at_the_start_and_its_own_weight_from_the_middle_on():
    judge = Criterion(replace(CONFIG, steps=100, weights={"generation_divergence": 0.5}))
    weights = [judge.weights(step)["generation_divergence"] for step in (0, 25, 50, 99)]
    assert (
        weights[0] == pytest.approx(100)
        and 0.5 < weights[1] < 100
        and weights[2:] == pytest.approx([0.5, 0.5])
    )
    assert judge.weights(0)["generation_convergence"] == 0.2  # not named: the default


def test_the_noise_of_a_step_is_a_function_of_the_step(clips):
    model, batch, judge = started(CONFIG, clips)
    model.eval()
    with torch.no_grad():
        first, again, next_ = (judge.terms(model, batch, step)[0] for step in (3, 3, 4))
    assert first == again
    assert (
        first["generation"] != next_["generation"]
        and first["reconstruction"] == next_["reconstruction"]
    )


# Gradients


def test_encoders_get_what_is_heard_and_drawings_are_judged_by_what_is_meant(clips):
    """As augmentation has it: noise and masks are heard and shall not be drawn."""
    model, batch, judge = started(CONFIG, clips)
    model.eval()
    heard = batch.log_mel - 2 * (torch.arange(batch.log_mel.shape[2]) > 20)
    with torch.no_grad():
        _, terms = judge(model, replace(batch, heard=heard), 0)
        z, _ = model.autoencoder.posterior(model.normalizer(heard))
        x, y = model.normalizer(batch.log_mel), model.autoencoder.decode(z)
        mean, log_scale = model.generator.encode(heard, batch.controls)
    torch.testing.assert_close(terms["reconstruction"], losses.squared_error(y, x, batch.weight))
    torch.testing.assert_close(terms["generation_divergence"], losses.divergence(mean, log_scale))
    _, plain = judge(model, batch, 0)
    assert not torch.isclose(plain["reconstruction"], terms["reconstruction"])
    assert not torch.isclose(plain["generation_divergence"], terms["generation_divergence"])


def test_the_gradient_of_each_network_is_cut_to_the_norm_that_is_asked_for(
    clips, tmp_path, monkeypatch
):
    norms = []
    step = torch.optim.AdamW.step

    def measure(optimizer):
        for part in (model.generator, model.autoencoder):
            norms.append(
                float(
                    torch.stack(
                        [p.grad.norm() for p in part.parameters() if p.grad is not None]
                    ).norm()
                )
            )
        return step(optimizer)

    model = training.build(CONFIG, clips.split()[0])
    monkeypatch.setattr(training, "start", lambda *_: model)
    monkeypatch.setattr(torch.optim.AdamW, "step", measure)
    train(replace(CONFIG, steps=3, clip=0.125), clips, tmp_path / "run", progress=False)
    assert norms == pytest.approx([0.125] * 6, rel=1e-3)


def test_the_step_of_the_autoencoder_does_not_depend_on_the_generators_loss(clips, tmp_path):
    """Nor on whether there is a generator at all."""
    found = []
    alone, huge = replace(CONFIG, generator=None), replace(CONFIG, weights={"generation": 1e6})
    for name, config in {"alone": alone, "beside": CONFIG, "huge": huge}.items():
        config = replace(config, steps=3, clip=0.25)
        model = training.build(config, clips.split()[0])
        judge, optimizer = Criterion(config), torch.optim.SGD(model.parameters(), 1.0)
        if name == "alone":
            weights = {key: t.clone() for key, t in model.autoencoder.state_dict().items()}
        model.autoencoder.load_state_dict(weights)  # the generator's came first where there is one
        loss, _ = judge(model, Batch.of(clips, config, CPU)[torch.arange(8)], 0)
        loss.backward()
        objective.clip_gradients(model, config.clip)
        optimizer.step()
        found.append(torch.cat([p.detach().flatten() for p in model.autoencoder.parameters()]))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_balanced_terms_have_their_shares_in_training_whatever_their_units(clips):
    shares = {
        "reconstruction": 1.0,
        "reconstruction_l1": 0.5,
        "reconstruction_stft": 0.25,
        "reconstruction_onset": 2.0,
    }
    config = replace(CONFIG, generator=None, weights=shares, balance=True)
    model, batch, judge = started(config, clips)
    model.eval()
    for _ in range(3):
        terms, drawings = judge.terms(model, batch, 0)
        balanced = judge.balancer(terms, drawings, judge.weights(0))
    norms = {}
    for name, term in terms.items():
        (gradient,) = torch.autograd.grad(
            balanced[name] * term, drawings["reconstruction"], retain_graph=True
        )
        norms[name] = float(gradient.norm())
    asked = {name: weight / sum(shares.values()) for name, weight in shares.items()}
    assert {name: norm / sum(norms.values()) for name, norm in norms.items()} == pytest.approx(
        asked, rel=0.05
    )
    total, terms = judge(model, batch, 0)
    plain = sum(shares[name] * term for name, term in terms.items())
    assert (total - plain).abs() > 0.1 * plain


def test_a_balanced_run_with_all_terms_goes_on_as_if_it_had_not_stopped(
    clips, tmp_path, quick_listener, monkeypatch
):
    config = replace(CONFIG, steps=4, weights=EVERYTHING, balance=True)
    whole = train(config, clips, tmp_path / "whole", progress=False)
    with monkeypatch.context() as patch:
        clip, calls = steps.clip_gradients, []

        def stop(*arguments):  # once the balancer has measured the third step
            calls.append(0)
            if len(calls) == 3:
                signal.raise_signal(signal.SIGINT)
            clip(*arguments)

        patch.setattr(steps, "clip_gradients", stop)
        with pytest.raises(training.Stopped, match="after step 3"):
            train(config, clips, tmp_path / "parts", progress=False)
    parts = train(config, clips, tmp_path / "parts", resume=True, progress=False)
    assert log(tmp_path / "whole") == log(tmp_path / "parts")
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True)
    )


# Weights in a config


def test_weights_that_are_not_named_keep_their_default():
    assert TrainConfig().weights == WEIGHTS
    config = TrainConfig(weights={"reconstruction_l1": 2})
    assert config.weights == WEIGHTS | {"reconstruction_l1": 2}
    assert replace(config, steps=7).weights == config.weights
    assert presets.preset("default", weights={"generation_bend": 0}).weights["generation_bend"] == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"weights": {"generation_audibel": 1.0}},
            "no term 'generation_audibel' to weigh: there are generation_audib",
        ),
        (
            {"weights": {"audible": 1.0}},
            "no term 'audible' to weigh: there are generation_audible, ",
        ),
        (
            {"weights": {"reconstruction_l1": -1.0}},
            "the weight of reconstruction_l1 is 0 or more, not -1.0",
        ),
        ({"weights": {"generation": math.nan}}, "the weight of generation is 0 or more, not nan"),
        (
            {"weights": {"reconstruction": 0}},
            "nothing trains the autoencoder: give reconstruction a weight, or set auto",
        ),
        (
            {"weights": {"generation": 0}, "balance": True},
            "shares are measured by generation: give it a weight, or",
        ),
    ],
)
def test_weights_that_cannot_be_are_refused_with_what_can(wrong, message):
    with pytest.raises(InputError, match=message):
        replace(CONFIG, **wrong)


def test_a_network_can_learn_from_another_loss_than_the_squared_error(clips):
    # the generator has its convergence
    weights = {"generation": 0, "reconstruction": 0, "reconstruction_l1": 1.0}
    terms, _ = _terms(replace(CONFIG, weights=weights), clips)
    assert (
        "generation_convergence" in terms
        and "reconstruction_l1" in terms
        and "reconstruction" not in terms
    )
