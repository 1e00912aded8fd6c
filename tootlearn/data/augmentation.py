"""Augmentation: variants of recorded toots, as other recordings of them may sound, with controls
that fit them.

Every transformation works on a batch, on the batch's device, and its docstring says what it does to
the controls. There are two sorts. Some make *another toot*: gain, polarity, shift, pitch, tilt,
room, stretch and mix. What is learned changes with them, and so do the controls. Others *hide*
something: noise and masks. The encoder hears them, and what it shall draw is the toot without them
(a denoising autoencoder: Vincent et al. 2008), so the controls stay.

Synthetic toots need none of it: a variant of one is another one, which the synthesiser makes with
exact controls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from tootlearn.controls import ONSET_SAMPLES
from tootlearn.dsp import audio
from tootlearn.errors import InputError

PIVOT, LOWEST_TILTED = 1000.0, 50.0  # Hz: where a tilt changes nothing, and below which it is flat
_FADE = 220  # samples: the end of a sound that does not fit the window any more
_LONGEST_ROOM = 1.0  # s of an impulse response


@dataclass(frozen=True)
class Augmentation:
    """How much of each transformation training uses; 0, the default of all, leaves it out.

    Args:
        gain: dB, at most so much louder or softer; never out of the range of loudness, and never
            clipped.
        polarity: share of toots that are turned upside down. Log-mels do not see it.
        shift: s, at most so much earlier or later, up to .02.
        pitch: cents, at most so much higher or lower, up to 1200.
        tilt: dB an octave, at most so much brighter or darker, up to 12.
        room: share of the sound that a room can take, up to 1.
        rooms: WAV files of impulse responses; without them, decaying noise of .1 to .8 s.
        stretch: at most so much longer or shorter, as a share: .25 is 1.25 times to 1 / 1.25 times;
            up to 1.
        mix: share that another toot of the kind can take, up to .5.
        noise: RMS of noise, white to pink, as a share of the toot's, at most: .1 is an SNR of 20
            dB. It is drawn in dB, down to 30 dB less.
        time_mask: share of the frames that one mask can hide, up to .5.
        band_mask: share of the mel bands that one mask can hide, up to .5.

    Raises:
        InputError: a strength out of its range, or rooms that are not used.
    """

    gain: float = 0.0
    polarity: float = 0.0
    shift: float = 0.0
    pitch: float = 0.0
    tilt: float = 0.0
    room: float = 0.0
    rooms: tuple[str, ...] = ()
    stretch: float = 0.0
    mix: float = 0.0
    noise: float = 0.0
    time_mask: float = 0.0
    band_mask: float = 0.0

    def __post_init__(self) -> None:
        for name, most in HIGHEST.items():
            if not 0 <= getattr(self, name) <= most:
                raise InputError(
                    f"augmentation: {name} is 0 to {most:g}, not {getattr(self, name)}"
                )
        if self.rooms and not self.room:
            raise InputError(
                "augmentation: rooms are given, but room, the share that they take, is 0"
            )

    @property
    def on(self) -> bool:
        """Whether any is used."""
        return any(getattr(self, name) for name in HIGHEST)


HIGHEST = {  # what a strength can be
    "gain": 60.0,
    "polarity": 1.0,
    "shift": 0.02,
    "pitch": 1200.0,
    "tilt": 12.0,
    "room": 1.0,
    "stretch": 1.0,
    "mix": 0.5,
    "noise": 10.0,
    "time_mask": 0.5,
    "band_mask": 0.5,
}
assert set(HIGHEST) == {field.name for field in fields(Augmentation)} - {"rooms"}


def gain(wave: Tensor, decibel: Tensor) -> Tensor:
    """Waves (B, N) louder by so many dB (B,). Controls: loudness moves by them."""
    return wave * 10 ** (decibel[:, None] / 20)


def invert(wave: Tensor, inverted: Tensor) -> Tensor:
    """Waves (B, N) with those turned upside down that ``inverted`` (B,), bool, says. Controls: as
    they were.
    """
    return torch.where(inverted[:, None], -wave, wave)


def shift(wave: Tensor, samples: Tensor) -> Tensor:
    """Waves (B, N) that come later by whole samples (B,), int64; silence follows, or precedes.
    Controls: as they were.

    A toot's attack then lies elsewhere between frames: shifts of a few frames teach that this means
    nothing.
    """
    places = torch.arange(wave.shape[1], device=wave.device) - samples[:, None]
    inside = (places >= 0) & (places < wave.shape[1])
    return wave.gather(1, places.clamp(0, wave.shape[1] - 1)) * inside


def pitch_shift(wave: Tensor, cents: Tensor, anchor: int = ONSET_SAMPLES) -> Tensor:
    """Waves played faster or slower, as a tape is: by resampling, exact within a tenth of a cent.

    The spectrum is cut or padded, so nothing folds back (the method of `scipy.signal.resample`).
    What does not fit the window any more is faded out; what the window has to spare is silent.

    Controls: pitch times r = 2^(cents / 1200), duration divided by r, loudness as it was;
    brightness is relative to the pitch and stays, but for what passes the Nyquist frequency:
    measure it again. Formants move with the pitch, which the body of an instrument does not do:
    keep to a few semitones.

    Args:
        wave: (B, N).
        cents: (B,).
        anchor: the sample that stays where it is: the onset.
    """
    count = wave.shape[1]
    spectrum = torch.fft.rfft(wave)
    bins = torch.arange(spectrum.shape[1], device=wave.device)
    ramp = 0.5 - 0.5 * torch.cos(torch.pi * torch.arange(_FADE, device=wave.device) / _FADE)
    shifted = torch.zeros_like(wave)
    for row, ratio in enumerate((2 ** (cents.double() / 1200)).tolist()):
        length = round(count / ratio)
        begin = anchor * (1 - count / length)  # in the wave, samples: what the result begins with
        turned = spectrum[row] * torch.exp(2j * torch.pi * begin / count * bins)
        played = torch.fft.irfft(turned[: length // 2 + 1], n=length)[:count] * (length / count)
        played[-_FADE:] *= ramp.flip(0)
        shifted[row, : len(played)] = played
    return shifted


def tilt(wave: Tensor, slope: Tensor, sample_rate: int) -> Tensor:
    """Waves (B, N) through an equaliser that rises by ``slope`` dB (B,) an octave, without changing
    phase.

    It passes 1 kHz unchanged and is flat below 50 Hz. Controls: brightness and loudness change:
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
    """Impulse responses of rooms: the direct sound, then noise of the same energy that dies away
    (Polack 1988).

    Args:
        seconds: (B,) that the noise takes to fall by 60 dB.
        white: (B, R), normal noise.
        sample_rate: Hz.

    Returns:
        (B, R), of unit energy, but for the sample where direct sound and noise meet.
    """
    time = torch.arange(white.shape[1], device=white.device) / sample_rate
    tail = white * torch.exp(-math.log(1000) * time / seconds[:, None])
    response: Tensor = tail / tail.norm(dim=1, keepdim=True)
    response[:, 0] += 1
    return response / math.sqrt(2)


