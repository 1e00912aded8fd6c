import math

import librosa
import pytest
import torch
import torchaudio
from hypothesis import given
from hypothesis import strategies as st

from tootlearn.dsp.mel import Mel, hz_to_mel, mel_filterbank, mel_frequencies, mel_to_hz
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError

RATE = 22050
BANKS = [
    (22050, 1024, 80, 0.0, 11025.0),
    (22050, 1024, 128, 0.0, 11025.0),
    (16000, 512, 40, 60.0, 7600.0),
]


def horn(f0: float, samples: int = 16384) -> torch.Tensor:
    time = torch.arange(samples) / RATE
    return 0.1 * sum(
        torch.sin(2 * math.pi * f0 * k * time + k) / k for k in range(1, int(RATE / 2 / f0))
    )


def divergence(target: torch.Tensor, mel: torch.Tensor) -> float:
    return float((target * (target / mel).log() - target + mel).sum())


def convergence(magnitude: torch.Tensor, true: torch.Tensor) -> float:
    return 20 * math.log10(float((magnitude - true).norm() / true.norm()))


def test_the_scale_is_linear_to_1_khz_and_logarithmic_above():
    hz = torch.tensor([0.0, 200 / 3, 500, 1000, 6400, 11025], dtype=torch.float64)
    torch.testing.assert_close(
        hz_to_mel(hz)[:5], torch.tensor([0.0, 1, 7.5, 15, 42], dtype=torch.float64)
    )
    torch.testing.assert_close(mel_to_hz(hz_to_mel(hz)), hz)
    torch.testing.assert_close(hz_to_mel(hz), torch.from_numpy(librosa.hz_to_mel(hz.numpy())))


@pytest.mark.parametrize(("rate", "n_fft", "mels", "fmin", "fmax"), BANKS)
def test_the_filterbank_equals_librosas_and_torchaudios(rate, n_fft, mels, fmin, fmax):
    ours = mel_filterbank(rate, n_fft, mels, fmin, fmax)
    by_librosa = torch.from_numpy(
        librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=mels, fmin=fmin, fmax=fmax)
    )
    assert (ours - by_librosa).abs().max() < 1e-6 * by_librosa.max()
    by_torchaudio = torchaudio.functional.melscale_fbanks(
        n_fft // 2 + 1, fmin, fmax, mels, rate, norm="slaney", mel_scale="slaney"
    )
    assert (ours - by_torchaudio.T).abs().max() < 1e-6


def test_every_wide_triangle_has_unit_area():
    area = mel_filterbank(RATE, 8192, 40).sum(1) * RATE / 8192
    torch.testing.assert_close(area, torch.ones(40), atol=0.01, rtol=0)


@pytest.mark.parametrize("band", [3, 20, 60, 100, 127])
def test_a_tone_lands_in_the_right_band(band):
    centre = mel_frequencies(130, 0, RATE / 2)[1 + band]
    wave = torch.sin(2 * math.pi * float(centre) * torch.arange(8192) / RATE)
    bands = Mel(RATE, 1024, 128)(Stft().magnitude(wave))[:, 4:-4]
    assert (bands.argmax(0) == band).all()


def test_a_group_of_bands_is_multiplied_with_all_its_bins():
    for mels in (1, 31, 128):
        mel, magnitude = Mel(RATE, 1024, mels), torch.rand(9, 513)
        out = torch.full((mels, 9), math.nan)
        mel.into(magnitude, out)
        torch.testing.assert_close(out, mel(magnitude.T))


def test_the_inverse_has_the_bands_it_was_given():
    mel, true = Mel(RATE, 1024, 128), Stft().magnitude(horn(311.0))
    target = mel(true)
    by_updates = [divergence(target, mel(mel.inverse(target, n))) for n in (1, 2, 5, 10, 20)]
    assert by_updates == sorted(by_updates, reverse=True)  # each update lowers the divergence
    assert by_updates[3] < 1e-3 * float(target.sum())


