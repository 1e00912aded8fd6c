"""The model file: one .safetensors file that holds a whole model, and nothing that can run code.

Its tensors are the weights, the normalizer's statistics and the prior. The metadata under the key
``tootlearn`` are JSON with

    schema       2; files of every past schema can still be loaded
    front_end    the fields of `FrontEndConfig`; features made in any other way are refused
    normalizer   the names of the tensors with its statistics
    model        the configs of "generator" and "autoencoder", or null
    controls     the kinds with their ranges, and the range of loudness
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
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.files import atomic_write
from tootlearn.models.bandwidth import Bandwidth
from tootlearn.models.config import (
    AutoencoderConfig,
    BandwidthConfig,
    GeneratorConfig,
    VocoderConfig,
)
from tootlearn.models.toot_model import TootModel
from tootlearn.models.vocoder import Vocoder

SCHEMA = 2
SHIPPED = ("default", "tiny")  # names of the models that come with the package
_EXACT = ("normalizer.", "generator.prior")  # statistics stay float32 where weights are halved
# how pickles begin: torch's zip archive, and protocols 2 to 5
_PICKLES = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

Config = TypeVar(
    "Config", FrontEndConfig, GeneratorConfig, AutoencoderConfig, VocoderConfig, BandwidthConfig
)
Network = TypeVar("Network", Vocoder, Bandwidth)


def save_model(
    path: str | os.PathLike[str], model: TootModel, provenance: dict[str, Any], half: bool = False
) -> None:
    """Write a model file atomically.

    Args:
        path: the file to write.
        model: the model to save.
        provenance: what is known about its training; anything that JSON can hold.
        half: store the weights in 16 bits.

    Raises:
        InputError: if it cannot be written.
    """
    metadata = {
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
    atomic_write(Path(path), to_bytes(tensors, metadata={"tootlearn": json.dumps(metadata)}))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata of a model file, checked and brought to the current schema.

    Raises:
        InputError: if the file is missing, truncated, not a model file, or of an unknown schema.
    """
    return _read(Path(path))[0]


def shipped(name: str = "default") -> Path:
    """The path of a model that comes with the package: one of :data:`SHIPPED`."""
    return Path(__file__).parents[1] / "weights" / f"{name}.safetensors"


def load_model(
    path: str | os.PathLike[str], front_end: FrontEndConfig | None = None
) -> tuple[TootModel, dict[str, Any]]:
    """Read a model file.

    Args:
        path: the file; "default" and "tiny" are the shipped models, unless there is a file of that
            name.
        front_end: of the features that the model is to be used with, if they are made elsewhere.

    Returns:
        The model, in evaluation mode, on the CPU, in float32; and its metadata.

    Raises:
        InputError: if the file is missing, truncated, not a model file, of an unknown schema, lacks
            tensors, or was made with another front end than ``front_end``.
    """
    path = shipped(str(path)) if path in SHIPPED and not Path(path).exists() else Path(path)
    metadata, tensors = _read(path)
    if "vocoder" in metadata:
        raise InputError(
            f"{path} is a vocoder: give it as --vocoder, and a model of toots as the model"
        )
    if "bandwidth" in metadata:
        raise InputError(f"{path} is a bandwidth extension: give a model of toots as the model")
    try:
        config = _config(FrontEndConfig, metadata["front_end"])
        parts = metadata["model"]
        generator = _config(GeneratorConfig, parts["generator"]) if parts["generator"] else None
        autoencoder = (
            _config(AutoencoderConfig, parts["autoencoder"]) if parts["autoencoder"] else None
        )
        kinds = [Kind.from_json(kind) for kind in metadata["controls"]["kinds"]]
        statistics = [tensors[metadata["normalizer"][name]] for name in ("mean", "std")]
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    if front_end is not None and front_end != config:
        differences = _difference(config, front_end)
        raise InputError(
            f"{path} was trained with another front end ({differences}): "
            "make the features with its own"
        )
    if statistics[0].shape != (config.mels, 1):
        raise InputError(
            f"{path}: its weights belong to another front end: its description says "
            f"{config.mels} mel bands, its statistics have {statistics[0].shape[0]}"
        )
    try:
        # The initial weights are replaced below: leave the caller's random state as it was.
        with torch.random.fork_rng(devices=[]):
            model = TootModel(config, Normalizer(*statistics), kinds, generator, autoencoder)
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    _load_tensors(model, tensors, path)
    return model.eval(), metadata


