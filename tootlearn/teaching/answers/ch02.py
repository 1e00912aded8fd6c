"""Exercises of chapter 2: mel bands."""

import math
from typing import Any

import torch
from torch import Tensor

from tootlearn.dsp.mel import mel_filterbank
from tootlearn.teaching.exercises import Exercise

_LOG_RATIO = math.log(6.4) / 27


def _shape(hz: Tensor, low: float, centre: float, high: float) -> Tensor:
    return torch.minimum((hz - low) / (centre - low), (high - hz) / (high - centre))


def _triangle(hz: Tensor, low: float, centre: float, high: float) -> Tensor:
    return _shape(hz, low, centre, high).clamp_min(0) * 2 / (high - low)


def _update(x: Tensor, target: Tensor, bank: Tensor) -> Tensor:
    return x * (bank.T @ (target / (bank @ x))) / bank.sum(0)


def _htk(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


def _frames() -> list[tuple[Any, ...]]:
    generator = torch.Generator().manual_seed(0)
    bank = mel_filterbank(8000, 64, 6)[:, 1:-1]
    true, guess = (torch.rand(31, generator=generator) + 0.1 for _ in range(2))
    return [(guess, bank @ true, bank), (torch.ones(31), bank @ true, bank)]


EXERCISES = [
    Exercise(
        "2.1",
        solution=lambda: math.log(2) / _LOG_RATIO,
        wrong=[
            (lambda: 2000 * 3 / 200, "That is the straight piece. It ends at 1000 Hz."),
            (lambda: _htk(4000) - _htk(2000), "That is HTK's scale, whose mels are another unit."),
            (
                lambda: math.log10(2) / _LOG_RATIO,
                "Mind the base: the formula has two natural logarithms.",
            ),
        ],
        right="Every octave above 1000 Hz has as many.",
    ),
    Exercise(
        "2.2",
        solution=_triangle,
        tries=lambda: [
            (torch.linspace(0, 1000, 41), 200.0, 300.0, 600.0),
            (torch.tensor([5.0, 6.0]), 4.0, 5.0, 7.0),
        ],
        stub=lambda hz, low, centre, high: ...,
        wrong=[
            (
                lambda hz, low, centre, high: _shape(hz, low, centre, high).clamp_min(0),
                "That triangle has the height 1. What is its area?",
            ),
            (
                lambda hz, low, centre, high: _triangle(hz, low, centre, high) / 2,
                "Its area is one half: a triangle covers only half of base times height.",
            ),
            (
                lambda hz, low, centre, high: _shape(hz, low, centre, high) * 2 / (high - low),
                "Outside its base it falls below zero.",
            ),
        ],
    ),
    Exercise(
        "2.3",
        solution=lambda: math.ceil(49.94 / (150 / (4000 * _LOG_RATIO)) - 1),
        wrong=[
            (
                lambda: math.ceil(49.94 / (300 / (4000 * _LOG_RATIO)) - 1),
                "A quieter band must lie between two harmonics.",
            ),
            (
                lambda: math.ceil(49.94 / (150 / (4000 * _LOG_RATIO))),
                "M bands have M + 2 edges. How many steps are that?",
            ),
            (
                lambda: math.ceil(11025 / 150 - 1),
                "That is for bands equally spaced in Hz. These are equally spaced in mels.",
            ),
        ],
        right="Twice the pitch would need half as many.",
        tolerance=1e-4,
    ),
    Exercise(
        "2.4",
        solution=lambda: 1025 - 160,
        wrong=[
            (lambda: 160, "That many dimensions are kept. The question is what is lost."),
            (
                lambda: 1024 - 160,
                "Count the bins of a real transform once more: both ends belong to it.",
            ),
            (lambda: 2048 - 160, "The spectrum of 2048 real samples has about half as many bins."),
        ],
        right="More than five in six, and yet the ear misses little.",
        tolerance=1e-5,
    ),
    Exercise(
        "2.5",
        solution=_update,
        tries=_frames,
        stub=lambda x, target, bank: ...,
        wrong=[
            (
                lambda x, target, bank: x * (bank.T @ (target / (bank @ x))),
                "Where the bands already fit, nothing should change. What is missing?",
            ),
            (
                lambda x, target, bank: x * (bank.T @ ((bank @ x) / target)) / bank.sum(0),
                "A band that is too small must make its bins larger: invert the fraction.",
            ),
            (
                lambda x, target, bank: x * (bank.T @ target) / (bank.T @ (bank @ x)),
                "That update is a known one too, but it lowers the squared error, not this "
                "divergence.",
            ),
        ],
        right="It keeps positive numbers positive without anyone having to see to it.",
    ),
]
