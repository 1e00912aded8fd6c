"""A stream: every epoch has every toot once, from any place, for any number of processes, in little
memory.
"""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shard_files import write_shards
from tests.small import CONFIG
from tootlearn.data import shard_stream, shards
from tootlearn.data.shard_stream import LANES, ShardStream
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError
from tootlearn.training.batches import shares

FRONT_END = FrontEnd(CONFIG.front_end)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("streamed"), count=60, megabytes=0.2)


@pytest.fixture
def counted(monkeypatch):
    """The shards as they are read."""
    read, samples = [], shards.samples

    def watched(path, count):
        read.append(path.name)
        return samples(path, count)

    monkeypatch.setattr(shards, "samples", watched)
    return read


def names(stream, places):
    return [stream.toot(int(place)).name for place in places]


def test_an_epoch_has_every_toot_that_is_learned_from_once_in_an_order_of_its_own(sharded):
    stream = ShardStream(sharded, seed=1)
    first, second = (
        names(stream, range(epoch * stream.count, (epoch + 1) * stream.count)) for epoch in (0, 1)
    )
    clips, _ = shards.read_shards(sharded, FRONT_END)
    assert len(set(first)) == stream.count == len(clips.split()[0]) < len(clips)
    assert sorted(first) == sorted(second) and first != second
    again, other = (names(ShardStream(sharded, seed=seed), range(stream.count)) for seed in (1, 2))
    assert again == first != other
    held_out = [toot.name for toot in stream.held_out()]
    assert len(held_out) == len(clips) - stream.count and set(held_out).isdisjoint(first)


@pytest.mark.parametrize("start", [1, 7, 20, 49])
def test_any_place_can_be_begun_with(sharded, start):
    stream = ShardStream(sharded, seed=3)
    whole = names(stream, range(2 * stream.count + 5))
    assert (
        names(ShardStream(sharded, seed=3), range(stream.count + start, len(whole)))
        == whole[stream.count + start :]
    )


@given(
    counts=st.lists(st.integers(0, 7), min_size=1, max_size=20),
    seed=st.integers(0, 3),
    lanes=st.integers(1, 9),
)
def test_the_order_is_one_of_all_samples_whatever_the_shards_hold(counts, seed, lanes):
    """Also of shards that are empty, or of which all is held out, and of more lanes than toots."""
    held_out = [frozenset(range(0, count, 3)) for count in counts]
    index = shards.Index(tuple(range(len(counts))), tuple(counts), tuple(held_out), (), 22050, "")
    wanted = sorted((s, i) for s, count in enumerate(counts) for i in range(count) if i % 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_stream, "LANES", lanes)
        patch.setattr(shards, "read_index", lambda path: index)
        patch.setattr(
            shards, "samples", lambda shard, count: (((shard, i), {}) for i in range(count))
        )
        patch.setattr(shards, "decode_sample", lambda name, sample, found: name)
        if not wanted:
            with pytest.raises(InputError, match="no toots to learn from"):
                ShardStream("shards", seed)
            return
        stream = ShardStream("shards", seed)
        for epoch in range(2):
            places = range(epoch * stream.count, (epoch + 1) * stream.count)
            assert sorted(map(stream.toot, stream.arranged(places))) == wanted
            assert sorted(map(stream.toot, places)) == wanted


def test_a_batch_has_a_toot_or_two_of_each_lane_and_its_parts_have_few_lanes(sharded, counted):
    stream = ShardStream(sharded)
    places = stream.arranged(range(16))
    assert sorted(places) == list(range(16))
    whole = names(stream, places)
    assert len(counted) == len(set(counted)) == LANES
    counted.clear()
    halves = [places[first:end] for ((first, end),) in shares(16, 2, 1)]
    assert names(ShardStream(sharded), halves[0]) + names(ShardStream(sharded), halves[1]) == whole
    assert len(counted) == LANES


def test_an_epoch_reads_every_shard_once(sharded, counted):
    stream = ShardStream(sharded)
    names(stream, range(2 * stream.count))
    assert sorted(counted) == sorted(2 * [path.name for path in stream.index.paths])


@pytest.mark.parametrize("processes", [2, 3, 8])
def test_processes_share_out_the_epoch_and_read_little_twice(sharded, counted, processes):
    batch, count = 24, ShardStream(sharded).count
    seen = []
    for ((first, end),) in shares(batch, processes, 1):
        stream = ShardStream(sharded)
        steps = -(-count // batch)
        every = [
            stream.arranged(range(step * batch, (step + 1) * batch))[first:end]
            for step in range(steps)
        ]
        seen.append(names(stream, [place for places in every for place in places if place < count]))
    assert all(seen) and sum(map(len, seen)) == count == len(set().union(*seen))
    # each opens a shard or so that another opens too, not all of them
    assert len(counted) <= len(stream.index.paths) + 1.5 * processes


def test_memory_stays_flat_over_three_epochs(sharded):
    stream, peaks = ShardStream(sharded), []
    size = max(path.stat().st_size for path in stream.index.paths)
    tracemalloc.start()
    for epoch in range(3):
        tracemalloc.reset_peak()
        for place in range(epoch * stream.count, (epoch + 1) * stream.count):
            stream.toot(place)
            assert len(stream._held) <= LANES
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[2] < 1.1 * peaks[0] + 1e5
    assert peaks[2] < (LANES + 1) * size + 1e6


def test_a_pool_is_of_the_first_toots_and_no_larger_than_it_may_be(sharded, monkeypatch):
    monkeypatch.setattr(shard_stream, "POOL", 10), monkeypatch.setattr(shard_stream, "HELD_OUT", 3)
    stream = ShardStream(sharded, seed=5)
    held = []

    def clips_of(toots, *rest, original=shards.clips_of):
        held.append([])
        return original((held[-1].append(toot.name) or toot for toot in toots), *rest)

    monkeypatch.setattr(shards, "clips_of", clips_of)
    pool = shard_stream.pool(sharded, FRONT_END, seed=5)
    assert sorted(held[0]) == sorted(names(stream, range(10)))
    assert held[1] == [toot.name for toot in stream.held_out()][:3]
    learn, held_out = pool.split()
    assert (len(learn), len(held_out)) == (10, 3) and pool.kinds == stream.index.kinds
    assert set(pool.waves) == {None}
    pool = shard_stream.pool(sharded, FRONT_END, seed=5, keep=True)
    assert [wave is None for wave in pool.waves] == [False] * 10 + [True] * 3