def save_vocoder(
    path: str | os.PathLike[str], vocoder: Vocoder, provenance: dict[str, Any]
) -> None:
    """Write a vocoder's file, with weights in 16 bits, otherwise as `save_model`.

    Raises:
        InputError: if it cannot be written.
    """
    configs = {"front_end": asdict(vocoder.front_end.config), "vocoder": asdict(vocoder.config)}
    _save_network(path, vocoder, configs, provenance)


def save_bandwidth(
    path: str | os.PathLike[str], bandwidth: Bandwidth, provenance: dict[str, Any]
) -> None:
    """Write the file of a bandwidth extension, as `save_vocoder` does."""
    config = asdict(bandwidth.config)
    configs = {"front_end": config.pop("front_end"), "bandwidth": config}
    _save_network(path, bandwidth, configs, provenance)


def _save_network(
    path: str | os.PathLike[str],
    network: nn.Module,
    configs: dict[str, Any],
    provenance: dict[str, Any],
) -> None:
    metadata = {"schema": SCHEMA} | configs | {"provenance": provenance}
    tensors = {name: t.half().cpu().contiguous() for name, t in network.state_dict().items()}
    atomic_write(Path(path), to_bytes(tensors, metadata={"tootlearn": json.dumps(metadata)}))


def shipped_vocoder() -> Path:
    """The path of the vocoder that comes with the package."""
    return shipped("vocoder")


def shipped_bandwidth() -> Path:
    """The path of the bandwidth extension that comes with the package."""
    return shipped("bandwidth")


def load_vocoder(
    path: str | os.PathLike[str] | None = None, front_end: FrontEndConfig | None = None
) -> tuple[Vocoder, dict[str, Any]]:
    """Read a vocoder's file.

    Args:
        path: the file; None is the shipped vocoder.
        front_end: of the log-mels that the vocoder is to be used with.

    Returns:
        The vocoder, in evaluation mode, on the CPU, in float32; and its metadata.

    Raises:
        InputError: as `load_model`; also for a file that holds another kind of model.
    """
    path = shipped_vocoder() if path is None else Path(path)

    def build(config: FrontEndConfig, size: dict[str, Any]) -> Vocoder:
        return Vocoder(config, _config(VocoderConfig, size))

    vocoder, metadata = _load_network(path, "vocoder", build)
    config = vocoder.front_end.config
    if front_end is not None and front_end != config:
        differences = _difference(config, front_end)
        raise InputError(
            f"{path} is a vocoder of another front end ({differences}): "
            "train one with `tootlearn train-vocoder`"
        )
    return vocoder, metadata


def load_bandwidth(path: str | os.PathLike[str] | None = None) -> tuple[Bandwidth, dict[str, Any]]:
    """Read the file of a bandwidth extension, as `load_vocoder` does; None is the shipped one."""

    def build(config: FrontEndConfig, size: dict[str, Any]) -> Bandwidth:
        return Bandwidth(_config(BandwidthConfig, size | {"front_end": config}))

    return _load_network(shipped_bandwidth() if path is None else Path(path), "bandwidth", build)


def _load_network(
    path: Path, name: str, build: Callable[[FrontEndConfig, dict[str, Any]], Network]
) -> tuple[Network, dict[str, Any]]:
    """A network that works beside a model, from its own file."""
    metadata, tensors = _read(path)
    if name not in metadata:
        raise InputError(f"{path} holds no {name}: write one with `tootlearn train-{name}`")
    try:
        with torch.random.fork_rng(devices=[]):
            network = build(_config(FrontEndConfig, metadata["front_end"]), metadata[name])
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    _load_tensors(network, tensors, path)
    return network.eval(), metadata


