"""A place for a toot: the reflections of its surroundings, the tail of its room, and its floor of
noise.

A toot from the generator is dry, as if it were blown in the open on a silent day. Recordings are
not: sound comes back from the ground and from walls, and between the partials lies the noise of the
street. Places are made of three parts, each drawn at random from a seed:

- **early reflections**, single echoes that arrive within a tenth of a second, the later the weaker
  and the duller;
- **a tail**, noise that decays exponentially, high frequencies faster than low ones;
- **a floor**, steady noise with the spectrum of the place, at a level below that of the toot.

An impulse response from a file can take the place of the first two.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import signal

from tootlearn import rng
from tootlearn.dsp.audio import load_audio
from tootlearn.errors import InputError, check_range
from tootlearn.rng import Stream

FLOORS = (-120.0, 0.0)  # dB: the level of the floor relative to the toot
LONGEST = 10.0  # s of an impulse response
_PEAK = 0.98  # a louder result is attenuated
_AUDIBLE = 1e-3  # of the peak: where the tail is cut
_MIDDLE = 1000.0  # Hz: where the reverberation time holds


@dataclass(frozen=True)
class Place:
    """What surrounds a toot.

    Args:
        reflections: how many single echoes.
        delay: of the first and the last of them, s.
        echo: level of an echo after the first delay, dB relative to the direct sound; by 6 dB less
            for each doubling of the delay.
        dull: frequency at which an echo begins to fall by 6 dB an octave, Hz.
        tail: energy of the tail, dB relative to the direct sound.
        decay: reverberation time at 1 kHz (by 60 dB), s.
        floor: level of the noise, dB relative to the toot.
        slope: of the spectrum of the noise, dB an octave, above 60 Hz.
    """

    reflections: int
    delay: tuple[float, float]
    echo: float
    dull: float
    tail: float
    decay: float
    floor: float
    slope: float


PLACES = {
    # a road between houses: the ground, facades some metres away, traffic in the distance
    "street": Place(10, (0.003, 0.12), -7.0, 3500.0, -15.0, 0.5, -30.0, -4.5),
    # a concert hall, seen from the middle rows; quiet but for its ventilation
    "hall": Place(14, (0.012, 0.09), -9.0, 6000.0, -7.0, 1.8, -58.0, -6.0),
}


def place_names() -> tuple[str, ...]:
    """The places that have a name; "dry" is none at all."""
    return ("dry", *PLACES)


def placed(
    wave: ArrayLike,
    sample_rate: int,
    place: str | os.PathLike[str] = "street",
    seed: int = 0,
    floor: float | None = None,
) -> NDArray[np.float32]:
    """A wave as it sounds in a place.

    Args:
        wave: (N,), in [-1, 1].
        sample_rate: Hz.
        place: "dry", "street", "hall", or a file with an impulse response.
        seed: of reflections, tail and floor.
        floor: level of the noise relative to the RMS of the wave, dB, -120 to 0; None for that of
            the place, and for none with "dry" and impulse responses.

    Returns:
        (N + tail,), float32, from the wave's first sample until the tail is 60 dB below the peak;
        attenuated if its peak would exceed 0.98. With "dry" and no floor it is the wave.

    Raises:
        InputError: for a wave of another shape, or one that is not finite; an unknown place; an
            impulse response that cannot be read, is silent or longer than 10 s; or a floor out of
            range.

    Example:
        >>> wave = np.sin(np.arange(4410) / 10).astype(np.float32)
        >>> len(placed(wave, 22050, "hall")) > 4410
        True
    """
    check_place(place, floor)
    dry = np.asarray(wave, dtype=np.float64)
    if dry.ndim != 1 or not len(dry) or not np.isfinite(dry).all():
        raise InputError(f"wave is one finite sound (N,), N >= 1; this one is {dry.shape}")
    about = PLACES.get(str(place))
    level = about.floor if about and floor is None else floor
    if str(place) == "dry" and level is None:
        return dry.astype(np.float32)
    wet = dry
    if str(place) != "dry":
        response = impulse(about, sample_rate, seed) if about else _read(place, sample_rate)
        wet = signal.oaconvolve(dry, response)
        loud = np.flatnonzero(np.abs(wet) >= _AUDIBLE * np.abs(wet).max())
        wet = wet[: max(len(dry), int(loud[-1]) + 1)]
    if level is not None:
        slope = about.slope if about else PLACES["street"].slope
        rms = np.sqrt(np.mean(np.square(dry)))
        wet = wet + rms * 10 ** (level / 20) * floor_noise(len(wet), sample_rate, slope, seed)
    peak = np.abs(wet).max()
    return np.asarray(wet * min(1.0, _PEAK / max(peak, 1e-9)), dtype=np.float32)


def check_place(place: str | os.PathLike[str], floor: float | None) -> None:
    """Raise InputError for a place that is neither a name nor a file, or a floor out of range."""
    if floor is not None:
        check_range("floor", floor, *FLOORS, " dB")
    if str(place) not in place_names() and not os.path.isfile(place):
        raise InputError(
            f"there is no place {os.fspath(place)!r}: take {', '.join(place_names())}, or the file "
            "of an impulse response"
        )


def impulse(place: Place, sample_rate: int, seed: int) -> NDArray[np.float64]:
    """The impulse response of a place, (N,): the direct sound of amplitude 1, its echoes and its
    tail.
    """
    count = int(place.decay * sample_rate)
    chance = rng.uniform(seed, Stream.PLACE_REFLECTIONS, 2 * place.reflections)
    first, last = place.delay
    delay = first * (last / first) ** chance[: place.reflections]
    gain = 10 ** (place.echo / 20) * first / delay
    sign = np.where(chance[place.reflections :] < 0.5, -1.0, 1.0)  # soft surfaces invert
    echoes = np.zeros(count)
    np.add.at(echoes, np.minimum((delay * sample_rate).astype(int), count - 1), sign * gain)
    response = signal.lfilter(*_low_pass(place.dull, sample_rate), echoes)
    response += 10 ** (place.tail / 20) * _tail(place, count, sample_rate, seed)
    response[0] += 1
    return np.asarray(response)


def floor_noise(count: int, sample_rate: int, slope: float, seed: int) -> NDArray[np.float64]:
    """Noise (count,) of unit RMS whose spectrum falls by so many dB an octave above 60 Hz."""
    spectrum = np.fft.rfft(rng.normal(seed, Stream.PLACE_FLOOR, count))
    hertz = np.fft.rfftfreq(count, 1 / sample_rate)
    spectrum *= np.maximum(hertz / 60, 1) ** (slope / (20 * np.log10(2)))
    spectrum[hertz < 20] = 0
    shaped = np.fft.irfft(spectrum, count)
    return np.asarray(shaped / max(np.sqrt(np.mean(shaped**2)), 1e-12))


def _tail(place: Place, count: int, sample_rate: int, seed: int) -> NDArray[np.float64]:
    """Decaying noise (count,) of unit energy, from the last echo on; each octave further up decays
    by a fifth faster.
    """
    white = rng.normal(seed, Stream.PLACE_TAIL, count)
    time = np.arange(count) / sample_rate
    tail = np.zeros(count)
    edges = [0.0, *(_MIDDLE * 2.0 ** np.arange(-2, 4)), np.inf]
    spectrum, hertz = np.fft.rfft(white), np.fft.rfftfreq(count, 1 / sample_rate)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        octave = np.log2(np.clip(low, _MIDDLE / 4, None) / _MIDDLE)
        band = np.fft.irfft(spectrum * ((hertz >= low) & (hertz < high)), count)
        tail += band * 10 ** (-3 * time / (place.decay * 0.8**octave))
    tail[: int(place.delay[0] * sample_rate)] = 0
    return np.asarray(tail / np.sqrt(np.sum(tail**2)))


def _low_pass(hertz: float, sample_rate: int) -> tuple[list[float], list[float]]:
    """A first-order low pass: numerator and denominator."""
    pole = float(np.exp(-2 * np.pi * hertz / sample_rate))
    return [1 - pole], [1, -pole]


def _read(path: str | os.PathLike[str], sample_rate: int) -> NDArray[np.float64]:
    """The impulse response in a file, at this rate: its direct sound first, with amplitude 1."""
    response = load_audio(path, sample_rate)[0].double().numpy()
    peak = np.abs(response).max(initial=0)
    if not peak or len(response) > LONGEST * sample_rate:
        raise InputError(
            f"{path}: an impulse response is a sound of at most {LONGEST:g} s, and not silent"
        )
    start = int(np.argmax(np.abs(response)))
    return np.asarray(response[start:] / response[start])
