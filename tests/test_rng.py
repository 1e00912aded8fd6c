import ast
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tootlearn import rng
from tootlearn.data import sampled, synthesis
from tootlearn.data.recipes import KINDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tootlearn"
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
    result = rng.words(seed, stream, 4)
    assert result.dtype == np.uint32
    assert result.tolist() == expected == [word(seed, stream, i) for i in range(4)]


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


# The registry of streams


def test_streams_are_unique_and_leave_room_for_the_step():
    values = [int(stream) for stream in rng.Stream]  # aliases are refused by enum.unique
    assert len(set(values)) == len(values)
    assert all(0 < value < 256 for value in values)


def test_streams_that_shape_sounds_keep_their_numbers():
    shaping = {s.name: int(s) for s in rng.Stream if re.match("SYNTHESIS|GENERATION", s.name)}
    assert shaping == {
        "SYNTHESIS_RECIPE": 1,
        "SYNTHESIS_CONTROLS": 2,
        "SYNTHESIS_NOTES": 3,
        "SYNTHESIS_FLUTTER": 4,
        "SYNTHESIS_BREATH": 5,
        "SYNTHESIS_FORMANTS": 6,
        "SYNTHESIS_DRIFT": 7,
        "SYNTHESIS_JITTER": 8,
        "SYNTHESIS_SHIMMER": 9,
        "SYNTHESIS_RIPPLE": 10,
        "SYNTHESIS_LATE": 103,
        "GENERATION_CONTROLS": 11,
        "GENERATION_RESIDUAL": 12,
        "GENERATION_BREATH": 13,
    }
    assert rng.Stream.BANDWIDTH_NOISE == 51
    assert rng.at_step(rng.Stream.CHILDREN, 0xC41) == 0xC411D


@pytest.mark.parametrize("seed", [0, 7, rng.MAX_SEED])
def test_no_two_streams_of_a_seed_share_numbers(seed):
    streams = [rng.at_step(s, step) for s in rng.Stream for step in (0, 1, 2, 255, 0xC41, 2**20)]
    drawn = np.stack([rng.words(seed, stream, 65) for stream in streams]).astype(np.uint64)
    pairs = (drawn[:, :-1] << np.uint64(32)) + drawn[:, 1:]  # a single word repeats by chance
    assert len(np.unique(pairs)) == pairs.size
    children = {rng.child(seed, i) for i in range(256)}  # a derived seed is no member of the set
    assert not children & {rng.derive(seed, stream) for stream in rng.Stream}


def test_steps_out_of_range_are_refused():
    assert rng.at_step(rng.Stream.BATCH, 2**24 - 1) < 2**32
    for step in (-1, 2**24):
        with pytest.raises(ValueError, match="a step is an integer from 0 to 16777215"):
            rng.at_step(rng.Stream.BATCH, step)


def test_derived_seeds_are_two_words_of_their_stream():
    low, high = (word(7, rng.Stream.DROPOUT, i) for i in range(2))
    assert rng.derive(7, rng.Stream.DROPOUT) == (high % 2**21) * 2**32 + low


def callers():
    """Each call of a draw in the package, with the function around it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if re.fullmatch(r"rng\.(words|uniform|normal|derive)", ast.unparse(call.func)):
                around = [f for f in functions if any(node is call for node in ast.walk(f))]
                yield path.relative_to(ROOT), call, around


def registered(node: ast.expr, around: list[ast.FunctionDef]) -> bool:
    """Whether an expression is a member of the registry, or made of one by `rng.at_step`."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "rng.at_step" and registered(node.args[0], around)
    if isinstance(node, ast.Name):
        arguments = [a for f in around for a in f.args.args if a.arg == node.id]
        assigned = [
            statement.value
            for f in around
            for statement in ast.walk(f)
            if isinstance(statement, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == node.id for t in statement.targets)
        ]
        return (bool(arguments) or bool(assigned)) and (
            all(a.annotation and "Stream" in ast.unparse(a.annotation) for a in arguments)
            and all(registered(value, around) for value in assigned)
        )
    name = re.fullmatch(r"(?:rng\.)?Stream\.(\w+)", ast.unparse(node))
    return bool(name) and name[1] in rng.Stream.__members__


def test_every_draw_of_the_package_names_its_stream():
    calls = list(callers())
    assert len(calls) > 20
    for path, call, around in calls:
        named = [keyword.value for keyword in call.keywords if keyword.arg == "stream"]
        stream = named[0] if named else call.args[1]
        assert registered(stream, around), f"{path}:{call.lineno}: {ast.unparse(call)}"


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("rng.words(seed, rng.Stream.BATCH, 1)", True),
        ("rng.words(seed, rng.at_step(Stream.BATCH, step), 1)", True),
        ("rng.words(seed, 5, 1)", False),
        ("rng.words(seed, rng.Stream.BATCH + 1, 1)", False),
        ("rng.words(seed, rng.at_step(5, step), 1)", False),
        ("rng.words(seed, _STREAM, 1)", False),
        ("rng.words(seed, rng.Stream.MISSING, 1)", False),
    ],
)
def test_the_check_of_streams_sees_bare_numbers(code, allowed):
    assert registered(ast.parse(code, mode="eval").body.args[1], []) is allowed


def test_no_stream_is_used_by_two_modules():
    users: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        if path != PACKAGE / "rng.py":
            for name in re.findall(r"\bStream\.([A-Z_]+)", path.read_text("utf8")):
                users.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    assert set(users) <= set(rng.Stream.__members__)
    shared = {name: used for name, used in users.items() if len(used) > 1}
    # the same numbers of a recipe, for one toot and for a batch of them
    assert set(shared) == {"SYNTHESIS_RECIPE"}, shared


def test_sampled_notes_and_synthetic_toots_of_an_index_are_independent():
    kinds, count = ("trumpet", "tuba"), 400
    notes = sampled.notes(kinds, count, seed=0)
    toots = synthesis.natural_controls([KINDS[kind] for kind in kinds], count, seed=0)
    ranges = np.log2([KINDS[kind].pitch for kind in kinds])[np.arange(count) % 2]
    relative = (np.log2(toots.pitch) - ranges[:, 0]) / (ranges[:, 1] - ranges[:, 0])
    of_notes = np.array([(n.midi, n.velocity, np.log(n.duration), n.loudness) for n in notes])
    of_notes[0::2] -= of_notes[0::2].mean(0)  # the kinds have ranges of their own
    of_notes[1::2] -= of_notes[1::2].mean(0)
    of_toots = np.stack([relative, np.log(toots.duration), toots.brightness, toots.loudness], 1)
    of_toots[0::2] -= of_toots[0::2].mean(0)
    of_toots[1::2] -= of_toots[1::2].mean(0)
    of_recipes = rng.uniform(rng.children(0, 0, count), rng.Stream.SYNTHESIS_RECIPE, 8)
    both = np.corrcoef(np.hstack([of_notes, of_toots, of_recipes]).T)
    assert np.abs(both[:4, 4:]).max() < 4 / math.sqrt(count)


def test_the_playground_draws_from_the_same_streams():
    sources = "".join(
        path.read_text("utf8") for path in (ROOT / "book/assets/playground").glob("*.js")
    )
    numbers = dict(re.findall(r"\b(RESIDUAL|TEXTURE|CHILDREN) = (\w+)[,;]", sources))
    assert {name: int(number, 0) for name, number in numbers.items()} == {
        "RESIDUAL": rng.Stream.GENERATION_RESIDUAL,
        "TEXTURE": rng.Stream.GENERATION_BREATH,
        "CHILDREN": rng.at_step(rng.Stream.CHILDREN, 0xC41),
    }
