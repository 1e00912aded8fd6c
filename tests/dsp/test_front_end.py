import dataclasses
import math

import librosa
import pytest
import torch
import torchaudio
from hypothesis import given
from hypothesis import strategies as st

from tootlearn.dsp.config import WINDOW_SAMPLES, FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.mel import mel_frequencies
from tootlearn.dsp.phase import ridge_integration
from tootlearn.errors import InputError

SMALL = FrontEndConfig(sample_rate=8000, n_fft=256, hop=64, mels=20, fmin=50.0, fmax=4000.0)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def horn(f0: float, samples: int = WINDOW_SAMPLES) -> torch.Tensor:
    time = torch.arange(samples) / 22050
    envelope = (time / 0.03).clamp_max(1) * torch.exp(-time)
    return envelope * sum(
        0.1 * torch.sin(2 * math.pi * f0 * k * time + k) / k for k in range(1, int(11025 / f0))
    )


def test_a_window_has_176_frames_and_half_of_them_at_twice_the_hop():
    assert FrontEnd().frames(WINDOW_SAMPLES) == 176
    assert FrontEnd(FrontEndConfig(hop=512)).frames(WINDOW_SAMPLES) == 88
    assert [FrontEnd().frames(n) for n in (1, 256, 257)] == [1, 1, 2]


def test_a_tone_is_loudest_in_its_band_and_6_db_are_6_db():
    front_end = FrontEnd()
    band = int((mel_frequencies(130, 0, 11025)[1:-1] - 2000).abs().argmin())
    tone = 0.5 * torch.sin(2 * math.pi * 2000 * torch.arange(WINDOW_SAMPLES) / 22050)
    loud, quiet = front_end(tone)[:, 4:-4], front_end(tone / 2)[:, 4:-4]
    assert ((loud.argmax(0) - band).abs() <= 1).all()
    torch.testing.assert_close(
        (loud - quiet)[band], torch.full((168,), math.log(2)), atol=1e-4, rtol=0
    )


def test_log_mels_equal_librosas_and_torchaudios():
    wave = horn(311.0)
    ours = FrontEnd()(wave)
    by_librosa = librosa.feature.melspectrogram(
        y=wave.numpy(), sr=22050, n_fft=1024, hop_length=256, power=1.0
    )
    peak = float(by_librosa.max())
    assert (
        ours.exp() - torch.from_numpy(by_librosa)[:, :176].clamp_min(1e-5)
    ).abs().max() < 1e-6 * peak
    transform = torchaudio.transforms.MelSpectrogram(
        22050,
        1024,
        hop_length=256,
        n_mels=128,
        power=1.0,
        pad_mode="constant",
        norm="slaney",
        mel_scale="slaney",
    )
    # float32 bank
    assert (ours.exp() - transform(wave)[:, :176].clamp_min(1e-5)).abs().max() < 3e-6 * peak


@given(
    leading=st.lists(st.integers(1, 4), max_size=2),
    samples=st.integers(1, 5000),
    seed=st.integers(0, 99),
)
def test_the_differentiable_path_gives_the_same_numbers(leading, samples, seed):
    front_end, wave = FrontEnd(SMALL), noise(*leading, samples, seed=seed)
    fast, slow = front_end(wave), front_end(wave.clone().requires_grad_())
    assert fast.shape == slow.shape == (*leading, 20, -(-samples // 64))
    assert slow.requires_grad and not fast.requires_grad
    torch.testing.assert_close(fast.exp(), slow.detach().exp(), rtol=1e-5, atol=1e-6)


def test_every_clip_of_a_batch_is_worked_on_as_if_alone():
    front_end, waves = FrontEnd(), noise(7, 12_345)
    together = front_end(waves)
    for clip in (0, 3, 6):
        torch.testing.assert_close(together[clip], front_end(waves[clip]), rtol=1e-5, atol=1e-5)
    assert front_end(noise(0, 1000)).shape == (0, 128, 4)


def test_gradients_reach_the_wave_and_are_finite_in_silence():
    front_end = FrontEnd(SMALL)
    wave = noise(2, 2000)
    wave[1] = 0
    wave.requires_grad_()
    front_end(wave).sum().backward()
    assert (
        wave.grad is not None
        and wave.grad.isfinite().all()
        and wave.grad[0].any()
        and not wave.grad[1].any()
    )


def test_the_gradient_is_right():
    front_end = FrontEnd(dataclasses.replace(SMALL, n_fft=64, hop=16, mels=5)).double()
    wave = noise(100).double().requires_grad_()
    assert torch.autograd.gradcheck(front_end, wave)


def test_silence_is_the_floor_and_comes_back_as_silence():
    front_end = FrontEnd()
    features = front_end(torch.zeros(2, WINDOW_SAMPLES))
    assert (features == features.flatten()[0]).all() and features[0, 0, 0] == pytest.approx(
        math.log(1e-5)
    )
    rounded = features * (1 + 1e-6)  # as after a normalizer
    for silent in (features, rounded):
        magnitude = front_end.magnitude(silent)
        assert magnitude.shape == (2, 513, 176) and not magnitude.any()
        assert not ridge_integration(magnitude, front_end.stft, length=WINDOW_SAMPLES).any()


def test_the_round_trip_to_a_wave_sounds_alike():
    front_end, wave = FrontEnd(), horn(233.1)
    features = front_end(wave)
    back = ridge_integration(
        front_end.magnitude(features), front_end.stft, iterations=4, length=WINDOW_SAMPLES
    )
    assert back.shape == wave.shape
    true, ours = front_end.stft.magnitude(wave), front_end.stft.magnitude(back)
    assert 20 * math.log10(float((ours - true).norm() / true.norm())) < -14
    assert (front_end(back) - features).abs().mean() < 0.3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_type_is_kept(dtype):
    front_end = FrontEnd(SMALL).to(dtype)
    assert front_end(noise(1000).to(dtype)).dtype == dtype


def test_a_wave_without_samples_is_an_error():
    with pytest.raises(ValueError, match="without samples"):
        FrontEnd()(torch.zeros(2, 0))


def test_bands_too_narrow_for_the_fft_are_refused():
    with pytest.raises(InputError, match="500 mel bands"):
        FrontEnd(FrontEndConfig(mels=500))


def test_a_front_end_keeps_nothing_in_a_state_dict():
    assert FrontEnd().state_dict() == {}
