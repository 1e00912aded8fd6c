"""Models for other programs: ONNX for any runtime, and a web bundle, which the book's page plays
without one.

Both hold what draws a toot: controls and residual latent in, log-mel out, and what it is made of
(`decoder.Drawing`).
"""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tootlearn.controls import LOUDNESS_RANGE, USUAL_LOUDNESS, Controls, Kind
from tootlearn.dsp.front_end import WINDOW_SAMPLES
from tootlearn.errors import InputError
from tootlearn.files import atomic_write
from tootlearn.models.autoencoder import Generator
from tootlearn.models.decoder import Condition
from tootlearn.models.toot_model import TootModel

FORMAT = 1  # of the web bundle
INPUTS = ("kind", "pitch", "duration", "brightness", "loudness", "residual")
OUTPUTS = ("log_mel", "breath", "notes", "level")
OPSET = 18
# allowed between an ONNX file's outputs and the model's: RMS difference over RMS, or over 1 if more
AGREEMENT = 1e-5
# nats, for a single number: where a harmonic passes a narrow band, float32's step of f0 (1e-6
# octaves)
_STRAY = 1e-3
_LEAST = 256  # numbers: what is smaller stays float32
_PITCHES = 3  # of each kind, at which the pad's directions are measured


class _Draws(nn.Module):
    """The conditional decoder, with controls in the units of `controls.Controls`."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.decoder = generator.decoder

    def forward(
        self,
        kind: Tensor,
        pitch: Tensor,
        duration: Tensor,
        brightness: Tensor,
        loudness: Tensor,
        residual: Tensor,
    ) -> tuple[Tensor, ...]:
        # one rounding everywhere
        octave, length = pitch.double().log2().float(), duration.double().log2().float()
        middle, half = sum(LOUDNESS_RANGE) / 2, (LOUDNESS_RANGE[1] - LOUDNESS_RANGE[0]) / 2
        numbers = [
            (octave - 8.5) / 2,
            (length + 1) / 2,
            brightness * 2 - 1,
            (loudness - middle) / half,
        ]
        condition = Condition(
            kind, octave, duration, loudness * (math.log(10) / 20), torch.stack(numbers, 1)
        )
        return tuple(self.decoder(condition, residual))


def to_onnx(path: str | os.PathLike[str], model: TootModel, seed: int = 0) -> float:
    """Write the generator as ONNX, and hold the file to the model by onnxruntime on toots of three
    batch sizes.

    Inputs, each with a free batch axis B: "kind" (B,) int64, the index of the kind; "pitch" (B,)
    Hz; "duration" (B,) s; "brightness" (B,) 0 to 1; "loudness" (B,) dBFS; "residual" (B, Z).
    Outputs: "log_mel" (B, M, T), and "breath", "notes" and "level" as in `decoder.Drawing`. The
    metadata of the file has what `model_description` says.

    Args:
        path: where to; the file appears whole or not at all.
        model: with a generator.
        seed: of the toots that are compared.

    Returns:
        How far the file's log-mels are from the model's: RMS of the difference over RMS.

    Raises:
        InputError: for a model without a generator; if onnx, onnxruntime or onnxscript is missing;
            if the file does not agree with the model to 1e-5 (then nothing is written); if it
            cannot be written.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - what torch's exporter is written in
    except ImportError as error:
        raise InputError(
            f'{error.name} is not installed: pip install "tootlearn[export]"'
        ) from error
    draws = _Draws(_generator(model)).eval().cpu()
    batch = torch.export.Dim("batch", min=1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            draws,
            examples(model, 3, seed),
            dynamo=True,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_shapes=tuple({0: batch} for _ in INPUTS),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props["tootlearn"] = json.dumps(model_description(model))
    whole = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(whole, providers=["CPUExecutionProvider"])
    found = max(
        _difference(session, draws, examples(model, count, seed + count)) for count in (1, 2, 5)
    )
    atomic_write(Path(path), whole)
    return found


def _difference(session: Any, draws: _Draws, inputs: tuple[Tensor, ...]) -> float:
    """RMS difference of the log-mels over their RMS. Raises InputError where any output is too far
    off.
    """
    outputs = session.run(
        OUTPUTS, {name: x.numpy() for name, x in zip(INPUTS, inputs, strict=True)}
    )
    with torch.no_grad():
        expected = draws(*inputs)
    found = []
    for name, ours, theirs in zip(OUTPUTS, expected, outputs, strict=True):
        apart, largest = (
            torch.from_numpy(theirs) - ours,
            float((torch.from_numpy(theirs) - ours).abs().max()),
        )
        found.append(float(apart.norm() / max(float(ours.norm()), math.sqrt(ours.numel()))))
        if not found[-1] <= AGREEMENT or not largest <= _STRAY:
            raise InputError(
                f"the ONNX file is not the model: {name} differs by {found[-1]:.1e} ({largest:.1e} at most): "
                "nothing was written; try other versions of torch, onnx and onnxruntime"
            )
    return found[0]


def examples(model: TootModel, count: int, seed: int) -> tuple[Tensor, ...]:
    """Controls and residuals of toots as the model may be asked for, in the order of
    :data:`INPUTS`.
    """
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(4, count, generator=generator)
    kinds = torch.randint(len(model.kinds), (count,), generator=generator)
    low, high = (
        torch.tensor([(k.pitch[i], k.duration[i]) for k in model.kinds])[kinds].T for i in (0, 1)
    )
    pitch, duration = low * (high / low) ** share[:2]
    loudness = LOUDNESS_RANGE[0] + (LOUDNESS_RANGE[1] - LOUDNESS_RANGE[0]) * share[3]
    residual = torch.randn(count, _generator(model).config.residual, generator=generator)
    return kinds, pitch, duration, share[2], loudness, residual


class Bundle(NamedTuple):
    """What a page loads to play a model."""

    description: dict[str, Any]  # JSON
    weights: bytes  # where the tensors of the description lie


def bundle(model: TootModel) -> Bundle:
    """The generator for a web page.

    Matrices and kernels are rounded to 8 bits, with a scale for each row (output channel): value =
    scale * integer. The last layer, which writes the log-mel itself, is float16: in 8 bits it makes
    nine tenths of the error. The rest is float32. Everything is little-endian; offsets are in
    bytes, and multiples of 4.

    Args:
        model: with a generator.

    Returns:
        The description (`model_description`, and under "tensors" each one's shape, type, offset, and offset
        of the scales); the weights.

    Raises:
        InputError: for a model without a generator, or with one that the page does not know.
    """
    generator = _generator(model)
    if generator.config.conditioning != "film":
        raise InputError(
            'the page plays generators with conditioning "film" alone: train one so, or export to ONNX'
        )
    tensors, weights = _packed(_tensors(generator) | {"directions": directions(model)})
    return Bundle(model_description(model) | {"tensors": tensors}, weights)


def ear(model: TootModel) -> Bundle:
    """The generator's encoder, by which the page hears a sound of the user's: fetched when there is
    one. In float16.

    Raises:
        InputError: for a model without a generator.
    """
    tensors, weights = _packed(_generator(model).encoder.state_dict())
    return Bundle({"format": FORMAT, "tensors": tensors}, weights)


def _packed(named: Mapping[str, Tensor]) -> tuple[dict[str, dict[str, Any]], bytes]:
    """What a description says of tensors, and where they lie."""
    tensors: dict[str, dict[str, Any]] = {}
    parts: list[bytes] = []

    def put(array: NDArray[Any]) -> int:
        offset = sum(map(len, parts))
        raw = array.tobytes()
        parts.append(raw + bytes(-len(raw) % 4))
        return offset

    for name, tensor in named.items():
        entry: dict[str, Any] = {"shape": list(tensor.shape), "type": stored_as(name, tensor)}
        if entry["type"] == "int8":
            integers, scale = quantised(tensor)
            entry |= {"offset": put(integers.numpy()), "scales": put(scale.numpy().astype("<f4"))}
        else:
            entry |= {
                "offset": put(tensor.numpy().astype("<f2" if entry["type"] == "float16" else "<f4"))
            }
        tensors[name] = entry
    return tensors, b"".join(parts)


def to_web(folder: str | os.PathLike[str], model: TootModel) -> int:
    """Write a :func:`bundle` as ``toot.json`` and ``toot.bin``, and its :func:`ear` as ``ear.json``
    and ``ear.bin``.

    Returns:
        Bytes of the first two, without which the page does not play.

    Raises:
        InputError: as `bundle`; if the folder is a file, or they cannot be written.
    """
    out = Path(folder)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: give a folder")
    parts = {"ear": ear(model), "toot": bundle(model)}
    out.mkdir(parents=True, exist_ok=True)
    sizes = {}
    for name, (description, weights) in parts.items():
        text = (json.dumps(description, separators=(",", ":")) + "\n").encode()
        atomic_write(out / f"{name}.bin", weights)
        atomic_write(out / f"{name}.json", text)
        sizes[name] = len(text) + len(weights)
    return sizes["toot"]


def model_description(model: TootModel) -> dict[str, Any]:
    """What a program needs to know to use the generator: front end, sizes, kinds and the ranges of
    their controls.
    """
    return {
        "format": FORMAT,
        "front_end": asdict(model.front_end.config),
        "frames": model.frames,
        "samples": WINDOW_SAMPLES,
        "generator": asdict(_generator(model).config),
        "kinds": [kind.as_json() for kind in model.kinds],
        "loudness": LOUDNESS_RANGE,
        "usual_loudness": USUAL_LOUDNESS,
    }


def quantised(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """A tensor (R, ...) in 8 bits: integers (R, ...) in -127 to 127, and a scale (R,) for each row."""
    flat = tensor.flatten(1)
    scale = flat.abs().amax(1).clamp_min(1e-30) / 127
    return (flat / scale[:, None]).round().to(torch.int8).view(tensor.shape), scale


def dequantised(model: TootModel) -> TootModel:
    """A copy of the model whose generator has the weights of :func:`bundle` and :func:`ear`: what
    the page plays.
    """
    copied = copy.deepcopy(model)
    generator = _generator(copied)
    for name, tensor in (
        *generator.decoder.state_dict().items(),
        *generator.encoder.state_dict().items(),
    ):
        if stored_as(name, tensor) == "int8":
            integers, scale = quantised(tensor)
            tensor.copy_(integers * scale.view(-1, *[1] * (tensor.ndim - 1)))
        elif stored_as(name, tensor) == "float16":
            tensor.copy_(tensor.half())
    return copied


def directions(model: TootModel) -> Tensor:
    """The two directions of the prior's noise that change the sound of a kind most: unit vectors
    (kinds, 2, Z).

    For each kind the log-mel is drawn with every number of the noise one standard deviation up and
    down, at some pitches; the principal components of the differences are what one step in any
    direction can change.
    """
    generator = _generator(model)
    size = generator.config.residual
    noise = torch.cat([torch.eye(size), -torch.eye(size)])
    found = []
    for k, kind in enumerate(model.kinds):
        gram = torch.zeros(size, size, dtype=torch.float64)
        for pitch in np.geomspace(*kind.pitch, _PITCHES + 2)[1:-1]:
            drawn = (
                _draw(generator, k, kind, float(pitch), noise)
                .clamp_min(generator.decoder.log_floor)
                .double()
            )
            difference = (drawn[:size] - drawn[size:]).flatten(1)
            gram += difference @ difference.T
        vectors = torch.linalg.eigh(gram).eigenvectors.flip(1)[:, :2].T  # largest first
        largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
        found.append(vectors * largest.sign())
    return torch.stack(found).float()


def bent(noise: Tensor, plane: Tensor, place: tuple[float, float]) -> Tensor:
    """Noise (Z,) moved so that its components along the two directions of the plane (2, Z) are
    those of the place.
    """
    moved: Tensor = noise + (torch.tensor(place, dtype=noise.dtype) - plane @ noise) @ plane
    return moved


@torch.inference_mode()
def _draw(generator: Generator, index: int, kind: Kind, pitch: float, noise: Tensor) -> Tensor:
    count = len(noise)
    duration = min(math.sqrt(kind.duration[0] * kind.duration[1]), 1.0)
    values = (pitch, duration, 0.5, -16.0)
    controls = Controls(np.full(count, index), *(np.full(count, value) for value in values))
    condition = Condition.of(controls)
    return generator.decode(condition, generator.prior.sample(condition, noise)).log_mel


def _tensors(generator: Generator) -> dict[str, Tensor]:
    prior = {"prior_mean": generator.prior_mean, "prior_scale": generator.prior_scale}
    return generator.decoder.state_dict() | prior


def stored_as(name: str, tensor: Tensor) -> str:
    """The type that a :func:`bundle` keeps a tensor in: "int8", "float16" or "float32"."""
    if tensor.ndim < 2 or tensor.numel() < _LEAST or name.startswith(("prior", "directions")):
        return "float32"
    return "float16" if name == "out.weight" or name.startswith(("layers.", "project.")) else "int8"


def _generator(model: TootModel) -> Generator:
    if model.generator is None:
        raise InputError(
            "this model has no generator, and there is nothing else to export: train one with a generator"
        )
    return model.generator
