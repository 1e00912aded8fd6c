"""Sound in and out: files to waves and back, resampling, trimming and levels.

A wave is a float32 tensor of shape (..., N) in [-1, 1]. Everything here checks what it is given,
because this is where the outside world comes in: an `InputError` says what is wrong, with which
file, and what to do about it.
"""

import io
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tootlearn.errors import InputError
from tootlearn.files import atomic_write

STEP_16_BIT = 1 / 32768
_SAVE_FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}
# samples read or written at a time: libsndfile's Vorbis encoder overflows its stack on long writes
_BLOCK = 65536
LONGEST = 2**27  # samples of a file that is read: half a gigabyte, 50 minutes at 44,100 Hz
# Hz: what a file of sound can have; resampling from what a broken header says takes all memory
RATES = (1000, 768_000)
# of numerator and denominator of a ratio of sample rates: the filter has 128 taps for each
_LARGEST_RATIO = 16384


def load_audio(path: str | os.PathLike[str], sample_rate: int | None = None) -> tuple[Tensor, int]:
    """Read an audio file as one mono wave.

    Args:
        path: a WAV, FLAC, Ogg or MP3 file (or any other that libsndfile reads). Channels are
            averaged.
        sample_rate: the rate to resample to, in Hz; None keeps the file's own.

    Returns:
        The wave, float32 of shape (N,), and its sample rate in Hz. It lies in [-1, 1], except where
        a floating-point file or a decoder goes beyond: nothing is clipped.

    Raises:
        InputError: the file is missing, a directory, empty or not audio; it has no samples, NaN or
            infinite samples, or more than `LONGEST`; or its rate lies outside `RATES`.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a directory: name one audio file in it")
    if not path.exists():
        raise InputError(f"{path} does not exist: check the name and the folder")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes): record or copy it again")
        mono, rate = _read_mono(path)
    # TypeError: soundfile's answer to headerless .raw files
    except (OSError, RuntimeError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read as audio ({error}): give a WAV, FLAC, Ogg or MP3 file"
        ) from error
    if len(mono) == 0:
        raise InputError(f"{path} has a header but no samples: record or copy it again")
    if not np.isfinite(mono).all():
        raise InputError(
            f"{path} has NaN or infinite samples: export it again from the program that made it"
        )
    wave = torch.from_numpy(mono)
    if sample_rate is None:
        return wave, rate
    return resample(wave, rate, sample_rate), sample_rate


def _read_mono(path: Path) -> tuple[NDArray[np.float32], int]:
    """The mean of a file's channels, (N,), and its rate. Read in blocks: a header may promise any
    number of samples.
    """
    import soundfile

    # infinities of two signs
    with soundfile.SoundFile(path) as file, np.errstate(invalid="ignore"):
        if not RATES[0] <= file.samplerate <= RATES[1]:
            raise InputError(
                f"{path} has a sample rate of {file.samplerate} Hz: give {RATES[0]} to "
                f"{RATES[1]} Hz"
            )
        blocks, count = [np.zeros(0, dtype=np.float32)], 0
        while len(
            block := file.read(max(_BLOCK // file.channels, 1), dtype="float32", always_2d=True)
        ):
            blocks.append(block.mean(axis=1, dtype=np.float64).astype(np.float32))
            count += len(block)
            if count > LONGEST:
                raise InputError(
                    f"{path} has more than {LONGEST} samples: cut it into shorter files"
                )
        return np.concatenate(blocks), int(file.samplerate)


def save_audio(
    path: str | os.PathLike[str], wave: Tensor | NDArray[np.float32], sample_rate: int
) -> None:
    """Write one mono wave to a file, whole or not at all.

    The file is encoded in memory, written beside its destination and moved over it, so that neither
    a full disk nor a crash leaves half a file, and an older file of that name survives a failure.
    WAV and FLAC hold 16 bits a sample (rounded; 1.0 becomes the largest, 32767).

    Args:
        path: where to; the suffix (.wav, .flac, .ogg, .mp3) says the format. The folder must exist.
        wave: (N,) samples in [-1, 1], tensor or array.
        sample_rate: in Hz.

    Raises:
        InputError: unknown suffix, no samples, NaN or infinite samples, samples beyond [-1, 1] by
            more than a 16-bit step (they would be clipped: lower the gain first), a folder that is
            missing, or a disk that does not take the file.
    """
    path = Path(path)
    if path.suffix.lower() not in _SAVE_FORMATS:
        raise InputError(
            f"{path}: no format goes with the suffix {path.suffix!r}: use "
            f"{', '.join(_SAVE_FORMATS)}"
        )
    samples = np.asarray(torch.as_tensor(wave).detach().cpu().numpy(), dtype=np.float64)
    if samples.ndim != 1 or samples.size == 0:
        raise InputError(f"{path}: a wave to save has shape (N,) with N >= 1, not {samples.shape}")
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: the wave has NaN or infinite samples, so it was not saved")
    peak = float(np.abs(samples).max())
    if peak > 1 + STEP_16_BIT:
        raise InputError(
            f"{path}: the wave peaks at {peak:.4g} and would clip beyond 1: divide it by "
            f"{peak:.4g} first"
        )
    atomic_write(path, _encode(samples, sample_rate, _SAVE_FORMATS[path.suffix.lower()], path))


def _encode(samples: NDArray[np.float64], sample_rate: int, file_format: str, path: Path) -> bytes:
    """The bytes of an audio file. They come in memory, since libsndfile does not report every error
    of a disk.
    """
    import soundfile

    if file_format in ("WAV", "FLAC"):  # libsndfile would scale by 32767 and read back with 32768
        samples = np.clip(np.round(samples / STEP_16_BIT), -32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(buffer, "w", sample_rate, channels=1, format=file_format) as file:
            for start in range(0, len(samples), _BLOCK):
                file.write(samples[start : start + _BLOCK])
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: cannot encode {sample_rate} Hz as {file_format} ({error})"
        ) from error
    return buffer.getvalue()


def resample(wave: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Change the sample rate by a polyphase filter (scipy's `resample_poly`).

    The filter is a Kaiser-windowed sinc of 64 zero crossings a side: flat to 92 % of the lower
    rate's Nyquist frequency, and 80 dB down beyond that frequency, so that nothing audible folds
    back.

    Args:
        wave: (..., N).
        from_rate: the rate that it has, in Hz.
        to_rate: the rate that it gets, in Hz.

    Returns:
        (..., ceil(N * to_rate / from_rate)), float32. A full-scale wave may overshoot 1 a little.

    Raises:
        InputError: a rate below 1 Hz.
    """
    if min(from_rate, to_rate) < 1:
        raise InputError(
            f"cannot resample from {from_rate} Hz to {to_rate} Hz: a sample rate is at least 1 Hz"
        )
    if from_rate == to_rate:
        return wave
    from scipy import signal

    up, down = _ratio(from_rate, to_rate)
    longest = max(up, down)
    taps = signal.firwin(2 * 64 * longest + 1, 0.96 / longest, window=("kaiser", 8.0))
    samples = wave.detach().cpu().to(torch.float64).numpy()
    resampled = signal.resample_poly(samples, up, down, axis=-1, window=taps)
    length = -(-wave.shape[-1] * to_rate // from_rate)
    return functional.pad(
        torch.from_numpy(resampled.astype(np.float32)), (0, length - resampled.shape[-1])
    ).to(wave.device)


def _ratio(from_rate: int, to_rate: int) -> tuple[int, int]:
    """to_rate / from_rate in lowest terms: exact, or to 1e-6 where the exact terms would be too
    large for a filter.
    """
    low, high = sorted((from_rate, to_rate))
    ratio = Fraction(low, high)
    if ratio.denominator > _LARGEST_RATIO:
        ratio = ratio.limit_denominator(_LARGEST_RATIO) or ratio
    small, large = ratio.numerator, ratio.denominator
    return (large, small) if to_rate > from_rate else (small, large)


def trim(wave: Tensor, sample_rate: int, threshold_db: float = -60.0) -> Tensor:
    """Cut the quiet before and after a sound.

    Args:
        wave: (..., N); leading axes are cut together.
        sample_rate: in Hz.
        threshold_db: where the RMS over 10 ms is this far below its peak, the sound is quiet; in
            dB, negative.

    Returns:
        (..., n), the part from the first to the last sample around which the sound is not quiet. A
        silent wave comes back whole: there is no sound to measure quiet against.
    """
    half = max(sample_rate // 200, 1)
    power = wave.detach().reshape(-1, wave.shape[-1]).square().amax(0)
    envelope = functional.avg_pool1d(power[None], 2 * half + 1, stride=1, padding=half)[0]
    loud = (envelope > envelope.max() * 10 ** (threshold_db / 10)).nonzero()
    return wave if len(loud) == 0 else wave[..., int(loud[0]) : int(loud[-1]) + 1]


def peak_db(wave: Tensor) -> Tensor:
    """The peak of (..., N), as (...) in dBFS: 0 is full scale, -inf silence."""
    return 20 * wave.abs().amax(-1).log10()


def rms_db(wave: Tensor) -> Tensor:
    """The root mean square of (..., N), as (...) in dBFS (a full-scale square wave has 0); -inf for
    silence.
    """
    return 10 * wave.square().mean(-1).log10()
