"""The model file: one .safetensors file that holds all that a model is, and nothing that can run
code.

Tensors: the weights, the normalizer's statistics, the prior. Metadata under the key ``tootlearn``:
JSON with

    schema       2; files of every past schema stay loadable
    front_end    the fields of `FrontEndConfig`: features made otherwise are refused
    normalizer   the names of the tensors with its statistics
    model        the configs of "generator" and "autoencoder", or null
    controls     the kinds with their ranges, and the range of the loudness
    provenance   data, seed, steps, held-out loss, versions, licence notes
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from tootlearn.controls import LOUDNESS_RANGE, Kind
from tootlearn.dsp.front_end import FrontEndConfig
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.files import atomic_write
from tootlearn.models.autoencoder import AutoencoderConfig, GeneratorConfig
from tootlearn.models.bandwidth import Bandwidth, BandwidthConfig
from tootlearn.models.toot_model import TootModel
from tootlearn.models.vocoder import Vocoder, VocoderConfig

SCHEMA = 2
SHIPPED = ("default", "tiny")  # names of the models that come with the package
_EXACT = ("normalizer.", "generator.prior")  # statistics stay float32 where weights are halved
# torch's zip archive, and protocols 2 to 5
_PICKLES = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

Config = TypeVar(
    "Config", FrontEndConfig, GeneratorConfig, AutoencoderConfig, VocoderConfig, BandwidthConfig
)
Part = TypeVar("Part", Vocoder, Bandwidth)


def save_model(
    path: str | os.PathLike[str], model: TootModel, provenance: dict[str, Any], half: bool = False
) -> None:
    """Write a model file, whole or not at all.

    Args:
        path: where to.
        model: what to save.
        provenance: what is known of its training; anything that JSON can hold.
        half: store the weights in 16 bits.

    Raises:
        InputError: if it cannot be written.
    """
    description = {
        "schema": SCHEMA,
        "front_end": asdict(model.front_end.config),
        "normalizer": {"mean": "normalizer.mean", "std": "normalizer.std"},
        "model": {
            "generator": asdict(model.generator.config) if model.generator else None,
            "autoencoder": asdict(model.autoencoder.config) if model.autoencoder else None,
        },
        "controls": {"kinds": [kind.as_json() for kind in model.kinds], "loudness": LOUDNESS_RANGE},
        "provenance": provenance,
    }
    tensors = {
        name: (t.half() if half and t.is_floating_point() and not name.startswith(_EXACT) else t)
        .cpu()
        .contiguous()
        for name, t in model.state_dict().items()
    }
    atomic_write(Path(path), to_bytes(tensors, metadata={"tootlearn": json.dumps(description)}))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata of a model file, checked.

    Raises:
        InputError: if the file is missing, truncated, not a model file, or of an unknown schema.
    """
    return _read(Path(path))[0]


def shipped(name: str = "default") -> Path:
    """Where a model that comes with the package lies: one of :data:`SHIPPED`."""
    return Path(__file__).parents[1] / "weights" / f"{name}.safetensors"


def load_model(
    path: str | os.PathLike[str], front_end: FrontEndConfig | None = None
) -> tuple[TootModel, dict[str, Any]]:
    """Read a model file.

    Args:
        path: where from; "default" and "tiny" are shipped models, if there is no file of that name.
        front_end: of the features that the model shall be used with, if they are made elsewhere.

    Returns:
        The model, in evaluation mode, on the CPU, in float32; and its metadata.

    Raises:
        InputError: if the file is missing, truncated, not a model file, of an unknown schema, lacks
            tensors, or was made with another front end than ``front_end``.
    """
    path = shipped(str(path)) if path in SHIPPED and not Path(path).exists() else Path(path)
    description, tensors = _read(path)
    if "vocoder" in description:
        raise InputError(
            f"{path} is a vocoder: give it as --vocoder, and a model of toots as the model"
        )
    if "bandwidth" in description:
        raise InputError(f"{path} is a bandwidth extension: give a model of toots as the model")
    try:
        config = _config(FrontEndConfig, description["front_end"])
        parts = description["model"]
        generator = _config(GeneratorConfig, parts["generator"]) if parts["generator"] else None
        autoencoder = (
            _config(AutoencoderConfig, parts["autoencoder"]) if parts["autoencoder"] else None
        )
        kinds = [Kind.from_json(kind) for kind in description["controls"]["kinds"]]
        statistics = [tensors[description["normalizer"][name]] for name in ("mean", "std")]
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    if front_end is not None and front_end != config:
        differences = _difference(config, front_end)
        raise InputError(
            f"{path} was trained with another front end ({differences}): make the features with its own"
        )
    if statistics[0].shape != (config.mels, 1):
        raise InputError(
            f"{path}: its weights belong to another front end: its description says {config.mels} mel bands, "
            f"its statistics have {statistics[0].shape[0]}"
        )
    try:
        # initial weights, soon replaced: the caller's random numbers stay
        with torch.random.fork_rng(devices=[]):
            model = TootModel(config, Normalizer(*statistics), kinds, generator, autoencoder)
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    _fill(model, tensors, path)
    return model.eval(), description