def test_the_inverse_beats_librosas():
    ours, theirs = [], []
    mel = Mel(RATE, 1024, 80)
    for f0 in (233.1, 311.0, 415.3):
        true = Stft().magnitude(horn(f0))[:, 20:40]
        ours.append(convergence(mel.inverse(mel(true)), true))
        by_librosa = librosa.feature.inverse.mel_to_stft(
            mel(true).numpy(), sr=RATE, n_fft=1024, power=1.0
        )
        theirs.append(convergence(torch.from_numpy(by_librosa), true))
    assert sorted(ours)[1] < sorted(theirs)[1] - 3


def test_a_flat_spectrum_comes_back_flat():
    mel = Mel(RATE, 1024, 128)
    back = mel.inverse(mel(torch.full((513, 3), 2.0)))
    torch.testing.assert_close(back[1:-1], torch.full((511, 3), 2.0), rtol=0.01, atol=0)


def test_silence_comes_back_as_silence_in_every_silent_frame():
    mel = Mel(RATE, 1024, 128)
    magnitude = Stft().magnitude(horn(200.0))
    magnitude[:, 10:20] = 0
    back = mel.inverse(mel(magnitude))
    assert not back[:, 10:20].any() and back[:, :10].any(0).all()
    assert not mel.inverse(torch.zeros(2, 128, 5), updates=1).any()


def test_extreme_levels_stay_finite_and_keep_their_scale():
    mel = Mel(RATE, 1024, 128)
    target = mel(Stft().magnitude(horn(200.0)))
    normal = mel.inverse(target)
    torch.testing.assert_close(
        mel.inverse(1e4 * target), 1e4 * normal, rtol=1e-2, atol=1e-2 * float(normal.max())
    )
    for gain in (1e-30, 1e-12, 1e20):
        assert mel.inverse(gain * target).isfinite().all()


def test_the_inverse_has_a_finite_gradient_even_in_silence():
    mel = Mel(RATE, 1024, 128)
    target = mel(Stft().magnitude(horn(200.0)))[:, :30]
    target[:, 5:10] = 0
    target.requires_grad_()
    mel.inverse(target).square().sum().backward()
    assert target.grad is not None and target.grad.isfinite().all() and target.grad[:, :5].any()


@given(
    leading=st.lists(st.integers(1, 3), max_size=2),
    frames=st.integers(1, 5),
    mels=st.integers(1, 40),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    level=st.floats(-8, 3),
)
def test_shapes_and_types_are_kept_there_and_back(leading, frames, mels, dtype, level):
    mel = Mel(16000, 512, mels, 50.0, 8000.0).to(dtype)
    magnitude = 10**level * torch.rand(*leading, 257, frames, dtype=dtype)
    bands = mel(magnitude)
    assert bands.shape == (*leading, mels, frames) and bands.dtype == dtype
    back = mel.inverse(bands, updates=3)
    assert (
        back.shape == magnitude.shape
        and back.dtype == dtype
        and back.isfinite().all()
        and (back >= 0).all()
    )


@pytest.mark.parametrize(
    ("mels", "fmin", "fmax", "message"),
    [
        (0, 0, None, "mels is 1 or more, not 0"),
        (80, -1, None, "not -1 to 11025 Hz"),
        (80, 0, 12000, "not 0 to 12000 Hz"),
        (80, 900, 800, "not 900 to 800 Hz"),
        (400, 0, None, "of 400 mel bands hold no bin"),
    ],
)
def test_banks_that_cannot_be_are_named(mels, fmin, fmax, message):
    with pytest.raises(InputError, match=message):
        Mel(RATE, 1024, mels, fmin, fmax)


def test_one_update_is_one_of_the_inverse():
    mel = Mel(RATE, 1024, 80)
    target = mel(Stft().magnitude(horn(300.0)))
    assert torch.equal(
        mel.fitted(mel.fitted(mel.smooth(target), target), target), mel.inverse(target, updates=2)
    )


def test_no_updates_is_an_error():
    with pytest.raises(ValueError, match="not 0"):
        Mel(RATE, 1024, 80).inverse(torch.ones(80, 2), updates=0)
