"""The model file: what comes back is what was saved, and whatever else a file may hold is refused
and never run.
"""

import json
import os
import pickle
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tootlearn.controls import Controls
from tootlearn.data.recipes import KINDS
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.models import model_file
from tootlearn.models.bandwidth import Bandwidth
from tootlearn.models.config import (
    AutoencoderConfig,
    BandwidthConfig,
    GeneratorConfig,
    VocoderConfig,
)
from tootlearn.models.decoder import Condition
from tootlearn.models.toot_model import TootModel
from tootlearn.models.vocoder import Vocoder
from tootlearn.training import config

FRONT_END = FrontEndConfig(hop=512, mels=16)
GENERATOR = GeneratorConfig(residual=2, width=8, blocks=1, encoder_widths=(8, 8))
AUTOENCODER = AutoencoderConfig(
    latent=4, encoder_widths=(8, 8), decoder_start=8, decoder_widths=(8, 8)
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def built(generator=GENERATOR, autoencoder=AUTOENCODER) -> TootModel:
    """A model in which every number differs from what a new one has."""
    normalizer = Normalizer(-6 + noise(16, 1), 1 + noise(16, 1, seed=1).abs())
    model = TootModel(FRONT_END, normalizer, list(KINDS.values())[:2], generator, autoencoder)
    with torch.no_grad():
        for i, (name, tensor) in enumerate(model.state_dict().items()):
            if tensor.is_floating_point() and not name.startswith("normalizer"):
                tensor.copy_(0.1 * noise(*tensor.shape, seed=i).abs() + 0.1)
    return model.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "m.safetensors"
    model_file.save_model(path, built(), {"seed": 3, "data": "toots of horns"})
    return path


def contents(path):
    """Tensors and description of a model file, by safetensors alone."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["tootlearn"])


def condition() -> Condition:
    columns = [torch.tensor([v]).double().numpy() for v in (300.0, 0.5, 0.5, -12.0)]
    return Condition.of(Controls(torch.tensor([1]).numpy(), *columns))


# There and back


@pytest.mark.parametrize(
    ("generator", "autoencoder"), [(GENERATOR, AUTOENCODER), (GENERATOR, None), (None, AUTOENCODER)]
)
def test_a_model_comes_back_to_the_bit(tmp_path, generator, autoencoder):
    model = built(generator, autoencoder)
    model_file.save_model(tmp_path / "m", model, {"seed": 3, "note": "ä"})
    loaded, description = model_file.load_model(tmp_path / "m", FRONT_END)
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(
        torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype
        for name in ours
    )
    assert (
        not loaded.training and loaded.front_end.config == FRONT_END and loaded.kinds == model.kinds
    )
    assert description["provenance"] == {"seed": 3, "note": "ä"}
    with torch.no_grad():
        if generator:
            assert loaded.generator.config == generator
            drawn = (m.generator.decode(condition(), noise(1, 2)).log_mel for m in (model, loaded))
            assert torch.equal(*drawn)
        if autoencoder:
            assert loaded.autoencoder.config == autoencoder
            assert torch.equal(*(m.autoencoder(noise(1, 16, 88)) for m in (model, loaded)))


def test_halved_weights_are_rounded_and_statistics_are_not(tmp_path):
    model = built()
    model_file.save_model(tmp_path / "m", model, {}, half=True)
    stored, _ = contents(tmp_path / "m")
    loaded = model_file.load_model(tmp_path / "m")[0].state_dict()
    for name, tensor in model.state_dict().items():
        exact = (
            name.startswith(("normalizer.", "generator.prior")) or not tensor.is_floating_point()
        )
        assert stored[name].dtype == (tensor.dtype if exact else torch.float16), name
        assert loaded[name].dtype == tensor.dtype, name
        assert torch.equal(loaded[name], tensor if exact else tensor.half().float()), name
    model_file.save_model(tmp_path / "whole", model, {})
    assert (tmp_path / "m").stat().st_size < 0.75 * (tmp_path / "whole").stat().st_size


def test_a_file_is_as_the_format_says(saved):
    tensors, description = contents(saved)
    assert description.keys() == {
        "schema",
        "front_end",
        "normalizer",
        "model",
        "controls",
        "provenance",
    }
    assert description["schema"] == 2 and description["front_end"] == asdict(FRONT_END)
    assert set(description["normalizer"].values()) <= tensors.keys()
    assert description["model"].keys() == {"generator", "autoencoder"}
    assert [kind["name"] for kind in description["controls"]["kinds"]] == list(KINDS)[:2]
    assert description["controls"]["loudness"] == [-36, -6]
    assert model_file.read_metadata(saved) == description


def test_loading_does_not_touch_the_random_numbers_of_the_caller(saved):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    model_file.load_model(saved)
    assert torch.equal(torch.rand(3), expected)


def test_a_disk_that_is_full_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    (tmp_path / "m").write_bytes(b"before")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left"):
            model_file.save_model(tmp_path / "m", built(), {})
    assert (tmp_path / "m").read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(InputError, match="could not be written"):
        model_file.save_model(tmp_path / "none" / "m", built(), {})


@pytest.mark.parametrize("name", ["default", "tiny"])
def test_a_shipped_model_is_what_its_preset_trains(name):
    trained = model_file.read_metadata(model_file.shipped(name))["provenance"]["config"]
    today = json.loads(json.dumps(asdict(config.preset(name))))
    weights = trained.pop("weights")
    assert not trained.pop("balance")  # options that are gone were off
    assert trained | {"weights": today["weights"]} == today
    assert {term: weights.pop(term) for term in today["weights"]} == today["weights"]
    assert not any(weights.values())


# What is no model file


def refused(path, message: str, **options) -> None:
    """The file is refused with its name and this reason."""
    with pytest.raises(InputError, match=message) as error:
        model_file.load_model(path, **options)
    assert str(path) in str(error.value)


def test_a_missing_file_and_a_directory_are_named(tmp_path):
    refused(tmp_path / "none", "there is no model file")
    refused(tmp_path, "is a directory")
    with pytest.raises(InputError, match="there is no model file"):
        model_file.read_metadata(tmp_path / "none")


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no devices in the file system")
def test_a_device_is_named():
    refused("/dev/null", "is a device, not a model file")


def test_a_truncated_file_is_called_so_at_any_length(saved, tmp_path):
    content = saved.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    cut = tmp_path / "cut"
    for length in {
        0,
        1,
        7,
        8,
        9,
        100,
        header - 1,
        header,
        header + 1,
        len(content) // 2,
        len(content) - 1,
    }:
        cut.write_bytes(content[:length])
        refused(cut, "not a complete .safetensors file: truncated")
    cut.write_bytes(content + b"\0")
    refused(cut, "not a complete .safetensors file")


def test_a_damaged_header_is_never_more_than_an_error(saved, tmp_path):
    content, path = bytearray(saved.read_bytes()), tmp_path / "m"
    header = int.from_bytes(content[:8], "little")
    for position in [*range(12), *range(12, header, header // 60)]:
        for value in (0, 0xFF, ord('"')):
            changed = content.copy()
            changed[position] = value
            path.write_bytes(changed)
            try:
                model_file.load_model(path)
            except InputError as error:
                assert str(path) in str(error)


def test_a_header_whose_length_begins_like_a_pickle_is_no_pickle(tmp_path):
    """80 02 are the first bytes of a pickle, and of the length 640."""
    for padding in range(700):
        save_file({"x": torch.zeros(1)}, tmp_path / "m", metadata={"y": "z" * padding})
        if (tmp_path / "m").read_bytes()[:2] == b"\x80\x02":
            break
    else:
        pytest.fail("no padding gave that length")
    refused(tmp_path / "m", "not those of a tootlearn model")


def test_weights_of_something_else_are_refused(tmp_path):
    save_file({"layer.weight": torch.zeros(3)}, tmp_path / "m")
    refused(tmp_path / "m", "holds weights, but not those of a tootlearn model")
    (tmp_path / "m").write_text("RIFF, so to say")
    refused(tmp_path / "m", "not a complete .safetensors file")


class Bomb:
    """What runs code when it is read as a pickle."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5, "zip", "legacy"])
def test_no_pickle_is_ever_run(tmp_path, protocol):
    path, side_effect = tmp_path / "m.safetensors", tmp_path / "exploded"
    if isinstance(protocol, int):
        path.write_bytes(pickle.dumps(Bomb(side_effect), protocol))
    else:
        torch.save(
            {"w": torch.zeros(3), "x": Bomb(side_effect)},
            path,
            _use_new_zipfile_serialization=protocol == "zip",
        )
    # 0 is text
    message = "is a pickle, which can run any code" if protocol != 0 else "something else"
    refused(path, message)
    with pytest.raises(InputError, match=message):
        model_file.read_metadata(path)
    assert not side_effect.exists()
    if isinstance(protocol, int):
        pickle.loads(path.read_bytes())  # the bomb is a live one
        assert side_effect.exists()


# Files that contradict themselves


def forged(saved, path, change, tensors=None):
    """A copy of a model file with another description or other tensors."""
    own, description = contents(saved)
    described = change(description) if change else description
    kept = {name: t for name, t in (own | (tensors or {})).items() if t is not None}
    text = described if isinstance(described, str) else json.dumps(described)
    save_file(kept, path, metadata={"tootlearn": text})
    return path


def at(*keys, value):
    """A change of a description: the entry under these keys; ... removes it."""

    def change(description):
        inner = description
        for key in keys[:-1]:
            inner = inner[key]
        if value is ...:
            del inner[keys[-1]]
        else:
            inner[keys[-1]] = value
        return description

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            at("schema", value=3),
            "schema 3; this version of tootlearn knows 1 to 2: install a newer one",
        ),
        (at("schema", value="old"), "schema 'old'"),
        (at("schema", value=...), "damaged .*no 'schema'"),
        (lambda d: json.dumps(d)[:-5], "damaged"),
        (lambda d: "3", "damaged"),
        (lambda d: "[]", "damaged"),
        (lambda d: "null", "damaged"),
        (at("front_end", value=...), "damaged .*no 'front_end'"),
        (at("front_end", value=[1]), "damaged"),
        (at("front_end", "hop", value=...), "FrontEndConfig: without hop"),
        (at("front_end", "window", value="hann"), "FrontEndConfig: unknown window"),
        (at("front_end", "hop", value=300), "hop must divide n_fft"),
        (at("front_end", "mels", value="many"), "damaged"),
        (at("model", value=...), "no 'model'"),
        (at("model", value=3), "damaged"),
        (at("model", "generator", value=...), "no 'generator'"),
        (at("model", "generator", value=[1]), "damaged"),
        (at("model", "generator", "attention", value=True), "GeneratorConfig: unknown attention"),
        (at("model", "generator", "conditioning", value="add"), "film"),
        (at("model", "autoencoder", "latent", value=-1), "1 or more"),
        (at("model", "autoencoder", "latent", value=4.5), "damaged"),
        (at("model", "autoencoder", "latent", value=10**15), "damaged"),
        (at("model", "autoencoder", "encoder_widths", value=8), "damaged"),
        (at("controls", value=...), "no 'controls'"),
        (at("controls", "kinds", value=[]), "damaged"),
        (at("controls", "kinds", value=["trumpet"]), "damaged"),
        (at("controls", "kinds", 0, "pitch", value=[400, 300]), "pitch needs a positive range"),
        (at("controls", "kinds", 0, "colour", value="red"), "colour"),
        (at("normalizer", value=...), "no 'normalizer'"),
        (at("normalizer", "mean", value="nowhere"), "no 'nowhere'"),
    ],
)
def test_a_description_that_makes_no_sense_is_named(saved, tmp_path, change, message):
    refused(forged(saved, tmp_path / "m", change), message)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {"generator.prior_mean": None},
            "1 tensors are missing, the first is generator.prior_mean",
        ),
        (
            {"autoencoder.decoder.out.weight": None, "generator.decoder.out.bias": None},
            "2 tensors are missing",
        ),
        ({"normalizer.mean": None}, "no 'normalizer.mean'"),
        (
            {"generator.prior_mean": torch.zeros(2, 3)},
            r"prior_mean has shape \(2, 3\) where .* need \(2, 2\)",
        ),
        ({"normalizer.std": torch.zeros(16, 1)}, "finite and positive"),
        ({"normalizer.std": torch.ones(8, 1)}, "damaged"),
        ({"normalizer.mean": torch.full((16, 1), torch.nan)}, "finite"),
        ({"generator.prior_mean": torch.full((2, 2), torch.nan)}, "prior_mean is not finite"),
    ],
)
def test_tensors_that_are_missing_or_wrong_are_named(saved, tmp_path, tensors, message):
    refused(forged(saved, tmp_path / "m", None, tensors), message)


