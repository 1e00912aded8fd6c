"""The loop that all networks share: they resume to the bit, log, can be tracked, and stop at what
is not finite.
"""

import math
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.small import CONFIG, clips_of, log
from tootlearn.data.sounds import Sounds
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.models.config import BandwidthConfig, ClassifierConfig, VocoderConfig
from tootlearn.training import checkpoint, loop
from tootlearn.training.compute import one_process
from tootlearn.training.config import BandwidthTrainConfig, Compute, VocoderTrainConfig
from tootlearn.training.loop import Diverged, Optimisation, Part, Stopped, fit
from tootlearn.training.objective import Objective
from tootlearn.training.tracking import open_trackers
from tootlearn.training.train import train
from tootlearn.training.train_bandwidth import BandwidthObjective, train_bandwidth
from tootlearn.training.train_classifier import ClassifierObjective, train_classifier
from tootlearn.training.train_vocoder import VocoderObjective, train_vocoder

VOCODER = VocoderTrainConfig(
    front_end=FrontEndConfig(mels=48),
    vocoder=VocoderConfig(width=16, hidden=32, blocks=1, kernel=3, wide=64),
    steps=6,
    batch=4,
    frames=8,
    check_every=3,
)
BANDWIDTH = BandwidthTrainConfig(
    BandwidthConfig(width=8, hidden=8, blocks=1, kernel=3),
    versions=1,
    steps=6,
    batch=4,
    frames=16,
    check_every=3,
)
CLASSIFIER = ClassifierConfig(steps=6, batch=8, width=4, embedding=8)
TOOTS = replace(CONFIG, steps=6, check_every=3)


class Network(NamedTuple):
    """One of the networks of the package: how it is trained, and what its objective is."""

    train: Callable[..., nn.Module]  # out, resume and on_check
    objective: type[nn.Module]
    config: Any


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(-3000, 3000, (12, 45056), generator=generator, dtype=torch.int16)
    noise[:, 30000:] = 0
    sounds, clips = Sounds(noise, torch.arange(12) % 6 == 0), clips_of(TOOTS)
    learn, held_out = clips.split()

    def toots(out, **options):
        return train(TOOTS, clips, out, progress=False, **options)

    def vocoder(out, **options):
        return train_vocoder(VOCODER, sounds, out, progress=False, **options)

    def bandwidth(out, **options):
        return train_bandwidth(BANDWIDTH, sounds, out, progress=False, **options)

    def classifier(out, **options):
        front_end = TOOTS.front_end
        return train_classifier(learn, CLASSIFIER, front_end, out=out, held_out=held_out, **options)

    return {
        "toots": Network(toots, Objective, TOOTS),
        "vocoder": Network(vocoder, VocoderObjective, VOCODER),
        "bandwidth": Network(bandwidth, BandwidthObjective, BANDWIDTH),
        "classifier": Network(classifier, ClassifierObjective, CLASSIFIER),
    }


NAMES = ("toots", "vocoder", "bandwidth", "classifier")


@pytest.fixture(scope="module")
def whole(networks, tmp_path_factory) -> dict[str, Path]:
    """A run of each network that nothing interrupted."""
    home = tmp_path_factory.mktemp("whole")
    for name, network in networks.items():
        network.train(home / name)
    return {name: home / name for name in networks}


def assert_same_run(out: Path, whole: Path) -> None:
    ours, theirs = (load_file(folder / "checkpoint.safetensors") for folder in (out, whole))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert log(out) == log(whole)


def raise_at(monkeypatch, objective, step, act):
    """Do something in the forward pass of a step of training."""
    forward = objective.forward

    def wrapped(self, batch, number):
        if self.training and number == step:
            act()
        return forward(self, batch, number)

    monkeypatch.setattr(objective, "forward", wrapped)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", NAMES)
