import dataclasses
import sys

import numpy as np
import pytest
import torch

from tootlearn import rng
from tootlearn.controls import ONSET_SAMPLES, Controls, hz_to_midi, midi_to_hz
from tootlearn.data import synthesis
from tootlearn.data.clips import (
    BEND_FRAMES,
    HOLD_OUT_EVERY,
    RECORDED,
    SYNTHETIC,
    Clips,
    from_waves,
    synthesise,
)
from tootlearn.data.recipes import KINDS, RECIPES
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError

NAMES = list(KINDS)
FRONT_END = FrontEnd(FrontEndConfig(mels=32, hop=512))


def columns(controls: Controls) -> dict[str, np.ndarray]:
    return {field.name: getattr(controls, field.name) for field in dataclasses.fields(controls)}


def numbered(kind: np.ndarray, pitch: np.ndarray, source: tuple[str, ...] | None = None) -> Clips:
    """Clips whose parts all carry their number, and the source too unless it is given."""
    number = np.arange(len(kind), dtype=np.float64)
    log_mel = torch.from_numpy(number).float()[:, None, None].expand(-1, 2, 3).contiguous()
    source = source or tuple(str(i) for i in range(len(kind)))
    return Clips(
        log_mel, Controls(kind, pitch, number, number, number), tuple(KINDS.values()), source
    )


def natural(count: int) -> Clips:
    """Clips with kinds and pitches as they occur, without their sound."""
    kind = np.arange(count) % len(NAMES)
    pitch = [synthesis.draw(KINDS[NAMES[k]], rng.child(2, i))[0] for i, k in enumerate(kind)]
    return numbered(kind, np.array(pitch))


def groups(clips: Clips) -> set[tuple[int, int]]:
    semitone = np.round(hz_to_midi(clips.controls.pitch)).astype(int)
    return set(zip(clips.controls.kind.tolist(), semitone.tolist(), strict=True))


@pytest.fixture(scope="module")
def clips():
    return synthesise(NAMES, 11, seed=3, front_end=FRONT_END, progress=False)


def test_a_split_loses_nothing_and_keeps_each_clip_with_its_controls():
    learn, held_out = natural(600).split()
    numbers = np.concatenate((learn.controls.duration, held_out.controls.duration))
    assert sorted(numbers) == list(range(600))
    for part in (learn, held_out):
        assert len(part) == len(part.log_mel) == len(part.controls)
        np.testing.assert_array_equal(part.log_mel[:, 0, 0], part.controls.duration)
        np.testing.assert_array_equal(part.controls.loudness, part.controls.duration)
        assert [float(source) for source in part.source] == part.controls.duration.tolist()
        assert (np.diff(part.controls.duration) > 0).all()  # in order
        assert part.kinds == tuple(KINDS.values())


def test_whole_notes_are_held_out_of_every_kind():
    count = 120 * len(NAMES)
    learn, held_out = natural(count).split()
    assert not groups(learn) & groups(held_out)
    assert 1 / 9 < len(held_out) / count < 1 / 4  # one note in six
    for k in range(len(NAMES)):
        assert (learn.controls.kind == k).sum() > 80
        assert (held_out.controls.kind == k).sum() > 5


@pytest.mark.parametrize("count", [1200, 2000])
def test_the_held_out_notes_do_not_depend_on_the_other_clips(count):
    few, many = natural(600), natural(count)
    for of_few, of_many in zip(few.split(), many.split(), strict=True):
        among_few = of_many.controls.duration < 600
        np.testing.assert_array_equal(
            of_few.controls.duration, of_many.controls.duration[among_few]
        )


def test_of_each_kind_every_sixth_semitone_is_held_out_whatever_the_order_of_kinds():
    midi = np.arange(40, 88)
    kind = np.repeat(np.arange(HOLD_OUT_EVERY), len(midi))
    _, held_out = numbered(kind, np.array([midi_to_hz(m) for m in midi] * HOLD_OUT_EVERY)).split()
    notes = np.round(hz_to_midi(held_out.controls.pitch))
    for k in range(HOLD_OUT_EVERY):
        assert (np.diff(notes[held_out.controls.kind == k]) == HOLD_OUT_EVERY).all()
        assert (held_out.controls.kind == k).sum() == len(midi) // HOLD_OUT_EVERY
    assert len(set(notes)) > len(midi) // HOLD_OUT_EVERY  # not the same semitones of all kinds
    made = numbered(kind, np.array([midi_to_hz(m) for m in midi] * HOLD_OUT_EVERY))
    last = len(made.kinds) - 1
    turned = dataclasses.replace(
        made,
        kinds=made.kinds[::-1],
        controls=dataclasses.replace(made.controls, kind=last - made.controls.kind),
    )
    assert np.array_equal(turned.split()[1].controls.duration, held_out.controls.duration)