# Another front end


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("floor", 1e-4, "floor 1e-05, not 0.0001"),
        ("hop", 256, "hop 512, not 256"),
        ("mels", 24, "mels 16, not 24"),
    ],
)
def test_features_of_another_front_end_are_refused_by_what_differs(saved, field, value, shown):
    refused(
        saved, f"another front end .{shown}.: make", front_end=replace(FRONT_END, **{field: value})
    )


def test_a_description_of_another_front_end_than_the_weights_is_refused(saved, tmp_path):
    refused(
        forged(saved, tmp_path / "mels", at("front_end", "mels", value=24)),
        "belong to another front end: its description says 24 mel bands, its statistics have 16",
    )
    refused(
        forged(saved, tmp_path / "hop", at("front_end", "hop", value=256)),
        "where this front end and model need",
    )
    both = {"normalizer.mean": torch.zeros(24, 1), "normalizer.std": torch.ones(24, 1)}
    forged(saved, tmp_path / "both", at("front_end", "mels", value=24), both)
    refused(tmp_path / "both", "where this front end and model need")


# A vocoder's file


@pytest.fixture
def speaker(tmp_path):
    vocoder = Vocoder(FRONT_END, VocoderConfig(width=8, hidden=8, blocks=1, kernel=3, wide=8))
    model_file.save_vocoder(tmp_path / "v.safetensors", vocoder, {"seed": 1})
    return tmp_path / "v.safetensors"


