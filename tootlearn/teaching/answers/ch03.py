"""Exercises of chapter 3: normalization."""

import math

import torch
from torch import Tensor

from tootlearn.teaching.exercises import Exercise

_DECIBEL = 20 / math.log(10)


def _sets() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(4, 3, 6, generator=generator) * 2 - 5
    return [
        (x, torch.rand(4, 6, generator=generator) + 0.1),
        (x - 2, torch.rand(4, 6, generator=generator) + 0.1),
    ]


def _statistics(x: Tensor, weight: Tensor) -> Tensor:
    share = weight[:, None] / weight.sum()
    mean = (share * x).sum((0, 2))
    away = (x - mean[:, None]).square()
    return torch.stack([mean, (share * away).sum((0, 2)).sqrt()])


EXERCISES = [
    Exercise(
        "3.1",
        solution=lambda: 0.5 * _DECIBEL,
        wrong=[
            (
                lambda: 0.5 * _DECIBEL / 2,
                "That would be right for power. The bands are magnitudes.",
            ),
            (lambda: 20 * math.log10(0.5), "0.5 is no ratio, it is the logarithm of one already."),
            (lambda: 0.5 * 20, "This is the natural logarithm, not the one to base 10."),
        ],
        right="So an error of .1 in a log-mel is nearly 1 dB, about what one can just hear.",
    ),
    Exercise(
        "3.2",
        solution=lambda: 10 * 10 ** (-80 / 20),
        wrong=[
            (
                lambda: 10 * 10 ** (-80 / 10),
                "80 dB are a factor of 10,000 in magnitude; that is the factor of power.",
            ),
            (lambda: 10 ** (-80 / 20), "That is 80 dB below 1. The loudest band is 10."),
            (lambda: -80, "The floor is a magnitude, not a level in dB."),
        ],
        right="The book's own floor lies 40 dB lower still: a quiet toot has quiet parts too.",
    ),
    Exercise(
        "3.3",
        solution=_statistics,
        tries=_sets,
        stub=lambda x, weight: ...,
        wrong=[
            (
                lambda x, weight: torch.stack([x.mean((0, 2)), x.std((0, 2), correction=0)]),
                "All frames count the same there. Where is the weight?",
            ),
            (
                lambda x, weight: _statistics(x, weight) ** torch.tensor([[1.0], [2.0]]),
                "The second row is the variance. One step is missing.",
            ),
            (
                lambda x, weight: torch.stack(
                    [
                        (weight[:, None] * x).mean((0, 2)),
                        (weight[:, None] * x).std((0, 2), correction=0),
                    ]
                ),
                "The weights must add up to 1, and weigh the squares of the distances, not "
                "the values in them.",
            ),
            (
                lambda x, weight: torch.stack([x.mean((0, 2)), x.std((0, 2))]),
                "All frames count the same there, and torch's own `std` divides by one less "
                "than their number.",
            ),
            (
                lambda x, weight: torch.stack(
                    [_statistics(x, weight)[0], x.std((0, 2), correction=0)]
                ),
                "The mean is right. The deviation has to be weighted, too.",
            ),
        ],
        right="With it, the silence after a toot has little to say.",
    ),
    Exercise(
        "3.4",
        solution=lambda: 0.1 * 3 * _DECIBEL,
        wrong=[
            (
                lambda: 0.1 * _DECIBEL,
                "That is the error as the network sees it. The way back multiplies it.",
            ),
            (lambda: 0.1 * 3, "That is the error of the log-mel. How many dB is it?"),
            (
                lambda: (0.1 * 3 - 6) * _DECIBEL,
                "An error is a difference: the mean is in both and cancels.",
            ),
        ],
        right="The same error of a standardised number is louder in a band that varies more.",
    ),
]
