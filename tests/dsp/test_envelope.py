"""A drawn contour of the level: the toot follows it, and nothing else of it changes."""

import numpy as np
import pytest
import torch

import tootlearn
from tootlearn.dsp import envelope, measures
from tootlearn.errors import InputError

RATE = 22050
HELD = ("trumpet", "trombone", "tuba", "french_horn", "car_horn", "air_horn", "pea_whistle")


@pytest.fixture(scope="module")
def g():
    return tootlearn.load()


def level(wave: torch.Tensor) -> np.ndarray:
    """dB over 60 ms, every .5 ms, as a listener follows it."""
    power = measures.envelope(wave, RATE).double().numpy() ** 2
    return 10 * np.log10(np.convolve(power, np.ones(121) / 121, "same") + 1e-12)


@pytest.mark.parametrize("kind", HELD)
@pytest.mark.parametrize("drawn", ["0,-6,-12,-3", "-20,0", [(0.2, 0), (0.8, -20)]])
def test_the_level_follows_what_was_drawn_and_the_pitch_stays(g, kind, drawn):
    about = g.model.kinds[g.kinds.index(kind)]
    pitch = float(np.sqrt(about.pitch[0] * about.pitch[1]))
    plain, wave = (
        torch.from_numpy(g.generate(kind, pitch, 1.0, 0.5, -20, seed=3, envelope=given))
        for given in (None, drawn)
    )
    measured = measures.measure(wave, RATE)
    reached = level(wave)
    share = (
        np.arange(len(reached)) * measures.ENVELOPE_STEP * 0.9977 - float(measured.onset)
    ) / float(measured.duration)
    inside = (share > 0.12) & (share < 0.75)  # brass fades for a fifth of a second
    error = reached - np.interp(share, *envelope.parse_envelope(drawn).T)
    assert np.abs(error[inside] - np.median(error[inside])).max() < 2
    assert float(measured.loudness) == pytest.approx(-20, abs=0.1)
    ours, theirs = (measures.chord_f0(w, RATE, about.intervals, pitch) for w in (wave, plain))
    assert abs(measures.cents(ours, theirs)) < 5


def test_without_a_change_of_level_attack_and_release_stay_where_they_were(g):
    for kind in HELD:
        plain, wave = (
            torch.from_numpy(g.generate(kind, None, 0.8, 0.5, -20, seed=4, envelope=given))
            for given in (None, (0, 0))
        )
        before, after = (measures.measure(w, RATE) for w in (plain, wave))
        # within 5 ms at each end, but for what the threshold 40 dB below another peak makes of a
        # slow fade
        assert float(after.duration) == pytest.approx(float(before.duration), abs=0.02)


def test_a_gain_is_no_distortion():
    """A tone of a constant level, and its contour, by theory."""
    time = torch.arange(RATE) / RATE
    wave = torch.sin(2 * torch.pi * 440 * time) * 0.2
    result = envelope.apply_envelope(wave, RATE, envelope.parse_envelope("0,-20"))
    gain = (result / wave)[wave.abs() > 0.05].log10() * 20
    expected = -20 * time[wave.abs() > 0.05]
    inside = (expected < -1) & (expected > -19)
    strayed = (gain - expected)[inside]
    assert (strayed - strayed.mean()).abs().max() < 0.3
    assert torch.equal(
        envelope.apply_envelope(torch.zeros(900), RATE, envelope.parse_envelope("0,-20")),
        torch.zeros(900),
    )


def test_the_forms_of_a_contour():
    np.testing.assert_allclose(envelope.parse_envelope("0, -6,-12"), [[0, 0], [0.5, -6], [1, -12]])
    np.testing.assert_allclose(
        envelope.parse_envelope([0, -6, -12]), envelope.parse_envelope("0,-6,-12")
    )
    np.testing.assert_allclose(
        envelope.parse_envelope([(0.1, -3), (0.4, 0)]), [[0.1, -3], [0.4, 0]]
    )


@pytest.mark.parametrize(
    ("drawn", "named"),
    [
        ("loud", "cannot read 'loud'"),
        ("-6", "two levels or more"),
        ("0,3", "-40 to 0 dB"),
        ("0,-41", "-40 to 0 dB"),
        ("0,nan", "-40 to 0 dB"),
        ([(0, 0), (1.2, 0)], "shares"),
        ([(0.5, 0), (0.5, -3)], "shares"),
        ([(0, 0, 0), (1, 0, 0)], "pairs"),
    ],
)
def test_what_is_no_contour_is_named(drawn, named):
    with pytest.raises(InputError, match=named):
        envelope.parse_envelope(drawn)
