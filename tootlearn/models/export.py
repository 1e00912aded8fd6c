"""Models for other programs: ONNX for any runtime, and a web bundle, which the book's page plays
without one.

Both hold the decoder: controls and residual latent in, log-mel and its parts out
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
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.errors import InputError
from tootlearn.files import atomic_write
from tootlearn.models.decoder import Condition
from tootlearn.models.generator import Generator
from tootlearn.models.toot_model import TootModel

FORMAT = 1  # of the web bundle
INPUTS = ("kind", "pitch", "duration", "brightness", "loudness", "residual")
OUTPUTS = ("log_mel", "breath", "notes", "level")
OPSET = 18
# largest RMS difference between the outputs of an ONNX file and of the model, over their RMS (or
# over 1, if that is more)
AGREEMENT = 1e-5
# nats: largest difference of a single number, which the resolution of f0 in float32 (1e-6 octaves)
# causes where a harmonic passes a narrow band
_STRAY = 1e-3
_LEAST = 256  # tensors with fewer numbers stay float32
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
        # in float64, so that all runtimes round alike
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
    """Write the generator as ONNX, after comparing it with the model, in onnxruntime, on toots in
    batches of three sizes.

    Inputs, each with a free batch axis B: "kind" (B,) int64, the index of the kind; "pitch" (B,)
    Hz; "duration" (B,) s; "brightness" (B,) 0 to 1; "loudness" (B,) dBFS; "residual" (B, Z).
    Outputs: "log_mel" (B, M, T), and "breath", "notes" and "level" as in `decoder.Drawing`. The
    metadata of the file hold `model_description`.

    Args:
        path: the file, which is written atomically.
        model: with a generator.
        seed: of the toots that are compared.

    Returns:
        RMS of the difference between the log-mels of the file and of the model, over their RMS.

    Raises:
        InputError: for a model without a generator; if onnx, onnxruntime or onnxscript is missing;
            if the file does not agree with the model to 1e-5 (then nothing is written); if it
            cannot be written.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter needs it
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
    difference = max(
        _difference(session, draws, examples(model, count, seed + count)) for count in (1, 2, 5)
    )
    atomic_write(Path(path), whole)
    return difference


def _difference(session: Any, draws: _Draws, inputs: tuple[Tensor, ...]) -> float:
    """RMS difference of the log-mels over their RMS. Raises InputError if any output differs too
    much.
    """
    outputs = session.run(
        OUTPUTS, {name: x.numpy() for name, x in zip(INPUTS, inputs, strict=True)}
    )
    with torch.no_grad():
        expected = draws(*inputs)
    differences = []
    for name, ours, theirs in zip(OUTPUTS, expected, outputs, strict=True):
        error = torch.from_numpy(theirs) - ours
        largest = float(error.abs().max())
        difference = float(error.norm() / max(float(ours.norm()), math.sqrt(ours.numel())))
        if not difference <= AGREEMENT or not largest <= _STRAY:
            raise InputError(
                f"the ONNX file is not the model: {name} differs by {difference:.1e} "
                f"({largest:.1e} at most): nothing was written; try other versions of torch, onnx "
                "and onnxruntime"
            )
        differences.append(difference)
    return differences[0]


def examples(model: TootModel, count: int, seed: int) -> tuple[Tensor, ...]:
    """Random controls and residuals of toots that the model can make, in the order of
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

    description: dict[str, Any]  # for JSON
    weights: bytes  # the tensors, at the offsets that the description gives


def bundle(model: TootModel) -> Bundle:
    """The generator for a web page.

    Matrices and kernels are rounded to 8 bits, with a scale for each row (output channel): value =
    scale * integer. The last layer, which writes the log-mel itself, is float16: in 8 bits it makes
    nine tenths of the error. The rest is float32. Everything is little-endian; offsets are in
    bytes, and multiples of 4.

    Args:
        model: with a generator.

    Returns:
        The description (`model_description`, and under "tensors" the shape, type, offset and offset
        of the scales of each); the weights.

    Raises:
        InputError: for a model without a generator, or with one that the page cannot play.
    """
    generator = _generator(model)
    if generator.config.conditioning != "film":
        raise InputError(
            'the page plays only generators with conditioning "film": '
            "train one with it, or export to ONNX"
        )
    tensors, weights = _packed(_tensors(generator) | {"directions": directions(model)})
    return Bundle(model_description(model) | {"tensors": tensors}, weights)


def ear(model: TootModel) -> Bundle:
    """The generator's encoder, in float16, with which the page analyses a sound of the user; it is
    fetched only then.

    Raises:
        InputError: for a model without a generator.
    """
    tensors, weights = _packed(_generator(model).encoder.state_dict())
    return Bundle({"format": FORMAT, "tensors": tensors}, weights)


def _packed(named: Mapping[str, Tensor]) -> tuple[dict[str, dict[str, Any]], bytes]:
    """The entries of tensors in a description, and their bytes."""
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
    """Write a :func:`bundle` as ``toot.json`` and ``toot.bin``, and the :func:`ear` as ``ear.json``
    and ``ear.bin``.

    Returns:
        Bytes of the first two, which the page needs in order to play.

    Raises:
        InputError: as `bundle`; also if the folder is a file, or cannot be written.
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
    """What a program needs in order to use the generator: front end, sizes, kinds and the ranges of
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
    """A tensor (R, ...) in 8 bits: integers (R, ...) from -127 to 127, and a scale (R,) for each
    row.
    """
    flat = tensor.flatten(1)
    scale = flat.abs().amax(1).clamp_min(1e-30) / 127
    return (flat / scale[:, None]).round().to(torch.int8).view(tensor.shape), scale


def dequantised(model: TootModel) -> TootModel:
    """A copy of the model whose generator has the rounded weights of :func:`bundle` and
    :func:`ear`, as the page plays it.
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

    For each kind, at some pitches, log-mels are generated with every number of the noise moved one
    standard deviation up and down; the directions are the principal components of the differences.
    """
    generator = _generator(model)
    size = generator.config.residual
    noise = torch.cat([torch.eye(size), -torch.eye(size)])
    planes = []
    for k, kind in enumerate(model.kinds):
        gram = torch.zeros(size, size, dtype=torch.float64)
        for pitch in np.geomspace(*kind.pitch, _PITCHES + 2)[1:-1]:
            log_mel = _draw(generator, k, kind, float(pitch), noise)
            log_mel = log_mel.clamp_min(generator.decoder.log_floor).double()
            difference = (log_mel[:size] - log_mel[size:]).flatten(1)
            gram += difference @ difference.T
        vectors = torch.linalg.eigh(gram).eigenvectors.flip(1)[:, :2].T  # largest first
        largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
        planes.append(vectors * largest.sign())
    return torch.stack(planes).float()


def bent(noise: Tensor, plane: Tensor, place: tuple[float, float]) -> Tensor:
    """Noise (Z,) whose components along the two directions of the plane (2, Z) are replaced by
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
    """The type in which a :func:`bundle` stores a tensor: "int8", "float16" or "float32"."""
    if tensor.ndim < 2 or tensor.numel() < _LEAST or name.startswith(("prior", "directions")):
        return "float32"
    return "float16" if name == "out.weight" or name.startswith(("layers.", "project.")) else "int8"


def _generator(model: TootModel) -> Generator:
    if model.generator is None:
        raise InputError(
            "this model has no generator, and there is nothing else to export: "
            "train one with a generator"
        )
    return model.generator
