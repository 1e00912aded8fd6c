"""The kinds of toots and their physics, as numbers; `tootlearn.data.synthesis` makes sound of them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from tootlearn import rng
from tootlearn.controls import Kind

_RECIPE = 1  # stream of random numbers

Range = tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """The physics of one kind: each (low, high) is drawn uniformly for each toot.

    Args:
        attack: time of the rise of pressure, s.
        release: time constant of its exponential fall, s.
        swell: how much faster a higher harmonic fades with pressure (exponent a harmonic).
        glide: how far below its pitch a toot starts, cents.
        glide_time: time constant of that glide, s.
        vibrato: depth, cents; it sets in between .2 and .4 s.
        vibrato_rate: Hz.
        tremolo: depth of the change of pressure at the same rate, as a fraction.
        detune: standard deviation of the notes of a chord about their intervals, cents.
        stagger: how much later a note of a chord may start, s.
        flutter: standard deviation of the slow random change of pressure, as a fraction.
        breath: level of the noise against the tone, dB.
        breath_lead: how much sooner than the tone the noise is there, as a fraction of the attack.
        breath_focus: share of the noise that is coloured by the pitch's own resonance.
        even: level of the even harmonics (a stopped pipe has few).
        formants: resonances (Hz, bandwidth in octaves, gain in dB), each moved by about a tenth of an octave for
            each toot (standard deviation).
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
    stagger: Range = (0.0, 0.0)
    flutter: Range = (0.005, 0.03)
    breath: Range = (-60.0, -45.0)
    breath_lead: Range = (0.0, 0.3)
    breath_focus: Range = (0.0, 0.0)
    even: Range = (1.0, 1.0)
    formants: tuple[tuple[float, float, float], ...] = ()

    def draw(self, seed: int) -> dict[str, float]:
        """One number for each range, by name."""
        names = [f.name for f in fields(self) if f.name != "formants"]
        shares = rng.uniform(seed, _RECIPE, len(names))
        ranges = [getattr(self, name) for name in names]
        return {n: low + (high - low) * float(u) for n, (low, high), u in zip(names, ranges, shares, strict=True)}


# The chord of the Nathan AirChime K5LA, the North American standard: D#4 F#4 G#4 B4 D#5.
_FIVE_CHIME = tuple(2.0 ** (s / 12) for s in (0, 3, 5, 8, 12))

KINDS: dict[str, Kind] = {
    k.name: k
    for k in (
        Kind("car_horn", (300, 520), (0.12, 1.8), (1.5, 2.6), (1.0, 1.25), steady=False),
        Kind("train_horn", (200, 400), (0.35, 1.9), (1.45, 2.3), _FIVE_CHIME, steady=False),
        Kind("steam_whistle", (400, 1600), (0.3, 1.9), (0.6, 1.6), steady=False),
        Kind("trumpet", (165, 988), (0.12, 1.8), (0.9, 2.4)),
    )
}

RECIPES: dict[str, Recipe] = {
    # Two electric diaphragm horns a major third apart; the disc in front of each rings between 2 and 3.5 kHz.
    "car_horn": Recipe(
        attack=(0.008, 0.035),
        release=(0.008, 0.03),
        swell=(0.0, 0.02),
        glide=(-20, 40),
        detune=(2, 10),
        stagger=(0.0, 0.006),
        breath=(-55, -40),
        formants=((2600, 0.7, 12), (900, 1.0, 4)),
    ),
    # Five air-blown diaphragms on exponential horns; each speaks when its chamber has filled.
    "train_horn": Recipe(
        attack=(0.05, 0.14),
        release=(0.03, 0.07),
        swell=(0.03, 0.1),
        glide=(10, 80),
        glide_time=(0.03, 0.09),
        detune=(2, 8),
        stagger=(0.0, 0.06),
        flutter=(0.01, 0.04),
        breath=(-50, -36),
        breath_lead=(0.2, 0.7),
        formants=((1100, 1.0, 6), (2200, 0.8, 5)),
    ),
    # A jet of steam across the lip of a bell: mostly fundamental, much breath, sharpening as the pressure builds.
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
        breath=(-34, -18),
        breath_lead=(0.3, 0.9),
        breath_focus=(0.7, 0.95),
        even=(0.15, 0.7),
    ),
    # Lips on a tube with a bell: harmonics rise with blowing pressure, the note comes from below, vibrato sets in late.
    "trumpet": Recipe(
        attack=(0.015, 0.06),
        release=(0.012, 0.04),
        swell=(0.04, 0.14),
        glide=(0, 60),
        glide_time=(0.01, 0.03),
        vibrato=(0, 25),
        tremolo=(0.0, 0.12),
        breath=(-58, -42),
        breath_lead=(0.0, 0.5),
        formants=((1300, 1.2, 8), (2600, 0.8, 4)),
    ),
}
