"""Exercises of chapter 11: sound quality."""

import math

import torch
from torch import Tensor

from tootlearn.teaching.exercises import Exercise


def _apart(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b + 0.5) % 1 - 0.5).abs()


def _phases() -> list[tuple[Tensor, ...]]:
    return [(torch.tensor([0.1, 0.95, 3.2, -0.4]), torch.tensor([0.3, 0.05, 0.9, 0.7]))]


def _gain(noisy: Tensor, noise: Tensor) -> Tensor:
    sound = (noisy - noise).clamp_min(0)
    return sound / (sound + noise)


def _powers() -> list[tuple[Tensor, ...]]:
    return [(torch.tensor([4.0, 1.5, 0.5, 100.0]), torch.tensor([1.0, 1.0, 1.0, 2.0]))]


EXERCISES = [
    Exercise(
        "11.1",
        solution=lambda: 0.5 / (0.05 * 22050 / 1024),
        wrong=[
            (
                lambda: 1 / (0.05 * 22050 / 1024),
                "That is when it is wrong by a whole turn, and so right again.",
            ),
            (
                lambda: 0.05 * 22050 / 1024,
                "That is the error in Hz, turns a second. How long do half a turn take?",
            ),
            (lambda: 0.5 / (0.05 * 22050 / 512), "A bin is 22050 / 1024 Hz wide."),
            (lambda: math.pi / (0.05 * 22050 / 1024), "Hz count turns, not radians."),
        ],
        right=(
            "A toot lasts about as long: at its end, a partial can be opposed to what it should be."
        ),
    ),
    Exercise(
        "11.2",
        solution=_apart,
        tries=_phases,
        stub=lambda a, b: ...,
        wrong=[
            (
                lambda a, b: (a - b).abs(),
                "Whole turns do not count: 0.95 and 0.05 are a tenth of a turn apart.",
            ),
            (
                lambda a, b: (a - b) % 1,
                "That is the distance in one direction. The other may be shorter.",
            ),
            (
                lambda a, b: (a - b + 0.5) % 1 - 0.5,
                "The short way, but with a sign. A distance has none.",
            ),
        ],
        right=(
            "The loss uses 1 - cos for the same reason: it is smooth, and does not care "
            "about whole turns."
        ),
    ),
    Exercise(
        "11.3",
        solution=_gain,
        tries=_powers,
        stub=lambda noisy, noise: ...,
        wrong=[
            (lambda x, n: (x - n) / x, "Nearly. What if the cell has less power than the noise?"),
            (
                lambda x, n: x / (x + n),
                "The power of the cell already includes that of the noise.",
            ),
            (
                lambda x, n: ((x - n).clamp_min(0) / x).sqrt(),
                "That restores the power. The question asks for Wiener's gain.",
            ),
            (
                lambda x, n: n / x.maximum(n),
                "That is large where there is noise. It should be small there.",
            ),
        ],
        right=(
            "At equal powers of sound and noise, where noisy is twice noise, it is one half: "
            "6 dB down."
        ),
    ),
    Exercise(
        "11.4",
        solution=lambda: 20 * math.log10(1 - 10 ** (-1 / 20)),
        wrong=[
            (
                lambda: -1,
                "That is the gain. What is the norm of the difference, over that of the original?",
            ),
            (
                lambda: 20 * math.log10(10 ** (1 / 20) - 1),
                "That is 1 dB too loud. It is a little more.",
            ),
            (
                lambda: 10 * math.log10(1 - 10 ** (-1 / 20)),
                "Norms are amplitudes: which factor belongs to them?",
            ),
            (lambda: 1 - 10 ** (-1 / 20), "That is the ratio. In dB, please."),
        ],
        right=(
            "An error of level that hardly anyone hears costs more than all that ridges lose here."
        ),
    ),
    Exercise(
        "11.5",
        solution=lambda: 9,
        wrong=[
            (lambda: 8, "Close: work out the tail for it. It is a little more than one in twenty."),
            (lambda: 10, "That is enough, and more than is needed."),
            (lambda: 7, "Guessing gets that many or more in one test of six."),
            (
                lambda: 6,
                "More than half is not yet more than luck. Sum the tail of the binomial "
                "distribution.",
            ),
        ],
        right=(
            "One test in a hundred is so good by luck; one less right, and it is more than "
            "one in twenty."
        ),
        tolerance=0,
    ),
]
