"""Checkpoints: all that a run needs to be resumed, in one .safetensors file.

Weights and the optimiser's moments are tensors; the step, the config and the last row of the log
are JSON. Random numbers have no state (see `tootlearn.rng`), and neither has the order of the
clips: both follow from the step. The file is written beside the old one, which it then replaces in
one move.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from tootlearn.errors import InputError
from tootlearn.files import atomic_write


def collect_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Copies of all tensors that the next step depends on: weights, running statistics, and the
    optimiser's moments.
    """
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": t for name, t in state.items()}
    return {name: t.detach().clone() for name, t in tensors.items()}


def save_checkpoint(
    path: Path,
    config: dict[str, Any],
    step: int,
    tensors: dict[str, Tensor],
    notes: dict[str, Any] | None = None,
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: of the file.
        config: what the run was started with; anything that JSON can hold.
        step: how many steps are done.
        tensors: as `collect_tensors` gave them after that step.
        notes: what else is to be kept (see `read_notes`); anything that JSON can hold.

    Raises:
        InputError: if it cannot be written; the file that was there stays.
    """
    tensors = {name: t.cpu().contiguous() for name, t in tensors.items()}
    metadata = {"step": str(step), "config": json.dumps(config), "notes": json.dumps(notes or {})}
    atomic_write(path, to_bytes(tensors, metadata=metadata))


def read_notes(path: Path) -> dict[str, Any]:
    """What a checkpoint that was seen to be whole has been given as ``notes``."""
    with safe_open(str(path), framework="pt") as file:
        return dict(json.loads((file.metadata() or {}).get("notes", "{}")))


def restore(
    path: Path,
    config: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> int:
    """Put model, optimiser and others back to where a checkpoint was written.

    Args:
        path: of the file.
        config: of this run; it must be that of the checkpoint.
        model, optimizer: as for `collect_tensors`, as this run has built them; they are changed in
            place.

    Returns:
        How many steps are done.

    Raises:
        InputError: if the file is missing or damaged, or of a run with another config; then nothing
            is changed.
    """
    step, theirs, tensors = _read_checkpoint(path)
    ours = json.loads(json.dumps(config))
    if theirs != ours:
        changed = ", ".join(
            sorted(
                name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
            )
        )
        raise InputError(
            f"{path} was made with another config ({changed}): resume with the one it was "
            "started with"
        )
    weights = {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
    wanted = {name: t.shape for name, t in model.state_dict().items()}
    if {name: t.shape for name, t in weights.items()} != wanted:
        raise InputError(
            f"{path} has other tensors than its config asks for: start again with another --out"
        )
    model.load_state_dict(weights)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    return step


def _read_checkpoint(path: Path) -> tuple[int, dict[str, Any], dict[str, Tensor]]:
    """The steps that are done, the config and the tensors."""
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return int(metadata["step"]), dict(json.loads(metadata["config"])), tensors
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no whole checkpoint ({error}): start again with another --out"
        ) from error


@contextmanager
def interruptible() -> Iterator[list[str]]:
    """Let a step finish before a run stops: on Ctrl-C, or on SIGTERM, by which clusters announce
    pre-emption.

    Yields a list that stays empty until one of them arrives, and then holds its name. A second one
    interrupts at once. Outside of the main thread signals keep their usual effect.
    """
    received: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def receive(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(signal.Signals(number).name)

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
