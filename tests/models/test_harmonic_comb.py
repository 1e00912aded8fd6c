"""Time features and the harmonic comb, against what the front end shows of real tones."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.mel import mel_frequencies
from tootlearn.dsp.stft import Stft
from tootlearn.models.harmonic_comb import (
    TIME_FEATURES,
    HarmonicComb,
    harmonic_magnitude,
    time_features,
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Where in a toot a frame lies


def rows(time: float, duration: float = 0.5) -> dict[str, torch.Tensor]:
    values = time_features(torch.tensor([time]), torch.tensor([duration]))[0, :, 0]
    names = ("attacks", "steps", "rises", "decays", "share", "side", "one")
    return dict(zip(names, values.split([7, 4, 3, 3, 1, 1, 1]), strict=True))


def test_attacks_fall_from_the_onset_by_e_in_each_time_constant():
    assert rows(-0.02)["attacks"].eq(1).all() and rows(0.0)["attacks"].eq(1).all()
    for row, tau in enumerate((0.006, 0.012, 0.025, 0.05, 0.1, 0.2, 0.4)):
        assert float(rows(tau)["attacks"][row]) == pytest.approx(math.exp(-1))


def test_the_end_is_where_steps_cross_zero_and_tails_peak():
    at_end = rows(0.5)
    assert (
        at_end["steps"].eq(0).all() and at_end["rises"].eq(1).all() and at_end["decays"].eq(1).all()
    )
    for row, tau in enumerate((0.02, 0.06, 0.2)):
        assert float(rows(0.5 - tau)["rises"][row]) == pytest.approx(math.exp(-1), rel=1e-5)
        assert float(rows(0.5 + tau)["decays"][row]) == pytest.approx(math.exp(-1), rel=1e-5)
    assert rows(0.4)["decays"].eq(1).all() and rows(0.6)["rises"].eq(1).all()
    for row, width in enumerate((0.004, 0.012, 0.035, 0.1)):
        assert float(rows(0.5 + width)["steps"][row]) == pytest.approx(math.tanh(1), rel=1e-4)
        assert float(rows(0.5 - width)["steps"][row]) == pytest.approx(-math.tanh(1), rel=1e-4)


def test_the_share_of_the_duration_runs_from_0_to_1_and_the_onset_has_two_sides():
    assert [float(rows(t)["share"]) for t in (-0.1, 0.0, 0.125, 0.5, 0.9)] == [0, 0, 0.25, 1, 1]
    assert (
        float(rows(-0.05)["side"]) < -0.999
        and float(rows(0.0)["side"]) == 0
        and float(rows(0.05)["side"]) > 0.999
    )
    assert float(rows(0.3)["one"]) == 1


@given(duration=st.floats(0.05, 2.0))
def test_time_features_are_bounded_and_continuous_in_time_and_duration(duration):
    time = torch.linspace(-0.03, 2.1, 20001)
    step = float(time[1] - time[0])
    features = time_features(time, torch.tensor([duration, duration + step]))
    assert features.shape == (2, TIME_FEATURES, 20001) and TIME_FEATURES == 20
    assert features.abs().max() <= 1
    steepest = 1.01 * step / 0.004 + 1e-5  # the sharpest step is 4 ms wide
    assert features.diff(dim=2).abs().max() < steepest
    assert features.diff(dim=0).abs().max() < steepest


# Harmonics


def tone(f0: float, samples: int = 8192, rate: int = 22050) -> torch.Tensor:
    """Harmonics of amplitude 1 in random phases, up to half the sample rate."""
    numbers = torch.arange(1, int(rate / 2 / f0) + 1, dtype=torch.float64)[:, None]
    phases = (
        2
        * math.pi
        * torch.rand(len(numbers), 1, generator=torch.Generator().manual_seed(int(f0))).double()
    )
    time = torch.arange(samples, dtype=torch.float64) / rate
    return torch.sin(2 * math.pi * numbers * f0 * time + phases).sum(0).float()


def test_harmonic_magnitude_is_the_stft_of_the_harmonics():
    f0 = torch.tensor([150.0, 333.3, 5000.0, 11025.0])
    ours = harmonic_magnitude(f0, 22050, 1024)
    assert ours.shape == (4, 513) and ours.dtype == torch.float32
    for row, pitch in zip(ours[:3], f0[:3].tolist(), strict=True):
        shown = Stft().magnitude(tone(pitch))[:, 8:24].mean(1)
        # the last bins mirror what is beyond them
        assert (row - shown)[:-3].abs().max() < 0.03 * row.max()
        # a harmonic of amplitude 1, at most half a bin away
        assert float(row.max()) == pytest.approx(256, rel=0.16)
    assert not ours[3].any()  # at the Nyquist frequency there is no sine


@pytest.fixture(scope="module")
def comb() -> HarmonicComb:
    return HarmonicComb(FrontEndConfig())


def decibels(mel: torch.Tensor) -> torch.Tensor:
    return 20 * mel.log10()


@pytest.mark.parametrize("f0", [110.3, 150.0, 233.3, 440.0, 987.6, 2217.0])
def test_the_comb_is_what_the_front_end_shows_of_a_harmonic_tone(comb, f0):
    """The window resolves harmonics from 4 bins (86 Hz) on; between two of them, their phases
    decide.
    """
    shown = FrontEnd()(tone(f0))[:, 8:24].exp().mean(1)  # frames inside of the tone
    ours = comb(torch.tensor(f0).log2())
    strong = ours > 0.2 * ours.max()
    assert strong.sum() >= 5
    assert (decibels(ours) - decibels(shown))[strong].abs().max() < 1


@pytest.mark.parametrize("f0", [300.0, 440.0, 700.0])
def test_the_comb_peaks_where_the_harmonics_are(comb, f0):
    bands = comb(torch.tensor(f0).log2())
    edges = mel_frequencies(130, 0.0, 11025.0)
    for number in range(1, int(2200 / f0) + 1):
        at = int((edges[1:-1] - number * f0).abs().argmin())
        near = bands[max(0, at - 4) : at + 5]
        assert abs(int(near.argmax()) - min(at, 4)) <= 1
        between = int((edges[1:-1] - (number + 0.5) * f0).abs().argmin())
        assert bands[between] < 0.1 * bands[at]


def test_no_harmonic_is_below_f0_or_above_nyquist(comb):
    edges = mel_frequencies(130, 0.0, 11025.0)
    bands = comb(torch.tensor(6000.0).log2())
    away = (edges[2:] < 6000 - 2 * 86) | (edges[:-2] > 6000 + 2 * 86)
    assert bands[away].max() < 0.02 * bands.max()  # side lobes alone


def test_the_comb_between_two_rows_is_the_comb_of_that_pitch_and_slides_smoothly(comb):
    cents = torch.linspace(0, 100, 201)
    octave = math.log2(331.0) + cents / 1200
    bands = comb(octave)
    assert bands.shape == (201, 128)
    assert bands.diff(dim=0).abs().max() < 0.02 * bands.max()
    for i in (7, 77, 150):  # pitches that are no rows of the table
        own = FrontEnd()(tone(2 ** float(octave[i])))[:, 8:24].exp().mean(1)
        strong = bands[i] > 0.2 * bands[i].max()
        assert (decibels(bands[i]) - decibels(own))[strong].abs().max() < 1


def test_the_gradient_in_the_pitch_is_the_slope(comb):
    octave = torch.tensor([math.log2(331.0), math.log2(500.0)], requires_grad=True)
    weight = noise(128)
    (comb(octave) @ weight).sum().backward()
    step = 1e-3
    slope = (comb(octave.detach() + step) - comb(octave.detach() - step)) @ weight / (2 * step)
    torch.testing.assert_close(octave.grad, slope, rtol=0.02, atol=0)


def test_pitches_out_of_range_are_held_at_the_ends(comb):
    low, lower, lowest = comb(torch.tensor([20.0, 19.0, 0.001]).log2())
    assert torch.equal(lower, low) and torch.equal(lowest, low) and low.any()
    high, highest = comb(torch.tensor([8050.0, 1e6]).log2())
    assert torch.equal(highest, high) and high.any()


def test_the_comb_keeps_leading_axes_and_is_no_part_of_a_saved_state(comb):
    octave = torch.full((2, 3, 1), math.log2(440.0))
    assert comb(octave).shape == (2, 3, 1, 128)
    assert comb.state_dict() == {}
