"""Training of the bandwidth extension: what it hears, what it is compared with, and that a run is
whole.
"""

import json
import math
from dataclasses import replace

import pytest
import soundfile
import torch

from tootlearn.data import sounds
from tootlearn.data.sounds import Sounds
from tootlearn.dsp.audio import resample
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.errors import InputError
from tootlearn.models import model_file
from tootlearn.models.bandwidth import CENTRES, Bandwidth, HighBand
from tootlearn.models.config import BandwidthConfig
from tootlearn.training import train_bandwidth as bandwidth_training
from tootlearn.training.config import BandwidthTrainConfig
from tootlearn.training.train_bandwidth import (
    bands_present,
    error,
    features,
    halved,
    train_bandwidth,
    varied,
)

RATE = 44100
CONFIG = BandwidthTrainConfig(
    BandwidthConfig(width=8, hidden=8, blocks=1, kernel=3),
    synthetic=0,
    sampled=12,
    versions=2,
    steps=4,
    batch=4,
    frames=16,
    check_every=2,
)


def tones(count: int, samples: int = 22528) -> torch.Tensor:
    """Harmonic tones with some noise, int16."""
    generator = torch.Generator().manual_seed(1)
    time = torch.arange(samples) / RATE
    rows = []
    for i in range(count):
        f0 = 200 * 2 ** (i / count)
        rows.append(
            sum(
                torch.sin(2 * math.pi * f0 * k * time + k * k) * k**-1.5
                for k in range(1, int(20000 / f0))
            )
        )
    wave = torch.stack(rows) + 1e-4 * torch.randn(count, samples, generator=generator)
    return (wave / wave.abs().amax(1, keepdim=True) * 32767).to(torch.int16)


@pytest.fixture(scope="module")
def heard() -> Sounds:
    return Sounds(tones(12), torch.arange(12) % 6 == 0)


def run(config, heard, out, **options):
    return train_bandwidth(config, heard, out, progress=False, **options)


# What it hears