def _load_tensors(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load a model's state. Raises InputError if the tensors of the file do not fit it."""
    state = model.state_dict()
    missing = sorted(state.keys() - tensors.keys())
    if missing:
        raise InputError(
            f"{path}: {len(missing)} tensors are missing, the first is {missing[0]}: "
            "the file is damaged"
        )
    for name, tensor in state.items():
        if tensors[name].shape != tensor.shape:
            raise InputError(
                f"{path}: {name} has shape {tuple(tensors[name].shape)} where this front end and "
                f"model need {tuple(tensor.shape)}: the file is damaged"
            )
        if not bool(tensors[name].isfinite().all()):
            raise InputError(
                f"{path}: {name} is not finite: the training diverged, or the file is damaged"
            )
    model.load_state_dict({name: tensors[name] for name in state})


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata, in the current schema, and tensors, those of floating point in float32."""
    if not path.exists():
        raise InputError(f"there is no model file {path}")
    if not path.is_file():
        kind = "directory" if path.is_dir() else "device"
        raise InputError(f"{path} is a {kind}, not a model file")
    try:
        _refuse_pickle(path)
        with safe_open(str(path), framework="pt") as file:
            entries = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except SafetensorError as error:
        raise InputError(
            f"{path} is not a complete .safetensors file: truncated, or something else ({error})"
        ) from error
    if "tootlearn" not in entries:
        raise InputError(
            f"{path} holds weights, but not those of a tootlearn model: "
            "write it with `tootlearn train`"
        )
    try:
        metadata = json.loads(entries["tootlearn"])
        schema = metadata["schema"]
        known = schema in range(1, SCHEMA + 1)
        metadata = _upgraded(metadata) if known else metadata
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    if not known:
        raise InputError(
            f"{path} has schema {schema!r}; this version of tootlearn knows 1 to {SCHEMA}: "
            "install a newer one"
        )
    return metadata, {
        name: t.float() if t.is_floating_point() else t for name, t in tensors.items()
    }


def _refuse_pickle(path: Path) -> None:
    with path.open("rb") as raw:
        head = raw.read(9)
    # The first 8 bytes of a .safetensors file are a length, which may look like the beginning of a
    # pickle; a brace follows.
    if head.startswith(_PICKLES) and head[8:] not in (b"", b"{"):
        raise InputError(
            f"{path} is a pickle, which can run any code when it is read: "
            "tootlearn reads only .safetensors"
        )


def _upgraded(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata of any schema with the fields of the latest; "schema" keeps what the file says."""
    # The files of a vocoder and of a bandwidth extension have no "model"; they never changed.
    autoencoder = metadata.get("model", {}).get("autoencoder")
    if metadata["schema"] == 1 and autoencoder:
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
    return metadata


# What damaged metadata raise where they are used; RuntimeError comes from torch.
_DAMAGE = (AttributeError, KeyError, RuntimeError, TypeError, ValueError)


def _damaged(path: Path, error: Exception) -> InputError:
    what = f"no {error}" if isinstance(error, KeyError) else str(error)
    return InputError(
        f"{path}: the metadata of this model file are damaged or of another version ({what})"
    )


def _config(config: type[Config], data: dict[str, Any]) -> Config:
    """A config from its fields: all of them must be there, and no others."""
    names = {f.name for f in fields(config)}
    unknown, missing = sorted(data.keys() - names), sorted(names - data.keys())
    if unknown or missing:
        lists = (("unknown", unknown), ("without", missing))
        wrong = [f"{word} {', '.join(listed)}" for word, listed in lists if listed]
        raise ValueError(f"{config.__name__}: {'; '.join(wrong)}")
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in data.items()
    }
    return config(**values)


def _difference(model: FrontEndConfig, features: FrontEndConfig) -> str:
    a, b = asdict(model), asdict(features)
    return ", ".join(f"{name} {a[name]}, not {b[name]}" for name in a if a[name] != b[name])


def summary(model: TootModel, metadata: Mapping[str, Any]) -> str:
    """What :func:`load_model` returned as a text for people: kinds and their ranges, sizes, front
    end, training data, licence.
    """
    parts = [p for p in ("generator", "autoencoder") if getattr(model, p) is not None]
    sizes = [
        f"{p} {sum(t.numel() for t in getattr(model, p).parameters()) / 1e6:.2f} M parameters"
        for p in parts
    ]
    lines = [f"schema {metadata['schema']}; {'; '.join(sizes)}", ""]
    lines += [f"{'kind':16}{'pitch (Hz)':16}{'duration (s)':15}notes"]
    for kind in model.kinds:
        pitch, duration = (f"{low:g} to {high:g}" for low, high in (kind.pitch, kind.duration))
        notes = " ".join(f"{ratio:.4g}" for ratio in kind.intervals)
        lines.append(f"{kind.name:16}{pitch:16}{duration:15}{notes}")
    facts = {"front end": metadata["front_end"]} | dict(metadata.get("provenance", {}))
    facts.pop("config", None)  # all options of `tootlearn train`: for programs
    lines.append("")
    for name, fact in facts.items():
        text = (
            ", ".join(f"{k} {v}" for k, v in fact.items()) if isinstance(fact, dict) else str(fact)
        )
        lines.append(f"{name:12} {text}")
    return "\n".join(lines)
