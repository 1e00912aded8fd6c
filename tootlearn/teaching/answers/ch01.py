"""Exercises of chapter 1: the STFT."""

import torch
from torch import Tensor

from tootlearn.teaching.exercises import Exercise

_FRAME = torch.randn(64, generator=torch.Generator().manual_seed(0))


def _hann(n_fft: int) -> Tensor:
    return torch.hann_window(n_fft)


def _windowed(spectrum: Tensor) -> Tensor:
    return spectrum / 2 - torch.roll(spectrum, 1) / 4 - torch.roll(spectrum, -1) / 4


def _window_sum(n_fft: int, hop: int) -> Tensor:
    return _hann(n_fft).square().view(-1, hop).sum(0)


EXERCISES = [
    Exercise(
        "1.1",
        solution=lambda: 20,
        wrong=[
            (
                lambda: 440 * 1024 / 22050,
                "That is where it lies between the bins. A bin is a whole number.",
            ),
            (
                lambda: 41,
                "1024 bins span the whole sample rate, not half of it. How far apart are two "
                "of them?",
            ),
            (
                lambda: 21,
                "Bins are counted from 0: bin k stands at k times the distance of two bins.",
            ),
        ],
        right=(
            "It lies .43 bins above the centre of that bin, so its neighbour above is loud as well."
        ),
    ),
    Exercise(
        "1.2",
        solution=lambda: 2048,
        wrong=[
            (
                lambda: 1024,
                "There harmonics are only 2.6 bins apart, so the lobes overlap. How wide is one?",
            ),
            (lambda: 4096, "Their lobes are apart there, but a shorter window would do."),
            (
                lambda: 512,
                "A bin is 43 Hz wide there: two harmonics share a lobe, and the picture "
                "shows pulses.",
            ),
        ],
        right="It lasts 93 ms, so an attack is smeared over as much.",
    ),
    Exercise(
        "1.3",
        solution=_windowed,
        tries=lambda: [(torch.fft.fft(_FRAME),), (torch.fft.fft(torch.ones(32)),)],
        stub=lambda spectrum: ...,
        wrong=[
            (
                lambda x: x / 2 + torch.roll(x, 1) / 4 + torch.roll(x, -1) / 4,
                "Mind the signs: this window is largest at the frame's ends, and Hann is "
                "zero there.",
            ),
            (
                lambda x: x - torch.roll(x, 1) / 2 - torch.roll(x, -1) / 2,
                "That is a window whose height is 2. What does Hann reach in the middle?",
            ),
            (
                lambda x: x * _hann(len(x)),
                "You multiplied the bins by the window. It belongs to the samples; what does "
                "that do to the bins?",
            ),
        ],
        right=(
            "A product of samples is a convolution of spectra, and only three bins of Hann's "
            "own are not zero."
        ),
    ),
    Exercise(
        "1.4",
        solution=lambda n_fft, hop: _window_sum(n_fft, hop).min(),
        tries=lambda: [(1024, 512), (1024, 256), (768, 256), (512, 512)],
        stub=lambda n_fft, hop: ...,
        wrong=[
            (
                lambda n_fft, hop: _hann(n_fft).view(-1, hop).sum(0).min(),
                "The window counts twice, once on the way there and once on the way back.",
            ),
            (
                lambda n_fft, hop: 3 * n_fft / hop / 8,
                "That is the mean. For an overlap of two frames or fewer the smallest value "
                "is less.",
            ),
            (
                lambda n_fft, hop: _window_sum(n_fft, hop).max(),
                "That is the largest value. Division becomes dangerous where the sum is small.",
            ),
        ],
        right="From three frames over each sample on, it is constant.",
    ),
    Exercise(
        "1.5",
        solution=lambda: 1024,
        wrong=[
            (lambda: 1026, "Almost: that is two for each bin. Two of the bins are always real."),
            (
                lambda: 513,
                "A complex bin holds two real numbers, except where its imaginary part is "
                "always zero.",
            ),
            (
                lambda: 1025,
                "There is more than one bin that is always real. What is at the other end?",
            ),
        ],
        tolerance=1e-5,
        right="As many as there are samples, as it must be: nothing is lost and nothing is added.",
    ),
]
