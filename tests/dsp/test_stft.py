import math

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError

SIZES = [(1024, 256), (1024, 512), (2048, 256), (512, 128), (96, 32)]


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def test_a_tone_stands_in_its_bin_with_half_the_window_sum():
    n_fft, bin_, samples = 1024, 40, torch.arange(8192)
    magnitude = Stft(n_fft, 256).magnitude(0.8 * torch.sin(2 * math.pi * bin_ * samples / n_fft))
    inside = magnitude[:, 4:-4]
    assert (inside.argmax(0) == bin_).all()
    torch.testing.assert_close(
        inside[bin_], torch.full_like(inside[bin_], 0.8 * n_fft / 4), rtol=1e-4, atol=0
    )
    assert inside[bin_ + 3 :].max() < 0.01  # a Hann window leaks into two neighbours only


def test_an_impulse_has_a_flat_spectrum_under_the_window():
    wave = torch.zeros(4096)
    wave[2000] = 1
    magnitude = Stft(1024, 256).magnitude(wave)
    distance = (torch.arange(magnitude.shape[-1]) * 256 - 2000).double()
    window = torch.where(distance.abs() < 512, torch.cos(math.pi * distance / 1024).square(), 0.0)
    torch.testing.assert_close(magnitude, window.float().expand_as(magnitude), atol=1e-6, rtol=0)


def test_a_chirp_is_where_its_instantaneous_frequency_is():
    samples = torch.arange(22050, dtype=torch.float64)
    # .02 + 1e-5 n cycles a sample
    wave = torch.sin(2 * math.pi * (0.02 * samples + 0.5 * 1e-5 * samples**2)).float()
    peak = Stft(1024, 256).magnitude(wave).argmax(0)
    expected = (0.02 + 1e-5 * 256 * torch.arange(len(peak))) * 1024
    assert (peak - expected)[3:-3].abs().max() <= 1


