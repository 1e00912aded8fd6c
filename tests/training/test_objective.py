"""The objective: which terms a step has, what they weigh, and how far each network's gradient
goes.
"""

import math
from dataclasses import replace

import pytest
import torch

from tests.small import CONFIG, log
from tootlearn import losses
from tootlearn.data import synthesis
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError
from tootlearn.losses import perceptual
from tootlearn.models.config import ClassifierConfig
from tootlearn.training import config as presets
from tootlearn.training import loop, train_classifier
from tootlearn.training.batches import Batch
from tootlearn.training.config import DRAWING_LOSSES, WEIGHTS, TrainConfig
from tootlearn.training.objective import Objective, listener_features
from tootlearn.training.train import build, train

EVERYTHING = dict.fromkeys(WEIGHTS, 0.5)
CPU = torch.device("cpu")


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
    """Model, batch and objective."""
    batch = Batch.of(clips, config.front_end, CPU)[torch.arange(8)]
    model = build(config, clips)
    return model, batch, Objective.of(model, config, CPU)


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
    features = listener_features(config, CPU)
    assert quick_listener == [CONFIG.front_end]
    waves, _ = synthesis.toots(CONFIG.kinds, 4, 0)
    listener = train_classifier.listener(CONFIG.front_end)
    heard, expected = (
        features(FrontEnd(fine)(waves)),
        listener.features(FrontEnd(CONFIG.front_end)(waves)),
    )
    for found, own in zip(heard, expected, strict=True):
        torch.testing.assert_close(found, own, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("part", ["generator", "autoencoder"])
def test_nobody_listens_to_a_network_that_there_is_not(quick_listener, part):
    drawing = {"generator": "generation", "autoencoder": "reconstruction"}[part]
    config = replace(CONFIG, weights={f"{drawing}_embedding": 0.5})
    assert listener_features(config, CPU) and len(quick_listener) == 1
    assert listener_features(replace(config, **{part: None}), CPU) is None
    assert len(quick_listener) == 1


def test_a_term_of_no_weight_is_left_out_and_the_listener_not_trained(clips, quick_listener):
    weights = {"generation_audible": 0.5, "generation_bend": 0}
    _, batch, objective = started(replace(CONFIG, weights=weights), clips)
    terms = objective.terms(batch, 0)
    drawn = {"generation", "generation_convergence", "generation_divergence", "generation_audible"}
    assert terms.keys() == drawn | {"reconstruction"} and not quick_listener


@pytest.mark.parametrize("drawing", ["generation", "reconstruction"])
@pytest.mark.parametrize("loss", DRAWING_LOSSES)
def test_each_term_enters_the_total_by_its_weight_and_is_of_its_own_drawing(
    clips, quick_listener, drawing, loss
):
    name = f"{drawing}_{loss}"
    model, batch, without = started(replace(CONFIG, weights={name: 0.0}), clips)
    objective = Objective.of(model, replace(CONFIG, weights={name: 0.75}), CPU)
    model.eval()
    (before, _), (total, terms) = (o(batch, 3) for o in (without, objective))
    assert terms[name] > 0
    torch.testing.assert_close(total - before, 0.75 * terms[name], rtol=1e-3, atol=1e-5)
    terms[name].backward()
    reached = {"generation": model.generator, "reconstruction": model.autoencoder}
    for part, network in reached.items():
        assert any(p.grad is not None and p.grad.any() for p in network.parameters()) == (
            part == drawing
        )


def test_the_terms_are_those_of_what_was_drawn(clips, quick_listener):
    model, batch, objective = started(replace(CONFIG, weights=EVERYTHING), clips)
    model.eval()
    with torch.no_grad():
        terms = objective.terms(batch, 5)
        y = model.normalizer.inverse(model.autoencoder(model.normalizer(batch.log_mel)))
        x, weight = batch.log_mel, batch.weight
        expected = {
            "convergence": losses.mel_convergence(y, x),
            "stft": objective.stft(y, x, CONFIG.seed, 5),
            "audible": perceptual.audible_error(y, x, weight, objective.audibility),
            "multi_scale": perceptual.multi_scale_error(y, x, weight),
            "embedding": perceptual.feature_error(
                objective.features(y), objective.features(x), weight
            ),
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
    model, batch, objective = started(config, clips)
    first, again, later = (objective.terms(batch, step) for step in (0, 0, 1))
    assert first["reconstruction"] == again["reconstruction"] != later["reconstruction"]
    with torch.no_grad():
        mean, log_scale = model.autoencoder.posterior(model.normalizer(batch.log_mel))
    gaussians = torch.distributions.Normal(mean, log_scale.exp())
    normal = torch.distributions.Normal(torch.zeros_like(mean), 1.0)
    by_torch = torch.distributions.kl_divergence(gaussians, normal).sum(1).mean()
    torch.testing.assert_close(
        first["reconstruction_divergence"].detach(), by_torch, rtol=1e-3, atol=1e-3
    )
    weights = [objective.weights(step)["reconstruction_divergence"] for step in (0, 3, 6, 11)]
    assert weights == pytest.approx([0, 0.5e-4, 1e-4, 1e-4])  # of 12 steps
    free = Objective(model, replace(config, free_bits=5.0)).terms(batch, 0)
    assert free["reconstruction_divergence"] >= 5 * config.autoencoder.latent


def test_the_divergence_weighs_200_times_as_much_at_first_and_its_weight_from_the_middle_on(clips):
    config = replace(CONFIG, steps=100, weights={"generation_divergence": 0.5})
    objective = Objective(build(config, clips), config)
    weights = [objective.weights(step)["generation_divergence"] for step in (0, 25, 50, 99)]
    assert (
        weights[0] == pytest.approx(100)
        and 0.5 < weights[1] < 100
        and weights[2:] == pytest.approx([0.5, 0.5])
    )
    assert objective.weights(0)["generation_convergence"] == 0.2  # not named: the default


def test_the_noise_of_a_step_is_a_function_of_the_step(clips):
    model, batch, objective = started(CONFIG, clips)
    model.eval()
    with torch.no_grad():
        first, again, next_ = (objective.terms(batch, step) for step in (3, 3, 4))
    assert first == again
    assert (
        first["generation"] != next_["generation"]
        and first["reconstruction"] == next_["reconstruction"]
    )


# Gradients


def test_encoders_get_what_is_heard_and_drawings_are_judged_by_what_is_meant(clips):
    """As augmentation has it: noise and masks are heard and shall not be drawn."""
    model, batch, objective = started(CONFIG, clips)
    model.eval()
    heard = batch.log_mel - 2 * (torch.arange(batch.log_mel.shape[2]) > 20)
    with torch.no_grad():
        _, terms = objective(replace(batch, encoder_input=heard), 0)
        z, _ = model.autoencoder.posterior(model.normalizer(heard))
        x, y = model.normalizer(batch.log_mel), model.autoencoder.decode(z)
        mean, log_scale = model.generator.encode(heard, batch.controls)
    torch.testing.assert_close(terms["reconstruction"], losses.squared_error(y, x, batch.weight))
    torch.testing.assert_close(terms["generation_divergence"], losses.divergence(mean, log_scale))
    _, plain = objective(batch, 0)
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

    model = build(CONFIG, clips.split()[0])
    monkeypatch.setattr("tootlearn.training.train.initial_model", lambda *_: model)
    monkeypatch.setattr(torch.optim.AdamW, "step", measure)
    train(replace(CONFIG, steps=3, clip=0.125), clips, tmp_path / "run", progress=False)
    assert norms == pytest.approx([0.125] * 6, rel=1e-3)


def test_the_step_of_the_autoencoder_does_not_depend_on_the_generators_loss(clips, tmp_path):
    """Nor on whether there is a generator at all."""
    found = []
    alone, huge = replace(CONFIG, generator=None), replace(CONFIG, weights={"generation": 1e6})
    for name, config in {"alone": alone, "beside": CONFIG, "huge": huge}.items():
        config = replace(config, steps=3, clip=0.25)
        model = build(config, clips.split()[0])
        objective, optimizer = Objective(model, config), torch.optim.SGD(model.parameters(), 1.0)
        if name == "alone":
            weights = {key: t.clone() for key, t in model.autoencoder.state_dict().items()}
        model.autoencoder.load_state_dict(weights)  # the generator's came first where there is one
        loss, _ = objective(Batch.of(clips, config.front_end, CPU)[torch.arange(8)], 0)
        loss.backward()
        for network in objective.networks():
            loop._clip(network, config.clip)
        optimizer.step()
        found.append(torch.cat([p.detach().flatten() for p in model.autoencoder.parameters()]))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


# Weights in a config


def test_weights_that_are_not_named_keep_their_default():
    assert TrainConfig().weights == WEIGHTS
    config = TrainConfig(weights={"reconstruction_audible": 2})
    assert config.weights == WEIGHTS | {"reconstruction_audible": 2}
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
            {"weights": {"reconstruction_audible": -1.0}},
            "the weight of reconstruction_audible is 0 or more, not -1.0",
        ),
        ({"weights": {"generation": math.nan}}, "the weight of generation is 0 or more, not nan"),
        (
            {"weights": {"reconstruction": 0}},
            "nothing trains the autoencoder: give reconstruction a weight, or set auto",
        ),
    ],
)
def test_weights_that_cannot_be_are_refused_with_what_can(wrong, message):
    with pytest.raises(InputError, match=message):
        replace(CONFIG, **wrong)


def test_a_network_can_learn_from_another_loss_than_the_squared_error(clips):
    # the generator has its convergence
    weights = {"generation": 0, "reconstruction": 0, "reconstruction_audible": 1.0}
    _, batch, objective = started(replace(CONFIG, weights=weights), clips)
    terms = objective.terms(batch, 0)
    assert (
        "generation_convergence" in terms
        and "reconstruction_audible" in terms
        and "reconstruction" not in terms
    )
