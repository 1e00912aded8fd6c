"""Devices by name."""

import pytest
import torch

from tootlearn.errors import InputError
from tootlearn.models.device import to_device

# Devices


def test_a_device_is_found_or_named():
    assert to_device("cpu") == torch.device("cpu")
    assert to_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("toaster", "meta"):
        with pytest.raises(InputError, match=f"'{name}'"):
            to_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="'cuda' is not available here .* try cpu"):
            to_device("cuda")
