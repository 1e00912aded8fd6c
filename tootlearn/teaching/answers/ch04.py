"""Exercises of chapter 4: the encoder."""

import itertools
from typing import Any

import torch
from torch import Tensor

from tootlearn.teaching.exercises import Exercise


def _enough(s: Tensor, share: float) -> int:
    return int((s.square().cumsum(0) / s.square().sum() < share).sum()) + 1


def _length(frames: int, kernel: int, stride: int, padding: int) -> int:
    return (frames + 2 * padding - kernel) // stride + 1


def _batch_norm(x: Tensor, mean: Tensor, variance: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    unit = (x - mean[:, None]) / (variance[:, None] + 1e-5).sqrt()
    return scale[:, None] * unit + offset[:, None]


def _of_the_batch(
    x: Tensor, mean: Tensor, variance: Tensor, scale: Tensor, offset: Tensor
) -> Tensor:
    return _batch_norm(x, x.mean((0, 2)), x.var((0, 2), unbiased=False), scale, offset)


def _arguments() -> list[tuple[Any, ...]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5, generator=generator) * 2 + 1
    return [(x, *(torch.rand(3, generator=generator) + 0.5 for _ in range(4)))]


EXERCISES = [
    Exercise(
        "4.1",
        solution=_enough,
        tries=lambda: [
            (torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25]), share) for share in (0.5, 0.9, 0.95, 0.99)
        ],
        stub=lambda s, share: ...,
        wrong=[
            (
                lambda s, share: int((s.cumsum(0) / s.sum() < share).sum()) + 1,
                "How does the variance along a direction follow from its singular value?",
            ),
            (
                lambda s, share: _enough(s, share) - 1,
                "Is it an index or a count? The first direction alone is k = 1.",
            ),
            (
                lambda s, share: int((s.square() / s.square().sum() >= 1 - share).sum()),
                "The shares of all directions up to k count together.",
            ),
        ],
        right="The directions themselves do not matter for it.",
    ),
    Exercise(
        "4.2",
        solution=_length,
        tries=lambda: [(176, 3, 1, 1), (176, 3, 2, 1), (21, 5, 3, 0), (20, 4, 2, 2)],
        stub=lambda frames, kernel, stride, padding: ...,
        wrong=[
            (
                lambda frames, kernel, stride, padding: (frames + padding - kernel) // stride + 1,
                "There are zeros at both ends.",
            ),
            (
                lambda frames, kernel, stride, padding: (
                    _length(frames, kernel, stride, padding) - 1
                ),
                "The kernel fits once before it moves at all.",
            ),
            (
                lambda frames, kernel, stride, padding: (
                    (frames + 2 * padding - kernel) / stride + 1
                ),
                "A kernel that reaches beyond the end gives no output: frames are whole.",
            ),
        ],
    ),
    Exercise(
        "4.3",
        solution=lambda: 1 + 4 * sum(itertools.accumulate((1, 2, 2, 1), int.__mul__)),
        wrong=[
            (
                lambda: 1 + 4 * 4,
                "That is without the strides: how far apart do the later layers' inputs lie?",
            ),
            (
                lambda: 1 + 4 * sum(itertools.accumulate((2, 2, 1, 1), int.__mul__)),
                "A layer's own stride does not widen what that layer sees, only what those "
                "after it see.",
            ),
            (
                lambda: 1 + 5 * sum(itertools.accumulate((1, 2, 2, 1), int.__mul__)),
                "Five places in a row: how many steps lie between the first and the last?",
            ),
        ],
        right="The strides do most of it.",
        tolerance=1e-4,
    ),
    Exercise(
        "4.4",
        solution=_batch_norm,
        tries=_arguments,
        stub=lambda x, mean, variance, scale, offset: ...,
        wrong=[
            (_of_the_batch, "Those are the statistics of this batch, as in training."),
            (
                lambda x, mean, variance, scale, offset: _batch_norm(
                    x, x.mean((0, 2)), x.var((0, 2)), scale, offset
                ),
                "Those are the batch's own mean and variance. In evaluation the kept ones "
                "are used.",
            ),
            (
                lambda x, mean, variance, scale, offset: _of_the_batch(
                    x, mean, variance, scale / scale, 0 * offset
                ),
                "The statistics are the batch's own, and where are the scale and the offset?",
            ),
            (
                lambda x, mean, variance, scale, offset: (
                    scale[:, None] * (x - mean[:, None]) / (variance[:, None] + 1e-5)
                    + offset[:, None]
                ),
                "You divide by the variance.",
            ),
            (
                lambda x, mean, variance, scale, offset: (
                    scale[:, None]
                    * (_batch_norm(x, mean, variance, scale / scale, 0 * offset) + offset[:, None])
                ),
                "The offset comes last: it is not scaled.",
            ),
        ],
        right=(
            "For each channel it is one factor and one offset: it could be folded into the "
            "next convolution."
        ),
    ),
    Exercise(
        "4.5",
        solution=lambda: 80 * 16 * 3 + 3 * 16 + 16 * 32 * 3 + 3 * 32 + 32 * 8 + 8,
        wrong=[
            (
                lambda: 80 * 16 * 3 + 16 + 16 * 32 * 3 + 32 + 32 * 8 + 8,
                "Batch norm learns something too.",
            ),
            (
                lambda: 80 * 16 * 3 + 5 * 16 + 16 * 32 * 3 + 5 * 32 + 32 * 8 + 8,
                "Running averages are kept, not learned.",
            ),
            (
                lambda: 80 * 16 * 3 + 3 * 16 + 16 * 32 * 3 + 3 * 32,
                "One more layer comes after the pooling.",
            ),
            (
                lambda: 80 * 16 * 3 + 2 * 16 + 16 * 32 * 3 + 2 * 32 + 32 * 8,
                "Convolutions and linear layers have a bias.",
            ),
        ],
        right="The first convolution has the most, as it reads all the bands.",
        tolerance=1e-5,
    ),
]