def save_vocoder(
    path: str | os.PathLike[str], vocoder: Vocoder, provenance: dict[str, Any]
) -> None:
    """Write a vocoder's file, whole or not at all: weights in 16 bits; otherwise as `save_model`.

    Raises:
        InputError: if it cannot be written.
    """
    about = {"front_end": asdict(vocoder.front_end.config), "vocoder": asdict(vocoder.config)}
    _save_part(path, vocoder, about, provenance)


def save_bandwidth(
    path: str | os.PathLike[str], bandwidth: Bandwidth, provenance: dict[str, Any]
) -> None:
    """Write the file of a bandwidth extension: as `save_vocoder`."""
    config = asdict(bandwidth.config)
    about = {"front_end": config.pop("front_end"), "bandwidth": config}
    _save_part(path, bandwidth, about, provenance)


def _save_part(
    path: str | os.PathLike[str], part: nn.Module, about: dict[str, Any], provenance: dict[str, Any]
) -> None:
    description = {"schema": SCHEMA} | about | {"provenance": provenance}
    tensors = {name: tensor.half().cpu().contiguous() for name, tensor in part.state_dict().items()}
    atomic_write(Path(path), to_bytes(tensors, metadata={"tootlearn": json.dumps(description)}))


def shipped_vocoder() -> Path:
    """Where the vocoder that comes with the package lies."""
    return shipped("vocoder")


def shipped_bandwidth() -> Path:
    """Where the bandwidth extension that comes with the package lies."""
    return shipped("bandwidth")


def load_vocoder(
    path: str | os.PathLike[str] | None = None, front_end: FrontEndConfig | None = None
) -> tuple[Vocoder, dict[str, Any]]:
    """Read a vocoder's file.

    Args:
        path: where from; None is the shipped one.
        front_end: of the log-mels that it shall make sound of.

    Returns:
        The vocoder, in evaluation mode, on the CPU, in float32; and its metadata.

    Raises:
        InputError: as `load_model`; also for a file that holds another kind of model.
    """
    path = shipped_vocoder() if path is None else Path(path)

    def made(config: FrontEndConfig, size: dict[str, Any]) -> Vocoder:
        return Vocoder(config, _config(VocoderConfig, size))

    vocoder, description = _load_part(path, "vocoder", made)
    config = vocoder.front_end.config
    if front_end is not None and front_end != config:
        differences = _difference(config, front_end)
        raise InputError(
            f"{path} is a vocoder of another front end ({differences}): train one with `tootlearn train-vocoder`"
        )
    return vocoder, description


def load_bandwidth(path: str | os.PathLike[str] | None = None) -> tuple[Bandwidth, dict[str, Any]]:
    """Read the file of a bandwidth extension; None is the shipped one. Otherwise as `load_vocoder`."""

    def made(config: FrontEndConfig, size: dict[str, Any]) -> Bandwidth:
        return Bandwidth(_config(BandwidthConfig, size | {"front_end": config}))

    return _load_part(shipped_bandwidth() if path is None else Path(path), "bandwidth", made)


def _load_part(
    path: Path, name: str, made: Callable[[FrontEndConfig, dict[str, Any]], Part]
) -> tuple[Part, dict[str, Any]]:
    """A network that works beside models, from its file."""
    description, tensors = _read(path)
    if name not in description:
        raise InputError(f"{path} holds no {name}: write one with `tootlearn train-{name}`")
    try:
        with torch.random.fork_rng(devices=[]):
            part = made(_config(FrontEndConfig, description["front_end"]), description[name])
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    _fill(part, tensors, path)
    return part.eval(), description


