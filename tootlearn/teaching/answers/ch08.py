"""Exercises of chapter 8: generation."""

import math

import torch

from tootlearn.teaching.exercises import Exercise

Octaves = tuple[float, float]
FACTOR = torch.tensor([[0.5, 0.0, 0.0], [0.3, 1.2, 0.0], [-0.4, 0.2, 0.7]])
MEAN, NOISE = torch.tensor([0.1, -0.2, 0.3]), torch.tensor([1.0, -0.5, 0.8])


def _centroid(brightness: float, pitch: float, octaves: Octaves) -> float:
    low, high = octaves
    return float(pitch * 2 ** (low + brightness * (high - low)))


def _on_a_circle(radius: float, v: float) -> tuple[float, float]:
    return radius * math.cos(2 * math.pi * v), radius * math.sin(2 * math.pi * v)


EXERCISES = [
    Exercise(
        "8.1",
        solution=_centroid,
        tries=lambda: [
            (0.0, 440.0, (0.8, 2.4)),
            (0.5, 100.0, (1.0, 3.0)),
            (0.9, 2500.0, (0.15, 0.6)),
        ],
        stub=lambda brightness, pitch, octaves: ...,
        wrong=[
            (
                lambda b, f0, o: o[0] + b * (o[1] - o[0]),
                "That is in octaves above the pitch. The answer is in Hz.",
            ),
            (
                lambda b, f0, o: f0 * (o[0] + b * (o[1] - o[0])),
                "An octave is a factor of two: octaves do not multiply.",
            ),
            (
                lambda b, f0, o: f0 * 2 ** (b * o[1]),
                "Brightness 0 is not the pitch itself: where does the scale begin?",
            ),
        ],
        right="So a dial from 0 to 1 means another range of Hz for every kind and every note.",
    ),
    Exercise(
        "8.2",
        solution=lambda u, v: _on_a_circle(math.sqrt(-2 * math.log(u)), v),
        tries=lambda: [(0.3, 0.1), (0.9, 0.6), (0.01, 0.8)],
        stub=lambda u, v: ...,
        wrong=[
            (lambda u, v: _on_a_circle(-2 * math.log(u), v), "That is the radius squared."),
            (
                lambda u, v: _on_a_circle(math.sqrt(-math.log(u)), v),
                "Solve u = exp(-r^2 / 2) once more: where is the 2?",
            ),
            (
                lambda u, v: _on_a_circle(math.sqrt(-2 * math.log10(u)), v),
                "The inverse of exp is the natural logarithm.",
            ),
            (
                lambda u, v: _on_a_circle(math.sqrt(-2 * math.log(u)), v / (2 * math.pi)),
                "The angle goes once around: v is a share of a turn, and cos counts in radians.",
            ),
            (
                lambda u, v: _on_a_circle(math.sqrt(-2 * math.log(u)), v)[::-1],
                "These are the right two numbers in the wrong order: cosine first.",
            ),
        ],
        right="The two are independent, although they come from one radius and one angle.",
    ),
    Exercise(
        "8.3",
        solution=lambda: (1 + 0.01 - 1 - 2 * math.log(0.1)) / 2,
        wrong=[
            (
                lambda: 1 + 0.01 - 1 - 2 * math.log(0.1),
                "There is a factor in front of the bracket.",
            ),
            (
                lambda: (1 + 0.01 - 1 + 2 * math.log(0.1)) / 2,
                "A divergence is never negative: mind the sign of the log.",
            ),
            (lambda: (1 + 0.01 - 1 - 2 * math.log10(0.1)) / 2, "Nats take the natural logarithm."),
            (
                lambda: (1 + 0.1 - 1 - math.log(0.1)) / 2,
                "0.1 is the standard deviation, not the variance.",
            ),
        ],
        right="Most of it is for the precision: ten times as exact costs ln 10 more.",
    ),
    Exercise(
        "8.4",
        solution=lambda mean, factor, noise: mean + factor @ noise,
        tries=lambda: [(MEAN, FACTOR, NOISE), (0 * MEAN, FACTOR, NOISE.flip(0))],
        stub=lambda mean, factor, noise: ...,
        wrong=[
            (
                lambda m, f, e: m + e @ f,
                "That multiplies by the transpose, which gives another covariance.",
            ),
            (
                lambda m, f, e: m + f.diagonal() * e,
                "That leaves the numbers independent: what lies off the diagonal?",
            ),
            (
                lambda m, f, e: m + f @ f.T @ e,
                "That multiplies by the covariance. Its factor is enough.",
            ),
            (lambda m, f, e: f @ (m + e), "The mean is where the cloud lies: add it last."),
        ],
        right="The same line draws trumpets and whistles; only mean and factor differ.",
    ),
]
