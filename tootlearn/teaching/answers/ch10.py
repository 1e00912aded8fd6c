"""Exercises of chapter 10: training at scale."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tootlearn.teaching.exercises import Exercise


def _whole(gradients: Tensor, counts: Tensor) -> Tensor:
    return (gradients * counts[:, None]).sum(0) / counts.sum()


def _mean_of_means(gradients: Tensor, counts: Tensor) -> Tensor:
    return gradients.mean(0)


def _sum(gradients: Tensor, counts: Tensor) -> Tensor:
    return (gradients * counts[:, None]).sum(0)


def _moved(pitch: float, duration: float, cents: float) -> list[float]:
    ratio = 2 ** (cents / 1200)
    return [pitch * ratio, duration / ratio]


def _same_label(pitch: float, duration: float, cents: float) -> list[float]:
    return [pitch, duration / 2 ** (cents / 1200)]


def _slower_tape(pitch: float, duration: float, cents: float) -> list[float]:
    ratio = 2 ** (cents / 1200)
    return [pitch * ratio, duration * ratio]


def _semitones(pitch: float, duration: float, cents: float) -> list[float]:
    ratio = 2 ** (cents / 12)
    return [pitch * ratio, duration / ratio]


def _worse_than_half(value: float, others: Sequence[float]) -> bool:
    return bool(value > np.median(others))


def _better_than_half(value: float, others: Sequence[float]) -> bool:
    return bool(value < np.median(others))


def _worse_than_the_mean(value: float, others: Sequence[float]) -> bool:
    return bool(value > np.mean(others))


def _worse_than_the_best(value: float, others: Sequence[float]) -> bool:
    return value > min(others)


def _parts(*counts: float) -> tuple[Tensor, Tensor]:
    noise = torch.randn(len(counts), 5, generator=torch.Generator().manual_seed(10))
    return noise, torch.tensor(counts)


EXERCISES = [
    Exercise(
        "10.1",
        solution=_whole,
        tries=lambda: [_parts(3.0, 4.0), _parts(5.0, 5.0, 1.0)],
        stub=lambda gradients, counts: ...,
        wrong=[
            (
                _mean_of_means,
                "A part of few clips now counts as much as one of many. Whose mean is each "
                "of them?",
            ),
            (
                _sum,
                "That is the gradient of a sum over the clips, and grows with the batch. The "
                "loss is a mean.",
            ),
        ],
        right="Whether the parts lie in one process or in eight, the sum is the same.",
    ),
    Exercise(
        "10.2",
        solution=lambda: 2.0**-8,
        wrong=[
            (
                lambda: 2.0**-7,
                "That is the whole way to the next number, which is reached. From where on "
                "is it rounded up?",
            ),
            (
                lambda: 2.0**-9,
                "Right for a step down: below 1 the numbers lie twice as close. This one goes up.",
            ),
        ],
        right="Steps of Adam are about as long as the learning rate, which is less than that.",
    ),
    Exercise(
        "10.3",
        solution=_moved,
        tries=lambda: [(440.0, 1.0, 300.0), (110.0, 0.6, -1200.0)],
        stub=lambda pitch, duration, cents: ...,
        wrong=[
            (
                _same_label,
                "This is the bug that you heard: the sound moved, and its label did not.",
            ),
            (_slower_tape, "A tape that plays faster ends sooner."),
            (_semitones, "An octave has 1200 cents. How many has yours?"),
        ],
        right="Loudness stays, and brightness is measured relative to the pitch.",
    ),
    Exercise(
        "10.4",
        solution=lambda: math.sqrt(2 * 2 * 86400),
        wrong=[
            (
                lambda: math.sqrt(2 * 86400),
                "A failure loses half an interval on average, not a whole one.",
            ),
            (lambda: math.sqrt(2 * 2 * 24), "One time is in seconds and the other in hours."),
        ],
        right=(
            "About ten minutes. Saving and losing then cost the same, together 0.7 % of the time."
        ),
        tolerance=0.01,
    ),
    Exercise(
        "10.5",
        solution=_worse_than_half,
        tries=lambda: [
            (0.5, [0.4, 0.3, 9.0, 0.45]),
            (0.42, [0.4, 0.3, 0.6, 0.45, 0.5]),
            (0.7, [0.5, 0.6, 0.65]),
        ],
        stub=lambda value, others: ...,
        wrong=[
            (_better_than_half, "These are errors: less is better."),
            (
                _worse_than_the_mean,
                "One diverging trial raises the mean, and then no other is ever stopped.",
            ),
            (
                _worse_than_the_best,
                "Then no trial can ever overtake: one that starts slowly can end best.",
            ),
        ],
        right="So most of the steps go to trials that may still win.",
    ),
]