def _fill(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Give a model the tensors of its file. Raises InputError if they are not what it needs."""
    wanted = model.state_dict()
    missing = sorted(wanted.keys() - tensors.keys())
    if missing:
        raise InputError(
            f"{path}: {len(missing)} tensors are missing, the first is {missing[0]}: the file is damaged"
        )
    for name, tensor in wanted.items():
        if tensors[name].shape != tensor.shape:
            shapes = f"{tuple(tensors[name].shape)} where this front end and model need {tuple(tensor.shape)}"
            raise InputError(f"{path}: {name} has shape {shapes}: the file is damaged")
        if not bool(tensors[name].isfinite().all()):
            raise InputError(
                f"{path}: {name} is not finite: the training went astray, or the file is damaged"
            )
    model.load_state_dict({name: tensors[name] for name in wanted})


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.exists():
        raise InputError(f"there is no model file {path}")
    if not path.is_file():
        raise InputError(
            f"{path} is a {'directory' if path.is_dir() else 'device'}, not a model file"
        )
    try:
        with path.open("rb") as raw:
            head = raw.read(9)
        # The first 8 bytes of a .safetensors file are a length, which may look like a pickle's;
        # then comes a brace.
        if head.startswith(_PICKLES) and head[8:] not in (b"", b"{"):
            raise InputError(
                f"{path} is a pickle, which can run any code when it is read: tootlearn reads .safetensors alone"
            )
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except SafetensorError as error:
        raise InputError(
            f"{path} is no whole .safetensors file: truncated, or something else ({error})"
        ) from error
    if "tootlearn" not in metadata:
        raise InputError(
            f"{path} holds weights, but not of tootlearn: write it with `tootlearn train`"
        )
    try:
        description = json.loads(metadata["tootlearn"])
        schema = description["schema"]
        known = schema in range(1, SCHEMA + 1)
        description = _upgraded(description) if known else description
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    if not known:
        raise InputError(
            f"{path} has schema {schema!r}; this version of tootlearn knows 1 to {SCHEMA}: install a newer one"
        )
    return description, {
        name: t.float() if t.is_floating_point() else t for name, t in tensors.items()
    }


def _upgraded(description: dict[str, Any]) -> dict[str, Any]:
    """A description of any schema with the fields of the latest; "schema" stays what the file says."""
    # a vocoder's file has changed in nothing
    autoencoder = description.get("model", {}).get("autoencoder")
    if description["schema"] == 1 and autoencoder:
        blocks = autoencoder["residual"] > 0
        plain = {
            "patch": 1,
            "upsampling": "transposed",
            "dilated": False,
            "attention": 0,
            "linear": False,
        }
        style = {
            "activation": "silu" if blocks else "relu",
            "norm": "group" if blocks else "batch",
            "dropout": 0.0,
        }
        autoencoder |= plain | style | {"variational": False}
    return description


# What a description that is no longer what `save_model` wrote raises where it is used; RuntimeError comes
# from torch.
_DAMAGE = (AttributeError, KeyError, RuntimeError, TypeError, ValueError)


def _damaged(path: Path, error: Exception) -> InputError:
    what = f"no {error}" if isinstance(error, KeyError) else str(error)
    return InputError(
        f"{path}: the description in this model file is damaged or of another version ({what})"
    )


def _config(config: type[Config], data: dict[str, Any]) -> Config:
    """A config from its fields, all of them and no others."""
    known = {f.name for f in fields(config)}
    if known != data.keys():
        strange, missing = sorted(data.keys() - known), sorted(known - data.keys())
        wrong = [
            f"{word} {', '.join(names)}"
            for word, names in (("unknown", strange), ("without", missing))
            if names
        ]
        raise ValueError(f"{config.__name__}: {'; '.join(wrong)}")
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in data.items()
    }
    return config(**values)


def _difference(model: FrontEndConfig, features: FrontEndConfig) -> str:
    a, b = asdict(model), asdict(features)
    return ", ".join(f"{name} {a[name]}, not {b[name]}" for name in a if a[name] != b[name])


def summary(model: TootModel, description: Mapping[str, Any]) -> str:
    """What :func:`load_model` gave, for people: kinds and their ranges, sizes, front end, training data,
    licence.
    """
    parts = [p for p in ("generator", "autoencoder") if getattr(model, p) is not None]
    sizes = [
        f"{p} {sum(t.numel() for t in getattr(model, p).parameters()) / 1e6:.2f} M parameters"
        for p in parts
    ]
    lines = [f"schema {description['schema']}; {'; '.join(sizes)}", ""]
    lines += [f"{'kind':16}{'pitch (Hz)':16}{'duration (s)':15}notes"]
    for kind in model.kinds:
        pitch, duration = (f"{low:g} to {high:g}" for low, high in (kind.pitch, kind.duration))
        lines.append(
            f"{kind.name:16}{pitch:16}{duration:15}{' '.join(f'{ratio:.4g}' for ratio in kind.intervals)}"
        )
    facts = {"front end": description["front_end"]} | dict(description.get("provenance", {}))
    facts.pop("config", None)  # all that `tootlearn train` takes: for programs
    lines.append("")
    for name, fact in facts.items():
        text = (
            ", ".join(f"{k} {v}" for k, v in fact.items()) if isinstance(fact, dict) else str(fact)
        )
        lines.append(f"{name:12} {text}")
    return "\n".join(lines)
