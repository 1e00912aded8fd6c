"""How a run computes: on which devices, in which precision, in how many parts.

Lightning Fabric does the work. None of this says what is learned, so none of it is in
`TrainConfig`: a run that was started in one way may be resumed in another.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tootlearn.errors import InputError
from tootlearn.models.device import to_device
from tootlearn.training.config import Compute

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def launch(compute: Compute, device: str = "cpu") -> Fabric:
    """Start computing on a device (see `device.to_device`), in as many processes as asked for.

    Processes that `torchrun` has not started are started here: each runs the same command from
    its beginning.

    Raises:
        InputError: if the device is not there, there are too few of it, or it cannot do what is
            asked.
    """
    where = to_device(device).type
    if compute.precision == "16" and where != "cuda":
        raise InputError(
            f"precision 16 needs CUDA, and the device is {where}: give --precision bf16 or 32"
        )
    if compute.strategy == "fsdp":
        raise InputError(
            "fsdp is for models that do not fit one device, and these do: give --strategy ddp"
        )
    local = int(os.environ.get("LOCAL_WORLD_SIZE", compute.devices))
    nodes = (
        int(os.environ.get("WORLD_SIZE", 0)) // local
        if "LOCAL_WORLD_SIZE" in os.environ
        else compute.nodes
    )
    if where == "mps" and local * nodes > 1:
        raise InputError("mps is one device: give --devices 1")
    if where == "cuda" and local > torch.cuda.device_count():
        raise InputError(
            f"there are {torch.cuda.device_count()} CUDA devices, not {local}: give fewer --devices"
        )
    if local * nodes > 1:
        return _processes(where, compute.precision, local, nodes)
    index = to_device(device).index
    return _fabric(
        where, compute.precision, devices=1 if index is None or where != "cuda" else [index]
    )


def _fabric(accelerator: str, precision: str, **options: Any) -> Fabric:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.precision import MixedPrecision

    class Mixed(MixedPrecision):
        def convert_input(self, data: Any) -> Any:
            return data  # targets keep their 32 bits: autocast casts what enters a convolution

    if precision == "32":
        return Fabric(accelerator=accelerator, **options)
    mixed: Any = f"{precision}-mixed"
    return Fabric(accelerator=accelerator, plugins=[Mixed(mixed, accelerator)], **options)


def one_process() -> Fabric:
    """A fabric of this process alone, on the CPU in 32 bits, whatever `torchrun` has started."""
    return _fabric("cpu", "32", devices=1)


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
