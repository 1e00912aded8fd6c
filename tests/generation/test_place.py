"""Places: what is added to a dry sound has the levels and times that the place says."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from tootlearn.errors import InputError
from tootlearn.generation.place import PLACES, check_place, floor_noise, impulse, placed

RATE = 22050
TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)


def decibel(power: float) -> float:
    return 10 * np.log10(power)


def test_dry_is_the_sound_itself():
    loud = TONE / np.abs(TONE).max()  # it is not even attenuated
    assert np.array_equal(placed(loud, RATE, "dry"), loud)


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("rate", [22050, 48000])
def test_a_response_begins_with_the_direct_sound_and_decays_in_its_time(name, rate):
    """Schroeder's backward integral of the tail falls by 20 dB in a third of the time."""
    about, response = PLACES[name], impulse(PLACES[name], rate, 3)
    assert response[0] == pytest.approx(1, abs=0.1) and np.abs(response[1:]).max() < 0.9
    quiet = int(0.5 * about.delay[0] * rate)
    assert np.abs(response[8:quiet]).max(initial=0) < 0.05  # nothing before the first echo
    tail = response[int(about.delay[1] * rate) :] ** 2
    left = 10 * np.log10(np.cumsum(tail[::-1])[::-1] / tail.sum())
    seconds = (np.argmax(left < -25) - np.argmax(left < -5)) / rate
    assert seconds == pytest.approx(about.decay / 3, rel=0.4)
    energy = decibel(np.sum(response[1:] ** 2))
    assert about.tail - 1 < energy < about.tail + 10


def test_echoes_get_weaker_and_no_two_seeds_have_the_same():
    first, second = (impulse(PLACES["street"], RATE, seed) for seed in (1, 2))
    assert not np.allclose(first, second)
    early, late = first[40:800] ** 2, first[1600:3200] ** 2
    assert early.sum() > 4 * late.sum()


@pytest.mark.parametrize("floor", [-20.0, -50.0])
def test_the_floor_lies_as_far_below_the_sound_as_is_asked_for(floor):
    added = placed(TONE, RATE, "dry", 3, floor) - TONE
    assert decibel(np.mean(added**2) / np.mean(TONE**2)) == pytest.approx(floor, abs=0.1)


def test_the_floor_falls_by_its_slope():
    spectrum = np.abs(np.fft.rfft(floor_noise(2**18, RATE, -6.0, 1))) ** 2
    hertz = np.fft.rfftfreq(2**18, 1 / RATE)
    levels = [decibel(spectrum[(hertz >= f) & (hertz < 1.2 * f)].mean()) for f in (400, 800, 3200)]
    assert levels[0] - levels[1] == pytest.approx(6, abs=1)
    assert levels[1] - levels[2] == pytest.approx(12, abs=1)
    assert spectrum[hertz < 20].max() < 1e-12 * spectrum.max()


def test_a_place_is_longer_and_never_clips():
    loud = np.where(np.arange(RATE) % 50 < 25, 0.97, -0.97).astype("f4")
    for name in PLACES:
        wet = placed(loud, RATE, name)
        assert wet.dtype == np.float32 and len(wet) > len(loud) and np.abs(wet).max() <= 0.981
    assert np.array_equal(placed(TONE, RATE, "hall", 5), placed(TONE, RATE, "hall", 5))


def test_a_file_of_an_impulse_response_is_a_place(tmp_path):
    response = np.zeros(4000)
    response[[100, 1100]] = 0.5, 0.25
    soundfile.write(tmp_path / "room.wav", response, RATE)
    wet = placed(TONE, RATE, tmp_path / "room.wav")
    expected = np.pad(TONE, (0, 1000)) + 0.5 * np.pad(TONE, (1000, 0))
    np.testing.assert_allclose(wet, expected, atol=1e-3)


def test_what_is_no_place_is_named(tmp_path):
    with pytest.raises(InputError, match="no place 'moon': take dry, street, hall"):
        check_place("moon", None)
    with pytest.raises(InputError, match="floor 1 dB .* -120 to 0"):
        placed(TONE, RATE, "street", floor=1)
    soundfile.write(tmp_path / "silent.wav", np.zeros(100), RATE)
    with pytest.raises(InputError, match="not silent"):
        placed(TONE, RATE, tmp_path / "silent.wav")
    for wave in (np.zeros(0), np.zeros((2, 9)), np.array([0.1, np.nan])):
        with pytest.raises(InputError, match="wave is one finite sound"):
            placed(wave, RATE, "street")


def test_high_frequencies_decay_faster_and_echoes_are_dull():
    """Of the tail, the octave at 4 kHz has less of its energy late than that at 500 Hz; of an echo
    alone, 8 kHz is weaker than 500 Hz.
    """
    response = impulse(PLACES["hall"], RATE, 3)
    late = []
    for low in (500, 4000):
        spectrum = np.fft.rfft(response[3000:])
        hertz = np.fft.rfftfreq(len(response) - 3000, 1 / RATE)
        band = np.fft.irfft(spectrum * ((hertz >= low) & (hertz < 2 * low))) ** 2
        late.append(band[8000:].sum() / band.sum())
    assert late[1] < 0.5 * late[0]
    echoes = impulse(replace(PLACES["street"], tail=-120.0), RATE, 3)
    echoes[0] -= 1
    power = np.abs(np.fft.rfft(echoes)) ** 2
    hertz = np.fft.rfftfreq(len(echoes), 1 / RATE)
    low, high = (power[(hertz > f) & (hertz < 1.4 * f)].mean() for f in (500, 8000))
    assert high < 0.4 * low
