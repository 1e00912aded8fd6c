"""Augmentation: variants of recorded toots, as other recordings of them might sound, with controls
to match.

Every transformation works on a batch, on its device, and its docstring says what happens to the
controls. There are two sorts. Gain, polarity, shift, pitch, tilt, room, stretch and mix make
*another toot*: the target of training changes, and so do the controls. Noise and masks *hide* a
part: only the input of the encoder changes, while target and controls stay those of the toot
without them (a denoising autoencoder: Vincent et al. 2008).

Synthetic toots need no augmentation: the synthesiser makes as many as are needed, with exact
controls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tootlearn.controls import ONSET_SAMPLES
from tootlearn.dsp import audio
from tootlearn.errors import InputError

PIVOT, LOWEST_TILTED = 1000.0, 50.0  # Hz: where the gain of a tilt is 0 dB, and where it ends
_FADE = 220  # samples of the fade at the end of a sound that no longer fits the window
_LONGEST_ROOM = 1.0  # s of an impulse response


def gain(wave: Tensor, decibel: Tensor) -> Tensor:
    """Waves (B, N) amplified by ``decibel`` (B,) dB. Controls: loudness changes by as much."""
    return wave * 10 ** (decibel[:, None] / 20)


def invert_polarity(wave: Tensor, inverted: Tensor) -> Tensor:
    """Waves (B, N), of which those where ``inverted`` (B,), bool, is true are negated. Controls:
    unchanged.
    """
    return torch.where(inverted[:, None], -wave, wave)


def shift(wave: Tensor, samples: Tensor) -> Tensor:
    """Waves (B, N) delayed by whole samples (B,), int64, positive or negative; the gap is silent.
    Controls: unchanged.

    It moves the attack relative to the frames, which should make no difference to the network.
    """
    places = torch.arange(wave.shape[1], device=wave.device) - samples[:, None]
    inside = (places >= 0) & (places < wave.shape[1])
    return wave.gather(1, places.clamp(0, wave.shape[1] - 1)) * inside


def pitch_shift(wave: Tensor, cents: Tensor, anchor: int = ONSET_SAMPLES) -> Tensor:
    """Waves played faster or slower, like a tape, by resampling; exact within 0.1 cents.

    The spectrum is cut or padded, so there is no aliasing (the method of `scipy.signal.resample`).
    What no longer fits the window is faded out, and what is missing at its end is silent.

    Controls: pitch is multiplied and duration divided by r = 2^(cents / 1200); loudness is
    unchanged. Brightness, which is relative to the pitch, changes only by what passes the Nyquist
    frequency: measure it again. Formants move with the pitch, which those of an instrument do not:
    shift by a few semitones at most.

    Args:
        wave: (B, N).
        cents: (B,).
        anchor: the sample that does not move, the onset.
    """
    count = wave.shape[1]
    spectrum = torch.fft.rfft(wave)
    bins = torch.arange(spectrum.shape[1], device=wave.device)
    ramp = 0.5 - 0.5 * torch.cos(torch.pi * torch.arange(_FADE, device=wave.device) / _FADE)
    shifted = torch.zeros_like(wave)
    for row, ratio in enumerate((2 ** (cents.double() / 1200)).tolist()):
        length = round(count / ratio)
        begin = anchor * (1 - count / length)  # where the result begins, samples of the wave
        turned = spectrum[row] * torch.exp(2j * torch.pi * begin / count * bins)
        played = torch.fft.irfft(turned[: length // 2 + 1], n=length)[:count] * (length / count)
        played[-_FADE:] *= ramp.flip(0)
        shifted[row, : len(played)] = played
    return shifted


def tilt_spectrum(wave: Tensor, slope: Tensor, sample_rate: int) -> Tensor:
    """Waves (B, N) filtered by a gain that rises by ``slope`` (B,) dB an octave, with zero phase.

    The gain is 0 dB at 1 kHz and constant below 50 Hz. Controls: brightness and loudness change;
    measure them again.
    """
    spectrum = torch.fft.rfft(wave)
    hertz = torch.arange(spectrum.shape[1], device=wave.device) * (sample_rate / wave.shape[1])
    octaves = (hertz.clamp_min(LOWEST_TILTED) / PIVOT).log2()
    tilted: Tensor = torch.fft.irfft(
        spectrum * 10 ** (slope[:, None] * octaves / 20), n=wave.shape[1]
    )
    return tilted


def decays(seconds: Tensor, white: Tensor, sample_rate: int) -> Tensor:
    """Impulse responses of rooms: the direct sound, followed by decaying noise of the same energy
    (Polack 1988).

    Args:
        seconds: (B,), reverberation time: how long the noise takes to fall by 60 dB.
        white: (B, R), normal noise.
        sample_rate: Hz.

    Returns:
        (B, R), of unit energy, except for the overlap of direct sound and noise in the first
            sample.
    """
    time = torch.arange(white.shape[1], device=white.device) / sample_rate
    tail = white * torch.exp(-math.log(1000) * time / seconds[:, None])
    response: Tensor = tail / tail.norm(dim=1, keepdim=True)
    response[:, 0] += 1
    return response / math.sqrt(2)


def read_rooms(paths: Sequence[str], sample_rate: int) -> Tensor:
    """Impulse responses (K, R) from files: from their peaks on, 1 s at most, of unit energy.

    Raises:
        InputError: if a file cannot be read, or is silent.
    """
    responses = []
    for path in paths:
        wave, _ = audio.load_audio(path, sample_rate)
        if not wave.any():
            raise InputError(f"{path} is silent: give the recording of an impulse in a room")
        wave = wave[int(wave.abs().argmax()) :][: round(_LONGEST_ROOM * sample_rate)]
        responses.append(wave / wave.norm())
    return torch.nn.utils.rnn.pad_sequence(responses, batch_first=True)


def reverberate(wave: Tensor, response: Tensor, share: Tensor) -> Tensor:
    """Waves (B, N), a share (B,) of which, 0 to 1, is convolved with impulse responses (B, R); cut
    off at N samples.

    Controls: duration, loudness and brightness change; measure them again.
    """
    from torchaudio.functional import fftconvolve

    wet: Tensor = fftconvolve(wave, response.to(wave))[:, : wave.shape[1]]
    return wave + share[:, None] * (wet - wave)


def coloured(white: Tensor, slope: Tensor) -> Tensor:
    """White noise (B, N) filtered so that its amplitude falls as the frequency to the power of
    ``slope`` (B, 1), where 0.5 gives pink noise; of unit RMS.
    """
    spectrum = torch.fft.rfft(white)
    spectrum[:, 0] = 0  # otherwise there is an offset, which is larger for a steeper slope
    share = torch.arange(spectrum.shape[1], device=white.device).clamp_min(1) / spectrum.shape[1]
    noise: Tensor = torch.fft.irfft(spectrum * share**-slope, n=white.shape[1])
    return noise / noise.square().mean(1, keepdim=True).sqrt()


def add_noise(wave: Tensor, noise: Tensor, loudness: Tensor, snr: Tensor) -> Tensor:
    """Waves (B, N) plus noise (B, N) of unit RMS over the whole window, at an SNR (B,) in dB.

    The level of the signal is that of the toot while it sounds, the control ``loudness`` (B,) in
    dBFS. Controls: unchanged, those of the toot without the noise. (Measured with the noise, every
    toot would last as long as the window.)
    """
    return wave + noise * 10 ** ((loudness - snr)[:, None] / 20)


def stretch(x: Tensor, factor: Tensor, anchor: float, beyond: float) -> Tensor:
    """Time series (B, C, T), such as log-mels, stretched by a factor (B,) with linear interpolation
    of frames.

    Controls: duration is multiplied by the factor, as far as the window allows; the others are
    unchanged. Log-mels have no phase, so there is no smearing as in a phase vocoder. Attack and
    vibrato slow down too: use small factors.

    Args:
        x: (B, C, T).
        factor: (B,), positive.
        anchor: the frame that does not move, such as that of the onset.
        beyond: the value after the last frame.
    """
    count = x.shape[2]
    places = anchor + (torch.arange(count, device=x.device) - anchor) / factor[:, None].to(x)
    inside = (places <= count - 1)[:, None]
    places = places.clamp(0, count - 1)
    below = places.long().clamp_max(count - 2)
    part = (places - below)[:, None]
    index = below[:, None].expand(-1, x.shape[1], -1)
    at, after = x.gather(2, index), x.gather(2, index + 1)
    return torch.where(inside, at + part * (after - at), beyond)


def mix(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Log-mels (B, M, T) mixed with others of a share (B,): a weighted mean of levels in dB (after
    Zhang et al. 2018).

    It makes sense where harmonics coincide: for two toots of the same kind, brought to the same
    pitch and duration. Toots of different pitches or kinds would become a chord that no horn plays,
    and that no mean of their controls describes. Controls: loudness and brightness become weighted
    means, within 1 dB and 0.1 octaves where the two toots are within 6 dB and an octave of each
    other; loudness never exceeds that mean.
    """
    return x + share[:, None, None] * (other - x)


def mask(x: Tensor, share: Tensor, place: Tensor, dim: int, fill: Tensor) -> Tensor:
    """Log-mels (B, M, T) with neighbouring frames or bands masked (SpecAugment: Park et al. 2019).

    Controls: unchanged; the network is to restore what is masked.

    Args:
        x: (B, M, T).
        share: (B,), how much is masked, 0 to 1, rounded to whole frames or bands.
        place: (B,), where, from 0 (at the start) to 1 (at the end).
        dim: 2 masks frames, 1 bands.
        fill: the values there, broadcastable to x: the mean of the training clips, as in the paper.
    """
    count = x.shape[dim]
    width = (share * count).round()
    first = (place * (count - width)).round()
    index = torch.arange(count, device=x.device)
    hidden = (index >= first[:, None]) & (index < (first + width)[:, None])
    return torch.where(hidden[:, :, None] if dim == 1 else hidden[:, None, :], fill, x)
