"""Loudness: the standard's own figures first."""

import math

import numpy as np
import pytest
import torch

from tootlearn import rng
from tootlearn.dsp.loudness import integrated_loudness, k_weighting


def sine(frequency, seconds, rate=48000, amplitude=1.0):
    t = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return amplitude * torch.sin(2 * torch.pi * frequency * t)


def test_filters_at_48_khz_are_the_tables_of_the_standard():
    head = [
        1.53512485958697,
        -2.69169618940638,
        1.19839281085285,
        1,
        -1.69065929318241,
        0.73248077421585,
    ]
    low = [1, -2, 1, 1, -1.99004745483398, 0.99007225036621]
    np.testing.assert_allclose(k_weighting(48000), [head, low], atol=1e-8)


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_filters_weigh_alike_at_any_rate(rate):
    signal = pytest.importorskip("scipy.signal")
    hertz = [30, 100, 500, 1000, 2000, 4000]
    here, there = (
        20 * np.log10(np.abs(signal.sosfreqz(k_weighting(r), hertz, fs=r)[1]))
        for r in (rate, 48000)
    )
    np.testing.assert_allclose(here, there, atol=0.3)
    assert here[0] < -6 and 3 < here[-1] < 4.5


@pytest.mark.parametrize("amplitude", [1.0, 0.1, 0.01])
def test_a_sine_of_997_hz_reads_its_rms(amplitude):
    expected = 20 * math.log10(amplitude) - 3.01
    assert float(integrated_loudness(sine(997, 3, amplitude=amplitude), 48000)) == pytest.approx(
        expected, abs=0.01
    )
    # as a short clip too, but for the first cycles of the filters
    result = integrated_loudness(sine(997, 0.3, amplitude=amplitude), 48000)
    assert float(result) == pytest.approx(expected, abs=0.1)


def test_gates_of_the_test_signals_of_ebu_tech_3341():
    """Cases 3 and 4 of EBU Tech 3341, in mono: 10 s at -36, 60 s at -23, 10 s at -36 LUFS read -23,
    and so on.
    """

    def parts(*levels):
        return torch.cat(
            [sine(997, seconds, amplitude=10 ** ((level + 3.01) / 20)) for seconds, level in levels]
        )

    relative = parts((10, -36), (60, -23), (10, -36))
    assert float(integrated_loudness(relative, 48000)) == pytest.approx(-23, abs=0.1)
    absolute = parts((10, -72), (10, -36), (60, -23), (10, -36), (10, -72))
    assert float(integrated_loudness(absolute, 48000)) == pytest.approx(-23, abs=0.1)
    ungated = parts((9, -23), (9, -30))  # within 10 LU of the mean: all counts
    mean = 10 * math.log10((10**-2.3 + 10**-3.0) / 2)
    assert float(integrated_loudness(ungated, 48000)) == pytest.approx(mean, abs=0.1)


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_loudness_equals_pyloudnorms(rate):
    """Its filters by De Man too; pauses and quiet parts try both gates."""
    pyloudnorm = pytest.importorskip("pyloudnorm")
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    for seed in range(4):
        noise = torch.from_numpy(rng.normal(seed, 0, 3 * rate)) * 0.1
        noise[rate // 2 : rate] *= 1e-4
        noise[2 * rate :] *= 0.2
        wave = noise + sine(60 * 4**seed, 3, rate, 0.05)
        expected = meter.integrated_loudness(wave.numpy())
        assert float(integrated_loudness(wave, rate)) == pytest.approx(expected, abs=1e-3)


def test_what_is_quiet_throughout_has_no_loudness_and_batches_are_clips():
    waves = torch.stack(
        [sine(400, 1), sine(400, 1, amplitude=1e-4), torch.zeros(48000, dtype=torch.float64)]
    )
    result = integrated_loudness(waves.view(3, 1, -1).float(), 48000)
    assert result.shape == (3, 1) and result.dtype == torch.float32
    assert result[0].isfinite() and result[1:].eq(-math.inf).all()
    assert float(result[0]) == pytest.approx(float(integrated_loudness(waves[0], 48000)), abs=1e-4)
    assert integrated_loudness(torch.zeros(2, 0), 48000).eq(-math.inf).all()
    assert integrated_loudness(torch.zeros(2, 99), 48000).eq(-math.inf).all()


def test_pitch_counts_and_a_trumpet_is_louder_than_a_tuba_of_its_level():
    low, high = (float(integrated_loudness(sine(f, 1, 22050), 22050)) for f in (50, 3000))
    assert high - low > 5
