"""How good and how fast the way back from a spectrogram to sound is, beside librosa and torchaudio.

    python benchmarks/phase.py
    python benchmarks/phase.py --recordings "tuba=sounds/tuba/*.flac" "car_horns=sounds/car_horn/*"

For each set of sounds, three tables: the phase alone, from the true magnitude; from 80 mels; from 128, the front end of
the package. Sets: synthetic toots, notes of a sound font that the vocoder did not learn from (if there is a font and a
renderer), and recordings. Each clip is cut to 1.28 s; figures are medians over clips, and f0's the median of the
absolute change in cents, with the share of clips within 20. Speeds are those of one clip at a time, of the same clips
in turn, in units of librosa's.
"""

import glob
import random
from collections.abc import Callable

from torch import Tensor

from tootlearn.audio import load
from tootlearn.front_end import FrontEnd
from tootlearn.phase import ridge_integration

RATE, SAMPLES = 22050, 28160  # 1.28 s, 110 hops of 256
SEED = 4
Method = Callable[[Tensor], Tensor]  # wave (N,) -> wave (N,): through a spectrogram and back


def recordings(pattern: str, count: int) -> list[Tensor]:
    """Up to ``count`` clips of the files of a pattern, by a fixed draw."""
    names = sorted(glob.glob(pattern))
    random.Random(SEED).shuffle(names)
    waves = []
    for name in names:
        wave = load(name, RATE)[0][:SAMPLES]
        if len(wave) >= SAMPLES // 4 and float(wave.abs().max()) > 1e-3:
            waves.append(wave[: len(wave) // 256 * 256])
        if len(waves) == count:
            break
    return waves


def through(magnitude: Callable[[Tensor], Tensor], front_end: FrontEnd, iterations: int) -> Method:
    """The magnitude is taken from a wave, passed on, and made a wave by ridge integration."""

    def method(wave: Tensor) -> Tensor:
        estimate = magnitude(front_end.stft.magnitude(wave))
        return ridge_integration(estimate, front_end.stft, iterations=iterations, length=len(wave))

    return method
