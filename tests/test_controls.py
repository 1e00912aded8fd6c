import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tootlearn.controls import (
    ControlRequest,
    Controls,
    Kind,
    complete,
    find_kind,
    hz_to_midi,
    kinds_with,
    midi_to_hz,
    note_name,
    parse_pitch,
)
from tootlearn.data.recipes import KINDS
from tootlearn.errors import InputError, check_range

HORN = Kind("horn", (100, 400), (0.1, 2), (-0.5, 1.5), (1.0, 1.25), steady=False)


@pytest.mark.parametrize(
    ("text", "hz"),
    [
        # scientific pitch notation, ISO 16: A4 is 440 Hz, C4 is middle C, the octave changes at C
        ("A4", 440.0),
        ("a4", 440.0),
        (" A4 ", 440.0),
        ("C4", 261.6256),
        ("B3", 246.9417),
        ("Cb4", 246.9417),
        ("B#3", 261.6256),
        ("Bb3", 233.0819),
        ("bb3", 233.0819),
        ("b♭3", 233.0819),
        ("A#3", 233.0819),
        ("F#5", 739.9888),
        ("f♯5", 739.9888),
        ("E4", 329.6276),
        ("A0", 27.5),
        ("A-1", 13.75),
        # MIDI: 69 is A4, 60 middle C
        ("midi 69", 440.0),
        ("midi:57.5", 226.4465),
        ("MIDI60", 261.6256),
        ("midi -3", 6.875),
        # Hz
        (440, 440.0),
        (np.float32(220.5), 220.5),
        ("440", 440.0),
        ("440.5 Hz", 440.5),
        ("440hz", 440.0),
        ("440.", 440.0),
        (".5", 0.5),
    ],
)
def test_a_pitch_is_read_in_every_form(text, hz):
    assert parse_pitch(text) == pytest.approx(hz, rel=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "H4",
        "A",
        "4A",
        "A44",
        "A##4",
        "A#b4",
        "Bb",
        "0",
        "0 Hz",
        "-440",
        "+440",
        "1e3",
        "440 kHz",
        "440 Hz Hz",
    ]
    + [
        "midi",
        "midi x",
        "midi:",
        "midi 1e3",
        "midi 99999",
        "9" * 400,
        "." + "0" * 400 + "1",
        "44O",
        "4 40",
        "A 4",
    ]
    + ["nan", "inf", math.nan, math.inf, -440.0, 0, None, True, "A4\nA4"],
)
def test_what_is_no_pitch_is_refused_with_the_forms_that_are(text):
    with pytest.raises(
        InputError,
        match=r"cannot read .* as a pitch: give Hz \(440\), a note \(A4, Bb3, F#5\) or MIDI",
    ):
        parse_pitch(text)


@given(st.text(max_size=8) | st.text("0123456789.-+eEabcdefgABCDEFG#♯♭ midhzHZ:", max_size=12))
def test_any_text_is_a_finite_positive_pitch_or_refused(text):
    try:
        hz = parse_pitch(text)
    except InputError:
        return
    assert 0 < hz < math.inf


@given(st.floats(1e-3, 1e9, exclude_max=True))
def test_a_number_of_hz_is_read_exactly(hz):
    assert parse_pitch(hz) == parse_pitch(f"{hz!r} Hz") == hz


@given(st.integers(-12, 131))
def test_note_names_count_semitones(midi):
    for names in ("C C# D D# E F F# G G# A A# B", "C D♭ D E♭ E F G♭ G A♭ A B♭ B"):
        note = names.split()[midi % 12] + str(midi // 12 - 1)
        assert parse_pitch(note) == parse_pitch(f"midi {midi}") == midi_to_hz(midi)


def test_midi_to_hz_and_back_agree_with_librosa():
    librosa = pytest.importorskip("librosa")
    midi = np.linspace(-5, 130, 271)
    hz = np.array([midi_to_hz(m) for m in midi])
    np.testing.assert_allclose(hz, librosa.midi_to_hz(midi), rtol=1e-12)
    np.testing.assert_allclose(hz_to_midi(hz), midi, atol=1e-9)
    for name in ("C2", "F#3", "Bb4", "E♭5", "G9"):
        assert parse_pitch(name) == pytest.approx(librosa.note_to_hz(name), rel=1e-9)


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(-100, 100), st.floats(0.01, 100))
def test_a_value_is_in_range_or_refused(value, low, width):
    high = low + width
    slack = 1e-9 * max(abs(low), abs(high))
    if low <= value <= high:
        assert check_range("x", value, low, high, "") == value
    else:
        assume(not low - slack <= value <= high + slack)
        with pytest.raises(InputError, match="x .* is out of range: give"):
            check_range("x", value, low, high, "")


@pytest.mark.parametrize("low", [-36.0, 0.0, 100.0])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_out_of_every_range(value, low):
    with pytest.raises(InputError):
        check_range("x", value, low, 200.0, "")


def test_a_note_at_the_end_of_a_range_is_not_lost_to_rounding():
    low, high = parse_pitch("A4") * (1 + 1e-12), parse_pitch("B5") * (1 - 1e-12)
    check_range("pitch", parse_pitch("A4"), low, high, " Hz")
    check_range("pitch", parse_pitch("B5"), low, high, " Hz")


def test_a_range_error_names_value_unit_and_range():
    with pytest.raises(InputError) as error:
        check_range("trumpet: pitch", 988.001, 165, 988, " Hz")
    assert str(error.value) == "trumpet: pitch 988.001 Hz is out of range: give 165 to 988 Hz"