def read_rooms(paths: Sequence[str], sample_rate: int) -> Tensor:
    """Impulse responses from files, (K, R): from their peaks on, 1 s at most, of unit energy.

    Raises:
        InputError: a file that cannot be read, or is silent.
    """
    found = []
    for path in paths:
        wave, _ = audio.load(path, sample_rate)
        if not wave.any():
            raise InputError(f"{path} is silent: give the recording of an impulse in a room")
        wave = wave[int(wave.abs().argmax()) :][: round(_LONGEST_ROOM * sample_rate)]
        found.append(wave / wave.norm())
    return torch.nn.utils.rnn.pad_sequence(found, batch_first=True)


def reverberate(wave: Tensor, response: Tensor, share: Tensor) -> Tensor:
    """Waves (B, N) of which a share (B,), 0 to 1, is heard through impulse responses (B, R); cut at
    N samples.

    Controls: duration gets longer, loudness and brightness change: measure them again.
    """
    from torchaudio.functional import fftconvolve

    wet: Tensor = fftconvolve(wave, response.to(wave))[:, : wave.shape[1]]
    return wave + share[:, None] * (wet - wave)


def coloured(white: Tensor, slope: Tensor) -> Tensor:
    """White noise (B, N) whose amplitude then falls by a power (B, 1) of the frequency, .5 being
    pink: of unit RMS.
    """
    spectrum = torch.fft.rfft(white)
    spectrum[:, 0] = 0  # it would be an offset, the larger the steeper the slope
    share = torch.arange(spectrum.shape[1], device=white.device).clamp_min(1) / spectrum.shape[1]
    noise: Tensor = torch.fft.irfft(spectrum * share**-slope, n=white.shape[1])
    return noise / noise.square().mean(1, keepdim=True).sqrt()


def add_noise(wave: Tensor, noise: Tensor, loudness: Tensor, snr: Tensor) -> Tensor:
    """Waves (B, N) with noise (B, N) of unit RMS all over the window, at an SNR (B,) in dB.

    The signal is the toot while it lasts: its level is the control ``loudness`` (B,), dBFS.
    Controls: they are those of the toot in the noise. (Measured in the noise, every toot would last
    as long as the window.)
    """
    return wave + noise * 10 ** ((loudness - snr)[:, None] / 20)


def stretch(x: Tensor, factor: Tensor, anchor: float, beyond: float) -> Tensor:
    """What lies along time (B, C, T), such as a log-mel, made longer by a factor (B,): linear
    interpolation of frames.

    Controls: duration times the factor, as far as the window goes; all others as they were.
    Log-mels have no phase, so nothing smears as in a phase vocoder; attacks and vibrato get slower
    too: keep to small factors.

    Args:
        x: (B, C, T).
        factor: (B,), positive.
        anchor: the frame that stays where it is, such as the onset's.
        beyond: what stands after the last frame.
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
    """Log-mels (B, M, T) of which another toot takes a share (B,): a mean of levels in dB (after
    Zhang et al. 2018).

    It makes sense where harmonics lie on harmonics: for two toots of one kind, brought to one pitch
    and one duration. Toots of two pitches or two kinds become a chord that no horn plays, and no
    mean of their controls describes it. Controls: loudness and brightness become means with the
    same shares, within 1 dB and a tenth of an octave where the two toots are within 6 dB and an
    octave of each other; loudness is never above that mean.
    """
    return x + share[:, None, None] * (other - x)


def mask(x: Tensor, share: Tensor, place: Tensor, dim: int, fill: Tensor) -> Tensor:
    """Log-mels (B, M, T) with neighbouring frames or bands hidden (SpecAugment: Park et al. 2019).

    Controls: as they were; what is hidden is to be drawn.

    Args:
        x: (B, M, T).
        share: (B,) how much is hidden, 0 to 1, rounded to whole frames or bands.
        place: (B,) where, from 0 (at the start) to 1 (at the end).
        dim: 2 hides frames, 1 bands.
        fill: what is put there, broadcastable to x: the mean of the training clips, as in the
            paper.
    """
    count = x.shape[dim]
    width = (share * count).round()
    first = (place * (count - width)).round()
    index = torch.arange(count, device=x.device)
    hidden = (index >= first[:, None]) & (index < (first + width)[:, None])
    return torch.where(hidden[:, :, None] if dim == 1 else hidden[:, None, :], fill, x)
