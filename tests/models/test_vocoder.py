"""The vocoder: what it draws meets the bands it was given, and the shipped one restores what they
have lost.
"""

import math

import pytest
import torch

from tootlearn.data import synthesis
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.jitter import jitter
from tootlearn.dsp.phase import ridge_integration
from tootlearn.evaluation import metrics
from tootlearn.models import model_file
from tootlearn.models.config import VocoderConfig
from tootlearn.models.vocoder import Vocoder

RATE = 22050
SMALL = VocoderConfig(width=8, hidden=8, blocks=1, kernel=3, wide=8)


@pytest.fixture(scope="module")
def shipped():
    return model_file.load_vocoder()[0].requires_grad_(False)


def restless(seed: int = 0) -> Vocoder:
    """A small vocoder whose factors are far from 1."""
    vocoder = Vocoder(FrontEndConfig(), SMALL).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        vocoder.draw.weight.copy_(torch.randn(vocoder.draw.weight.shape, generator=generator))
    return vocoder


def horn(f0: float, harmonics: int, seconds: float = 1.0) -> torch.Tensor:
    time = torch.arange(int(seconds * RATE), dtype=torch.float64) / RATE
    partials = [torch.sin(2 * math.pi * f0 * k * time + k * k) / k for k in range(1, harmonics + 1)]
    return (0.3 * (time / 0.02).clamp_max(1) * sum(partials)).float()


def test_untrained_it_is_the_plain_inversion():
    vocoder = Vocoder(FrontEndConfig(), SMALL).eval()
    log_mel = vocoder.front_end(horn(220, 20))
    plain = vocoder.front_end.magnitude(log_mel, updates=5)
    assert torch.allclose(vocoder(log_mel), plain, rtol=1e-4, atol=1e-5 * float(plain.max()))


def test_whatever_the_network_draws_the_bands_are_met():
    vocoder = restless().requires_grad_(False)
    log_mel = vocoder.front_end(horn(220, 20))
    plain = vocoder.front_end.magnitude(log_mel)
    magnitude = vocoder(log_mel)
    again = vocoder.front_end.mel(magnitude).log()
    loud = log_mel > log_mel.max() - 4
    assert float((again - log_mel)[loud].abs().median()) < 0.1
    # and yet another magnitude
    assert float((magnitude / plain)[plain > 0].log().abs().mean()) > 0.5


def test_silence_stays_silent_and_shapes_are_free():
    vocoder = restless()
    silence = torch.full((2, 3, 128, 9), math.log(1e-5))
    assert vocoder(silence).shape == (2, 3, 513, 9) and not vocoder(silence).any()
    wave = vocoder.wave(silence)
    assert wave.shape == (2, 3, 2048) and not wave.any()
    assert vocoder.wave(silence[0, 0], length=2100).shape == (2100,)


def test_a_batch_is_what_its_clips_are_alone_and_louder_in_is_louder_out():
    vocoder = restless()
    log_mel = torch.stack([vocoder.front_end(horn(f0, 10, 0.3)) for f0 in (220, 330)])
    together = vocoder(log_mel)
    assert torch.allclose(together[1], vocoder(log_mel[1]), rtol=1e-4, atol=1e-6)
    louder = vocoder(log_mel[0] + math.log(2))
    heard = together[0] > 1e-3 * together[0].max()
    assert torch.allclose(louder[heard], 2 * together[0][heard], rtol=1e-2)


def test_gradients_reach_every_weight_and_the_input():
    vocoder = restless()
    log_mel = vocoder.front_end(horn(220, 20, 0.2)).requires_grad_()
    (vocoder(log_mel) + 1e-6).log().square().mean().backward()
    assert float(log_mel.grad.abs().sum()) > 0
    assert all(float(p.grad.abs().sum()) > 0 for p in vocoder.parameters())


# The shipped one


def test_the_shipped_one_is_small(shipped):
    assert sum(p.numel() for p in shipped.parameters()) <= 1_000_000
    assert model_file.shipped_vocoder().stat().st_size <= 4e6


@pytest.mark.parametrize(
    ("kind", "pitch"), [("trumpet", 415.3), ("trombone", 185.0), ("car_horn", 349.2)]
)
def test_the_shipped_one_restores_more_than_the_inversion(shipped, kind, pitch):
    wave = torch.from_numpy(synthesis.render(kind, pitch, 0.9, 0.6, -14.0, seed=77))
    wave = wave[: 256 * 130]
    front_end = shipped.front_end
    log_mel, true = front_end(wave), front_end.stft.magnitude(wave)[..., :130]

    def error(magnitude):
        return float(metrics.spectral_convergence(magnitude, true))

    with torch.no_grad():
        assert error(shipped(log_mel)) < error(front_end.magnitude(log_mel)) - 1


@pytest.mark.parametrize("f0", [92.5, 110.0, 233.1, 440.0, 987.8])
def test_a_held_note_is_in_tune_and_does_not_wobble(shipped, f0):
    wave = horn(f0, int(9000 / f0), 1.2)
    back = shipped.wave(shipped.front_end(wave), length=len(wave) // 256 * 256)
    wavers = jitter(back, RATE, f0)
    assert float(wavers.f0) < 3 and float(wavers.level) < 0.3  # cents, dB
    assert abs(1200 * math.log2(loudest_hz(back[6000:-3000], f0) / f0)) < 10


def loudest_hz(wave: torch.Tensor, near: float) -> float:
    spectrum = torch.fft.rfft(wave * torch.hann_window(len(wave)), n=1 << 19).abs()
    hz = torch.arange(len(spectrum)) * RATE / (1 << 19)
    return float(hz[(spectrum * ((hz > near / 1.1) & (hz < near * 1.1))).argmax()])


def test_the_shipped_one_is_heard_in_the_phase(shipped):
    """Ridges of its magnitude agree better than ridges of the plain inversion's."""
    wave = torch.from_numpy(synthesis.render("trumpet", 293.7, 0.9, 0.6, -14.0, seed=78))[
        : 256 * 120
    ]
    front_end = shipped.front_end
    log_mel, true = front_end(wave), front_end.stft.magnitude(wave)

    def error(magnitude):
        back = ridge_integration(magnitude, front_end.stft, iterations=2, length=len(wave))
        return float(metrics.spectral_convergence(front_end.stft.magnitude(back), true))

    with torch.no_grad():
        assert error(shipped(log_mel)) < error(front_end.magnitude(log_mel)) - 1
