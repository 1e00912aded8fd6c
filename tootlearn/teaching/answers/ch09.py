"""Exercises of chapter 9: better models."""

import math

import torch
from torch import Tensor

from tootlearn.teaching.exercises import Exercise


def _shares(query: Tensor, keys: Tensor) -> Tensor:
    return (keys @ query / math.sqrt(len(query))).softmax(0)


def _unscaled(query: Tensor, keys: Tensor) -> Tensor:
    return (keys @ query).softmax(0)


def _no_softmax(query: Tensor, keys: Tensor) -> Tensor:
    return keys @ query / math.sqrt(len(query))


def _snake(x: Tensor, a: float) -> Tensor:
    return x + (a * x).sin() ** 2 / a


def _not_divided(x: Tensor, a: float) -> Tensor:
    return x + (a * x).sin() ** 2


def _sine(x: Tensor, a: float) -> Tensor:
    return x + (a * x).sin() / a


def _ripple(y: Tensor) -> Tensor:
    return (y[:, ::2].mean(1) - y[:, 1::2].mean(1)).abs()


def _over_time(y: Tensor) -> Tensor:
    return y.std(1)


def _halves(y: Tensor) -> Tensor:
    half = y.shape[1] // 2
    return (y[:, :half].mean(1) - y[:, half:].mean(1)).abs()


def _slope(x: Tensor, p: Tensor, n: Tensor) -> Tensor:
    return -2 * ((x - p) * n).mean()


def _uphill(x: Tensor, p: Tensor, n: Tensor) -> Tensor:
    return 2 * ((x - p) * n).mean()


def _whole_target(x: Tensor, p: Tensor, n: Tensor) -> Tensor:
    return -2 * (x * n).mean()


def _noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(9))


EXERCISES = [
    Exercise(
        "9.1",
        solution=lambda: [0.5**10, 1.1**10],
        wrong=[
            (
                lambda: [0.5 * 10, 1.1 * 10],
                "Layers follow one another: their derivatives are multiplied, not added.",
            ),
            (
                lambda: [0.5**10, 0.1**10],
                "The second is the branch alone. What is the derivative of x + f(x)?",
            ),
        ],
        right="One falls to a thousandth, the other stays in reach.",
    ),
    Exercise(
        "9.2",
        solution=_shares,
        tries=lambda: [(_noise(4), 2 * _noise(6, 4)), (_noise(16), _noise(5, 16))],
        stub=lambda query, keys: ...,
        wrong=[
            (
                _unscaled,
                "Too sharp: dot products grow with the number of channels. What brings them back?",
            ),
            (_no_softmax, "These are scores. Shares are positive and add up to 1."),
        ],
        right="Shares add up to 1, so attention is a mean whose weights the data choose.",
    ),
    Exercise(
        "9.3",
        solution=_snake,
        tries=lambda: [(torch.linspace(-4, 4, 50), a) for a in (0.5, 1.0, 3.0)],
        stub=lambda x, a: ...,
        wrong=[
            (
                _not_divided,
                "Its slope would reach 1 + a and fall below zero where a is large. Divide "
                "the wave.",
            ),
            (_sine, "Without the square the wave leaves the line on both sides."),
        ],
        right="Its slope is 1 + sin(2 a x): never below zero, for any a.",
    ),
    Exercise(
        "9.4",
        solution=_ripple,
        tries=lambda: [(_noise(3, 20),), (_noise(5, 8),)],
        stub=lambda y: ...,
        wrong=[
            (
                _over_time,
                "That counts everything that changes. A checkerboard changes from frame to "
                "frame only.",
            ),
            (_halves, "That is the beginning against the end. Take every second frame."),
        ],
        right="A drawing that only moves slowly has almost none of it.",
    ),
    Exercise(
        "9.5",
        solution=_slope,
        tries=lambda: [
            (_noise(3, 30)[0], _noise(3, 30)[1], _noise(3, 30)[2]),
            (_noise(9), -_noise(9), _noise(9) + 1),
        ],
        stub=lambda x, p, n: ...,
        wrong=[
            (
                _uphill,
                "The sign: if the network points along what is missing, a larger gain lowers "
                "the error.",
            ),
            (
                _whole_target,
                "The network is compared with what the linear path has left over, not with "
                "the whole.",
            ),
        ],
        right="It is zero only where the network has nothing to say about what PCA leaves over.",
    ),
]
