"""Training of the vocoder on a handful of sounds: what it minimises, and that a run is whole,
stopped or resumed.
"""

import math
from dataclasses import replace

import pytest
import torch

from tests.small import log
from tootlearn.data.sounds import Sounds
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError
from tootlearn.models import model_file
from tootlearn.models.config import VocoderConfig
from tootlearn.models.vocoder import Vocoder
from tootlearn.training import train_vocoder as vocoder_training
from tootlearn.training.config import VocoderTrainConfig
from tootlearn.training.train_vocoder import (
    VocoderObjective,
    peak_error,
    relative_error,
    train_vocoder,
)

CONFIG = VocoderTrainConfig(
    front_end=FrontEndConfig(mels=48),
    vocoder=VocoderConfig(width=16, hidden=32, blocks=1, kernel=3, wide=64),
    synthetic=24,
    sampled=0,
    steps=6,
    batch=4,
    frames=8,
    check_every=3,
)


@pytest.fixture(scope="module")
def heard():
    return vocoder_training.vocoder_sounds(CONFIG, progress=False)


def run(config, heard, out, **options):
    return train_vocoder(config, heard, out, progress=False, **options)


# What is minimised


def tone(hz: float) -> torch.Tensor:
    return Stft()(0.5 * torch.sin(2 * math.pi * hz * torch.arange(8192) / 22050))[None, :, 4:-4]


@pytest.mark.parametrize("hz", [300.0, 440.0, 1234.5])
def test_the_peaks_of_a_true_magnitude_turn_as_they_say(hz):
    true = tone(hz)
    assert float(peak_error(true.abs(), true, Stft())) < -7.5


def test_peaks_a_few_hertz_off_are_told_from_peaks_in_place():
    """A fifth of a bin is 4.3 Hz, and a twentieth of a turn a hop."""
    errors = [
        float(peak_error(tone(440 + off).abs(), tone(440), Stft())) for off in (0, 1.1, 4.3, 10)
    ]
    assert errors == sorted(errors) and errors[1] > errors[0] + 0.3 and errors[3] > errors[0] + 4


def test_only_peaks_that_sound_count():
    true = tone(440)
    drawn = true.abs().clone()
    drawn[:, 400] += 1e-3  # a peak where there is nothing
    assert float(peak_error(drawn, true, Stft())) == pytest.approx(
        float(peak_error(true.abs(), true, Stft())), abs=0.1
    )


def test_the_relative_error_is_that_of_the_metric():
    true = tone(440).abs()
    assert float(relative_error(1.5 * true, true)) == pytest.approx(0.5, rel=1e-3)
    assert relative_error(torch.zeros(1, 513, 4), torch.zeros(1, 513, 4)).isfinite().all()


def test_silence_has_finite_gradients():
    magnitude = torch.zeros(1, 513, 6, requires_grad=True)
    silence = torch.zeros(1, 513, 6, dtype=torch.complex64)
    loss = (
        peak_error(magnitude, silence, Stft())
        + vocoder_training.log_error(magnitude, silence.abs())
        + relative_error(magnitude, silence.abs()).sum()
    )
    loss.backward()
    assert magnitude.grad.isfinite().all()


# The run


def test_it_learns(heard, tmp_path):
    config = replace(
        CONFIG, steps=80, batch=8, check_every=80, augmentation=0.0, learning_rate=5e-3
    )
    pieces = vocoder_training._pieces(heard.split()[0], config)

    def errors(vocoder):
        return vocoder_training.evaluate_vocoder(VocoderObjective(vocoder, 0.3, 0.15), pieces)

    with torch.random.fork_rng(devices=[]):
        before = errors(Vocoder(CONFIG.front_end, CONFIG.vocoder))
    after = errors(run(config, heard, tmp_path / "run"))
    assert (
        after["convergence"] < before["convergence"] - 0.2 and after["peaks"] < before["peaks"] - 1
    )
    assert [row["step"] for row in log(tmp_path / "run")] == [80]


def test_the_file_holds_what_was_trained(heard, tmp_path):
    vocoder = run(CONFIG, heard, tmp_path / "run")
    again, description = model_file.load_vocoder(
        tmp_path / "run/vocoder.safetensors", CONFIG.front_end
    )
    x = torch.randn(48, 9)
    assert torch.equal(vocoder(x), again(x))
    told = description["provenance"]
    assert (
        told["steps"] == 6
        and "24 windows of 24 synthetic toots; 4 of them held out" in told["data"]
    )
    assert told["licence"].startswith("MIT") and told["held_out"]["convergence"] < 0


def test_too_few_sounds_are_refused(tmp_path):
    few = Sounds(torch.ones(2, 45056, dtype=torch.int16), torch.zeros(2, dtype=torch.bool))
    with pytest.raises(InputError, match="too few"):
        run(CONFIG, few, tmp_path / "run")


@pytest.mark.parametrize(
    "change",
    [{"steps": 0}, {"batch": 1}, {"augmentation": 1.5}, {"learning_rate": 0.0}, {"synthetic": -1}],
)
def test_a_setting_that_cannot_be_is_named(change):
    with pytest.raises(InputError, match=next(iter(change))):
        replace(CONFIG, **change)


def test_nothing_to_learn_from_is_said():
    with pytest.raises(InputError, match="nothing to train on"):
        replace(CONFIG, synthetic=0)
