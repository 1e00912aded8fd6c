"""Variations of a sound, and what lies between two: generation that starts from recordings.

`inversion` gives the controls and the residual of a sound; both can be changed, or mixed with those
of another sound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tootlearn import rng
from tootlearn.controls import ControlRequest, Controls, complete
from tootlearn.dsp import measures
from tootlearn.errors import InputError, check_range
from tootlearn.generation.inversion import Inversion
from tootlearn.generation.toot_files import Toot
from tootlearn.generation.toot_generator import TootGenerator, checked_seed
from tootlearn.models.decoder import Condition

_MARGIN = 0.1  # dB
UNCHANGED = ControlRequest()
_ROUNDS = 3  # of mending what a toot between two measures
_BRIGHTEST = 0.5  # beyond 0 and 1: how far the control of brightness is moved to mend it


def changed_controls(
    generator: TootGenerator, sound: Inversion, changes: ControlRequest
) -> Controls:
    """The controls of a sound, with some changed.

    For another kind, a pitch or a duration beyond its range goes to the nearest end of the range.

    Raises:
        InputError: for a control that is unknown, unreadable or out of the range of the kind.
    """
    name = generator.kinds[int(sound.controls.kind[0])]
    request = replace(changes, kind=changes.kind or name)
    requested = complete(generator.model.kinds, request, [0.5] * 5)
    kind = generator.model.kinds[int(requested.kind[0])]
    unchanged = {
        control: getattr(sound.controls, control)
        for control in ("pitch", "duration", "brightness", "loudness")
        if getattr(changes, control) is None
    }
    if kind.name != name:
        for control in unchanged.keys() & {"pitch", "duration"}:
            unchanged[control] = unchanged[control].clip(*getattr(kind, control))
    return replace(requested, **unchanged)


def vary(
    generator: TootGenerator,
    sound: Inversion,
    count: int,
    seed: int = 0,
    amount: float = 0.5,
    changes: ControlRequest = UNCHANGED,
    sample_rate: int | None = None,
) -> Iterator[Toot]:
    """Variations of a sound: its controls, some of them changed, and residuals near its own.

    The prior turns standard normal numbers into residuals. Those of the sound, n, become
    sqrt(1 - a^2) n + a m with a random m. If n is standard normal, so is the result, so every
    amount gives residuals that the prior can give. They become residuals for the new controls:
    what is usual for one kind turns into what is usual for another.

    Args:
        generator: the model.
        sound: from `inversion.invert`, or from :func:`from_controls`.
        count: how many; variation i is the same whatever the count.
        seed: of the set.
        amount: a, 0 to 1. With 0 the residual stays, and only the noise of the breath differs; with
            1 it is a new draw, the one of `TootGenerator.generate` with the same seed.
        changes: controls that differ from the sound's, see :func:`changed_controls`.
        sample_rate: Hz; None for the generator's.

    Yields:
        Toots, one by one.

    Raises:
        InputError: for a bad count, seed, amount or control, before the first is made.

    Example:
        >>> import tootlearn
        >>> g = tootlearn.load()
        >>> sound = from_controls(g, g.controls("trumpet", "A4", 0.5), seed=7)
        >>> [toot.kind for toot in vary(g, sound, 1, changes=ControlRequest("tuba"))]
        ['tuba']
    """
    if count < 1:
        raise InputError(f"a sound has 1 variation or more, not {count}")
    share = check_range("amount", amount, 0, 1, "")
    controls = changed_controls(generator, sound, changes)
    seeds = rng.children(checked_seed(seed), 0, count)
    before, after = (Condition.of(c, generator.device) for c in (sound.controls, controls))
    with torch.inference_mode():
        sound_noise = generator.network.prior.noise(before, sound.residual)
    name = generator.kinds[int(controls.kind[0])]

    def variations() -> Iterator[Toot]:
        for variation_seed in seeds:
            noise = math.sqrt(1 - share**2) * sound_noise + share * generator.noise(variation_seed)
            residual = generator.network.prior.sample(after, noise)
            yield Toot(
                generator.render(controls, residual, variation_seed, sample_rate=sample_rate),
                name,
                controls,
                variation_seed,
            )

    return variations()


def morph(
    generator: TootGenerator,
    first: Inversion,
    last: Inversion,
    steps: int,
    seed: int = 0,
    sample_rate: int | None = None,
) -> Iterator[Toot]:
    """Toots from one sound to another.

    Pitch and duration change by equal ratios, loudness by equal decibels, brightness, kind and
    residual by equal parts. A toot between two kinds has a part of each: what the network knows of
    them is mixed, a note that both have glides from one interval to the other, and a note or a
    trill of one alone fades. What duration and brightness the toots between then have is measured,
    and mended where it strays from the way between those of the ends. Where a toot would be turned
    down so that it does not clip, all are turned down.

    Args:
        generator: the model.
        first, last: from `inversion.invert` or :func:`from_controls`.
        steps: how many, both ends included.
        seed: of the noise of the breath, which is the same in all.
        sample_rate: Hz; None for the generator's.

    Yields:
        Toots, as they are made. Of those between two kinds the name is "first-last", and their
        controls count the nearer one.

    Raises:
        InputError: for less than 2 steps or a bad seed, before the first is made.

    Example:
        >>> import tootlearn
        >>> g = tootlearn.load()
        >>> kinds = ("trumpet", "tuba")
        >>> low, high = (from_controls(g, g.controls(kind, "A3", 0.5), seed=7) for kind in kinds)
        >>> next(morph(g, low, high, steps=2)).kind
        'trumpet-tuba'
    """
    if steps < 2:
        raise InputError(f"a morph has 2 steps or more, its ends, not {steps}")
    checked_seed(seed)
    kinds = generator.model.kinds
    ends = [
        Condition.of(sound.controls, generator.device).shares(len(kinds)) for sound in (first, last)
    ]
    names = [generator.kinds[int(sound.controls.kind[0])] for sound in (first, last)]
    name = names[0] if names[0] == names[1] else "-".join(names)

    def toot(share: float, controls: Controls, rate: int | None) -> Toot:
        residual = torch.lerp(first.residual, last.residual, share)
        shares = torch.lerp(ends[0], ends[1], share)
        return Toot(
            generator.render(controls, residual, seed, 1.0, rate, shares=shares),
            name,
            controls,
            seed,
        )

    def measured_at(share: float, controls: Controls) -> NDArray[np.float64]:
        return _measured(toot(share, controls, None), generator.sample_rate)

    def toots() -> Iterator[Toot]:
        low, high = np.array(
            [kinds[int(sound.controls.kind[0])].octaves for sound in (first, last)]
        ).T
        ends_measured = [measured_at(0.0, first.controls), measured_at(1.0, last.controls)]
        shares, planned, lacking = np.linspace(0, 1, steps).tolist(), [], [0.0]
        for share in shares:
            controls = between(first.controls, last.controls, share)
            octaves = (1 - share) * (high - low)[0] + share * (high - low)[1]
            for _ in range(_ROUNDS if 0 < share < 1 else 0):
                strayed = (
                    (1 - share) * ends_measured[0]
                    + share * ends_measured[1]
                    - measured_at(share, controls)
                )
                controls = _mended(controls, strayed, octaves)
            planned.append(controls)
            lacking.append(float(controls.loudness[0]) - measured_at(share, controls)[2])
        down = max(lacking) + _MARGIN if max(lacking) > _MARGIN else 0.0
        for share, controls in zip(shares, planned, strict=True):
            yield toot(share, replace(controls, loudness=controls.loudness - down), sample_rate)

    return toots()


def from_controls(generator: TootGenerator, controls: Controls, seed: int) -> Inversion:
    """The toot that a generator makes from controls and a seed, as a sound to vary or to morph."""
    return Inversion(controls, generator.residual(controls, seed), 0.0)


def between(first: Controls, last: Controls, share: float) -> Controls:
    """Controls between those of two toots, as in `morph`; the kind is that of the nearer one."""
    a, b = 1 - share, share
    return Controls(
        last.kind if share > 0.5 else first.kind,
        first.pitch**a * last.pitch**b,
        first.duration**a * last.duration**b,
        a * first.brightness + b * last.brightness,
        a * first.loudness + b * last.loudness,
    )


def _measured(toot: Toot, sample_rate: int) -> NDArray[np.float64]:
    """Of a toot: log2 of the duration in s, the centroid in octaves above the pitch, and the
    loudness in dBFS.
    """
    measured = measures.measure(torch.from_numpy(toot.wave), sample_rate)
    octaves = measures.brightness_octaves(measured.centroid, float(toot.controls.pitch[0]))
    return np.array([math.log2(measured.duration), float(octaves), float(measured.loudness)])


def _mended(controls: Controls, strayed: NDArray[np.float64], octaves: float) -> Controls:
    """Controls moved by what is missing of :func:`_measured`; brightness spans so many octaves."""
    brightness = (controls.brightness + strayed[1] / octaves).clip(-_BRIGHTEST, 1 + _BRIGHTEST)
    return replace(controls, duration=controls.duration * 2 ** strayed[0], brightness=brightness)
