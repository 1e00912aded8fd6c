"""What can be set about augmentation; none of this needs torch."""

from __future__ import annotations

from dataclasses import dataclass

from tootlearn.errors import InputError, check_between

HIGHEST = {  # the largest strengths allowed
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


@dataclass(frozen=True)
class Augmentation:
    """How strong each transformation is in training; 0, the default of all, switches it off.

    Args:
        gain: dB, largest change of level, up to 60; never out of the range of loudness, and never
            clipped.
        polarity: share of toots that are inverted, up to 1. Log-mels do not depend on it.
        shift: s, largest shift in time, up to 0.02.
        pitch: cents, largest change of pitch, up to 1200.
        tilt: dB an octave, largest change of the spectral slope, up to 12.
        room: largest share of reverberated sound, up to 1.
        rooms: WAV files of impulse responses; without them, decaying noise of 0.1 to 0.8 s.
        stretch: largest change of duration, up to 1: 0.25 gives 1 / 1.25 to 1.25 times the
            duration.
        mix: largest share of another toot of the kind, up to 0.5.
        noise: largest RMS of noise, white to pink, relative to the toot's, up to 10: 0.1 is an SNR
            of 20 dB. Its level is uniform in dB over the 30 dB below that.
        time_mask: largest share of the frames that one mask hides, up to 0.5.
        band_mask: largest share of the mel bands that one mask hides, up to 0.5.

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
            check_between(f"augmentation: {name}", getattr(self, name), 0, most)
        if self.rooms and not self.room:
            raise InputError(
                "augmentation: rooms are given, but room, the share of reverberated sound, is 0"
            )

    @property
    def on(self) -> bool:
        """Whether any transformation is switched on."""
        return any(getattr(self, name) for name in HIGHEST)
