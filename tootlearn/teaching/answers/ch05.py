"""Exercises of chapter 5: the decoder."""

import torch
from torch import Tensor

from tootlearn.teaching.exercises import Exercise

KERNELS = ([1.0, 2.0, 4.0], [1.0, 3.0, -3.0, 2.0], [5.0, 1.0, 1.0, 1.0, 1.0])


def _stamp(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    out = torch.zeros((len(x) - 1) * stride + len(kernel))
    for t, value in enumerate(x):
        out[t * stride : t * stride + len(kernel)] += value * kernel
    return out


def _overwrite(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    out = torch.zeros((len(x) - 1) * stride + len(kernel))
    for t, value in enumerate(x):
        out[t * stride : t * stride + len(kernel)] = value * kernel
    return out


EXERCISES = [
    Exercise(
        "5.1",
        solution=lambda: (44 - 1) * 2 - 2 * 1 + 4,
        wrong=[
            (
                lambda: 44 * 2 + 2,
                "That has no padding in it. Padding takes frames away at both ends.",
            ),
            (
                lambda: (44 + 2 - 4) // 2 + 1,
                "That is the convolution, which shrinks. Its transpose goes the other way.",
            ),
            (lambda: 43 * 2 + 4 - 1, "The padding is taken off at both ends, not at one."),
        ],
        right="Kernel 4, stride 2 and padding 1 double any number of frames exactly.",
    ),
    Exercise(
        "5.2",
        solution=_stamp,
        tries=lambda: [
            (torch.tensor([1.0, -2.0, 3.0]), torch.tensor(kernel), stride)
            for kernel in KERNELS
            for stride in (1, 2, 3)
        ],
        stub=lambda x, kernel, stride: ...,
        wrong=[
            (
                _overwrite,
                "Stamps overlap where the kernel is longer than the stride. What happens there?",
            ),
            (
                lambda x, k, s: _stamp(x, k.flip(0), s),
                "The kernel is stamped as it stands, not turned round.",
            ),
        ],
        right="So every input reaches as many outputs as the kernel is long.",
    ),
    Exercise(
        "5.3",
        solution=lambda: torch.tensor([2, 1, 2, 1]),
        wrong=[
            (
                lambda: torch.tensor([1, 2, 1, 2]),
                "The right numbers, shifted by one. Which inputs reach output 2?",
            ),
            (
                lambda: torch.tensor([2, 2, 2, 2]),
                "That is kernel 4. A kernel of 3 is no multiple of the stride.",
            ),
            (
                lambda: torch.tensor([3, 3, 3, 3]),
                "That is stride 1, where every output gets the whole kernel.",
            ),
        ],
        right="Two, one, two, one: the checkerboard, before any weight is learned.",
    ),
    Exercise(
        "5.4",
        solution=lambda: 128 * 128 * 44 + 128 * 44,
        wrong=[
            (
                lambda: 128 * 128 * 44,
                "Those are the weights. A linear layer has an offset for each output as well.",
            ),
            (
                lambda: 128 * 128 * 176 + 128 * 176,
                "The transposed convolutions still double the frames, twice.",
            ),
            (
                lambda: 128 * 128 * 44 + 128,
                "An offset for each channel? There is one for each of the 128 * 44 outputs.",
            ),
            (lambda: 128 * 128 + 128, "That layer makes 128 numbers, and they have no time axis."),
        ],
        right=(
            "Nearly all of the baseline's weights are in this one layer: it learns where in "
            "time things are."
        ),
        tolerance=1e-6,
    ),
]
