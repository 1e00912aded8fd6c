"""Exercises of chapter 6: training."""

import math

import torch
from torch import Tensor

from tootlearn.teaching.exercises import Exercise

STEPS, HIGHEST, WARMUP = 100, 0.01, 10


def _rate(step: int, steps: int, warmup: int, highest: float) -> float:
    return highest * min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _from_zero(step: int, steps: int, warmup: int, highest: float) -> float:
    return highest * min(1.0, step / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _no_warmup(step: int, steps: int, warmup: int, highest: float) -> float:
    return highest * 0.5 * (1 + math.cos(math.pi * step / steps))


def _whole_turn(step: int, steps: int, warmup: int, highest: float) -> float:
    return (
        highest * min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(2 * math.pi * step / steps))
    )


def _held_out(kind: Tensor, semitone: Tensor) -> Tensor:
    return (semitone + 5 * kind) % 6 == 0


def _every_sixth_clip(kind: Tensor, semitone: Tensor) -> Tensor:
    return torch.arange(len(kind)) % 6 == 0


def _same_for_all_kinds(kind: Tensor, semitone: Tensor) -> Tensor:
    return semitone % 6 == 0


EXERCISES = [
    Exercise(
        "6.1",
        solution=lambda: math.sqrt(10),
        wrong=[
            (
                lambda: 10.0,
                "That is the ratio of the variances. The width is the standard deviation.",
            ),
            (lambda: math.sqrt(0.1), "Upside down: less weight means less certainty."),
        ],
        right="A weight is a belief about how exact a frame has to be.",
    ),
    Exercise(
        "6.2",
        solution=lambda: 0.01,
        wrong=[
            (
                lambda: 0.01 * 0.001,
                "That is gradient descent. Adam divides by the size of the gradient.",
            ),
            (
                lambda: 0.01 * 0.1 / math.sqrt(0.001),
                "Without the correction for starting at zero. Both averages have it.",
            ),
        ],
        right="The first step of Adam has the length of the learning rate, whatever the gradient.",
    ),
    Exercise(
        "6.3",
        solution=_rate,
        tries=lambda: [(step, STEPS, WARMUP, HIGHEST) for step in (0, 5, 9, 10, 50, 75, 99)],
        stub=lambda step, steps, warmup, highest: ...,
        wrong=[
            (
                _from_zero,
                "That begins with a rate of zero, so the first step goes nowhere. Steps "
                "count from 0.",
            ),
            (_no_warmup, "The end is right. How does it begin?"),
            (_whole_turn, "That one comes up again: half a turn of the cosine is enough."),
        ],
        right="A careful start, a long way, and a landing.",
    ),
    Exercise(
        "6.4",
        solution=_held_out,
        tries=lambda: [
            (torch.arange(60) % 3, torch.arange(60) // 2 + 48),
            (torch.arange(40) % 4, torch.arange(40) + 60),
        ],
        stub=lambda kind, semitone: ...,
        wrong=[
            (
                _every_sixth_clip,
                "Clips of one note would fall on both sides. Look at what a clip is, not at "
                "its place.",
            ),
            (
                _same_for_all_kinds,
                "Then no kind is ever heard at these notes. Shift the pattern from kind to kind.",
            ),
        ],
        right="What a kind lacks at one note, another kind has: the gaps do not line up.",
    ),
]