def test_a_note_and_its_mistuned_twins_fall_on_the_same_side():
    midi = np.repeat(np.arange(50, 80), 5) + np.tile([-0.49, -0.2, 0, 0.3, 0.49], 30)
    learn, held_out = numbered(
        np.zeros(150, dtype=np.int64), midi_to_hz(0) * 2 ** (midi / 12)
    ).split()
    assert len(held_out) == 5 * 5 and len(learn) == 25 * 5
    assert not groups(learn) & groups(held_out)


def of_sources(count: int, sources: int) -> Clips:
    """Clips of recordings that each hold many toots, in no order."""
    kind = np.arange(count) % len(NAMES)
    order = np.argsort(rng.words(4, 0, count))
    source = tuple(f"{NAMES[i % len(NAMES)]}/take_{i % sources}.wav" for i in range(count))
    every = numbered(kind, np.full(count, 300.0), source)
    return every[order]


@pytest.mark.parametrize("sources", [8, 400])
def test_whole_sources_are_held_out_of_every_kind(sources):
    learn, held_out = of_sources(1200, sources).split(by="source")
    assert not set(learn.source) & set(held_out.source)
    assert sorted((*learn.controls.duration, *held_out.controls.duration)) == list(range(1200))
    for k in range(len(NAMES)):
        assert (learn.controls.kind == k).any() and (held_out.controls.kind == k).any()
    if sources == 400:
        assert 1 / 9 < len(held_out) / 1200 < 1 / 4
    again = of_sources(1200, sources)[np.arange(1200)[::-1].copy()].split(by="source")[1]
    assert set(again.source) == set(held_out.source)


def test_each_origin_is_split_its_own_way():
    """Recordings by source, or by semitone if their kind has but one source; all else by pitch."""
    made = of_sources(1200, 40)
    kind, pitch = made.controls.kind, midi_to_hz(0) * 2 ** ((40 + 2 * (np.arange(1200) % 12)) / 12)
    source = np.array(["one" if k == 0 else s for k, s in zip(kind, made.source, strict=True)])
    origin = np.where(np.arange(1200) < 600, RECORDED, SYNTHETIC).astype(np.int8)
    controls = dataclasses.replace(made.controls, pitch=pitch)
    made = dataclasses.replace(made, controls=controls, source=tuple(source), origin=origin)
    # the durations number the clips
    chosen = np.isin(made.controls.duration, made.split()[1].controls.duration)
    by_pitch = np.isin(made.controls.duration, made.split("pitch")[1].controls.duration)
    assert np.array_equal(chosen[origin == SYNTHETIC], by_pitch[origin == SYNTHETIC])
    for alone, group in ((kind == 0, pitch), (kind != 0, source)):
        among = (origin == RECORDED) & alone
        for name in set(group[among]):
            assert len(set(chosen[among & (group == name)])) == 1
        assert 0 < np.mean(chosen[among]) < 0.5


def test_a_kind_of_one_source_is_learned():
    learn, held_out = numbered(np.arange(4), np.full(4, 300.0), ("a", "b", "c", "d")).split(
        by="source"
    )
    assert len(learn) == 4 and len(held_out) == 0


def test_a_split_by_something_else_is_an_error():
    with pytest.raises(ValueError, match="'kind'"):
        natural(4).split(by="kind")


def test_parts_that_do_not_match_are_no_set():
    some = natural(4)
    for changed in (
        {"log_mel": some.log_mel[:3]},
        {"controls": some.controls[:3]},
        {"source": some.source[:3]},
    ):
        with pytest.raises(ValueError, match="do not match"):
            dataclasses.replace(some, **changed)


def test_sets_join_by_the_names_of_their_kinds():
    trumpet, horn = KINDS["trumpet"], KINDS["car_horn"]
    one = dataclasses.replace(natural(4), kinds=(trumpet, horn), controls=natural(4)[:4].controls)
    one = dataclasses.replace(
        one, controls=dataclasses.replace(one.controls, kind=np.array([0, 1, 1, 0]))
    )
    other = dataclasses.replace(one, kinds=(horn, trumpet))
    joined = Clips.concatenate([one, other])
    assert [joined.kinds[k].name for k in joined.controls.kind] == [
        part.kinds[k].name for part in (one, other) for k in part.controls.kind
    ]
    assert joined.source == one.source + other.source and len(joined.kinds) == 2
    assert torch.equal(joined.log_mel, torch.cat((one.log_mel, other.log_mel)))
    moved = dataclasses.replace(horn, octaves=(0.0, 1.0))
    with pytest.raises(ValueError, match="car_horn on different scales"):
        Clips.concatenate([one, dataclasses.replace(one, kinds=(trumpet, moved))])


