"""Where a model computes."""

from __future__ import annotations

import torch

from tootlearn.errors import InputError


def to_device(name: str) -> torch.device:
    """ "auto" (CUDA, then Apple's MPS, then CPU) or any device's name.

    Raises:
        InputError: if there is no such device here.
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
        # a device that cannot give numbers back, such as meta, is none
        torch.zeros(1, device=device).tolist()
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device {name!r} is not to be had here ({str(error).splitlines()[0]}): try cpu"
        ) from error
    return device