def test_a_vocoder_comes_back(speaker):
    vocoder, description = model_file.load_vocoder(speaker, FRONT_END)
    assert vocoder.config.wide == 8 and description["provenance"] == {"seed": 1}
    assert bool(vocoder.enter.weight.any()) and not vocoder.training


def test_a_vocoder_of_another_front_end_is_refused(speaker):
    with pytest.raises(InputError, match="hop 512, not 256"):
        model_file.load_vocoder(speaker, FrontEndConfig(mels=16))


def test_a_vocoder_is_no_model_and_a_model_no_vocoder(speaker, saved):
    with pytest.raises(InputError, match="--vocoder"):
        model_file.load_model(speaker)
    with pytest.raises(InputError, match="train-vocoder"):
        model_file.load_vocoder(saved)


def test_an_extension_comes_back_and_is_neither_model_nor_vocoder(tmp_path, saved, speaker):
    path = tmp_path / "b.safetensors"
    small = Bandwidth(BandwidthConfig(width=8, hidden=8, blocks=1, kernel=3))
    model_file.save_bandwidth(path, small, {"seed": 2})
    back, description = model_file.load_bandwidth(path)
    assert (
        back.config == small.config
        and description["provenance"] == {"seed": 2}
        and not back.training
    )
    assert torch.equal(back.out.weight, small.out.weight.half().float())
    with pytest.raises(InputError, match="bandwidth extension"):
        model_file.load_model(path)
    with pytest.raises(InputError, match="train-vocoder"):
        model_file.load_vocoder(path)
    for other in (saved, speaker):
        with pytest.raises(InputError, match="train-bandwidth"):
            model_file.load_bandwidth(other)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="truncated"):
        model_file.load_bandwidth(path)


