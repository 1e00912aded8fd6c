"""The device that a model computes on."""

from __future__ import annotations

import torch

from tootlearn.errors import InputError


def to_device(name: str) -> torch.device:
    """The device of a name, or for "auto" the first of CUDA, Apple's MPS and CPU that is available.

    Raises:
        InputError: if this machine has no such device.
    """
    if name == "auto":
        name = (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"there is no device {name!r}: give cpu, cuda, mps or auto") from error
    try:
        # a device from which no numbers can be read, such as meta, is of no use
        torch.zeros(1, device=device).tolist()
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device {name!r} is not available here ({str(error).splitlines()[0]}): try cpu"
        ) from error
    return device
