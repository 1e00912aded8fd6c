import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tootlearn import rng

WORD = 2**32 - 1
SEEDS = st.integers(0, rng.MAX_SEED)
STREAMS = st.integers(0, WORD)


def triple32(x: int) -> int:
    """The module's docstring, line by line, in integers of any size."""
    x ^= x >> 17
    x = x * 0xED5AD4BB & WORD
    x ^= x >> 11
    x = x * 0xAC4C1B51 & WORD
    x ^= x >> 15
    x = x * 0x31848BAB & WORD
    return x ^ x >> 14


def word(seed: int, stream: int, index: int) -> int:
    key1 = triple32((seed & WORD) ^ triple32((seed >> 32) ^ triple32(stream)))
    key2 = triple32(key1 ^ 0x9E3779B9)
    return triple32((triple32(index ^ key1) + key2) & WORD)


def flat(counts: np.ndarray) -> float:
    """The probability of counts this uneven if all outcomes are equally likely."""
    return float(stats.chisquare(counts.ravel()).pvalue)


# Any other implementation (the page in the browser has one) must give these.
@pytest.mark.parametrize(
    ("seed", "stream", "expected"),
    [
        (0, 0, [0x08C2AC83, 0xFA5CA15C, 0x82A97764, 0x2A250B0D]),
        (1, 0, [0x8ADBBA31, 0x1C6C4A3B, 0xCAD1BAD9, 0x5B6172EA]),
        (7, 3, [0x5012CD0D, 0x129C86A3, 0x4CBD5730, 0xD7976D3C]),
        (2**32, 1, [0xB3C33424, 0x2D233F67, 0x0057C3A5, 0x47B3838D]),
        (2**53 - 1, 2**32 - 1, [0x6D46A076, 0x3D8E5A2E, 0xC04E47C1, 0xDE585CD0]),
    ],
)
def test_golden_words(seed, stream, expected):
    found = rng.words(seed, stream, 4)
    assert found.dtype == np.uint32
    assert found.tolist() == expected == [word(seed, stream, i) for i in range(4)]


def test_golden_numbers():
    np.testing.assert_array_equal(rng.uniform(7, 3, 2), [0.31278688029851764, 0.07270089618396014])
    np.testing.assert_allclose(
        rng.normal(7, 3, 4),
        [1.3683031418088232, 0.6724677985276782, 0.8494077677641478, -1.2992402720262413],
        1e-14,
    )
    assert [rng.child(7, i) for i in (0, 1, 1000)] == [
        932230230402188,
        1250090472197607,
        2052926264064124,
    ]
    assert rng.children(7, 0, 2) == [932230230402188, 1250090472197607]
    assert rng.children(7, 1000, 1) == [2052926264064124] and rng.children(7, 3, 0) == []


@given(SEEDS, STREAMS, st.integers(0, WORD - 2))
def test_words_are_those_of_the_specification(seed, stream, start):
    assert rng.words(seed, stream, 3, start).tolist() == [
        word(seed, stream, start + i) for i in range(3)
    ]


def test_the_last_counter_is_allowed_and_none_beyond():
    assert rng.words(5, 6, 2, start=WORD - 1).tolist() == [word(5, 6, WORD - 1), word(5, 6, WORD)]
    with pytest.raises(ValueError, match="indices"):
        rng.words(5, 6, 2, start=WORD)


@given(st.lists(SEEDS, min_size=1, max_size=6), STREAMS, st.integers(0, 9))
def test_a_batch_of_seeds_draws_what_each_draws_alone(seeds, stream, count):
    for draw in (rng.words, rng.uniform, rng.normal):
        together = draw(np.array(seeds).reshape(1, -1), stream, count)
        assert together.shape == (1, len(seeds), count)
        for row, seed in zip(together[0], seeds, strict=True):
            np.testing.assert_array_equal(row, draw(seed, stream, count))


@given(SEEDS, STREAMS, st.integers(0, 9), st.integers(0, 9))
def test_numbers_do_not_depend_on_how_many_are_drawn(seed, stream, few, more):
    np.testing.assert_array_equal(
        rng.words(seed, stream, few + more)[few:], rng.words(seed, stream, more, start=few)
    )
    for draw in (rng.uniform, rng.normal):
        np.testing.assert_array_equal(draw(seed, stream, few + more)[:few], draw(seed, stream, few))


def test_a_stream_repeats_no_word():
    # random words would repeat some 32 times
    assert len(np.unique(rng.words(12, 34, 2**19))) == 2**19


@pytest.mark.parametrize("seed", [0, 2**40 + 1])
@pytest.mark.parametrize("shift", [0, 8, 16, 24])
def test_every_byte_is_uniform(seed, shift):
    byte = (rng.words(seed, 2, 2**19) >> np.uint32(shift)) & np.uint32(255)
    assert 1e-4 < flat(np.bincount(byte)) < 1 - 1e-4


def test_uniform_numbers_fill_the_open_interval():
    u = rng.uniform(1, 1, 2**19)
    assert 0 < u.min() < 1e-5 and 1 - 1e-5 < u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3


