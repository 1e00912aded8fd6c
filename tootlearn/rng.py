"""Random numbers that are the same everywhere: a counter-based generator.

Number ``i`` of stream ``stream`` of ``seed`` is a pure function of the three integers: nothing is
stored, nothing is shared, and a batch of any size draws the same numbers as its members one by one.
All arithmetic is on unsigned 32-bit words, so that the same few lines give the same words in
JavaScript (``Math.imul`` and ``>>> 0``).

    T(x):  x ^= x >> 17;  x *= ed5ad4bb;  x ^= x >> 11;  x *= ac4c1b51;
           x ^= x >> 15;  x *= 31848bab;  x ^= x >> 14
    k1   = T(low ^ T(high ^ T(stream)))      low, high: the seed's lower 32 and upper 21 bits
    k2   = T(k1 ^ 9e3779b9)
    word(i)    = T(T(i ^ k1) + k2)
    uniform(i) = (word(i) + 1/2) / 2^32                          in the open interval (0, 1)
    normal(2j), normal(2j + 1) =                                 Box-Muller
        sqrt(-2 ln uniform(2j)) (cos, sin)(2 pi uniform(2j + 1))

``T`` is Wellons' "triple32", a bijection of 32-bit words with a bias near the limit of what a
random one has (C. Wellons, "Prospecting for hash functions", 2018). Two rounds of it under two keys
make the streams independent: no word repeats within a stream. Keys have 32 bits: among 10,000
streams two are the same with a chance of about 1 %.

Every use of random numbers in the package has a stream in :class:`Stream`, so that no two uses
share numbers even where they share a seed.
"""

from __future__ import annotations

from enum import IntEnum, unique

import numpy as np
from numpy.typing import ArrayLike, NDArray

STREAMS = "rng.Stream"  # how the streams of training are numbered, for the provenance of models
MAX_SEED = 2**53 - 1  # the largest integer that JavaScript holds exactly
_GOLDEN = np.uint32(0x9E3779B9)


@unique
class Stream(IntEnum):
    """The streams of random numbers, one for each use.

    Values are below 256, since :func:`at_step` puts the step above the lowest 8 bits. Those
    named SYNTHESIS and GENERATION, BANDWIDTH_NOISE and CHILDREN shape synthesised or generated
    sounds and never change.
    """

    SYNTHESIS_RECIPE = 1
    SYNTHESIS_CONTROLS = 2
    SYNTHESIS_NOTES = 3
    SYNTHESIS_FLUTTER = 4
    SYNTHESIS_BREATH = 5
    SYNTHESIS_FORMANTS = 6
    SYNTHESIS_DRIFT = 7
    SYNTHESIS_JITTER = 8
    SYNTHESIS_SHIMMER = 9
    SYNTHESIS_RIPPLE = 10
    GENERATION_CONTROLS = 11
    GENERATION_RESIDUAL = 12
    GENERATION_BREATH = 13
    BATCH = 21
    RESIDUAL_NOISE = 22
    LATENT_NOISE = 23
    DROPOUT = 24
    LOSS_PIECE = 25
    CHILDREN = 29
    CLASSIFIER_ROWS = 31
    CLASSIFIER_AUGMENTATION = 32
    CLASSIFIER_TEXTURE = 33
    BANDWIDTH_PIECE = 34
    REPLAY_RESIDUAL = 35
    SOUND_NOTE = 41
    SOUND_STEP = 42
    AUGMENTATION = 43
    AUGMENTATION_DRAWS = 44
    AUGMENTATION_NOISE = 45
    DEGRADATION_NOISE = 46
    DEGRADATION_PHASE = 47
    BANDWIDTH_NOISE = 51
    SHARDS = 52
    SHARD_SAMPLES = 53
    SHARD_WRITING = 54
    SET_CHOICE = 55
    SET_HALVES = 56
    SAMPLED_NOTE = 57
    PLACE_REFLECTIONS = 61
    PLACE_TAIL = 62
    PLACE_FLOOR = 63
    SYNTHESIS_LATE = 103