@pytest.mark.parametrize(("n_fft", "hop"), SIZES)
def test_forward_equals_torch_librosa_and_scipy(n_fft, hop):
    wave = noise(9001)
    ours = Stft(n_fft, hop)(wave)
    window = torch.hann_window(n_fft)
    theirs = torch.stft(wave, n_fft, hop, window=window, pad_mode="constant", return_complex=True)
    assert ours.shape == theirs.shape == (n_fft // 2 + 1, 1 + 9001 // hop)
    assert relative(ours, theirs) < 1e-6
    by_librosa = librosa.stft(wave.numpy(), n_fft=n_fft, hop_length=hop, pad_mode="constant")
    assert relative(ours, torch.from_numpy(by_librosa)) < 1e-6
    transform = signal.ShortTimeFFT(
        signal.windows.hann(n_fft, sym=False), hop, fs=1, phase_shift=None
    )
    by_scipy = transform.stft(wave.double().numpy(), p0=0, p1=ours.shape[-1])
    assert relative(ours, torch.from_numpy(by_scipy).to(ours.dtype)) < 1e-6


@pytest.mark.parametrize(("n_fft", "hop"), SIZES)
def test_inverse_of_any_spectrum_equals_torch_librosa_and_scipy(n_fft, hop):
    frames = 20
    spectrum = Stft(n_fft, hop)(noise(19 * hop)) * noise(1, 20, seed=1) ** 2  # that no wave has
    ours = Stft(n_fft, hop).inverse(spectrum)
    assert ours.shape == ((frames - 1) * hop,)
    assert relative(ours, torch.istft(spectrum, n_fft, hop, window=torch.hann_window(n_fft))) < 1e-6
    by_librosa = librosa.istft(spectrum.numpy(), n_fft=n_fft, hop_length=hop)
    assert relative(ours, torch.from_numpy(by_librosa)) < 1e-6
    transform = signal.ShortTimeFFT(
        signal.windows.hann(n_fft, sym=False), hop, fs=1, phase_shift=None
    )
    # scipy counts from the first frame that touches
    whole = np.pad(spectrum.numpy(), [(0, 0), (-transform.p_min, 0)])
    by_scipy = torch.from_numpy(
        transform.istft(whole.astype(complex), k1=(frames - 1) * hop)
    ).float()
    inside = slice(n_fft, -n_fft)  # scipy's frames go on beyond the ends
    assert relative(ours[inside], by_scipy[inside]) < 1e-6


@given(
    overlap=st.sampled_from([3, 4, 8]),
    hop=st.sampled_from([16, 32, 48, 250]),
    samples=st.integers(1, 3000),
    leading=st.lists(st.integers(1, 3), max_size=2),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 99),
)
def test_reconstruction_is_perfect(overlap, hop, samples, leading, dtype, seed):
    stft = Stft(overlap * hop, hop)
    wave = noise(*leading, samples, seed=seed, dtype=dtype)
    spectrum = stft(wave)
    assert spectrum.shape == (*leading, stft.bins, 1 + samples // hop)
    back = stft.inverse(spectrum, length=samples)
    assert back.shape == wave.shape and back.dtype == dtype
    assert (back - wave).norm() <= 1e-6 * wave.norm()


@pytest.mark.parametrize("samples", [512, 5120])
def test_reconstruction_is_perfect_at_half_overlap_up_to_the_last_centre(samples):
    stft, wave = Stft(1024, 512), noise(samples)
    assert relative(stft.inverse(stft(wave)), wave) < 1e-6


def test_the_tail_that_no_window_sees_well_fades_out_instead_of_exploding():
    stft = Stft(1024, 512)
    wave = stft.inverse(noise(513, 10).to(torch.complex64), length=9 * 512 + 511)
    assert wave[-50:].abs().max() < 2 * wave[:-512].abs().max() and wave[-1].abs() < 1e-3
    exact = noise(9 * 512 + 511)
    back = stft.inverse(stft(exact), length=len(exact))
    assert relative(back[:-110], exact[:-110]) < 1e-5


@pytest.mark.parametrize(("n_fft", "hop"), SIZES)
def test_inverse_is_the_nearest_wave(n_fft, hop):
    """What the inverse leaves of a spectrum is orthogonal to the spectrum of every wave: its own
    inverse is zero.
    """
    stft = Stft(n_fft, hop)
    spectrum = torch.complex(noise(stft.bins, 12), noise(stft.bins, 12, seed=1))
    wave = stft.inverse(spectrum)
    rest = stft.inverse(spectrum - stft(wave))
    assert rest.abs().max() < 1e-5 * wave.abs().max()


def test_projection_keeps_spectra_of_waves_and_moves_others_once():
    stft = Stft(1024, 256)
    own = stft.analyze(noise(2, 5000))
    assert relative(stft.project(own, 5000), own) < 1e-6
    other = torch.complex(noise(2, 20, 513), noise(2, 20, 513, seed=1))
    once = stft.project(other, 5000)
    assert relative(once, other) > 0.1
    assert relative(stft.project(once, 5000), once) < 1e-6
    assert relative(once, stft.analyze(stft.synthesize(other, 5000))) < 1e-6


def test_silence_stays_silence():
    stft = Stft()
    spectrum = stft(torch.zeros(3, 4000))
    assert not spectrum.any() and not stft.inverse(spectrum, 4000).any()
    assert not stft.project(spectrum.transpose(-1, -2)).any()


def test_gradients_flow_both_ways_and_are_finite_in_silence():
    stft = Stft(64, 16)
    wave = noise(100, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: stft.inverse(stft(w) ** 2, length=100), wave)
    assert torch.autograd.gradcheck(stft.magnitude, wave)
    silent = torch.zeros(100, requires_grad=True)
    stft.magnitude(silent).sum().backward()
    assert silent.grad is not None and not silent.grad.any()


def test_a_call_in_inference_mode_does_not_spoil_later_gradients():
    stft = Stft(128, 32)
    with torch.inference_mode():
        stft.inverse(stft(noise(777)), length=777)
    wave = noise(777).requires_grad_()
    stft.inverse(stft(wave), length=777).sum().backward()
    assert relative(wave.grad, torch.ones(777)) < 1e-5


def test_the_window_is_no_part_of_a_saved_state():
    assert Stft().state_dict() == {}


@pytest.mark.parametrize(
    ("n_fft", "hop"), [(1023, 256), (0, 1), (1024, 0), (1024, 300), (1024, 1024), (1024, -256)]
)
def test_sizes_that_do_not_fit_are_named(n_fft, hop):
    with pytest.raises(InputError, match=str(hop if n_fft == 1024 else n_fft)):
        Stft(n_fft, hop)


def test_spectra_and_lengths_that_do_not_fit_are_errors():
    stft = Stft(1024, 256)
    with pytest.raises(ValueError, match="513 bins, not 257"):
        stft.inverse(torch.zeros(257, 10, dtype=torch.complex64))
    for length in (-1, 9 * 256 + 512):
        with pytest.raises(ValueError, match=f"0 to 2815 samples, not {length}"):
            stft.inverse(torch.zeros(513, 10, dtype=torch.complex64), length)
