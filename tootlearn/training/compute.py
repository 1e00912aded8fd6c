"""How a run computes: on which devices, in which precision, in how many parts.

Lightning Fabric does the work. None of this says what is learned, so none of it is in
`TrainConfig`: a run that was started in one way may be resumed in another.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tootlearn.errors import InputError, check_at_least, check_choice
from tootlearn.models.device import to_device

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# and Fabric's names for them
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
STRATEGIES = ("auto", "ddp", "fsdp")


@dataclass(frozen=True)
class Compute:
    """How a run computes, and which checkpoints it keeps.

    With precision 32, the parts of a batch (by ``accumulate``, or by several processes) give the
    gradient of the whole, to rounding. A few things see a part and not the batch: batch norm,
    dropout, the free bits of a variational latent, the error of the bandwidth extension (a weighted
    mean), and the loss "stft", which turns only the first clips of each part into sound. Where
    toots are streamed, each process takes the error of f0 as a mean over its own toots.

    Args:
        precision: "32"; "bf16" or "16": convolutions and matrix products in 16 bits, weights and
            losses in 32 (Micikevicius et al. 2018). "16" scales the loss and needs CUDA.
        devices: how many of each machine, one process each; under `torchrun` the number that it
            started counts.
        nodes: how many machines.
        strategy: "auto", which is "ddp" for several processes: each has the whole model and a share
            of the batch. "fsdp", which would split the model as well, is refused: evaluation and
            checkpoints need all of it.
        accumulate: into how many parts a process splits its share of the batch, to save memory.
        compile: compile the networks with `torch.compile`, which needs a C++ compiler.
        keep_every: steps between checkpoints that are kept; 0 keeps only the last.
        best: save the weights that did best on the held-out clips, not the last ones. Their
            held-out error has then been chosen by that very error.

    Raises:
        InputError: values that are not allowed; the message says what is.
    """

    precision: str = "32"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    accumulate: int = 1
    compile: bool = False
    keep_every: int = 0
    best: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("precision", tuple(PRECISIONS)), ("strategy", STRATEGIES)):
            check_choice(name, getattr(self, name), allowed)
        for name, least in (("devices", 1), ("nodes", 1), ("accumulate", 1), ("keep_every", 0)):
            check_at_least(name, getattr(self, name), least)

    def launch(self, device: str = "cpu") -> Fabric:
        """Start computing on a device (see `device.to_device`), with as many processes as asked
        for.

        Processes that `torchrun` has not started are started here: each runs the same command from
        its beginning.

        Raises:
            InputError: if the device is not there, there are too few of it, or it cannot do what is
                asked.
        """
        where = to_device(device).type
        if self.precision == "16" and where != "cuda":
            raise InputError(
                f"precision 16 needs CUDA, and the device is {where}: give --precision bf16 or 32"
            )
        if self.strategy == "fsdp":
            raise InputError(
                "fsdp is for models that do not fit one device, and these do: give --strategy ddp"
            )
        local = int(os.environ.get("LOCAL_WORLD_SIZE", self.devices))
        nodes = (
            int(os.environ.get("WORLD_SIZE", 0)) // local
            if "LOCAL_WORLD_SIZE" in os.environ
            else self.nodes
        )
        if where == "mps" and local * nodes > 1:
            raise InputError("mps is one device: give --devices 1")
        if where == "cuda" and local > torch.cuda.device_count():
            raise InputError(
                f"there are {torch.cuda.device_count()} CUDA devices, not {local}: give fewer "
                "--devices"
            )
        if local * nodes > 1:
            return _processes(where, self.precision, local, nodes)
        index = to_device(device).index
        return _fabric(
            where, self.precision, devices=1 if index is None or where != "cuda" else [index]
        )


def _fabric(accelerator: str, precision: str, **options: Any) -> Fabric:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.precision import MixedPrecision

    class Mixed(MixedPrecision):
        def convert_input(self, data: Any) -> Any:
            return data  # targets keep their 32 bits: autocast casts what enters a convolution

    if precision == "32":
        return Fabric(accelerator=accelerator, **options)
    mixed: Any = PRECISIONS[precision]
    return Fabric(accelerator=accelerator, plugins=[Mixed(mixed, accelerator)], **options)


def one_process(device: str = "cpu") -> Fabric:
    """A fabric of this process alone, in 32 bits, whatever `torchrun` has started."""
    return _fabric(to_device(device).type, "32", devices=1)


@functools.cache  # a process joins its group once
def _processes(accelerator: str, precision: str, devices: int, nodes: int) -> Fabric:
    from lightning_fabric.strategies.ddp import DDPStrategy

    parameters = inspect.signature(nn.parallel.DistributedDataParallel).parameters
    # before torch 2.13
    name = "forward_sync_buffers" if "forward_sync_buffers" in parameters else "broadcast_buffers"
    buffers: dict[str, Any] = {name: False}
    strategy = DDPStrategy(**buffers)
    fabric = _fabric(accelerator, precision, strategy=strategy, devices=devices, num_nodes=nodes)
    fabric.launch()
    return fabric


def all_reduce_sum(fabric: Fabric | None, values: Mapping[str, float]) -> dict[str, float]:
    """Each value summed over all processes, which all give the same names."""
    if fabric is None or fabric.world_size == 1:
        return dict(values)
    totals = torch.tensor(list(values.values()), dtype=torch.float64, device=fabric.device)
    torch.distributed.all_reduce(totals)
    return dict(zip(values, totals.tolist(), strict=True))


def broadcast(fabric: Fabric, model: nn.Module) -> None:
    """Give every process the buffers of the first, such as the running statistics of batch norm."""
    if fabric.world_size > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)


def any_rank(fabric: Fabric, flag: bool) -> bool:
    """Whether the flag is set in any process."""
    if fabric.world_size == 1:
        return flag
    return bool(all_reduce_sum(fabric, {"flag": float(flag)})["flag"])