def test_toots_are_played_twice_as_fast_and_recordings_as_they_are(tmp_path):
    (tmp_path / "mine").mkdir()
    wave = tones(1)[0].numpy()
    for name in "abcdef":
        soundfile.write(tmp_path / f"mine/{name}.wav", wave, RATE)
    config = replace(CONFIG, synthetic=6, sampled=0, data=(str(tmp_path / "mine"),))
    found = bandwidth_training.bandwidth_sounds(config, progress=False)
    assert found.waves.shape == (12, WINDOW_SAMPLES) and found.held_out[:6].sum() == 1
    assert torch.equal(found.waves[:6], sounds.collect_sounds(RATE // 2, 6, progress=False).waves)
    assert torch.equal(found.waves[6, : len(wave)], torch.from_numpy(wave))


def test_halved_is_resampled():
    wave = tones(2).float()[:, :22528] / 32767
    hann = torch.hann_window(22528)  # the circle that the Fourier transform closes has no seam
    exact, ours = resample(wave * hann, RATE, RATE // 2), halved(wave * hann)
    low = torch.fft.rfft(exact - ours).abs()[:, : int(10000 * 22528 / RATE)]
    assert float(low.norm() / torch.fft.rfft(exact).norm()) < 1e-3


def test_what_is_heard_is_told_of_the_half_and_what_is_asked_of_the_whole():
    """A tone below and noise above: the network is told of a tone and shall say noise."""
    wave = tones(1).float() / 2
    spectrum = torch.fft.rfft(wave)
    hz = torch.arange(spectrum.shape[1]) * (RATE / wave.shape[1])
    noise = torch.fft.rfft(torch.randn(1, 22528, generator=torch.Generator().manual_seed(2)) * 100)
    mixed = torch.fft.irfft(torch.where(hz < 10500, spectrum, noise), n=22528).to(torch.int16)
    made = features(Bandwidth(), mixed, versions=1, seed=1)
    assert made.tone.shape == (1, 3, 88) and made.moved.shape == (1, 10, 88)
    assert float(made.tone.mean()) > 0.8 and float(made.moved[:, 1:].mean()) < 0.15


def test_versions_differ_in_slope_and_noise_and_come_after_the_plain_ones():
    made = features(Bandwidth(), tones(3), versions=3, seed=1)
    plain = features(Bandwidth(), tones(3), versions=1, seed=1)
    assert made.log_mel.shape[0] == 9 and torch.equal(made.levels[:3], plain.levels)
    apart = (made.levels[3:6] - made.levels[:3]).mean(2)
    assert float(apart.abs().mean()) > 0.3 and not torch.equal(made.levels[3:6], made.levels[6:])
    assert torch.equal(made.levels, features(Bandwidth(), tones(3), versions=3, seed=1).levels)


def test_a_variation_changes_nothing_below_its_corner():
    wave = tones(8).float() / 32767
    other = varied(wave, RATE, torch.Generator().manual_seed(3))
    before, after = (
        torch.fft.rfft(x)[:, : int(900 * 22528 / RATE)].abs().norm(dim=1) for x in (wave, other)
    )
    assert torch.allclose(after, before, rtol=0.02)


# What it is compared with


def test_the_end_of_a_recording_is_found_and_a_slope_is_none():
    levels = -torch.arange(10.0)[None, :, None].expand(2, 10, 5).clone() * 0.4  # 3.5 dB a band
    levels[1, 6:] -= 5
    assert bands_present(levels).tolist() == [[True] * 10, [True] * 5 + [False] * 5]


def test_only_what_has_weight_and_is_there_counts():
    levels = torch.zeros(1, 10, 4)
    drawn = HighBand(levels + 0.2, levels + 0.5)
    weight = torch.ones(1, 10, 4)
    assert float(error(drawn, levels, levels + 0.5, weight)) == pytest.approx(0.02)
    assert float(error(drawn, levels, levels, weight)) == pytest.approx(
        0.02 + 0.1 * math.log(0.505 / 1.005) ** 2
    )
    drawn.levels[0, 3] = -math.inf
    drawn.levels[0, 5] = 100
    weight[0, 5] = 0
    assert float(error(drawn, levels, levels + 0.5, weight)) == pytest.approx(0.02)


# The run


def test_it_learns_the_levels(heard, tmp_path):
    config = replace(CONFIG, versions=1, steps=150, batch=8, learning_rate=1e-2, check_every=150)
    made = features(Bandwidth(config.bandwidth), heard.waves[~heard.held_out], 1, 0)
    with torch.random.fork_rng(devices=[]):
        before = bandwidth_training.evaluate_bandwidth(Bandwidth(config.bandwidth), made)
    after = bandwidth_training.evaluate_bandwidth(run(config, heard, tmp_path / "run"), made)
    assert after["error_db"] < before["error_db"] / 2 and after["moved"] < before["moved"]


def test_the_file_holds_what_was_trained_and_a_run_can_be_had_again(heard, tmp_path):
    extension = run(CONFIG, heard, tmp_path / "run")
    again, description = model_file.load_bandwidth(tmp_path / "run/bandwidth.safetensors")
    x = torch.randn(1, 48, 9), torch.rand(1, 3, 9)
    assert torch.equal(extension(*x).levels, again(*x).levels)
    told = description["provenance"]
    assert (
        told["steps"] == 4
        and "12 windows of 12 notes" in told["data"]
        and "2 of them held out" in told["data"]
    )
    rows = [
        json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text("utf8").splitlines()
    ]
    assert [row["step"] for row in rows] == [2, 4] and rows[-1]["held_out"] == told["held_out"]
    assert torch.equal(run(CONFIG, heard, tmp_path / "other")(*x).levels, extension(*x).levels)
    with pytest.raises(InputError, match="run"):
        run(CONFIG, heard, tmp_path / "run")


def test_too_few_sounds_are_refused(heard, tmp_path):
    with pytest.raises(InputError, match="too few"):
        run(CONFIG, Sounds(heard.waves, torch.zeros(12, dtype=torch.bool)), tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "named"),
    [({"steps": 0}, "steps"), ({"sampled": 0}, "nothing"), ({"learning_rate": 0}, "learning_rate")],
)
def test_a_config_that_is_none_is_refused(change, named):
    with pytest.raises(InputError, match=named):
        replace(CONFIG, **change)


def test_there_are_bands_from_the_cross_over_to_the_top():
    assert CENTRES[0] < 11000 and 20000 < CENTRES[-1] < 22050