def at_step(stream: Stream, step: int) -> int:
    """The stream for one step of many, such as one of training.

    Args:
        stream: what the numbers are for.
        step: in [0, 2^24); step 0 is the stream itself.

    Raises:
        ValueError: if the step is out of range.
    """
    if not 0 <= step < 2**24:
        raise ValueError(f"a step is an integer from 0 to {2**24 - 1}, got {step!r}")
    return stream + (step << 8)


_CHILDREN = at_step(Stream.CHILDREN, 0xC41)  # the stream that child seeds are drawn from


def _triple32(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    x = x ^ (x >> np.uint32(17))
    x *= np.uint32(0xED5AD4BB)
    x ^= x >> np.uint32(11)
    x *= np.uint32(0xAC4C1B51)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x31848BAB)
    x ^= x >> np.uint32(14)
    return x


def words(seed: ArrayLike, stream: int, count: int, start: int = 0) -> NDArray[np.uint32]:
    """``count`` random words of a stream, from its word ``start`` on.

    Args:
        seed: one integer in [0, 2^53), or an array of them, shape (...).
        stream: a :class:`Stream`, or :func:`at_step` of one; any integer in [0, 2^32) is allowed.
        count: how many words.
        start: the index of the first.

    Returns:
        Words, shape (..., count), uint32.

    Raises:
        ValueError: if a seed, the stream or an index is out of range.
    """
    seeds = np.asarray(seed)
    if seeds.dtype.kind not in "iu" or np.any(seeds < 0) or np.any(seeds > MAX_SEED):
        raise ValueError(f"a seed is an integer from 0 to {MAX_SEED}, got {seed!r}")
    if not 0 <= stream < 2**32 or not 0 <= start <= start + count <= 2**32:
        raise ValueError(
            f"streams and indices are integers from 0 to 2^32 - 1, got {stream!r} and {start!r} "
            f"+ {count!r}"
        )
    wide = np.atleast_1d(seeds).astype(np.uint64)
    low, high = (
        (wide & np.uint64(0xFFFFFFFF)).astype(np.uint32),
        (wide >> np.uint64(32)).astype(np.uint32),
    )
    key1 = _triple32(low ^ _triple32(high ^ _triple32(np.full_like(low, stream))))[..., None]
    key2 = _triple32(key1 ^ _GOLDEN)
    counters = np.arange(start, start + count, dtype=np.uint32)
    return _triple32(_triple32(counters ^ key1) + key2).reshape(*seeds.shape, count)


def uniform(seed: ArrayLike, stream: int, count: int) -> NDArray[np.float64]:
    """Uniform numbers in the open interval (0, 1), shape (..., count); arguments as for
    :func:`words`.
    """
    return (words(seed, stream, count).astype(np.float64) + 0.5) / 2.0**32


def normal(seed: ArrayLike, stream: int, count: int) -> NDArray[np.float64]:
    """Standard normal numbers by Box-Muller, shape (..., count); arguments as for :func:`words`."""
    pairs = uniform(seed, stream, count + count % 2)
    radius, angle = np.sqrt(-2 * np.log(pairs[..., 0::2])), 2 * np.pi * pairs[..., 1::2]
    numbers = np.empty(pairs.shape)
    numbers[..., 0::2], numbers[..., 1::2] = radius * np.cos(angle), radius * np.sin(angle)
    return numbers[..., :count]


def child(seed: int, index: int) -> int:
    """The seed of member ``index``, in [0, 2^31), of the set of sounds that ``seed`` stands for,
    whatever its size.
    """
    return children(seed, index, 1)[0]


def children(seed: int, start: int, count: int) -> list[int]:
    """The seeds of ``count`` members of a set, from member ``start`` on: :func:`child` of each."""
    return _seeds(words(seed, _CHILDREN, 2 * count, start=2 * start))


def derive(seed: int, stream: Stream) -> int:
    """A seed for one purpose, made of the first two words of its stream. Unlike :func:`child`, it
    is no member of the set of sounds that ``seed`` stands for.
    """
    return _seeds(words(seed, stream, 2))[0]


def _seeds(pairs: NDArray[np.uint32]) -> list[int]:
    """Seeds from pairs of words (2 S,): all of the first, the lowest 21 bits of the second."""
    low, high = pairs.astype(np.uint64).reshape(-1, 2).T
    return [int(s) for s in low + ((high & np.uint64(0x1FFFFF)) << np.uint64(32))]