@pytest.mark.parametrize(
    "rows", [slice(1, 4), np.array([3, 0]), np.arange(11) > 8, np.zeros(11, dtype=bool)]
)
def test_rows_take_log_mels_and_controls_together(clips, rows):
    part = clips[rows]
    assert torch.equal(
        part.log_mel, clips.log_mel[rows if isinstance(rows, slice) else torch.from_numpy(rows)]
    )
    assert len(part) == len(part.controls) == len(np.arange(11)[rows])
    assert torch.equal(part.bend, clips.bend[np.arange(11)[rows]])
    assert part.source == tuple(np.array(clips.source)[rows])
    for name, column in columns(part.controls).items():
        np.testing.assert_array_equal(column, columns(clips.controls)[name][rows])


def test_clips_are_the_front_ends_view_of_the_synthesisers_toots(clips):
    waves, controls = synthesis.toots(NAMES, 11, 3)
    assert clips.log_mel.dtype == torch.float16
    assert clips.log_mel.shape == (11, 32, FRONT_END.frames(waves.shape[1]))
    # half a step of float16
    assert (clips.log_mel.float() - FRONT_END(waves)).abs().max() <= 2**-8 + 1e-6
    for name, column in columns(clips.controls).items():
        np.testing.assert_array_equal(column, columns(controls)[name])
    assert clips.kinds == tuple(KINDS.values())
    assert clips.source[0] == f"car_horn-{round(float(hz_to_midi(controls.pitch[0])))}"


