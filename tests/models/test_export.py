"""Export: an ONNX file that is the model, and a web bundle that holds what it says. On the small
model that ships.
"""

import json
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

from tootlearn import rng
from tootlearn.cli import main
from tootlearn.controls import Kind
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.evaluation.metrics import compare
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models import export, model_file
from tootlearn.models.config import AutoencoderConfig, GeneratorConfig
from tootlearn.models.decoder import Condition
from tootlearn.models.toot_model import TootModel

KINDS = [
    Kind("low", (100, 200), (0.2, 1), (1, 2)),
    Kind("chord", (400, 800), (0.2, 1), (1, 2), (1.0, 1.25)),
]


def untrained(
    generator: GeneratorConfig | None, autoencoder: AutoencoderConfig | None = None
) -> TootModel:
    torch.manual_seed(2)
    normalizer = Normalizer(torch.zeros(24, 1), torch.ones(24, 1))
    return TootModel(FrontEndConfig(hop=512, mels=24), normalizer, KINDS, generator, autoencoder)


@pytest.fixture(scope="module")
def tiny() -> TootModel:
    return model_file.load_model("tiny")[0]


@pytest.fixture(scope="module")
def bundle(tiny) -> export.Bundle:
    return export.bundle(tiny)


# ONNX


def conditional() -> TootModel:
    """A model with few weights: the exporter takes its time by the length of the graph."""
    return untrained(GeneratorConfig(residual=3, width=16, blocks=1, encoder_widths=(8,)))


@pytest.mark.slow
def test_an_onnx_file_draws_what_the_model_draws_in_batches_of_any_size(tmp_path):
    import onnxruntime

    path, model = tmp_path / "toot.onnx", conditional()
    assert export.to_onnx(path, model) <= 1e-5
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [x.name for x in session.get_inputs()] == list(export.INPUTS)
    for count in (1, 4, 7):
        inputs = export.examples(model, count, seed=50 + count)
        feed = {name: x.numpy() for name, x in zip(export.INPUTS, inputs, strict=True)}
        drawn = dict(zip(export.OUTPUTS, session.run(None, feed), strict=True))
        columns = [v.double().numpy() for v in inputs[1:5]]
        controls = export.Controls(inputs[0].numpy(), *columns)
        with torch.no_grad():
            expected = model.generator.decode(Condition.of(controls), inputs[5])
        for name, ours in expected._asdict().items():
            assert drawn[name].shape == ours.shape
            assert np.sqrt(np.mean((drawn[name] - ours.numpy()) ** 2)) <= 2e-5 * max(
                1, ours.square().mean().sqrt()
            ), name
    told = json.loads(session.get_modelmeta().custom_metadata_map["tootlearn"])
    assert [kind["name"] for kind in told["kinds"]] == ["low", "chord"] and told["front_end"][
        "hop"
    ] == 512


def test_a_file_that_is_not_the_model_is_not_written(tmp_path, monkeypatch):
    """In place of a session there is one that is a millinat off."""
    import onnxruntime

    model = conditional()
    draws = export._Draws(model.generator).eval()

    class Wrong:
        def run(self, names, feed):
            inputs = [torch.from_numpy(feed[name]) for name in export.INPUTS]
            return [x.detach().numpy() + self.error for x in draws(*inputs)]

    Wrong.error = np.float32(0)
    assert export._difference(Wrong(), draws, export.examples(model, 2, 0)) == 0
    Wrong.error = np.float32(1.01e-3)
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: Wrong())
    monkeypatch.setattr(torch.onnx, "export", MagicMock())
    with pytest.raises(InputError, match="the ONNX file is not the model: log_mel differs"):
        export.to_onnx(tmp_path / "wrong.onnx", model)
    assert not list(tmp_path.iterdir())


# The bundle


def test_a_bundle_holds_the_tensors_that_it_describes(tiny, bundle):
    weights = tiny.generator.decoder.state_dict()
    read = {}
    end = 0
    for name, entry in sorted(
        bundle.description["tensors"].items(), key=lambda item: item[1]["offset"]
    ):
        assert entry["offset"] % 4 == 0 and entry["offset"] >= end  # no two tensors overlap
        dtype, size = (
            {"int8": "i1", "float16": "<f2", "float32": "<f4"}[entry["type"]],
            int(np.prod(entry["shape"])),
        )
        values = (
            np.frombuffer(bundle.weights, dtype, size, entry["offset"])
            .reshape(entry["shape"])
            .astype(np.float32)
        )
        end = entry["offset"] + size * np.dtype(dtype).itemsize
        if entry["type"] == "int8":
            scale = np.frombuffer(bundle.weights, "<f4", entry["shape"][0], entry["scales"])
            values = values * scale.reshape(-1, *[1] * (values.ndim - 1))
            end = entry["scales"] + 4 * len(scale)
        read[name] = values
    assert read.keys() == weights.keys() | {"prior_mean", "prior_scale", "directions"}
    rounded = export.dequantised(tiny).generator.decoder.state_dict()
    for name, tensor in weights.items():
        np.testing.assert_array_equal(read[name], rounded[name].numpy(), err_msg=name)
        row = tensor.flatten(1).abs().amax(1) if tensor.ndim > 1 else tensor.abs()
        error = (rounded[name] - tensor).abs()
        assert bool(
            (error.flatten(1).amax(1) if tensor.ndim > 1 else error).le(row / 254 + 1e-6).all()
        ), name
    np.testing.assert_array_equal(read["prior_scale"], tiny.generator.prior_scale.numpy())


def test_a_bundle_is_small(tiny, bundle):
    assert len(bundle.weights) + len(json.dumps(bundle.description)) <= 1_000_000
    assert len(export.ear(tiny).weights) < 200_000


