"""The decoder: a 1D CNN that makes a log-mel spectrogram from a few numbers.

`Decoder` gets a latent and nothing else. `ConditionalDecoder` gets the controls and a small
residual latent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tootlearn.controls import LOUDNESS_RANGE, ONSET_SAMPLES, Controls, Kind
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.mel import mel_frequencies
from tootlearn.errors import InputError
from tootlearn.models.harmonic_comb import TIME_FEATURES, HarmonicComb, time_features
from tootlearn.models.layers import (
    PLAIN,
    ResidualBlock,
    Style,
    TimeAttention,
    after_convolution,
    upsampler,
    zeroed,
)


class Decoder(nn.Module):
    """Latent to log-mel, by layers that double the frames.

    A pooled latent has no time axis. The first layer gives it one with learned weights; if it were
    just repeated over time, nothing could change in the result, since the convolution of a constant
    is a constant.

    Args:
        latent: Z.
        mels: M.
        frames: T; a multiple of 2^len(widths).
        widths: channels after each doubling of the frames; as for `Encoder`.
        start: channels before the first.
        residual: residual blocks after each of them; 0 for an activation and a norm instead.
        upsampling: what doubles the frames, one of `layers.UPSAMPLERS`.
        style, dilated: as for `Encoder`.
        attention: heads of a self-attention over time before the first doubling; 0 for none.

    Shape: (B, Z) -> (B, M, T).

    Raises:
        InputError: if T is no multiple of 2^len(widths).
    """

    def __init__(
        self,
        latent: int,
        mels: int,
        frames: int,
        widths: tuple[int, ...] = (64, 32),
        start: int = 128,
        residual: int = 0,
        upsampling: str = "transposed",
        style: Style = PLAIN,
        dilated: bool = False,
        attention: int = 0,
    ) -> None:
        super().__init__()
        growth = 2 ** len(widths)
        if frames % growth:
            raise InputError(
                f"{len(widths)} doublings make a multiple of {growth} frames, not {frames}: "
                "use another hop or fewer doublings"
            )
        self.start = start
        self.expand = nn.Linear(latent, start * (frames // growth))
        layers: list[nn.Module] = (
            [TimeAttention(start, frames // growth, attention)] if attention else []
        )
        before = start
        for width in widths:
            layers += [
                upsampler(upsampling, before, width),
                *after_convolution(width, style, residual, dilated),
            ]
            before = width
        self.layers = nn.Sequential(*layers)
        self.out = nn.Conv1d(before, mels, 1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.expand(z).unflatten(1, (self.start, -1))  # (B, C, T / 2^n)
        x: Tensor = self.out(self.layers(h))
        return x


class Condition(NamedTuple):
    """Controls of a batch of B in the form that networks take."""

    kind: Tensor  # (B,) int64; or (B, K) shares of kinds, which sum to 1, for a sound between kinds
    octave: Tensor  # (B,) log2 of the pitch in Hz
    duration: Tensor  # (B,) s
    gain: Tensor  # (B,) natural log of the amplitude that corresponds to the loudness
    numbers: Tensor  # (B, 4) pitch, duration, brightness, loudness, each from about -1 to 1

    @classmethod
    def of(
        cls, controls: Controls, device: torch.device | str = "cpu", shares: Tensor | None = None
    ) -> Condition:
        """From B controls in the units of the user: Hz, s, 0 to 1 and dBFS.

        Args:
            controls: B of them.
            device: of the result.
            shares: shares of kinds (B, K), which replace the kinds of the controls.
        """

        def column(values: object) -> Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=device)

        octave, duration = column(controls.pitch).log2(), column(controls.duration)
        loudness = column(controls.loudness)
        middle, half = sum(LOUDNESS_RANGE) / 2, (LOUDNESS_RANGE[1] - LOUDNESS_RANGE[0]) / 2
        numbers = [
            (octave - 8.5) / 2,  # 90 Hz to 1.4 kHz
            (duration.log2() + 1) / 2,  # 0.125 to 2 s
            column(controls.brightness) * 2 - 1,
            (loudness - middle) / half,
        ]
        gain = loudness * (math.log(10) / 20)
        kind = torch.as_tensor(controls.kind if shares is None else shares, device=device)
        return cls(kind, octave, duration, gain, torch.stack(numbers, 1))

    def take(self, rows: Tensor) -> Condition:
        """The controls of these rows (indices or a mask)."""
        return Condition(*(column[rows] for column in self))

    def shares(self, kinds: int) -> Tensor:
        """The share of each of K kinds, (B, K); one-hot where a kind is given."""
        if self.kind.is_floating_point():
            return self.kind
        return F.one_hot(self.kind, kinds).to(self.numbers.dtype)


class Drawing(NamedTuple):
    """The output of the conditional decoder: the log-mel and its parts."""

    log_mel: Tensor  # (B, M, T), natural logarithm
    breath: Tensor  # (B, M, T), share of breath noise in the magnitude, 0 to 1; the rest is tone
    notes: Tensor  # (B, T / 2, notes), log2 of the f0 of each note in Hz
    level: Tensor  # (B, notes), the share of each note in the tone


class ConditionalDecoder(nn.Module):
    """Controls and residual latent to log-mel: harmonics and noise, each with a spectral envelope
    that the network computes.

    On a logarithmic scale, a tone is its harmonic comb plus its spectral envelope. Tone and breath
    noise are added, and the floor hides what lies below it:

        level = exp(gain) (comb(f0) exp(tone) + exp(breath))
        log_mel = log(sqrt(level^2 + floor^2))

    The tone is a source in a resonator: the level of a harmonic of the source depends on its
    number, the gain of the resonator on frequency. The network computes the levels of the source at
    a few harmonic numbers, the resonator (B, M, T), the breath (B, M, T) and a bend of f0 in
    octaves. The comb of a kind with several notes is the sum of the combs of its notes, at levels
    that the network computes too. (Harmonics plus noise: Serra and Smith 1990, Engel et al. 2020;
    source and filter: Fant 1960.)

    Args:
        front_end: what the log-mels are made with.
        frames: T, a multiple of 4.
        kinds: one or more; their intervals are the notes of the comb.
        residual: size Z of the residual latent.
        width: channels C inside, a multiple of 8.
        blocks: residual blocks.
        conditioning: how controls and residual enter: "concat" stacks them on the input, "film"
            also modulates each block with them.

    Shape: Condition of B and residual (B, Z) -> Drawing of (B, M, T).

    Raises:
        InputError: if T is no multiple of 4.
    """

    STRIDE = 4  # the blocks work at a quarter of the frame rate
    # harmonic numbers at which the level of the source is computed
    NUMBERS = (0.7, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
    intervals: Tensor
    trill: Tensor
    time: Tensor
    centres: Tensor
    knots: Tensor

    def __init__(
        self,
        front_end: FrontEndConfig,
        frames: int,
        kinds: Sequence[Kind],
        residual: int,
        width: int = 192,
        blocks: int = 4,
        conditioning: str = "film",
    ) -> None:
        super().__init__()
        if frames % self.STRIDE:
            raise InputError(
                f"the generator makes a multiple of {self.STRIDE} frames, not {frames}: "
                "use another hop"
            )
        mels, notes = front_end.mels, max(len(kind.intervals) for kind in kinds)
        self.mels, self.log_floor = mels, math.log(front_end.floor)
        self.comb = HarmonicComb(front_end)
        # -inf for the notes that a kind does not have
        octaves = torch.full((len(kinds), notes), -math.inf)
        for row, kind in zip(octaves, kinds, strict=True):
            row[: len(kind.intervals)] = torch.tensor(kind.intervals).log2()
        self.register_buffer("intervals", octaves, persistent=False)
        self.register_buffer(
            "trill", torch.tensor([kind.trill for kind in kinds]), persistent=False
        )
        seconds = (torch.arange(frames) * front_end.hop - ONSET_SAMPLES) / front_end.sample_rate
        self.register_buffer("time", seconds, persistent=False)
        centres = mel_frequencies(mels + 2, front_end.fmin, front_end.fmax)[1:-1].float().log2()
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("knots", torch.tensor(self.NUMBERS).log2(), persistent=False)
        self.kind = nn.Embedding(len(kinds), 32)
        self.condition = nn.Sequential(
            nn.Linear(32 + 4 + residual, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU()
        )
        self.levels = zeroed(nn.Linear(128, notes))
        self.enter = nn.Conv1d((TIME_FEATURES + 2) * self.STRIDE + mels + 128, width, 3, padding=1)
        modulation = 128 if conditioning == "film" else 0
        self.blocks = nn.ModuleList(
            ResidualBlock(width, modulation, 2 ** (i % 3)) for i in range(blocks)
        )
        self.norm = nn.GroupNorm(8, width)
        self.out = nn.Conv1d(width, (2 * mels + 1) * self.STRIDE + len(self.NUMBERS), 1)

    def forward(self, controls: Condition, z: Tensor) -> Drawing:
        turns = self.trill[:, None] * self.time.clamp_min(0)  # (K, T)
        # (K, 2, T)
        trill = torch.stack([torch.sin(2 * math.pi * turns), torch.cos(2 * math.pi * turns)], 1)
        if controls.kind.is_floating_point():
            kind = controls.kind @ self.kind.weight
            trill = torch.einsum("bk,kft->bft", controls.kind, trill)
        else:
            kind, trill = self.kind(controls.kind), trill[controls.kind]
        condition = self.condition(torch.cat([kind, controls.numbers, z], 1))  # (B, 128)
        ratios, level = self.chord(controls, self.levels(condition))
        steady = self.log_comb(controls.octave[:, None, None] + ratios[:, None], level)  # (B, 1, M)
        time = torch.cat([time_features(self.time, controls.duration), trill], 1)  # (B, 22, T)
        time = time.unflatten(2, (-1, self.STRIDE)).transpose(2, 3).flatten(1, 2)  # (B, 88, T / 4)
        constant = torch.cat([steady[:, 0], condition], 1)[..., None].expand(-1, -1, time.shape[2])
        h = self.enter(torch.cat([time, constant], 1))  # (B, C, T / 4)
        for block in self.blocks:
            h = block(h, condition)
        output = self.out(F.silu(self.norm(h)))
        source, fine = output.split([len(self.NUMBERS), output.shape[1] - len(self.NUMBERS)], 1)
        # (B, 2 M + 1, T): sub-pixel in time
        fine = fine.unflatten(1, (-1, self.STRIDE)).transpose(2, 3).flatten(2)
        resonator, breath, bend = fine.split([self.mels, self.mels, 1], 1)

        # f0 and source change slowly: every two frames share a value
        source = F.interpolate(source, scale_factor=2, mode="linear")  # (B, K, T / 2)
        slow = F.avg_pool1d(bend, self.STRIDE).tanh()  # (B, 1, T / 4): at most an octave
        slow = F.interpolate(slow, scale_factor=2, mode="linear")[:, 0]  # (B, T / 2)
        octave = (controls.octave[:, None] + slow)[..., None]  # (B, T / 2, 1)
        sounding = octave + ratios[:, None]  # (B, T / 2, notes)
        tone = self.log_comb(sounding, level) + self.by_number(octave, source)  # (B, T / 2, M)
        tone = F.interpolate(tone.transpose(1, 2), scale_factor=2, mode="linear")  # (B, M, T)
        tone, breath = 2 * resonator + tone, 2 * breath - 6
        together = torch.logaddexp(tone, breath) + controls.gain[:, None, None]
        log_mel = self.log_floor + F.softplus(2 * (together - self.log_floor)) / 2
        return Drawing(log_mel, torch.sigmoid(breath - tone), sounding, level)

    def chord(self, controls: Condition, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Octaves of each note above the pitch, and its share of the tone: each (B, notes).

        For a sound between kinds, a note is the weighted mean of those of the kinds that have it,
        and the weaker the fewer have it.

        Args:
            controls: B of them.
            logits: of the shares, (B, notes).
        """
        if not controls.kind.is_floating_point():
            ratios = self.intervals[controls.kind]
            return ratios.clamp_min(0), torch.where(ratios.isfinite(), logits, -math.inf).softmax(1)
        exists = self.intervals.isfinite()  # (K, notes)
        level = torch.where(exists, logits[:, None], -math.inf).softmax(2)  # (B, K, notes)
        having = controls.kind @ exists.to(logits.dtype)
        ratios = controls.kind @ self.intervals.clamp_min(0) / having.clamp_min(1e-6)
        return ratios, (controls.kind[..., None] * level).sum(1)

    def by_number(self, octave: Tensor, source: Tensor) -> Tensor:
        """Level of the source in each band (B, T, M), interpolated linearly in log frequency.

        Args:
            octave: log2 of f0 in Hz, (B, T, 1).
            source: half the levels (natural log) at the harmonic numbers :attr:`NUMBERS`, (B, K,
                T).
        """
        # (B, T, M): log2 of f / f0
        place = (self.centres - octave).clamp(self.knots[0], self.knots[-1] - 1e-4)
        right = torch.bucketize(place, self.knots, right=True)
        left = right - 1
        part = (place - self.knots[left]) / (self.knots[right] - self.knots[left])
        levels = 2 * source.transpose(1, 2).to(octave.dtype)  # (B, T, K)
        return torch.lerp(levels.gather(2, left), levels.gather(2, right), part)

    def log_comb(self, octave: Tensor, level: Tensor) -> Tensor:
        """The log of the comb (B, T, M), from log2 f0 of each note (B, T, notes) and the shares of
        the notes (B, notes).
        """
        bands = self.comb(octave)  # (B, T, notes, M)
        return (torch.einsum("btnm,bn->btm", bands, level) + 1e-4).log()
