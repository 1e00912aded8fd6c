"""Exercises of chapter 12: your own sounds."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn.controls import hz_to_midi
from tootlearn.evaluation.set_metrics import copied_share
from tootlearn.teaching.exercises import Exercise

Numbers = NDArray[np.float64]


def _starts(decibels: Numbers, threshold: float) -> int:
    above = np.concatenate([[False], decibels > threshold])
    return int((above[1:] & ~above[:-1]).sum())


def _levels() -> list[tuple[Numbers, float]]:
    level = np.array([-60, -58, -20, -12, -18, -55, -60, -22, -10, -35, -61, -60, -15.0])
    return [(level, -40.0), (level, -16.0), (level[3:], -40.0)]


def _bright(centroid: Numbers, pitch: Numbers) -> Numbers:
    octaves = np.log2(centroid / pitch)
    low, high = np.percentile(octaves, (5, 95))
    bright: Numbers = (octaves - low) / (high - low)
    return bright


def _by_range(centroid: Numbers, pitch: Numbers) -> Numbers:
    octaves = np.log2(centroid / pitch)
    bright: Numbers = (octaves - octaves.min()) / np.ptp(octaves)
    return bright


def _in_hertz(centroid: Numbers, pitch: Numbers) -> Numbers:
    low, high = np.percentile(centroid, (5, 95))
    bright: Numbers = (centroid - low) / (high - low)
    return bright


def _measured() -> list[tuple[Numbers, Numbers]]:
    pitch = np.array([110.0, 147.0, 165.0, 220.0, 262.0, 330.0, 415.0])
    return [(np.array([700.0, 820.0, 650.0, 1230.0, 1100.0, 1420.0, 1310.0]), pitch)]


def _semitones(hertz: Numbers) -> Numbers:
    return np.round(hz_to_midi(hertz))


def _twins(learned: Numbers, held_out: Numbers) -> int:
    return int(np.isin(_semitones(held_out), _semitones(learned)).sum())


def _takes() -> list[tuple[Numbers, Numbers]]:
    several = (
        np.array([219.0, 221.5, 330.2, 440.0]),
        np.array([220.3, 247.0, 331.0, 262.0, 440.0, 880.0]),
    )
    return [several, (np.array([262.0]), np.array([261.0, 263.0, 300.0]))]


def _distances() -> list[tuple[Tensor, Tensor]]:
    return [(torch.tensor([0.2, 4.7, 4.6, 2.9, 0.1, 5.0, 7.0, 2.6]), torch.linspace(2.5, 6.5, 21))]


EXERCISES = [
    Exercise(
        "12.1",
        solution=_starts,
        tries=_levels,
        stub=lambda decibels, threshold: ...,
        wrong=[
            (
                lambda x, t: int((x > t).sum()),
                "That counts all frames above the threshold. A toot begins once.",
            ),
            (
                lambda x, t: int(((x[1:] > t) & (x[:-1] <= t)).sum()),
                "Nearly. What if the recording begins in the middle of a toot?",
            ),
            (
                lambda x, t: int((np.diff((x > t).astype(int)) != 0).sum()),
                "That counts beginnings and ends.",
            ),
        ],
        right=(
            "The package also joins what is parted by less than a tenth of a second, and "
            "drops clicks."
        ),
        tolerance=0,
    ),
    Exercise(
        "12.2",
        solution=_bright,
        tries=_measured,
        stub=lambda centroid, pitch: ...,
        wrong=[
            (
                _in_hertz,
                "In Hz a high note is bright because it is high. Count octaves above the pitch.",
            ),
            (
                _by_range,
                "From least to largest, one odd take would set the scale: take percentiles.",
            ),
            (
                lambda c, p: np.log2(c / p),
                "Those are octaves. Now put the 5th percentile at 0, the 95th at 1.",
            ),
            (
                lambda c, p: (
                    (c / p - np.percentile(c / p, 5)) / np.ptp(np.percentile(c / p, (5, 95)))
                ),
                "That is the ratio of the frequencies. Brightness counts octaves.",
            ),
        ],
        right="It is not held within 0 and 1: a twentieth of the takes lies beyond either end.",
    ),
    Exercise(
        "12.3",
        solution=_twins,
        tries=_takes,
        stub=lambda learned, held_out: ...,
        wrong=[
            (
                lambda a, b: int(np.isin(b, a).sum()),
                "No player hits the same Hz twice. Round to semitones before you compare.",
            ),
            (
                lambda a, b: int((_semitones(b)[:, None] == _semitones(a)).sum()),
                "That counts pairs. A held-out take with two twins is still one take.",
            ),
            (
                lambda a, b: int(np.isin(_semitones(a), _semitones(b)).sum()),
                "Those are the learned takes that have a twin. Count the held-out ones.",
            ),
            (
                lambda a, b: len(b) - _twins(a, b),
                "Those are the ones without a twin, on which one can measure.",
            ),
        ],
        right=(
            "For a split by whole semitones it is 0, and only then do held-out takes tell anything."
        ),
        tolerance=0,
    ),
    Exercise(
        "12.4",
        solution=copied_share,
        tries=_distances,
        stub=lambda made, held_out: ...,
        wrong=[
            (
                lambda a, b: float((a < b.quantile(0.95)).float().mean()),
                "Nearly all real sounds are nearer than that. Which end tells a copy?",
            ),
            (
                lambda a, b: float((a < b.mean()).float().mean()),
                "Half of new sounds are nearer than the mean. Take the 5th percentile.",
            ),
            (
                lambda a, b: float((a > b.quantile(0.05)).float().mean()),
                "Those are the new ones. Count what is suspiciously near.",
            ),
            (
                lambda a, b: float((a < b.quantile(0.05)).float().sum()),
                "That is how many. Give their share.",
            ),
        ],
        right="A bad toot is far from every recording: to be new is not to be good.",
    ),
]