def test_the_ear_has_the_encoder_that_the_package_hears_with(tiny):
    ear, rounded = export.ear(tiny), export.dequantised(tiny).generator.encoder.state_dict()
    assert ear.description["tensors"].keys() == rounded.keys()
    for name, entry in ear.description["tensors"].items():
        dtype = {"float16": "<f2", "float32": "<f4"}[entry["type"]]
        values = np.frombuffer(ear.weights, dtype, int(np.prod(entry["shape"])), entry["offset"])
        np.testing.assert_array_equal(
            values.astype(np.float32), rounded[name].flatten().numpy(), err_msg=name
        )


def test_rounded_weights_draw_the_same_toots(tiny):
    """Log-spectral distance of 48 log-mels, dB, floored 80 dB below the peak: .3 is the most that
    is allowed.
    """
    rounded, speaker = export.dequantised(tiny), TootGenerator(tiny, {})
    k = 20 / np.log(10)
    found = []
    for seed in range(48):
        controls = speaker.controls(speaker.kinds[seed % 12], seed=seed)
        residual = speaker.residual(controls, seed)
        with torch.no_grad():
            a, b = (
                m.generator.decode(Condition.of(controls), residual).log_mel[0]
                for m in (tiny, rounded)
            )
        floor = a.max() - 80 / k
        found.append(
            float(((a.maximum(floor) - b.maximum(floor)) * k).square().mean(0).sqrt().mean())
        )
    assert 0 < max(found) <= 0.3


def test_the_pad_turns_what_changes_the_sound_most(tiny):
    plane = export.directions(tiny)
    assert plane.shape == (12, 2, tiny.generator.config.residual)
    torch.testing.assert_close(
        plane @ plane.transpose(1, 2), torch.eye(2).expand(12, 2, 2), atol=1e-5, rtol=0
    )
    generator, kind = tiny.generator, 8

    def change(direction: torch.Tensor) -> float:
        pitch = float(np.sqrt(np.prod(tiny.kinds[kind].pitch)))
        drawn = export._draw(
            generator, kind, tiny.kinds[kind], pitch, torch.stack([direction, -direction])
        )
        return float((drawn[0] - drawn[1]).norm())

    others = torch.from_numpy(rng.normal(1, 1, 20 * 8).reshape(20, 8)).float()
    others -= others @ plane[kind].T @ plane[kind]
    others /= others.norm(dim=1, keepdim=True)
    assert change(plane[kind, 0]) > change(plane[kind, 1]) * 0.9
    assert change(plane[kind, 1]) > np.median([change(other) for other in others])


def test_noise_is_bent_within_the_plane_alone():
    plane = torch.linalg.qr(torch.from_numpy(rng.normal(3, 1, 16).reshape(8, 2)))[0].T.float()
    noise = torch.from_numpy(rng.normal(4, 1, 8)).float()
    moved = export.bent(noise, plane, (0.5, -2.0))
    torch.testing.assert_close(plane @ moved, torch.tensor([0.5, -2.0]))
    torch.testing.assert_close(moved - moved @ plane.T @ plane, noise - noise @ plane.T @ plane)
    torch.testing.assert_close(export.bent(noise, plane, tuple((plane @ noise).tolist())), noise)


def test_a_model_of_half_the_frames_speaks(tiny):
    """Its last frame ends one sample before the window."""
    wave = torch.from_numpy(
        TootGenerator(tiny, {}).generate("trumpet", 440.0, 0.5, 0.5, -18, seed=1)
    )
    again = torch.from_numpy(
        TootGenerator(export.dequantised(tiny), {}).generate("trumpet", 440.0, 0.5, 0.5, -18, 1)
    )
    length = min(len(wave), len(again))
    assert 0.4 < len(wave) / 22050 < 0.7
    assert float(compare(wave[:length], again[:length]).log_spectral_distance) < 3


# The command line, and what is refused


def test_export_to_web_writes_both_files(tmp_path, capsys):
    main.main(["export", "tiny", "--to", "web", "--out", str(tmp_path / "page")])
    description = json.loads((tmp_path / "page/toot.json").read_text())
    assert description["format"] == export.FORMAT and len(description["kinds"]) == 12
    assert (tmp_path / "page/toot.bin").read_bytes() == export.bundle(
        model_file.load_model("tiny")[0]
    ).weights
    assert "kB together" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.safetensors", "--to", "web"], "there is no model file none.safetensors"),
        (["tiny"], "to"),
        (["tiny", "--to", "tape"], "--to"),
        (["tiny", "--to", "web", "--out", "file"], "file is a file: give a folder"),
    ],
)
def test_what_cannot_be_exported_is_refused(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    with pytest.raises(SystemExit) as done:
        main.main(["export", *words])
    said = capsys.readouterr().err
    assert done.value.code == 2 and message in said and said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (
        tmp_path / "file"
    ).read_text() == "kept"


def test_a_model_without_a_generator_and_one_that_concatenates_are_refused(tmp_path):
    plain = untrained(
        None, AutoencoderConfig(latent=4, encoder_widths=(4,), decoder_widths=(4,), decoder_start=4)
    )
    for call in (export.bundle, lambda model: export.to_onnx(tmp_path / "x", model)):
        with pytest.raises(InputError, match="has no generator"):
            call(plain)
    with pytest.raises(InputError, match='only generators with conditioning "film"'):
        export.bundle(
            untrained(
                GeneratorConfig(conditioning="concat", width=8, blocks=1, encoder_widths=(8,))
            )
        )
    assert not list(tmp_path.iterdir())
