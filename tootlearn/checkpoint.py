"""Checkpoints: all that a run needs to go on as if nothing had happened, in one .safetensors file.

Weights and the optimiser's moments are tensors; the step and the config are JSON. Random numbers have no state (see
`tootlearn.rng`). The file is written beside the old one and then put in its place in one move.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from tootlearn.audio import InputError, write_whole


def collect(
    model: nn.Module, optimizer: torch.optim.Optimizer, criterion: nn.Module | None = None
) -> dict[str, Tensor]:
    """Copies of all tensors that the next step depends on: weights, running statistics, the optimiser's moments."""
    tensors = _state(model, criterion)
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": t for name, t in state.items()}
    return {name: t.detach().clone() for name, t in tensors.items()}


def _state(model: nn.Module, criterion: nn.Module | None) -> dict[str, Tensor]:
    parts = {"model": model} if criterion is None else {"model": model, "criterion": criterion}
    return {f"{part}.{name}": t for part, module in parts.items() for name, t in module.state_dict().items()}


def save(path: Path, config: dict[str, Any], step: int, tensors: dict[str, Tensor]) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: of the file.
        config: what the run was started with; anything that JSON can hold.
        step: how many steps are done.
        tensors: as `collect` gave them after that step.

    Raises:
        InputError: if it cannot be written; the file that was there stays.
    """
    tensors = {name: t.cpu().contiguous() for name, t in tensors.items()}
    write_whole(path, to_bytes(tensors, metadata={"step": str(step), "config": json.dumps(config)}))


def restore(
    path: Path,
    config: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    criterion: nn.Module | None = None,
) -> int:
    """Put model, optimiser and criterion back to where a checkpoint was written.

    Args:
        path: of the file.
        config: of this run; it must be that of the checkpoint.
        model, optimizer, criterion: as this run has built them; they are changed in place.

    Returns:
        How many steps are done.

    Raises:
        InputError: if the file is missing or damaged, or of a run with another config; then nothing is changed.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        step, theirs = int(metadata["step"]), dict(json.loads(metadata["config"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no whole checkpoint ({error}): start anew with another --out") from error
    ours = json.loads(json.dumps(config))
    if theirs != ours:
        changed = ", ".join(sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)))
        raise InputError(f"{path} was made with another config ({changed}): resume with the one it was started with")
    weights = {name: t for name, t in tensors.items() if not name.startswith("optimizer.")}
    wanted = {name: t.shape for name, t in _state(model, criterion).items()}
    if {name: t.shape for name, t in weights.items()} != wanted:
        raise InputError(f"{path} has other tensors than its config asks for: start anew with another --out")
    for part, module in (("model.", model), ("criterion.", criterion)):
        if module is not None:
            own = {name.removeprefix(part): t for name, t in weights.items() if name.startswith(part)}
            module.load_state_dict(own)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return step