def test_every_network_that_is_stopped_goes_on_to_the_same_bits(
    networks, whole, tmp_path, monkeypatch, name, number
):
    with monkeypatch.context() as patch:
        raise_at(patch, networks[name].objective, 3, lambda: signal.raise_signal(number))
        with pytest.raises(Stopped, match="after step 4 of 6.*--resume"):
            networks[name].train(tmp_path / "run")
    networks[name].train(tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", whole[name])


@pytest.mark.parametrize("name", NAMES)
def test_every_network_that_was_killed_goes_on_from_its_last_checkpoint(
    networks, whole, tmp_path, monkeypatch, name
):
    def die():
        raise MemoryError

    with monkeypatch.context() as patch:
        raise_at(patch, networks[name].objective, 4, die)
        with pytest.raises(MemoryError):
            networks[name].train(tmp_path / "run")
    assert (
        checkpoint.read_notes(tmp_path / "run/checkpoint.safetensors")["row"]["step"] == 3
        or name == "classifier"
    )
    networks[name].train(tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", whole[name])


@pytest.mark.parametrize("name", NAMES)
def test_every_network_refuses_a_folder_that_holds_a_run(networks, whole, name):
    before = {path: path.read_bytes() for path in whole[name].iterdir()}
    with pytest.raises(loop.InputError, match="holds a run already: give --resume"):
        networks[name].train(whole[name])
    assert {path: path.read_bytes() for path in whole[name].iterdir()} == before


@pytest.mark.parametrize("name", NAMES)
def test_every_network_can_be_tracked(networks, tmp_path, name):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    with open_trackers(["tensorboard"], out, networks[name].config) as on_check:
        networks[name].train(out, on_check=on_check)
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    rows = log(out)
    for error in rows[0]["held_out"]:
        held = [(e.step, e.value) for e in events.Scalars(f"held_out/{error}")]
        expected = [(row["step"], pytest.approx(row["held_out"][error])) for row in rows]
        assert held == expected and len(held) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_every_network_stops_at_a_loss_that_is_not_finite(
    networks, whole, tmp_path, monkeypatch, name
):
    objective = networks[name].objective
    forward = objective.forward

    def broken(self, batch, step):
        loss, terms = forward(self, batch, step)
        if self.training and step == 4:
            first = next(iter(terms))
            loss, terms = loss * math.nan, terms | {first: terms[first] * math.nan}
        return loss, terms

    monkeypatch.setattr(objective, "forward", broken)
    with pytest.raises(Diverged, match=r"at step 5 \(\w+.*--learning-rate"):
        networks[name].train(tmp_path / "run")
    kept = load_file(tmp_path / "run/checkpoint.safetensors")
    assert all(t.isfinite().all() for t in kept.values())
    assert not list((tmp_path / "run").glob("[mvb]*.safetensors")), "a result of a broken run"
    monkeypatch.undo()
    networks[name].train(tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", whole[name])


# On a model of one number


class Line(nn.Module):
    """y = a x, and the squared error of it."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.model.weight)

    def networks(self):
        return [self.model]

    def forward(self, batch, step):
        x, y = batch
        loss = (self.model(x) - y).square().mean()
        return loss, {"loss": loss}


X = torch.tensor([[1.0], [2.0], [3.0], [-1.0]])


def fitted(parts, **changes) -> Line:
    line = Line()
    plan = Optimisation(steps=300, learning_rate=0.1, weight_decay=0.0, warmup=1)
    fit(
        line,
        lambda step: parts,
        lambda: {},
        replace(plan, **changes),
        one_process(),
        progress=False,
    )
    return line


def test_it_finds_the_slope():
    assert float(fitted([Part((X, 3 * X))]).model.weight.detach()) == pytest.approx(3, abs=1e-3)


def test_parts_of_a_batch_are_the_batch():
    """By plain gradient descent: AdamW does not see the size of a gradient."""
    weights = []
    for spans in ([(0, 4)], [(0, 3), (3, 4)]):
        line, fabric = Line(), one_process()
        prepared = loop.prepare(fabric, line, torch.optim.SGD(line.parameters(), 0.01))
        parts = [Part((X[a:b], 3 * X[a:b]), (b - a) / 4, a) for a, b in spans]
        loop.take_step(fabric, *prepared, parts, 0, clip=math.inf)
        weights.append(float(line.model.weight.detach()))
    assert weights[1] == pytest.approx(weights[0], rel=1e-5) and weights[0] != 0


def test_a_gradient_that_is_not_finite_changes_no_weight():
    line = Line()
    line.model.weight.register_hook(lambda gradient: gradient * math.inf)
    plan = Optimisation(steps=3, learning_rate=0.1)
    with pytest.raises(Diverged, match=r"step 1 \(gradient of Linear\)"):
        fit(line, lambda step: [Part((X, X))], lambda: {}, plan, one_process(), progress=False)
    assert line.model.weight.item() == 0


def test_dropout_of_a_step_is_a_function_of_seed_step_and_place():
    drawn = []

    class Noisy(Line):
        def forward(self, batch, step):
            drawn.append(float(torch.rand(())))
            return super().forward(batch, step)

    def numbers(seed, *places):
        drawn.clear()
        plan = Optimisation(steps=2, learning_rate=0.1, seed=seed)
        parts = [Part((X, X), 1 / len(places), place) for place in places]
        line, state = Noisy(), torch.get_rng_state()
        fit(line, lambda step: parts, lambda: {}, plan, one_process(), progress=False)
        assert torch.equal(torch.get_rng_state(), state)
        return tuple(drawn)

    first = numbers(1, 0)
    assert first == numbers(1, 0) and len(set(first)) == 2
    assert set(first).isdisjoint(numbers(2, 0)) and numbers(1, 0, 5)[::2] == first
    assert len(set(numbers(1, 0, 5))) == 4


def test_compiled_are_the_children_of_the_networks_that_have_weights(monkeypatch):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(type(module)))
    line = Line()
    line.model = nn.Sequential(line.model, nn.Identity(), nn.ModuleList([nn.Linear(1, 1)]))
    line.forward = lambda batch, step: (line.model[0](batch[0]).square().mean(), {})
    loop.prepare(one_process(), line, torch.optim.SGD(line.parameters()), compiled=True)
    assert compiled == [nn.Linear, nn.Linear]


@pytest.mark.parametrize("name", ["toots", "vocoder", "bandwidth"])
def test_with_networks_in_16_bits_the_losses_are_those_of_32(networks, whole, tmp_path, name):
    networks[name].train(tmp_path / "run", compute=Compute(precision="bf16"))
    ours, theirs = log(tmp_path / "run")[0], log(whole[name])[0]
    for term in theirs.keys() - {"held_out", "step"}:
        assert ours[term] == pytest.approx(theirs[term], rel=0.02, abs=0.02), term
    kept = load_file(tmp_path / "run/checkpoint.safetensors")
    assert all(t.dtype == torch.float32 for t in kept.values() if t.is_floating_point())


@pytest.mark.parametrize("name", ["toots", "vocoder", "bandwidth"])
def test_more_parts_than_examples_are_refused_before_anything_is_written(networks, tmp_path, name):
    with pytest.raises(loop.InputError, match="--batch 99 or more"):
        networks[name].train(tmp_path / "run", compute=Compute(accumulate=99))
    assert not (tmp_path / "run").exists()


def test_a_classifier_of_other_kinds_or_frames_is_not_resumed(whole):
    clips = clips_of(TOOTS)
    front_end = replace(TOOTS.front_end, fmax=8000.0)
    for changes in ({"front_end": front_end}, {"clips": replace(clips, kinds=clips.kinds[::-1])}):
        options = {"clips": clips, "front_end": TOOTS.front_end} | changes
        with pytest.raises(loop.InputError, match="another config"):
            train_classifier(config=CLASSIFIER, out=whole["classifier"], resume=True, **options)


def test_the_best_checkpoint_is_that_of_the_best_score(tmp_path):
    scores = iter([3.0, 1.0, math.nan, 2.0])
    plan = Optimisation(steps=4, learning_rate=0.1, check_every=1)
    fit(
        Line(), lambda step: [Part((X, X))], lambda: {"a": 9 * next(scores), "b": 0.0}, plan,
        one_process(), compute=Compute(best=True), out=tmp_path, progress=False,
        score=lambda errors: errors["a"],
    )  # fmt: skip
    assert checkpoint.read_notes(tmp_path / "best.safetensors")["row"]["step"] == 2