def test_find_kind_gives_the_index_or_the_nearest_name():
    kinds = [
        Kind(name, (100, 400), (0.1, 2), (0, 1)) for name in ("car_horn", "train_horn", "trumpet")
    ]
    assert [find_kind(kind.name, kinds) for kind in kinds] == [0, 1, 2]
    with pytest.raises(
        InputError, match="'trupmet': did you mean trumpet. This model knows car_horn, train_horn"
    ):
        find_kind("trupmet", kinds)
    with pytest.raises(InputError, match="did you mean train_horn"):
        find_kind("TrainHorn", kinds)
    for name in ("car horn", "car-horn", "Car_Horn", " CAR  HORN ", "car_horn"):
        assert find_kind(name, kinds) == 0
    for strange in ("", "kazoo"):  # no kind is near
        with pytest.raises(
            InputError, match=f"unknown kind '{strange}': This model knows car_horn"
        ):
            find_kind(strange, kinds)


def test_a_kind_of_exactly_this_name_comes_first():
    kinds = [Kind(name, (100, 400), (0.1, 2), (0, 1)) for name in ("My Horn", "my-horn", "my_horn")]
    assert [find_kind(kind.name, kinds) for kind in kinds] == [0, 1, 2]
    assert find_kind("MY HORN", kinds) == 0


# the lowest and the highest note of each kind that ships, and those a semitone further out
END_NOTES = {
    "car_horn": ("D4", "C5", "C#4", "C#5"),
    "bicycle_horn": ("F#3", "G#4", "F3", "A4"),
    "air_horn": ("B3", "C5", "A#3", "C#5"),
    "train_horn": ("G3", "G4", "F#3", "G#4"),
    "ship_horn": ("D#1", "F#3", "D1", "G3"),
    "steam_whistle": ("G4", "G6", "F#4", "G#6"),
    "pea_whistle": ("A6", "G7", "G#6", "G#7"),
    "slide_whistle": ("B4", "F6", "A#4", "F#6"),
    "trumpet": ("E3", "B5", "D#3", "C6"),
    "trombone": ("E2", "D5", "D#2", "D#5"),
    "tuba": ("E1", "F4", "D#1", "F#4"),
    "french_horn": ("F2", "F5", "E2", "F#5"),
}


def asked(kind: str | None, pitch: str | float | None) -> Controls:
    return complete(tuple(KINDS.values()), ControlRequest(kind, pitch), [0.5] * 5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_notes_of_a_kind_are_its_own_and_the_next_are_not(kind):
    low, high, below, above = END_NOTES[kind]
    for note in (low, high):
        assert asked(kind, note).pitch[0] == parse_pitch(note)
        assert KINDS[kind] in kinds_with(tuple(KINDS.values()), note)
    for end in KINDS[kind].pitch_limits:  # as an error prints them
        assert asked(kind, f"{end:g}").pitch[0] == end
    for note in (below, above):
        with pytest.raises(InputError, match=f"{kind}: pitch .* give {low} to {high} "):
            asked(kind, note)


def test_a_pitch_out_of_range_is_told_the_range_in_notes_and_hz():
    with pytest.raises(InputError) as error:
        asked("trumpet", "C8")
    wanted = "trumpet: pitch 4186.009 Hz is out of range: give E3 to B5 (164.81 to 988 Hz)"
    assert str(error.value) == wanted
    with pytest.raises(InputError, match=r"^pitch 3 Hz .* give D#1 to G7 \(38.89 to 3200 Hz\)"):
        asked(None, 3)


def test_what_is_drawn_stays_within_the_range_that_the_kind_states():
    for share, end in ((0.0, 0), (1.0, 1)):
        drawn = complete(tuple(KINDS.values()), ControlRequest("trumpet"), [share] * 5)
        assert drawn.pitch[0] == pytest.approx(KINDS["trumpet"].pitch[end], rel=1e-12)


@given(st.integers(-12, 131))
def test_a_pitch_is_named_after_the_nearest_note(midi):
    assert parse_pitch(note_name(midi_to_hz(midi + 0.4))) == midi_to_hz(midi)


def test_a_kind_survives_json():
    assert Kind.from_json(json.loads(json.dumps(HORN.as_json()))) == HORN


def test_brightness_is_linear_in_octaves_over_the_natural_range():
    np.testing.assert_allclose(HORN.brightness(np.array([-0.5, 0.5, 1.5, 2.5])), [0, 0.5, 1, 1.5])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pitch": (400, 100)}, "horn: pitch needs a positive range"),
        ({"pitch": (0, 100)}, "pitch"),
        ({"pitch": (100, math.nan)}, "pitch"),
        ({"duration": (-1, 1)}, "duration"),
        ({"octaves": (1, 1)}, "octaves"),
        ({"intervals": ()}, "horn: the lowest interval must be 1"),
        ({"intervals": (1.25, 1.5)}, "lowest interval"),
        ({"intervals": (0.5, 1.0)}, "lowest interval"),
    ],
)
def test_a_kind_that_makes_no_sense_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        Kind.from_json(HORN.as_json() | changed)


def some_controls(count: int) -> Controls:
    return Controls(np.arange(count) % 3, *(np.arange(count) + 10.0 * i for i in range(1, 5)))


@pytest.mark.parametrize(
    "rows", [slice(2, 5), np.array([4, 0, 4]), np.arange(6) % 2 == 0, slice(0, 0)]
)
def test_rows_are_taken_from_every_control(rows):
    controls = some_controls(6)
    taken = controls[rows]
    assert len(taken) == len(np.arange(6)[rows])
    for name in ("kind", "pitch", "duration", "brightness", "loudness"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(controls, name)[rows])


def test_batches_join_to_what_they_were_parted_from():
    controls = some_controls(6)
    joined = Controls.concatenate([controls[:2], controls[2:2], controls[2:]])
    for name in ("kind", "pitch", "duration", "brightness", "loudness"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(controls, name))
