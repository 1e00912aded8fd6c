"""Pieces of sounds: of the right length and level, from where it sounds, and the same for a step
every time.
"""

import torch

from tootlearn.data.pieces import Pieces

RATE, LENGTH = 22050, 4096


def tones(count: int = 6, samples: int = 45056) -> torch.Tensor:
    """Sines that sound for a third of the window each, at other places."""
    time = torch.arange(samples)
    waves = torch.stack([torch.sin(0.05 * (i + 1) * time) for i in range(count)])
    start = torch.arange(count)[:, None] * 4000
    return (32767 * waves * ((time >= start) & (time < start + 15000))).to(torch.int16)


def pieces(share: float, seed: int = 0) -> Pieces:
    return Pieces(tones(), RATE, 64, LENGTH, share, seed)


def test_a_step_has_the_same_pieces_whenever_it_comes():
    one, other = pieces(0.4), pieces(0.4)
    other(3)
    assert torch.equal(one(7), other(7))
    assert not torch.equal(one(7), one(8)) and not torch.equal(one(7), pieces(0.4, seed=1)(7))


def test_pieces_sound_and_their_peaks_lie_within_30_db_of_full_scale():
    peaks = 20 * pieces(0.4)(0).abs().amax(1).log10()
    assert peaks.shape == (64,) and float(peaks.min()) > -30.01 and float(peaks.max()) <= 0.01
    assert float(peaks.std()) > 5


def test_without_augmentation_a_piece_is_a_piece_of_one_sound():
    for piece in pieces(0.0)(0)[:8]:
        spectrum = torch.fft.rfft(piece * torch.hann_window(LENGTH)).abs()
        loudest = float(spectrum.argmax()) * 2 * torch.pi / LENGTH
        assert min(abs(loudest - 0.05 * (i + 1)) for i in range(6)) < 2e-3
        beside = spectrum.clone()
        beside[max(int(spectrum.argmax()) - 60, 0) : int(spectrum.argmax()) + 60] = 0
        assert float(beside.max()) < 0.03 * float(spectrum.max())  # a second sound would stand out


def test_noise_and_second_sounds_are_put_in():
    clean, changed = pieces(0.0)(0), pieces(1.0)(0)

    def spread(x):  # how many bins hold the energy of each piece
        power = torch.fft.rfft(x).abs().square()
        return float((power.sum(1).square() / power.square().sum(1)).median())

    assert spread(changed) > 1.5 * spread(clean)
    assert changed.isfinite().all()


def test_a_room_goes_on_when_the_sound_has_ended(monkeypatch):
    """After a burst there is silence, and in a room its reverberation."""
    monkeypatch.setattr(
        Pieces, "_noise", lambda self, slope, generator: torch.zeros(len(slope), self.length)
    )
    burst = torch.zeros(6, 45056)
    burst[:, 1000:2000] = (
        torch.randn(6, 1000, generator=torch.Generator().manual_seed(0)).clamp(-3, 3) / 3
    )
    heard = [
        Pieces((32767 * burst).to(torch.int16), RATE, 64, LENGTH, share)(0) for share in (0.0, 1.0)
    ]
    dry, wet = ((x[:, -500:].abs().amax(1) > 1e-4).float().mean() for x in heard)
    assert dry == 0 and wet > 0.8