def test_the_extreme_words_stay_inside_the_open_interval(monkeypatch):
    monkeypatch.setattr(rng, "words", lambda *_: np.array([0, WORD, WORD, 0], dtype=np.uint32))
    u = rng.uniform(0, 0, 4)
    assert u.min() > 0 and u.max() < 1
    assert np.isfinite(rng.normal(0, 0, 4)).all()


def neighbours(what: str) -> np.ndarray:
    """Pairs (P, 2) of numbers that a weak generator makes alike."""
    many = np.arange(2**16)
    if what == "counters":
        return rng.uniform(3, 4, 2**17).reshape(-1, 2)
    if what == "seeds":
        return rng.uniform(np.stack((many, many + 1), 1), 4, 1)[..., 0]
    if what == "high words of seeds":
        return rng.uniform(np.stack((many, many + 2**32), 1), 4, 1)[..., 0]
    if what == "children":
        return rng.uniform(
            [[rng.child(5, 2 * i), rng.child(5, 2 * i + 1)] for i in range(2**12)], 4, 1
        )[..., 0]
    return (
        np.stack([rng.uniform(3, stream, 64) for stream in range(2**11)])
        .reshape(-1, 2, 64)
        .swapaxes(1, 2)
    )


@pytest.mark.parametrize(
    "what", ["counters", "seeds", "high words of seeds", "children", "streams"]
)
def test_neighbours_are_independent(what):
    pairs = neighbours(what).reshape(-1, 2)
    cells, _, _ = np.histogram2d(pairs[:, 0], pairs[:, 1], bins=16, range=[[0, 1], [0, 1]])
    assert flat(cells) > 1e-3
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4.5 / math.sqrt(len(pairs))


def test_streams_and_seeds_are_uncorrelated_at_every_lag():
    rows = np.stack(
        [rng.uniform(seed, stream, 4096) - 0.5 for seed in range(6) for stream in range(6)]
    )
    spectra = np.fft.rfft(rows)
    # every cyclic correlation
    lagged = np.fft.irfft(spectra[:, None] * spectra.conj()) / (4096 / 12)
    lagged[np.arange(36), np.arange(36), 0] = 0
    assert np.abs(lagged).max() < 6.5 / math.sqrt(4096)  # 5.3 million of them


@pytest.mark.parametrize("of", ["seed", "stream", "counter"])
def test_one_changed_bit_changes_half_of_all_bits(of):
    bits = range(53) if of == "seed" else range(32)
    for bit in bits:
        flips = []
        for trial in range(64):
            seed, stream, start = (word(1, trial, i) for i in range(3))
            seed += (word(1, trial, 3) & 0x1FFFFF) << 32
            before = rng.words(seed, stream, 1, start)[0]
            mask = 1 << bit
            if of == "seed":
                seed ^= mask
            elif of == "stream":
                stream ^= mask
            else:
                start ^= mask
            flips.append(bin(before ^ rng.words(seed, stream, 1, start)[0]).count("1"))
        assert np.mean(flips) == pytest.approx(16, abs=5 * math.sqrt(8 / 64)), bit


def test_normal_numbers_are_normal():
    x = rng.normal(11, 0, 2**18)
    assert stats.kstest(x, "norm").pvalue > 1e-3
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3), (6, 15)):
        spread = math.sqrt((math.prod(range(2 * power - 1, 0, -2)) - moment**2) / len(x))
        assert np.mean(x**power) == pytest.approx(moment, abs=4.5 * spread)
    even, odd = x[0::2], x[1::2]
    # the two of a pair are independent ...
    assert stats.kstest((even**2 + odd**2) / 2, "expon").pvalue > 1e-3
    assert (
        stats.kstest(np.arctan2(odd, even), "uniform", args=(-math.pi, 2 * math.pi)).pvalue > 1e-3
    )
    # ... and two pairs
    assert abs(np.corrcoef(np.abs(even[1:]), np.abs(odd[:-1]))[0, 1]) < 4.5 / math.sqrt(len(even))


@pytest.mark.parametrize(
    "seed", [-1, 2**53, 2**70, 1.0, math.nan, True, "7", None, [3, -1], [3, 2**63]]
)
def test_bad_seeds_are_refused(seed):
    for draw in (rng.words, rng.uniform, rng.normal):
        with pytest.raises(ValueError, match="a seed is an integer from 0 to 9007199254740991"):
            draw(seed, 0, 1)


@pytest.mark.parametrize(
    ("stream", "start", "count"), [(-1, 0, 1), (2**32, 0, 1), (0, -1, 1), (0, 0, -1)]
)
def test_bad_streams_and_indices_are_refused(stream, start, count):
    with pytest.raises(ValueError, match="streams and indices are integers from 0"):
        rng.words(0, stream, count, start)


@given(SEEDS, st.integers(0, 2**31 - 1))
def test_a_child_is_a_seed_made_of_two_words_of_its_own(seed, index):
    low, high = (word(seed, 0xC411D, 2 * index + i) for i in range(2))
    assert rng.child(seed, index) == (high % 2**21) * 2**32 + low <= rng.MAX_SEED


def test_children_and_those_of_other_seeds_are_all_different():
    assert len({rng.child(seed, i) for seed in range(20) for i in range(200)}) == 4000


@pytest.mark.parametrize("index", [-1, 2**31])
def test_a_child_out_of_range_is_refused(index):
    with pytest.raises(ValueError):
        rng.child(1, index)
