"""Read files whose headers are broken in a thousand ways: each loads or is refused by name, soon
and in little memory.

python benchmarks/fuzz_audio.py --count 1000
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile
import torch

from tootlearn import rng
from tootlearn.dsp import audio
from tootlearn.errors import InputError

RATE = 22050
FORMATS = [
    *(("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")),
    *(("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("OGG", "OPUS")),
]
HEADER = {"WAV": 96, "FLAC": 160, "OGG": 4200}  # bytes: Vorbis has its codebooks in the header
EXTREMES = [
    bytes(4),
    b"\xff" * 4,
    b"\xff\xff\xff\x7f",
    b"\x7f\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"\x01\x00\x00\x00",
]


def checksum_of(value: int) -> int:
    """The remainder of a byte by the polynomial of Ogg's checksum (RFC 3533)."""
    value <<= 24
    for _ in range(8):
        value = (value << 1) ^ (0x104C11DB7 if value & 0x80000000 else 0)
    return value


CHECKSUMS = [checksum_of(value) for value in range(256)]


def whole_file(file_format: str, subtype: str) -> bytes:
    """A tenth of a second of a tone in stereo; Opus does not know 22,050 Hz."""
    rate = 24000 if subtype == "OPUS" else RATE
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate // 10) / rate)
    buffer = io.BytesIO()
    soundfile.write(
        buffer, np.stack((wave, -0.5 * wave), 1), rate, format=file_format, subtype=subtype
    )
    return buffer.getvalue()


def broken(content: bytes, header: int, seed: int) -> bytes:
    """The file with its header damaged: bits, bytes, lengths, or a piece that is missing, doubled
    or cut off.
    """
    data = bytearray(content)
    words = [int(w) for w in rng.words(seed, 1, 32)]
    header = min(header, len(data) - 8)
    for _ in range(1 + words[0] % 3):
        how, where, what = words[1] % 12, words[2] % header, words[3]
        words = words[3:] + words[:3]
        if how < 4:
            data[where] ^= 1 << what % 8
        elif how < 6:
            data[where] = what % 256
        elif how < 8:
            data[where : where + 4] = EXTREMES[what % len(EXTREMES)]
        elif how == 8:
            data[where : where + 8] = what.to_bytes(8, "little")
        elif how == 9:
            del data[where : where + 1 + what % 16]
        elif how == 10:
            data[where:where] = data[where : where + 1 + what % 64]
        else:
            del data[where + 8 :]
        header = max(min(header, len(data) - 8), 1)
        data += bytes(max(9 - len(data), 0))
    return with_checksums(data) if words[4] % 4 else bytes(data)


def with_checksums(data: bytearray) -> bytes:
    """The file with the checksums of its Ogg pages made right, or else no damage would be seen but
    by them.
    """
    start = data.find(b"OggS")
    while start >= 0:
        sizes = data[start + 27 : start + 27 + data[start + 26]] if start + 26 < len(data) else b""
        end = start + 27 + len(sizes) + sum(sizes)
        if end <= len(data) and sizes:
            data[start + 22 : start + 26] = bytes(4)
            checksum = 0
            for byte in data[start:end]:
                checksum = (checksum << 8 & 0xFFFFFFFF) ^ CHECKSUMS[checksum >> 24 ^ byte]
            data[start + 22 : start + 26] = checksum.to_bytes(4, "little")
        start = data.find(b"OggS", start + 4)
    return bytes(data)


def fuzz(count: int, folder: Path, first_seed: int = 0) -> tuple[Counter[str], float]:
    """Load `count` broken files at another sample rate.

    Returns:
        How often each outcome came, and the longest time in s.

    Raises:
        AssertionError: a file gave what is no wave.
        Exception: anything but an `InputError` that names the file.
    """
    originals = [whole_file(*names) for names in FORMATS]
    outcomes: Counter[str] = Counter()
    longest = 0.0
    for i in range(count):
        which = i % len(FORMATS)
        file_format, subtype = FORMATS[which]
        path = folder / f"broken_{i}.{file_format.lower()}"
        path.write_bytes(broken(originals[which], HEADER[file_format], first_seed + i))
        started = time.perf_counter()
        try:
            wave, rate = audio.load_audio(path, 16000)
            assert (
                rate == 16000 and wave.ndim == 1 and len(wave) > 0 and bool(wave.isfinite().all())
            ), path
            outcome = "loaded"
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error), error
            outcome = "refused"
        longest = max(longest, time.perf_counter() - started)
        outcomes[f"{file_format} {subtype}: {outcome}"] += 1
        path.unlink()
    return outcomes, longest


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000, help="files")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        fuzz(len(FORMATS), Path(folder))  # imports
        before = peak_mebibytes()
        outcomes, longest = fuzz(asked.count, Path(folder), asked.seed)
    for outcome, times in sorted(outcomes.items()):
        print(f"{times:6d}  {outcome}")
    print(
        f"{asked.count} files in {time.perf_counter() - started:.1f} s, the slowest took "
        f"{1000 * longest:.0f} ms"
    )
    print(f"most memory: {peak_mebibytes():.0f} MiB, of which {before:.0f} MiB before")


def peak_mebibytes() -> float:
    """The largest resident set of this process so far; nan where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


if __name__ == "__main__":
    main()