def test_bends_are_the_synthesisers_in_the_middle_of_four_frames(clips):
    frames = clips.log_mel.shape[2]
    assert clips.bend.shape == (11, frames // BEND_FRAMES) and clips.bend.dtype == torch.float32
    for i in range(11):
        own = rng.child(3, i)
        duration = synthesis.draw(KINDS[NAMES[i]], own)[1]
        for place in (0, 1, 7, frames // BEND_FRAMES - 1):
            # of the frames, in samples
            centres = np.arange(BEND_FRAMES * place, BEND_FRAMES * (place + 1)) * 512
            time = max((centres.mean() - ONSET_SAMPLES) / 22050, 0)
            drift = rng.normal(own, rng.Stream.SYNTHESIS_DRIFT, 32)
            expected = synthesis._bend(
                np.array([time]), duration, RECIPES[NAMES[i]].draw(own), drift
            )
            assert float(clips.bend[i, place]) == pytest.approx(float(expected[0]), abs=1e-6)
    slide = clips.bend[NAMES.index("slide_whistle")]
    assert slide[-1].abs() > 0.02 + slide[2].abs()  # it goes somewhere


def test_a_bend_that_is_not_known_is_nan(clips):
    recorded = dataclasses.replace(clips, bend=None)
    assert recorded[2:5].bend is None and recorded.known_bend().shape == clips.bend.shape
    assert recorded.known_bend().isnan().all() and torch.equal(clips.known_bend(), clips.bend)
    joined = Clips.concatenate([recorded, clips, recorded[:2]])
    assert joined.bend.shape == (24, clips.bend.shape[1])
    assert joined.bend[:11].isnan().all() and joined.bend[22:].isnan().all()
    assert torch.equal(joined.bend[11:22], clips.bend)


def test_clip_i_is_the_same_whatever_the_count(clips, monkeypatch):
    few = synthesise(NAMES, 5, seed=3, front_end=FRONT_END, progress=False)
    assert torch.equal(few.log_mel, clips.log_mel[:5]) and torch.equal(few.bend, clips.bend[:5])
    whole = synthesis.toots
    sizes = []

    def spy(kinds, count, seed, start):
        sizes.append((start, count))
        return whole(kinds, count, seed, start)

    monkeypatch.setattr(synthesis, "toots", spy)
    one_kind = synthesise(["trumpet"], 70, seed=3, front_end=FRONT_END, progress=False)
    assert sizes == [(0, 64), (64, 6)] and len(one_kind) == 70
    _, expected = whole(["trumpet"], 70, 3)
    np.testing.assert_array_equal(one_kind.controls.pitch, expected.pitch)
    again = synthesise(["trumpet"], 66, seed=3, front_end=FRONT_END, progress=False)
    assert torch.equal(again.bend[64:], one_kind.bend[64:66])  # also beyond the first part
    assert one_kind.kinds == (KINDS["trumpet"],) and (one_kind.controls.kind == 0).all()


def test_kinds_are_counted_in_the_order_given():
    made = synthesise(["trumpet", "car_horn"], 3, seed=1, front_end=FRONT_END, progress=False)
    assert [kind.name for kind in made.kinds] == ["trumpet", "car_horn"]
    assert made.controls.kind.tolist() == [0, 1, 0]
    low, high = KINDS["car_horn"].pitch
    assert low <= made.controls.pitch[1] <= high


def test_progress_goes_to_stderr_if_asked_and_someone_watches(capsys, monkeypatch):
    synthesise(["trumpet"], 1, seed=1, front_end=FRONT_END, progress=True)
    assert capsys.readouterr() == ("", "")  # a log
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    synthesise(["trumpet"], 1, seed=1, front_end=FRONT_END, progress=False)
    assert capsys.readouterr() == ("", "")
    synthesise(["trumpet"], 1, seed=1, front_end=FRONT_END, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "toots" in err


@pytest.mark.parametrize(("kinds", "count"), [(NAMES, 0), (NAMES, -4), ([], 5)])
def test_nothing_to_make_is_an_error(kinds, count):
    with pytest.raises(ValueError, match="at least one kind and one clip"):
        synthesise(kinds, count, seed=1, front_end=FRONT_END, progress=False)


def test_a_front_end_of_another_rate_is_an_error():
    other = FrontEnd(FrontEndConfig(sample_rate=16000, fmax=8000))
    with pytest.raises(
        ValueError, match="the synthesiser works at 22050 Hz, the front end at 16000"
    ):
        synthesise(NAMES, 1, seed=1, front_end=other, progress=False)


def test_waves_give_the_clips_of_the_toots_in_them_wherever_they_stand(clips):
    count = len(NAMES)
    waves, controls = synthesis.toots(NAMES, count, 3)
    moved = [
        torch.nn.functional.pad(wave, (700 * i - ONSET_SAMPLES, 99 * i))
        for i, wave in enumerate(waves)
    ]
    kinds, sources = [NAMES[k] for k in controls.kind], [f"{i}.wav" for i in range(count)]
    made = from_waves(moved, kinds, controls.pitch, sources, FRONT_END, known=tuple(KINDS.values()))
    assert made.kinds == tuple(KINDS.values()) and made.source == tuple(sources)
    np.testing.assert_array_equal(made.controls.kind, controls.kind)
    np.testing.assert_array_equal(made.controls.pitch, controls.pitch)
    np.testing.assert_allclose(made.controls.duration, controls.duration, atol=0.003)
    np.testing.assert_allclose(made.controls.loudness, controls.loudness, atol=0.1)
    np.testing.assert_allclose(made.controls.brightness, controls.brightness, atol=0.05)


def test_silence_among_waves_is_left_out_with_a_word(clips):
    waves = [torch.zeros(9000), synthesis.toots(["trumpet"], 1, 3)[0][0], torch.zeros(1)]
    problems: list[str] = []
    made = from_waves(
        waves, ["a", "b", "c"], [300.0] * 3, ["x", "y", "z"], FRONT_END, problems=problems
    )
    assert made.source == ("y",) and [kind.name for kind in made.kinds] == ["b"]
    assert [line.split(":")[0] for line in problems] == ["x", "z"] and all(
        "silent" in line for line in problems
    )
    with pytest.raises(InputError, match="none of 1 sounds"):
        from_waves(waves[:1], ["a"], [300.0], ["x"], FRONT_END, problems=problems)


def test_unknown_pitch_is_estimated():
    waves = torch.stack(
        [
            torch.from_numpy(synthesis.render(n, 320, 0.6, 0.5, -20, 1))
            for n in ("car_horn", "trumpet")
        ]
    )
    unknown = [float("nan")] * 2
    made = from_waves(
        waves, ["car_horn", "trumpet"], unknown, ["x", "y"], FRONT_END, known=tuple(KINDS.values())
    )
    np.testing.assert_allclose(made.controls.pitch, 320, rtol=0.015)


@pytest.mark.parametrize("gain_db", [-40, 40])
def test_a_recording_out_of_range_is_brought_to_the_end_of_it(gain_db):
    wave = torch.from_numpy(synthesis.render("trumpet", 400, 0.6, 0.3, -20, 1)) * 10 ** (
        gain_db / 20
    )
    made = from_waves([wave], ["trumpet"], [400.0], ["x"], FRONT_END)
    level = float(made.controls.loudness[0])
    assert level == pytest.approx(-36, abs=0.01) if gain_db < 0 else -15 < level <= -6
