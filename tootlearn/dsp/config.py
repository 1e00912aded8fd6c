"""What can be set about the front end, and the checks of it; none of this needs torch."""

from __future__ import annotations

from dataclasses import dataclass

from tootlearn.errors import InputError, check_at_least, check_positive

WINDOW_SAMPLES = 45056  # what the models see: 2.04 s at 22,050 Hz, 176 frames at hop 256


def check_window(n_fft: int, hop: int) -> None:
    """Refuse sizes of window and hop that do not fit together."""
    if n_fft < 4 or n_fft % 2:
        raise InputError(f"n_fft is an even number of samples, at least 4, not {n_fft}")
    if hop < 1 or n_fft % hop or n_fft // hop < 2:
        raise InputError(
            f"hop must divide n_fft ({n_fft}) and be at most its half, which {hop} is not"
        )


def check_bands(sample_rate: int, mels: int, fmin: float, fmax: float) -> None:
    """Refuse no bands, or edges that are not 0 <= fmin < fmax <= sample_rate / 2."""
    check_at_least("mels", mels, 1)
    if not 0 <= fmin < fmax <= sample_rate / 2:
        raise InputError(
            f"mel bands need 0 <= fmin < fmax <= {sample_rate / 2:g} Hz, not {fmin:g} to "
            f"{fmax:g} Hz"
        )


@dataclass(frozen=True)
class FrontEndConfig:
    """What a log-mel is made with.

    Args:
        sample_rate: Hz.
        n_fft: length of window and FFT, samples.
        hop: from frame to frame, samples.
        mels: number of bands.
        fmin: lower edge of the lowest band, Hz.
        fmax: upper edge of the highest band, Hz.
        floor: the smallest band magnitude that is told from silence; a full-scale sine has about
            10.

    Raises:
        InputError: values that do not fit together; the message says which, and what is allowed.
            Bands too narrow for the FFT are refused by `Mel`, which makes them.
    """

    sample_rate: int = 22050
    n_fft: int = 1024
    hop: int = 256
    mels: int = 128
    fmin: float = 0.0
    fmax: float = 11025.0
    floor: float = 1e-5

    def __post_init__(self) -> None:
        check_at_least("sample_rate", self.sample_rate, 1)
        check_positive("floor", self.floor)
        check_window(self.n_fft, self.hop)
        check_bands(self.sample_rate, self.mels, self.fmin, self.fmax)
