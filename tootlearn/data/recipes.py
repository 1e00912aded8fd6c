"""The kinds of toots and their physics, as numbers; `synthesis` makes sound of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tootlearn import rng
from tootlearn.controls import Kind

Range = tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """The physics of one kind: for each toot, a number is drawn uniformly from each (low, high).

    Args:
        attack: time of the rise of pressure, s.
        release: time constant of its exponential fall, s.
        swell: how much faster higher harmonics fade with pressure (exponent for each harmonic).
        glide: how far below its pitch a toot starts, cents.
        glide_time: time constant of that glide, s.
        vibrato: depth, cents; it sets in between 0.2 and 0.4 s.
        vibrato_rate: Hz.
        tremolo: depth of the variation of pressure at the same rate, as a fraction.
        detune: standard deviation of the notes of a chord from their intervals, cents.
        balance: standard deviation of the levels of the notes of a chord, dB.
        stagger: the latest start of a note of a chord after the lowest one, s.
        flutter: standard deviation of the slow random variation of pressure, as a fraction.
        breath: level of the breath noise relative to the tone, dB.
        breath_lead: how much earlier than the tone the noise rises, as a fraction of the attack.
        breath_focus: share of the noise in a resonance at the pitch.
        breath_top: frequency at which the noise begins to fall by 12 dB an octave, Hz.
        even: level of the even harmonics (a stopped pipe has few).
        hold: how fast the pressure falls while the toot is held, as a squeezed bulb empties, dB/s.
        droop: how far f0 falls when the pressure halves, cents.
        sweep: end of a slide, semitones from its start, up or down; 0 for no slide.
        drift: standard deviation of the slow random variation of f0, cents.
        jitter: standard deviation of the fast random variation of f0, cents.
        shimmer: standard deviation of the levels of groups of partials, which vary independently,
            dB.
        ripple: standard deviation of the levels of partials from the formant curve, dB.
        trill: depth of the interruptions, as a fraction.
        chiff: level of the noise of the attack, in addition to the breath noise, dB.
        spread: standard deviation of the formants of a toot from those of the kind, octaves.
        formants: resonances (Hz, bandwidth in octaves, gain in dB).
        centroid: range of the spectral centroid of two thirds of the toots, Hz, log-uniform; None
            leaves it open.
    """

    attack: Range
    release: Range
    swell: Range = (0.02, 0.08)
    glide: Range = (0.0, 20.0)
    glide_time: Range = (0.02, 0.05)
    vibrato: Range = (0.0, 0.0)
    vibrato_rate: Range = (4.5, 6.5)
    tremolo: Range = (0.0, 0.0)
    detune: Range = (0.0, 0.0)
    balance: Range = (1.5, 1.5)
    stagger: Range = (0.0, 0.0)
    flutter: Range = (0.005, 0.03)
    breath: Range = (-60.0, -45.0)
    breath_lead: Range = (0.0, 0.3)
    breath_focus: Range = (0.0, 0.0)
    breath_top: Range = (3000.0, 5000.0)
    even: Range = (1.0, 1.0)
    hold: Range = (0.0, 0.0)
    droop: Range = (0.0, 0.0)
    sweep: Range = (0.0, 0.0)
    drift: Range = (0.5, 4.0)
    jitter: Range = (0.2, 2.0)
    shimmer: Range = (0.1, 0.8)
    ripple: Range = (0.5, 3.0)
    trill: Range = (0.0, 0.0)
    chiff: Range = (-80.0, -60.0)
    spread: Range = (0.1, 0.1)
    formants: tuple[tuple[float, float, float], ...] = ()
    centroid: Range | None = None

    def draw(self, seed: int) -> dict[str, float]:
        """One number for each range, by name."""
        return self.at(rng.uniform(seed, rng.Stream.SYNTHESIS_RECIPE, len(NAMES)))

    def at(self, shares: NDArray[np.float64]) -> dict[str, float]:
        """One number for each range, by name, from its relative positions (len(NAMES),) between low
        (0) and high (1).
        """
        low, high = self._ends
        return dict(zip(NAMES, (low + (high - low) * shares).tolist(), strict=True))

    @cached_property
    def _ends(self) -> NDArray[np.float64]:
        return np.array([getattr(self, name) for name in NAMES]).T


# the names of the ranges
NAMES = tuple(f.name for f in fields(Recipe) if f.name not in ("formants", "centroid"))

# The chord of the Nathan AirChime K5LA, the North American standard: D#4 F#4 G#4 B4 D#5.
_FIVE_CHIME = tuple(2.0 ** (s / 12) for s in (0, 3, 5, 8, 12))

KINDS: dict[str, Kind] = {
    k.name: k
    for k in (
        Kind("car_horn", (300, 520), (0.12, 1.8), (1.5, 3.3), (1.0, 1.25), steady=False),
        Kind("bicycle_horn", (180, 420), (0.12, 0.7), (1.65, 3.05)),
        Kind("air_horn", (240, 520), (0.2, 1.9), (1.45, 2.75), (1.0, 1.2), steady=False),
        Kind("train_horn", (200, 400), (0.35, 1.9), (1.3, 2.2), _FIVE_CHIME, steady=False),
        Kind("ship_horn", (40, 180), (0.6, 1.9), (1.5, 3.3)),
        Kind("steam_whistle", (400, 1600), (0.3, 1.9), (0.7, 2.0), (1.0, 1.2), steady=False),
        Kind("pea_whistle", (1800, 3200), (0.15, 1.5), (0.15, 0.6), trill=30.0, steady=False),
        Kind("slide_whistle", (500, 1400), (0.3, 1.5), (0.2, 1.1), slide=True, steady=False),
        Kind("trumpet", (165, 988), (0.12, 1.8), (0.9, 2.9)),
        Kind("trombone", (82, 588), (0.12, 1.8), (0.9, 3.7)),
        Kind("tuba", (41, 350), (0.12, 1.8), (0.4, 3.2)),
        Kind("french_horn", (87, 700), (0.12, 1.8), (0.5, 2.8)),
    )
}

RECIPES: dict[str, Recipe] = {
    # Two electric diaphragm horns a major third apart; the disc in front of each rings between 2
    # and 3.5 kHz.
    "car_horn": Recipe(
        attack=(0.008, 0.035),
        release=(0.008, 0.03),
        swell=(0.0, 0.02),
        glide=(-20, 40),
        detune=(2, 10),
        stagger=(0.0, 0.006),
        breath=(-42, -20),
        jitter=(0.5, 5),
        shimmer=(0.2, 2),
        centroid=(1500, 3500),
        ripple=(3, 8),
        balance=(1, 8),
        spread=(0.2, 0.4),
        formants=((2600, 1.0, 13), (1200, 1.2, 6), (5500, 2.0, 6)),
    ),
    # A rubber bulb blows through a metal reed into a short bell: nasal, and sagging as the bulb
    # empties.
    "bicycle_horn": Recipe(
        attack=(0.008, 0.03),
        release=(0.01, 0.04),
        swell=(0.01, 0.05),
        glide=(0, 80),
        glide_time=(0.01, 0.03),
        flutter=(0.01, 0.05),
        breath=(-44, -26),
        hold=(4, 18),
        droop=(0, 25),
        chiff=(-45, -25),
        jitter=(0.5, 4),
        formants=((1500, 0.8, 12), (3200, 0.6, 8)),
    ),
    # Compressed gas, a steel diaphragm and two trumpets a minor third apart: loud from the start,
    # bright, and hissing.
    "air_horn": Recipe(
        attack=(0.012, 0.05),
        release=(0.012, 0.05),
        swell=(0.0, 0.04),
        glide=(0, 60),
        glide_time=(0.02, 0.06),
        detune=(2, 10),
        stagger=(0.0, 0.03),
        breath=(-40, -22),
        breath_lead=(0.2, 0.7),
        jitter=(0.5, 4),
        ripple=(1, 4),
        formants=((1800, 1.0, 9), (3500, 0.8, 6)),
    ),
    # Five air-blown diaphragms on exponential horns; each sounds when its chamber has filled.
    "train_horn": Recipe(
        attack=(0.05, 0.14),
        release=(0.03, 0.07),
        swell=(0.03, 0.1),
        glide=(10, 80),
        glide_time=(0.03, 0.09),
        detune=(2, 8),
        stagger=(0.0, 0.06),
        flutter=(0.01, 0.04),
        breath=(-42, -26),
        breath_lead=(0.2, 0.7),
        formants=((1100, 1.0, 6), (2200, 0.8, 5)),
    ),
    # A large diaphragm: slow to start and to stop, with dozens of harmonics below 2 kHz.
    "ship_horn": Recipe(
        attack=(0.08, 0.3),
        release=(0.03, 0.08),
        swell=(0.01, 0.03),
        glide=(0, 60),
        glide_time=(0.05, 0.15),
        flutter=(0.01, 0.05),
        breath=(-56, -36),
        breath_lead=(0.2, 0.8),
        breath_top=(1000, 2500),
        centroid=(400, 1100),
        formants=((240, 1.4, 8), (700, 1.2, 5)),
    ),
    # Jets of steam across the lips of two bells: mostly fundamentals in a roar, sharpening as the
    # pressure builds.
    "steam_whistle": Recipe(
        attack=(0.04, 0.16),
        release=(0.03, 0.09),
        swell=(0.05, 0.2),
        glide=(80, 350),
        glide_time=(0.04, 0.12),
        vibrato=(0, 15),
        vibrato_rate=(2, 7),
        tremolo=(0.0, 0.1),
        flutter=(0.02, 0.08),
        breath=(-26, -10),
        breath_lead=(0.3, 0.9),
        breath_focus=(0.3, 0.8),
        drift=(2, 10),
        even=(0.15, 0.7),
        breath_top=(1500, 4000),
        jitter=(1, 6),
        detune=(2, 20),
        stagger=(0.0, 0.02),
        shimmer=(0.3, 2),
        ripple=(1, 5),
        balance=(1, 4),
    ),
    # A pea that whirls in the chamber shuts the slot thirty times a second.
    "pea_whistle": Recipe(
        attack=(0.008, 0.03),
        release=(0.01, 0.03),
        swell=(0.05, 0.2),
        glide=(20, 150),
        glide_time=(0.01, 0.04),
        flutter=(0.02, 0.06),
        breath=(-32, -18),
        breath_lead=(0.2, 0.8),
        breath_focus=(0.7, 0.95),
        trill=(0.5, 0.9),
        drift=(2, 10),
        even=(0.3, 0.9),
    ),
    # A stopped pipe with a plunger: odd harmonics, and a slide of up to an octave.
    "slide_whistle": Recipe(
        attack=(0.02, 0.06),
        release=(0.015, 0.05),
        swell=(0.1, 0.3),
        glide=(0, 40),
        vibrato=(0, 20),
        flutter=(0.01, 0.05),
        breath=(-46, -30),
        breath_lead=(0.2, 0.8),
        breath_focus=(0.6, 0.9),
        sweep=(-11, 11),
        drift=(2, 8),
        even=(0.05, 0.3),
    ),
    # Lips on a tube with a bell: harmonics rise with blowing pressure, the note comes from below,
    # vibrato sets in late.
    "trumpet": Recipe(
        attack=(0.01, 0.04),
        release=(0.012, 0.04),
        swell=(0.04, 0.14),
        glide=(0, 60),
        glide_time=(0.01, 0.03),
        vibrato=(0, 20),
        tremolo=(0.0, 0.12),
        breath=(-48, -26),
        breath_lead=(0.2, 0.8),
        chiff=(-34, -14),
        breath_top=(3000, 6000),
        jitter=(1, 7),
        shimmer=(0.2, 1.5),
        centroid=(1700, 3000),
        formants=((1500, 2.2, 15), (2800, 1.0, 4)),
    ),
    "trombone": Recipe(
        attack=(0.03, 0.12),
        release=(0.015, 0.05),
        swell=(0.03, 0.1),
        glide=(0, 60),
        glide_time=(0.01, 0.04),
        vibrato=(0, 15),
        tremolo=(0.0, 0.1),
        breath=(-48, -28),
        breath_lead=(0.2, 0.8),
        chiff=(-36, -16),
        breath_top=(1500, 3500),
        jitter=(1, 6),
        shimmer=(0.2, 1.5),
        centroid=(850, 1700),
        formants=((800, 2.0, 11), (1700, 1.0, 5)),
    ),
    "tuba": Recipe(
        attack=(0.02, 0.09),
        release=(0.02, 0.07),
        swell=(0.03, 0.1),
        glide=(0, 50),
        glide_time=(0.02, 0.05),
        vibrato=(0, 12),
        tremolo=(0.0, 0.08),
        breath=(-52, -30),
        breath_lead=(0.2, 0.8),
        chiff=(-36, -16),
        breath_top=(500, 1500),
        jitter=(2, 12),
        shimmer=(0.2, 1.5),
        centroid=(180, 650),
        formants=((250, 1.6, 9), (650, 1.0, 3)),
    ),
    "french_horn": Recipe(
        attack=(0.02, 0.1),
        release=(0.025, 0.08),
        swell=(0.05, 0.16),
        glide=(0, 60),
        glide_time=(0.02, 0.05),
        vibrato=(0, 12),
        tremolo=(0.0, 0.08),
        breath=(-48, -26),
        breath_lead=(0.2, 0.8),
        chiff=(-38, -18),
        breath_top=(1000, 3000),
        jitter=(2, 10),
        shimmer=(0.3, 2),
        drift=(1, 8),
        centroid=(600, 1500),
        formants=((500, 1.6, 10), (1300, 1.2, 6)),
    ),
}
