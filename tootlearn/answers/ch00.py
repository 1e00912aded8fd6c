"""Exercises of chapter 0: sound."""

import math

import torch

from tootlearn.exercises import Exercise

TIME = torch.arange(100) / 8000


def _sine(frequency: float, time: torch.Tensor) -> torch.Tensor:
    return torch.sin(2 * math.pi * frequency * time)


EXERCISES = [
    Exercise(
        "0.1",
        solution=lambda: 22050 // 2,
        wrong=[
            (lambda: 22050, "That is how many samples there are in a second. A cycle needs at least two of them."),
            (lambda: 44100, "Twice the sample rate: it is the other way round."),
        ],
        right="Half of the sample rate is called the Nyquist frequency.",
    ),
    Exercise(
        "0.2",
        solution=lambda: 20 * math.log10(0.25),
        wrong=[
            (lambda: 10 * math.log10(0.25), "10 log10 is for powers. An amplitude takes 20 log10."),
            (lambda: 20 * math.log(0.25), "The decibel is made with the logarithm to base 10."),
            (lambda: -20 * math.log10(0.25), "A quarter of full scale lies below it: mind the sign."),
        ],
        right="Each halving of the amplitude takes off 6 dB.",
    ),
    Exercise(
        "0.3",
        solution=_sine,
        tries=lambda: [(440.0, TIME), (100.0, TIME)],
        stub=lambda frequency, time: ...,
        wrong=[
            (lambda f, t: torch.sin(f * t), "The sine counts in radians: a cycle has 2 pi of them."),
            (lambda f, t: torch.cos(2 * math.pi * f * t), "That one starts at its peak. A sine starts at zero."),
        ],
    ),
]