def test_a_truncated_vocoder_is_named(speaker):
    speaker.write_bytes(speaker.read_bytes()[:-50])
    with pytest.raises(InputError, match="truncated"):
        model_file.load_vocoder(speaker)


# Files of every past schema


@pytest.mark.parametrize("schema", range(1, model_file.SCHEMA))
def test_a_file_of_each_past_schema_loads(schema):
    model, description = model_file.load_model(
        Path(__file__).parents[1] / f"files/schema{schema}.safetensors"
    )
    assert description["schema"] == schema and model.kinds


@pytest.mark.parametrize(
    "path",
    [model_file.shipped(), model_file.shipped_vocoder(), model_file.shipped_bandwidth()],
    ids=lambda path: path.stem,
)
def test_what_ships_says_which_version_made_it(path):
    description = model_file.read_metadata(path)
    assert description["schema"] in range(1, model_file.SCHEMA + 1)
    assert re.match(r"\d+\.\d+", description["provenance"]["versions"]["tootlearn"])


def test_a_file_of_schema_1_draws_what_it_drew():
    """Written by that version: a small model with random weights, and what it made of a ramp."""
    model, description = model_file.load_model(
        Path(__file__).parents[1] / "files" / "schema1.safetensors"
    )
    assert description["schema"] == 1
    ramp = torch.linspace(-11, 1, 24 * 88).view(1, 24, 88)
    share = np.linspace(0.1, 0.9, 4)
    controls = Controls(np.arange(4), 300 + 200 * share, 0.3 + share, share, np.full(4, -12.0))
    residual = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        again = model.autoencoder(model.normalizer(ramp))
        drawn = model.generator.decode(Condition.of(controls), residual).log_mel
        mean, _ = model.generator.encode(ramp.expand(4, -1, -1), Condition.of(controls))
    found = [
        float(x) for x in (again.std(), again[0, 3, 7], drawn.std(), drawn[1, 5, 9], mean[3, 2])
    ]
    assert found == pytest.approx([0.391520, -0.390322, 2.080652, -2.949157, -0.672177], abs=1e-4)
