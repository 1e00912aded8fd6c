"""Exercises of chapter 7: phase."""

import torch
from torch import Tensor

from tootlearn.teaching.exercises import Exercise


def _spectra() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(7)
    spectrum = torch.complex(
        torch.randn(5, 4, generator=generator), torch.randn(5, 4, generator=generator)
    )
    return [(spectrum, torch.rand(5, 4, generator=generator)), (2 * spectrum, torch.ones(5, 4))]


def _peak_frequency(peak: float, left: float, middle: float, right: float) -> float:
    r = max(left, right) / middle
    side = 1 if right > left else -1
    return (peak + side * (2 * r - 1) / (r + 1)) * 22050 / 1024


EXERCISES = [
    Exercise(
        "7.1",
        solution=lambda: 2048 / 256,
        wrong=[
            (
                lambda: 2048 / 256 / 2,
                "A complex number holds two real ones; and n_fft is not that of the text.",
            ),
            (lambda: 256 / 2048, "The STFT holds more than the wave: it is the other way round."),
        ],
        right="Seven of eight directions in the space of such arrays lead to what no wave has.",
    ),
    Exercise(
        "7.2",
        solution=lambda spectrum, magnitude: magnitude * spectrum.sgn(),
        tries=_spectra,
        stub=lambda spectrum, magnitude: ...,
        wrong=[
            (
                lambda s, m: m * s,
                "The result still has the old magnitude as a factor. Divide it out first.",
            ),
            (
                lambda s, m: m + 0 * s,
                "That has the right magnitude, and phase zero everywhere. Keep the phase.",
            ),
            (
                lambda s, m: m * s.angle(),
                "An angle is a real number: make a complex number with that angle.",
            ),
        ],
        right="It is half of Griffin-Lim; the other half is the inverse STFT followed by the STFT.",
    ),
    Exercise(
        "7.3",
        solution=lambda: 1000 * 512 / 22050,
        wrong=[
            (
                lambda: 2 * torch.pi * 1000 * 512 / 22050,
                "That is in radians. A turn has 2 pi of them.",
            ),
            (
                lambda: 1000 * 256 / 22050,
                "That is for the hop of the text. The hop here is another one.",
            ),
            (
                lambda: 1000 / 22050,
                "That is the advance from one sample to the next. A frame is a hop later.",
            ),
            (
                lambda: 1000 * 512 / 22050 % 1,
                "That is the part that the angle shows. Count the whole turns too.",
            ),
        ],
        right=(
            "The angle shows only the part after the point; that is why it alone cannot tell "
            "the frequency."
        ),
    ),
    Exercise(
        "7.4",
        solution=_peak_frequency,
        tries=lambda: [(20, 0.5, 1.0, 0.8), (20, 0.9, 1.0, 0.4), (100, 0.03, 0.05, 0.02)],
        stub=lambda peak, left, middle, right: ...,
        tolerance=1e-5,
        wrong=[
            (
                lambda p, a, b, c: p * 22050 / 1024,
                "That is the bin's own frequency. Where between the bins is the tone?",
            ),
            (
                lambda p, a, b, c: (
                    (p + (2 * max(a, c) / b - 1) / (max(a, c) / b + 1)) * 22050 / 1024
                ),
                "Right when the tone lies above the bin. It may lie below: which neighbour "
                "is larger?",
            ),
            (
                lambda p, a, b, c: (p + (2 * c / b - 1) / (c / b + 1)) * 22050 / 1024,
                "The formula is for the larger neighbour, which is not always the right one.",
            ),
            (
                lambda p, a, b, c: _peak_frequency(p, c, b, a),
                "The tone lies on the side of the larger neighbour, and you put it on the other.",
            ),
            (
                lambda p, a, b, c: _peak_frequency(p, a, b, c) * 1024 / 22050,
                "That is in bins. The answer is in Hz.",
            ),
        ],
        right="With it, a bin of 21.5 Hz tells a steady tone's frequency to a fraction of a Hz.",
    ),
]
