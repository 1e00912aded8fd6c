"""Bandwidth extension: the part of a toot above 11 kHz, which a model at 22,050 Hz does not make.

    log-mel and periodicity of the wave -> network -> level and noise share of bands, 10 to 21 kHz
    upper half of the wave, moved up by whole harmonics, and noise with its envelope -> two sources
    sources at these levels -> high band, which is added to the wave at 44,100 Hz

Recorded brass has harmonics as far up as recordings reach, noise takes over gradually, and both
begin with the attack. The high band is therefore made of what sounds between 5 and 10 kHz, moved up
(spectral band replication: Dietz et al., "Spectral band replication, a novel approach in audio
coding", AES 2002), and of noise that rises and falls with it. Where the notes are known, the move
is a multiple of the fundamental at each instant, so that harmonics land on harmonics. The network
computes how loud each band is, and how much of it is noise, since there is less tone at the top.
Below the cross-over the wave is left unchanged.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tootlearn import rng
from tootlearn.dsp.audio import resample
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError
from tootlearn.models.config import CROSS_OVER, BandwidthConfig
from tootlearn.models.vocoder import Block

# Hz: the least move of what sounds above 5 kHz, for each half of the high band
PATCHES = (5500.0, 11000.0)
SEAM = (15500.0, 15900.0)  # Hz: from the first half to the second
_TOP = (20700.0, 21500.0)  # Hz: where the high band ends
HEARD = (5500.0, 7000.0, 8500.0)  # Hz: centres of bands whose periodicity is an input
WIDTH = 1100.0  # Hz: from the centre of a band to its ends
# Hz: centres of the bands of the high band, which overlap by half and reach 20.6 kHz
CENTRES = tuple(10700.0 + WIDTH * band for band in range(10))
_SOURCE = (800.0, 10300.0)  # Hz: what is moved
_RANGE = 13.0  # nats (113 dB) below a clip's peak: levels are clamped there
_BOTTOM = 1.1 - _RANGE  # nats: just above the level of eight bands that are clamped
# nats: the largest gain (30 dB) of what is moved, so that silence is not amplified
_LIFT = 3.5
_QUIET = 1e-4  # of a wave's peak
_MULTIPLES = 8  # of the lowest note's f0 that are tried for a chord
_LONG = 4096  # samples of the window in which periods are searched
# s: from beyond the autocorrelation of a band of noise to the period of 59 Hz
_PERIODS = (0.0012, 0.017)
_CHANCE = 0.16  # the periodicity that noise shows by chance
_SMOOTH = (1, 2, 3, 2, 1)  # weights of neighbouring frames in the level of a band


class HighBand(NamedTuple):
    """The output of the network for the bands around `CENTRES`."""

    levels: Tensor  # (B, H, T), log of the RMS magnitude, as measured by `Bandwidth.levels`
    moved: Tensor  # (B, H, T), share of energy that is moved up, 0 to 1; the rest is noise


class Bandwidth(nn.Module):
    """A wave at 22,050 Hz -> the same at 44,100 Hz, with a high band. A louder input gives a louder
    output.

    Args:
        config: its front end and its size.

    Example:
        >>> Bandwidth().extend(torch.zeros(22050)).shape
        torch.Size([44100])
    """

    bands: Tensor
    between: Tensor
    entering: Tensor
    patches: Tensor
    smoothing: Tensor

    def __init__(self, config: BandwidthConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or BandwidthConfig()
        self.front_end = FrontEnd(config.front_end)
        self.stft = Stft(2 * config.front_end.n_fft, 2 * config.front_end.hop)
        hz = torch.arange(self.stft.bins) * (self.rate / self.stft.n_fft)
        self.register_buffer("bands", _triangles(hz, CENTRES), persistent=False)
        # square roots, because the energies of signals that are not correlated add up
        entering = (_ramp(hz, *CROSS_OVER) * (1 - _ramp(hz, *_TOP))).sqrt()
        self.register_buffer("entering", entering, persistent=False)
        self.register_buffer("between", _between(self.bands), persistent=False)
        second = _ramp(hz, *SEAM)
        self.register_buffer(
            "patches", torch.stack([1 - second, second]).sqrt()[..., None], persistent=False
        )
        self.register_buffer(
            "smoothing", torch.tensor(_SMOOTH).float() / sum(_SMOOTH), persistent=False
        )
        self.enter = nn.Linear(config.front_end.mels + len(HEARD), config.width)
        self.blocks = nn.ModuleList(
            Block(config.width, config.hidden, config.kernel) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, 2 * len(CENTRES))

    @property
    def rate(self) -> int:
        """The sample rate of the result, Hz."""
        return 2 * self.config.front_end.sample_rate

    def forward(self, log_mel: Tensor, tone: Tensor, peak: Tensor | None = None) -> HighBand:
        """The high band of a wave; its levels are -inf where the log-mel is clamped at its upper
        end.

        The network computes differences from the level at the upper end of the log-mel.

        Args:
            log_mel: (B, M, T).
            tone: share of tone (B, 3, T) in the bands around `HEARD`, see `tone_share`.
            peak: the largest value of the whole log-mel (B, 1, 1), where ``log_mel`` is a part of
                it.
        """
        peak = log_mel.amax((1, 2), keepdim=True) if peak is None else peak
        relative = (log_mel - peak).clamp_min(-_RANGE)  # (B, M, T)
        h = self.enter(torch.cat([relative * (2 / _RANGE) + 1, 2 * tone - 1], 1).transpose(1, 2))
        for block in self.blocks:
            h = block(h)
        out = self.out(self.norm(h)).to(log_mel.dtype)  # 16 bits are too few for what follows
        change, like = out.transpose(1, 2).chunk(2, 1)  # (B, H, T)
        # of eight bands, so that it does not depend on where harmonics fall
        top = (2 * relative[:, -8:]).logsumexp(1, keepdim=True) / 2
        levels = torch.where(top > _BOTTOM, top + change + peak, -math.inf)
        return HighBand(levels, (like + 2).sigmoid())

    def levels(self, spectrum: Tensor) -> Tensor:
        """Log of the RMS magnitude of each band of a spectrum (..., F, T), smoothed over five
        frames: (..., H, T).
        """
        power = self.bands @ (spectrum.real.square() + spectrum.imag.square())
        return (self._smooth(power) + 1e-16).log() / 2

    def _smooth(self, power: Tensor) -> Tensor:
        """(..., H, T), each frame averaged with its neighbours."""
        flat = power.reshape(-1, 1, power.shape[-1])
        return nn.functional.conv1d(flat, self.smoothing.view(1, 1, -1), padding="same").view(
            power.shape
        )

    @torch.no_grad()
    def extend(
        self, wave: Tensor, notes: Tensor | None = None, level: Tensor | None = None, seed: int = 0
    ) -> Tensor:
        """A wave at twice its sample rate, with a high band.

        Args:
            wave: (N,) at 22,050 Hz.
            notes: log2 of the f0 in Hz of each note, (T, K), at times that are spread evenly over
                the wave; None if they are not known: harmonics of the high band then do not line up
                with those below.
            level: the shares of the notes in the tone, (K,).
            seed: of the noise.

        Returns:
            (2 N,) at 44,100 Hz.

        Raises:
            InputError: a wave of another shape, or notes that are not finite.
        """
        if wave.ndim != 1 or not len(wave):
            raise InputError(f"a wave to extend has shape (N,), not {tuple(wave.shape)}")
        if notes is not None and (notes.ndim != 2 or not bool(notes.isfinite().all())):
            raise InputError("notes are log2 of frequencies in Hz, of shape (T, K) and finite")
        base = resample(wave, self.rate // 2, self.rate)
        peak = float(wave.abs().max())
        if peak == 0:
            return base
        loud = int((wave.abs() > _QUIET * peak).nonzero()[-1]) + 1
        # the silence after a toot stays silent
        end = 2 * min(loud + self.stft.n_fft, len(wave))
        step = None if notes is None else base_frequency(notes, level, len(base))[:end]
        uniform = rng.uniform(seed, rng.Stream.BANDWIDTH_NOISE, end)
        white = torch.from_numpy(uniform).float().to(base.device) - 0.5
        base[:end] += peak * self.high_band(wave[: end // 2] / peak, base[:end] / peak, step, white)
        return base

    def high_band(self, wave: Tensor, base: Tensor, step: Tensor | None, white: Tensor) -> Tensor:
        """The wave (2 N,) that `extend` adds.

        Args:
            wave: (N,), with a peak of 1.
            base: the same resampled, (2 N,).
            step: Hz, (2 N,): moves are multiples of it; or None.
            white: noise, (2 N,).
        """
        log_mel = self.front_end(wave)[None]
        band = self(log_mel, tone_share(wave[None], self.rate // 2, HEARD, log_mel.shape[2]))
        waves = [*moved_up(base, self.rate, step), upper_half(base, self.rate).abs() * white]
        parts = self.stft(torch.stack(waves))[..., : band.levels.shape[2]]  # (3, F, T)
        sounds = torch.stack([(self.patches * parts[:2]).sum(0), parts[2]])
        share = torch.cat([band.moved, 1 - band.moved])  # (2, H, T)
        gain = (band.levels - self.levels(sounds)).clamp_max(_LIFT).exp() * share.sqrt()
        gain = self.between.T @ gain * self.entering[:, None]  # (2, F, T)
        return self.stft.inverse((sounds * gain).sum(0), length=len(base))


def base_frequency(notes: Tensor, level: Tensor | None, count: int) -> Tensor:
    """The frequency in Hz by which a wave can be moved so that harmonics land on harmonics, at each
    sample: (count,).

    Of one note it is f0. Of a chord it is the multiple of the lowest f0 that is nearest to
    harmonics of the others, weighted by their shares of the tone.

    Args:
        notes: log2 of f0 in Hz, (T, K), at times that are spread evenly over the wave.
        level: the shares of the notes, (K,); None for equal ones.
        count: N, samples of the wave.
    """
    middle = notes.mean(0)
    lowest, which = middle.min(0)
    ratio = 2 ** (middle - lowest)  # (K,)
    multiple = torch.arange(1, _MULTIPLES + 1, device=notes.device)
    order = multiple[:, None] / ratio
    weight = torch.ones_like(ratio) if level is None else level
    error = ((order - order.round()).square() * weight).sum(1)
    best = int(multiple[error <= error.min() + 1e-3][0])
    track = nn.functional.interpolate(
        notes[:, which][None, None], count, mode="linear", align_corners=False
    )[0, 0]
    return best * 2**track


def tone_share(wave: Tensor, rate: int, centres: tuple[float, ...], frames: int) -> Tensor:
    """How periodic waves (B, N) are in each band, from 0 (noise) to 1 (a tone): (B, H, frames), at
    times that are spread evenly over the wave.

    The Fourier transform of the energies of a band's bins, under a long window, is the
    autocorrelation of the signal in the band. Its largest value at the periods of notes, relative
    to that at zero, is the periodic share.
    """
    n_fft = _LONG * rate // 44100
    stft = Stft(n_fft, n_fft // 4).to(wave.device)
    hz = torch.arange(stft.bins, device=wave.device) * (rate / n_fft)
    power = stft(wave).abs().square()  # (B, F, T)
    # averaged over frames, because noise differs from one to the next
    weights = torch.tensor(_SMOOTH, dtype=power.dtype, device=wave.device).view(1, 1, -1)
    flat = power.reshape(-1, 1, power.shape[2])
    power = nn.functional.conv1d(flat, weights, padding="same").view(power.shape)
    lag = torch.arange(_PERIODS[0], _PERIODS[1], 1e-4, device=wave.device)  # s
    apart = (lag * rate).round().long().tolist()
    overlap = torch.stack([(stft.window[n:] * stft.window[: n_fft - n]).sum() for n in apart])
    shares = []
    for centre in centres:
        near = (hz - centre).abs() < WIDTH
        # (B, T, F')
        band = power[:, near].transpose(1, 2) * (1 - (hz[near] - centre).abs() / WIDTH)
        angle = 2 * math.pi * hz[near, None] * lag
        correlation = torch.hypot(band @ angle.cos(), band @ angle.sin())
        correlation = correlation / band.sum(2, keepdim=True).clamp_min(1e-20)
        shares.append((correlation * (stft.window.square().sum() / overlap)).amax(2))
    share = ((torch.stack(shares, 1) - _CHANCE) / (1 - _CHANCE)).clamp(0, 1)
    return nn.functional.interpolate(share, frames, mode="linear")


def upper_half(wave: Tensor, rate: int, top: float = _SOURCE[1]) -> Tensor:
    """The analytic signal, complex (N,), of a wave (N,) at ``rate`` Hz from 1 kHz to ``top`` Hz."""
    size = 2 ** math.ceil(math.log2(len(wave)))
    spectrum = torch.fft.rfft(wave, n=size)
    hz = torch.arange(len(spectrum), device=wave.device) * (rate / size)
    gain = _ramp(hz, _SOURCE[0], _SOURCE[0] + 200) * (1 - _ramp(hz, top, top + 200))
    one_sided = torch.cat([2 * gain * spectrum, spectrum.new_zeros(size - len(spectrum))])
    signal: Tensor = torch.fft.ifft(one_sided)[: len(wave)]
    return signal


def moved_up(wave: Tensor, rate: int, step: Tensor | None = None) -> list[Tensor]:
    """The upper half of a wave (N,), moved up by at least each of `PATCHES`: waves (N,).

    What would be moved beyond half the rate is left out, because it would be aliased.

    Args:
        wave: at ``rate`` Hz.
        rate: Hz.
        step: Hz, (N,): moves are multiples of it; None makes them `PATCHES`.
    """
    moved = []
    for least in PATCHES:
        move = torch.full_like(wave, least) if step is None else (least / step).ceil() * step
        source = upper_half(wave, rate, min(_SOURCE[1], rate / 2 - 200 - float(move.max())))
        turns = (move.cpu().double() / rate).cumsum(0)  # some devices have no float64
        angle = (2 * math.pi * (turns - turns.floor())).float().to(move.device)
        moved.append(source.real * angle.cos() - source.imag * angle.sin())
    return moved


def _ramp(hz: Tensor, low: float, high: float) -> Tensor:
    """A smooth (raised cosine) ramp from 0 at ``low`` to 1 at ``high``."""
    return (0.5 - 0.5 * torch.cos(math.pi * ((hz - low) / (high - low)).clamp(0, 1))).float()


def _triangles(hz: Tensor, centres: tuple[float, ...]) -> Tensor:
    """Weights (H, F) of the bins at these frequencies (F,) in the mean over each band."""
    weight = (1 - (hz - torch.tensor(centres)[:, None]).abs() / WIDTH).clamp_min(0)
    return weight / weight.sum(1, keepdim=True)


def _between(bands: Tensor) -> Tensor:
    """Weights (H, F) that interpolate linearly between the centres of bands (H, F); columns sum to
    1.
    """
    weight = bands / bands.amax(1, keepdim=True)
    weight[0, : int(weight[0].argmax())] = 1
    weight[-1, int(weight[-1].argmax()) :] = 1
    return weight / weight.sum(0).clamp_min(1e-6)
