"""Exercises of chapter 0: sound."""

import math

import torch
from torch import Tensor

from tootlearn.teaching.exercises import Exercise

TIME = torch.arange(200) / 22050


def _square(f0: float, time: Tensor, highest: int) -> Tensor:
    return torch.stack(
        [torch.sin(2 * math.pi * k * f0 * time) / k for k in range(1, highest + 1, 2)]
    ).sum(0)


def _every(f0: float, time: Tensor, highest: int) -> Tensor:
    return torch.stack(
        [torch.sin(2 * math.pi * k * f0 * time) / k for k in range(1, highest + 1)]
    ).sum(0)


def _one_less(f0: float, time: Tensor, highest: int) -> Tensor:
    return torch.stack(
        [torch.sin(2 * math.pi * k * f0 * time) / k for k in range(1, highest, 2)]
    ).sum(0)


def _as_many(f0: float, time: Tensor, highest: int) -> Tensor:
    return _square(f0, time, 2 * highest - 1)


def _equal(f0: float, time: Tensor, highest: int) -> Tensor:
    return torch.stack(
        [torch.sin(2 * math.pi * k * f0 * time) for k in range(1, highest + 1, 2)]
    ).sum(0)


def _radians(f0: float, time: Tensor, highest: int) -> Tensor:
    return torch.stack([torch.sin(k * f0 * time) / k for k in range(1, highest + 1, 2)]).sum(0)


EXERCISES = [
    Exercise(
        "0.1",
        solution=lambda: 4000,
        wrong=[
            (
                lambda: 8000,
                "That is how many samples there are in a second. A cycle needs two of them.",
            ),
            (lambda: 16000, "Twice the rate: it is the other way round."),
            (
                lambda: 11025,
                "That is right for the sample rate of this book. The question has another one.",
            ),
        ],
        right="It is the rate of the telephone: speech survives it, music does not.",
    ),
    Exercise(
        "0.2",
        solution=lambda frequency, rate: min(frequency, rate - frequency),
        tries=lambda: [(5000, 22050), (17050, 22050), (3000, 8000), (5000, 8000)],
        stub=lambda frequency, rate: ...,
        wrong=[
            (
                lambda frequency, rate: rate - frequency,
                "What about tones below half the rate? They stay where they are.",
            ),
            (
                lambda frequency, rate: min(frequency, rate / 2),
                "A tone above half the rate does not stay there: it folds back.",
            ),
            (
                lambda frequency, rate: frequency % (rate / 2),
                "The frequency does not start again at zero: it comes back down.",
            ),
        ],
    ),
    Exercise(
        "0.3",
        solution=lambda: 20 * math.log10(0.25),
        wrong=[
            (lambda: 10 * math.log10(0.25), "10 log10 is for powers. An amplitude takes 20 log10."),
            (lambda: 20 * math.log(0.25), "The decibel uses the logarithm to base 10."),
            (
                lambda: -20 * math.log10(0.25),
                "A quarter of full scale lies below it: mind the sign.",
            ),
        ],
        right="Each halving of the amplitude takes off 6 dB.",
    ),
    Exercise(
        "0.4",
        solution=_square,
        tries=lambda: [(440.0, TIME, 7), (200.0, TIME, 10)],
        stub=lambda f0, time, highest: ...,
        wrong=[
            (_every, "These are all multiples of f0. Take the odd ones."),
            (_equal, "All sines have the same amplitude here. Divide each by its number."),
            (
                _one_less,
                "`range` stops before its end: is the highest multiple in your sum when it is odd?",
            ),
            (_as_many, "`highest` is the highest multiple of f0, not the number of sines."),
            (_radians, "The sine counts in radians: a cycle has 2 pi of them."),
        ],
        right="With more and more sines its edges get steeper.",
    ),
    Exercise(
        "0.5",
        solution=lambda: 0.2 * math.log(100),
        wrong=[
            (
                lambda: 0.2 * math.log(10),
                "40 dB of amplitude is more than a factor of 10: divide by 20, not by 40.",
            ),
            (
                lambda: 0.2 * math.log(10_000),
                "That factor is of power. The envelope is an amplitude: 20 log10.",
            ),
            (
                lambda: 0.2 * math.log10(100),
                "The envelope is a power of e: it takes the natural logarithm.",
            ),
        ],
    ),
]
