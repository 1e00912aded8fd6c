"""Players for sounds in a notebook: side by side, at their own level, each with a line of measures.

A player that normalises hides a gain error. These do not: sounds of different level sound
different, and the printed line, the fingerprint of the sound, is text that a test of the notebook
can compare.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tootlearn.dsp import measures
from tootlearn.dsp.audio import peak_db, resample, rms_db
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError

COLOURS = "magma"
RANGE_DB = 80.0  # of a spectrogram, from black to the row's brightest colour
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
LOWEST_F0 = 30.0  # Hz: down to where the fingerprint looks for a period
PERIODIC = 0.15  # a normalised difference below this is a period (YIN's threshold, a little wider)
_YIN_SECONDS = 0.1  # before and after the sound's middle
_FINER = 4  # times as many samples, so that a high note's period is many of them
_SHORTEST = 9  # of those: a period at 22,050 Hz of 8 kHz has 11
_ROWS, _COLUMNS = 96, 256  # pixels of a spectrogram


def listen(
    waves: Tensor | NDArray[Any] | Mapping[str, Tensor | NDArray[Any]],
    sample_rate: int = 22050,
    caption: str = "",
    match: Literal["loudness"] | None = None,
) -> None:
    """Show a row of players with spectrograms, and print a fingerprint of each sound.

    Nothing is normalised. Where a peak passes full scale, the whole row is turned down by one gain,
    which is shown. Spectrograms of a row share their time axis and their colours. The fingerprints
    are of the waves as given, before any of these gains.

    Args:
        waves: one wave (N,) in [-1, 1], tensor or array, or several by their label.
        sample_rate: Hz.
        caption: what to listen for.
        match: "loudness" turns each sound down to the quietest, and shows by how many dB.

    Raises:
        InputError: no waves, or one that is not (N,) with finite samples.
    """
    from IPython.display import display

    named = waves if isinstance(waves, Mapping) else {"sound": waves}
    row = {label: checked(label, wave) for label, wave in named.items()}
    if not row:
        raise InputError("there is no wave to listen to: give one or more")
    gains = matching(row, sample_rate) if match == "loudness" else dict.fromkeys(row, 0.0)
    peak = max(float(peak_db(wave)) + gains[label] for label, wave in row.items())
    down = min(0.0, -peak)
    images = _spectrograms(row, sample_rate)
    players = "".join(
        _player(
            label,
            wave * 10 ** ((gains[label] + down) / 20),
            sample_rate,
            images[label],
            gains[label],
            bool(match),
        )
        for label, wave in row.items()
    )
    notes = [caption] if caption else []
    if down < 0:
        notes.append(f"The row is turned down by {-down:.1f} dB: its peak passes full scale.")
    foot = f"<figcaption>{html.escape(' '.join(notes))}</figcaption>" if notes else ""
    frame = '<figure style="margin:0 0 .5rem"><div style="display:flex;flex-wrap:wrap;gap:1rem">'
    content = f"{frame}{players}</div>{foot}</figure>"
    text = (
        f"<{len(row)} players: {', '.join(row)}>"
        if len(row) > 1
        else f"<player: {next(iter(row))}>"
    )
    display({"text/html": content, "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]
    for label, wave in row.items():
        print(f"{label}: {fingerprint(wave, sample_rate)}")


def fingerprint(wave: Tensor | NDArray[Any], sample_rate: int = 22050) -> str:
    """What a wave (N,) measures, in one line: peak, RMS of the whole wave, f0, spectral centroid,
    duration.

    Levels are in dBFS to 0.1 dB, f0 and centroid in Hz to three digits, the duration
    (`measures.duration`) in s to 0.01 s: coarse enough to be the same on every machine, fine enough
    that a change of gain, hop or front end shows. f0 is what `quick_f0` finds, and "-" where
    nothing repeats.

    Example:
        >>> fingerprint(0.5 * torch.sin(2 * math.pi * 441 * torch.arange(22050) / 22050))
        'peak -6.0 dBFS, RMS -9.0 dBFS, f0 441 Hz, centroid 453 Hz, 1.00 s'
    """
    wave = checked("the wave", wave)
    extent = measures.measure(wave, sample_rate)
    levels = f"peak {_decibels(peak_db(wave))} dBFS, RMS {_decibels(rms_db(wave))} dBFS"
    pitch, bright = _hertz(quick_f0(wave, sample_rate)), _hertz(float(extent.centroid))
    return f"{levels}, f0 {pitch}, centroid {bright}, {float(extent.duration):.2f} s"


def quick_f0(wave: Tensor, sample_rate: float) -> float:
    """f0 of the middle of a sound by its period (YIN, de Cheveigne and Kawahara 2002), in a few
    milliseconds.

    The period of a chord is that of all its notes together. The trackers of `measures` are more
    accurate, but slower, or need a pitch to start from.

    Args:
        wave: (N,).
        sample_rate: Hz.

    Returns:
        Hz, between 30 and 8000; nan where nothing repeats, or where f0 moves by more than half a
        semitone in 0.1 s.
    """
    extent = measures.measure(wave, sample_rate)
    if not float(extent.duration) > 0:
        return math.nan
    longest = math.ceil(sample_rate / LOWEST_F0)
    size = min(
        int(_YIN_SECONDS * sample_rate),
        max(int(float(extent.duration) * sample_rate - longest) // 2, longest),
    )
    middle = int((float(extent.onset) + float(extent.duration) / 2) * sample_rate)
    first = max(0, middle - size - longest // 2)
    part = functional.pad(wave, (0, 2 * size + longest))[first : first + 2 * size + longest]
    part = resample(part, 1, _FINER).double()
    size, longest = size * _FINER, longest * _FINER
    periods = [_period(part[start : start + size + longest], size) for start in (0, size)]
    steady = abs(math.log(periods[0] / periods[1])) < math.log(2) / 24  # false for nan, too
    return sample_rate * _FINER / math.sqrt(periods[0] * periods[1]) if steady else math.nan


def _period(part: Tensor, size: int) -> float:
    """The shortest shift, in samples, after which `size` samples of a part (size + longest,)
    repeat; or nan.
    """
    longest, fft_size = len(part) - size, 2 ** math.ceil(math.log2(2 * len(part)))
    spectrum = torch.fft.rfft(part, fft_size)
    same = torch.fft.irfft(torch.fft.rfft(part[:size], fft_size).conj() * spectrum, fft_size)[
        : longest + 1
    ]
    energy = functional.pad(part.square().cumsum(0), (1, 0))
    power = energy[size : size + longest + 1] - energy[: longest + 1]
    difference = (power[0] + power - 2 * same).clamp_min(0)  # (lags,): 0 at the period
    normal = (
        difference[1:] * torch.arange(1, longest + 1) / difference[1:].cumsum(0).clamp_min(1e-30)
    )
    below = (normal[_SHORTEST:] < PERIODIC).nonzero()
    if len(below) == 0:
        return math.nan
    at = int(below[0]) + _SHORTEST
    while at + 1 < len(normal) and normal[at + 1] < normal[at]:  # down to the bottom of the dip
        at += 1
    if at + 1 >= len(normal):
        return math.nan
    a, b, c = (float(normal[i]) for i in (at - 1, at, at + 1))
    bend = a - 2 * b + c
    return at + 1 + (0.5 * (a - c) / bend if bend > 0 else 0.0)


def checked(label: str, wave: Tensor | NDArray[Any]) -> Tensor:
    """A wave as float32 (N,) on the CPU; InputError names the label of one that is not finite."""
    checked = torch.as_tensor(wave).detach().cpu().float()
    if checked.ndim != 1 or len(checked) == 0 or not bool(checked.isfinite().all()):
        state = "all finite" if bool(checked.isfinite().all()) else "not all finite"
        raise InputError(
            f"{label}: a wave has shape (N,) and finite samples, not {tuple(checked.shape)}, "
            f"{state}"
        )
    return checked


def matching(row: Mapping[str, Tensor], sample_rate: int) -> dict[str, float]:
    """The gain in dB, 0 or less, that brings each sound to the loudness of the quietest; silence
    stays.
    """
    levels = {label: float(measures.loudness(wave, sample_rate)) for label, wave in row.items()}
    quietest = min((level for level in levels.values() if math.isfinite(level)), default=0.0)
    return {
        label: quietest - level if math.isfinite(level) else 0.0 for label, level in levels.items()
    }


def _decibels(level: Tensor) -> str:
    return f"{float(level):.1f}".replace("-0.0", "0.0") if math.isfinite(level) else "-inf"


def _hertz(value: float) -> str:
    return f"{float(f'{value:.3g}'):g} Hz" if math.isfinite(value) else "-"


def _player(
    label: str, wave: Tensor, sample_rate: int, image: str, gain: float, matched: bool
) -> str:
    name = html.escape(label)
    shown = f" <span>({round(gain, 1) + 0.0:.1f} dB)</span>" if matched else ""
    return (
        '<div style="flex:1 1 '
        f'12rem;min-width:0;max-width:22rem"><div><strong>{name}</strong>{shown}</div>'
        f'<audio controls preload="metadata" aria-label="Play {name}" '
        'style="width:100%;height:2.5rem;display:block"'
        f' src="data:audio/mpeg;base64,{mp3(wave, sample_rate)}"></audio>{image}</div>'
    )


def mp3(wave: Tensor, sample_rate: int) -> str:
    """A wave as MP3 in base64; a rate that MP3 lacks becomes the next higher one."""
    import soundfile

    rate = next((known for known in MP3_RATES if known >= sample_rate), MP3_RATES[-1])
    wave = resample(wave, sample_rate, rate).clamp(-1, 1)
    buffer = io.BytesIO()
    soundfile.write(buffer, wave.numpy(), rate, format="MP3")
    return base64.b64encode(buffer.getvalue()).decode()


def _spectrograms(row: Mapping[str, Tensor], sample_rate: int) -> dict[str, str]:
    """An <img> for each wave, on one time axis and one colour scale."""
    from matplotlib import colormaps
    from PIL import Image

    longest = max(len(wave) for wave in row.values())
    hop = max(1, longest // _COLUMNS)
    stft = Stft(1024, 256) if hop <= 512 else Stft(4096, 2048)
    seconds, nyquist = longest / sample_rate, sample_rate / 2
    magnitudes = {}
    for label, wave in row.items():
        full = stft.magnitude(functional.pad(wave, (0, longest - len(wave))))
        magnitudes[label] = functional.adaptive_max_pool2d(
            full[None, 1:], (_ROWS, min(_COLUMNS, full.shape[-1]))
        )[0]
    top = max(float(magnitude.max()) for magnitude in magnitudes.values())
    images = {}
    for label, magnitude in magnitudes.items():
        level = 20 * (magnitude / max(top, 1e-12)).clamp_min(1e-12).log10() / RANGE_DB + 1  # 0 to 1
        pixels = (colormaps[COLOURS](level.clamp(0, 1).numpy()[::-1])[..., :3] * 255).astype(
            np.uint8
        )
        buffer = io.BytesIO()
        Image.fromarray(pixels).quantize(48, dither=Image.Dither.NONE).save(
            buffer, format="PNG", optimize=True
        )
        data = base64.b64encode(buffer.getvalue()).decode()
        strongest = _strongest(magnitude, nyquist)
        words = f"Spectrogram of {label}: {strongest}, {seconds:.2f} s, up to {nyquist:g} Hz"
        alt, style = html.escape(words), "width:100%;height:6rem;display:block"
        images[label] = (
            f'<img class="dark-light" alt="{alt}" style="{style}" '
            f'src="data:image/png;base64,{data}">'
        )
    return images


def _strongest(magnitude: Tensor, nyquist: float) -> str:
    """Where a spectrogram (rows, columns) is strongest, in words."""
    if not float(magnitude.max()) > 0:
        return "silence"
    row = int(magnitude.square().sum(-1).argmax())
    return f"strongest around {_hertz((row + 0.5) * nyquist / len(magnitude))}"
