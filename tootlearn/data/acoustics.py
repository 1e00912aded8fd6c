"""The physics that all toots share, as signals: slow changes, harmonics, resonances, breath noise.

The sum over harmonics, sum_k a_k z^k with z = rho e^(i theta), is a polynomial. It is split into
about sqrt(K) groups: one matrix product computes all of them from the first powers of z, and
Horner's scheme in a higher power combines them (M. S. Paterson and L. J. Stockmeyer, 1973). That
takes about 2 sqrt(K) complex products a sample, and one sine and cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tootlearn import rng

SAMPLE_RATE = 22050
STEP = 32  # samples between two points of a slow signal: 1.5 ms
# Hz: frequencies at which the spectrum of noise is given
GRID = np.maximum(np.linspace(0, SAMPLE_RATE / 2, 513), 1.0)
_BLOCK = 4096  # samples whose powers fit into the cache
# fast FFT sizes, up to more than a window
_LENGTHS = tuple(2048 * n for n in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24))

Array = NDArray[np.float64]
Signal = NDArray[np.float32]


def points(count: int) -> Array:
    """Times in s of the points of a slow signal: every STEP samples, until they span ``count``
    samples.
    """
    return np.arange(-(-count // STEP) + 1, dtype=np.float64) * (STEP / SAMPLE_RATE)


def joined(values: Array, count: int) -> Signal:
    """Linear interpolation of values (..., T) at :func:`points` to samples (..., count)."""
    at = values.astype(np.float32)
    part = np.arange(STEP, dtype=np.float32) / STEP
    lines = (at[..., 1:] - at[..., :-1])[..., None] * part
    lines += at[..., :-1, None]
    return np.asarray(lines.reshape(*at.shape[:-1], -1)[..., :count], dtype=np.float32)


def wandering(place: Array, random: Array) -> Array:
    """Smooth interpolation of random numbers (..., K) at fractional indices (T,): (..., T)."""
    whole = np.minimum(place.astype(int), random.shape[-1] - 2)
    part = np.minimum(place - whole, 1.0)
    before = random[..., whole]
    return np.asarray(before + (random[..., whole + 1] - before) * (part * part * (3 - 2 * part)))


def shimmer(time: Array, decibel: float, random: Array) -> Array:
    """Gains (8, T) of eight groups of partials, which vary independently.

    Args:
        time: s, (T,).
        decibel: standard deviation of the gains, dB.
        random: standard normal numbers, for each group 16 a second.
    """
    return np.asarray(10 ** (decibel / 20 * wandering(time * 16, random.reshape(8, -1))))


def turns(f0: Array, count: int) -> Array:
    """Phase in turns, (count,), of f0 in Hz at :func:`points`, linear between them."""
    each = f0 * (STEP / SAMPLE_RATE)
    start = np.concatenate(([0.0], np.cumsum((each[:-1] + each[1:]) / 2)[:-1]))
    part = np.arange(STEP) / STEP
    turns = (np.diff(each) / 2)[:, None] * part
    turns += each[:-1, None]
    turns *= part
    turns += start[:, None]
    return turns.ravel()[:count]


def harmonics(turns: Array, pressure: Signal, level: Array, swell: float, shimmer: Array) -> Signal:
    """Sum over k of level_k pressure^(1 + k swell) sin(k theta), after Paterson and Stockmeyer.

    Args:
        turns: theta / 2 pi at each sample, shape (N,).
        pressure: 0 to 1, shape (N,).
        level: of harmonics 1, 2, ..., shape (K,).
        swell: how much the exponent grows with each harmonic.
        shimmer: gains at :func:`points`, shape (G, T), which the groups use in turn.

    Returns:
        Wave, shape (N,).
    """
    audible = np.flatnonzero(level > 1e-6 * level.max(initial=0.0))
    count = int(audible[-1]) + 1 if len(audible) else 1
    size = max(2, round(count**0.5))  # harmonics of a group
    groups = -(-count // size)
    padded = np.zeros(groups * size, dtype=np.float32)
    padded[: min(count, len(level))] = level[:count]
    weights = padded.reshape(groups, size)
    gains = joined(shimmer[:groups], len(turns))
    wave = np.empty(len(turns), dtype=np.float32)
    for first in range(0, len(turns), _BLOCK):
        part = slice(first, min(first + _BLOCK, len(turns)))
        theta = ((turns[part] - np.floor(turns[part])) * (2 * np.pi)).astype(np.float32)
        rho = np.exp(np.float32(swell) * np.log(np.maximum(pressure[part], np.float32(1e-6))))
        powers = np.empty((size, len(theta)), dtype=np.complex64)
        np.multiply(rho, np.cos(theta), out=powers[0].real)
        np.multiply(rho, np.sin(theta), out=powers[0].imag)
        for k in range(1, size):  # z^(k + 1) as the product of two powers of about half
            np.multiply(powers[k // 2], powers[k - k // 2 - 1], out=powers[k])
        sums = (weights @ powers.view(np.float32)).view(np.complex64)  # (groups, samples)
        for i, group in enumerate(sums):
            group *= gains[i % len(gains)][part]
        total = sums[-1]
        for group in sums[-2::-1]:
            total *= powers[-1]
            total += group
        np.multiply(total.imag, pressure[part], out=wave[part])
    return wave


def resonator(
    formants: Sequence[tuple[float, float, float]], move: Array
) -> Callable[[Array], Array]:
    """Gain as a function of frequency (Hz): a bell in log frequency for each formant.

    Args:
        formants: centre (Hz), bandwidth (octaves) and gain (dB) of each.
        move: by how many octaves each is moved.
    """
    moved = 2**move

    def gain(hz: Array) -> Array:
        decibel = np.zeros_like(hz)
        octave = np.log2(hz)
        for (centre, width, height), move in zip(formants, moved, strict=False):
            decibel += height * np.exp(
                -0.5 * ((octave - np.log2(centre * move)) / (width / 2)) ** 2
            )
        return np.asarray(10 ** (decibel / 20))

    return gain


def tilt(frequency: Array, level: Array, centroid: float, noise: Array) -> float:
    """The exponent ``tilt`` with which harmonics k^-tilt and their noise have a given spectral
    centroid.

    Args:
        frequency: of the harmonics, Hz, shape (notes, K).
        level: their amplitudes before the tilt, shape (notes, K).
        centroid: of the magnitude spectrum, Hz.
        noise: level of the noise relative to the RMS of the tone, at :data:`GRID`, shape (513,).
    """
    number = np.log(np.arange(1, frequency.shape[1] + 1))
    lines = np.stack((level.sum(0), (level * frequency).sum(0)), 1)  # of all notes
    power = np.square(level).sum(0) / 2
    # A Hann frame of 1024 shows a sine of amplitude a as magnitudes that add up to 512 a, white
    # noise of RMS s as 17.4 s in each bin.
    hiss = 17.4 / 512 * np.array([noise.sum(), noise @ GRID])
    low, high = -2.0, 8.0
    for _ in range(3):  # the step shrinks by 24 each time
        tilts = np.linspace(low, high, 25)
        fall = np.exp(-tilts[:, None] * number)
        moments = fall @ lines + np.sqrt(np.square(fall) @ power)[:, None] * hiss
        above = np.flatnonzero(moments[:, 1] > centroid * moments[:, 0])
        at = min(int(above[-1]), 23) if len(above) else 0
        low, high = tilts[at], tilts[at + 1]
    return float((low + high) / 2)


def breath_colour(
    pitch: float, focus: float, top: float, resonance: Callable[[Array], Array]
) -> Array:
    """Spectrum of the turbulence at :data:`GRID`, (513,), of about unit RMS.

    Args:
        pitch: Hz.
        focus: share of the noise in a resonance at the pitch, 0 to 1.
        top: where the rest begins to fall by 12 dB an octave, Hz.
        resonance: gains of the horn, which shape the rest.
    """
    broad = resonance(GRID) * np.minimum(GRID / 300, 1) / (1 + (GRID / top) ** 2)
    near = np.exp(-0.5 * (np.log2(GRID / pitch) / 0.12) ** 2)
    broad, near = (c / np.sqrt(np.mean(c**2)) for c in (broad, near))
    return np.asarray(np.sqrt(1 - focus) * broad + np.sqrt(focus) * near)


def breath(pressure: Signal, colour: Array, seed: int, stream: rng.Stream) -> Signal:
    """Turbulence (N,): noise with this spectrum (513,) and random phases, times pressure (N,)."""
    length = next(n for n in _LENGTHS if n >= len(pressure))
    bins = length // 2
    halves = rng.words(seed, stream, bins // 2).astype("<u4").view("<u2")  # a word holds two phases
    phase = halves.astype(np.float32) * np.float32(2 * np.pi / 2**16)
    level = (
        colour[:-1, None] + np.diff(colour)[:, None] * (np.arange(bins // 512) * 512 / bins)
    ).ravel()
    level = (level * np.sqrt(length)).astype(np.float32)
    spectrum = np.zeros(bins + 1, dtype=np.complex64)
    np.multiply(level, np.cos(phase), out=spectrum.real[:bins])
    np.multiply(level, np.sin(phase), out=spectrum.imag[:bins])
    return np.asarray(np.fft.irfft(spectrum, length)[: len(pressure)] * pressure)
