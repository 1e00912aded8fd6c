"""Variants of recorded clips, made from their waves during training: new ones for every batch."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn import rng
from tootlearn.controls import LOUDNESS_RANGE, ONSET_SAMPLES
from tootlearn.data import augmentation
from tootlearn.data.clips import BEND_FRAMES, Clips
from tootlearn.data.config import Augmentation
from tootlearn.data.synthesis import PEAK
from tootlearn.dsp import measures
from tootlearn.dsp.config import WINDOW_SAMPLES, FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError

# principal components are fitted to so many variants of each clip, and so many clips in all
AT_START, MOST = 8, 8192
_BEFORE_TRAINING = 2**40  # beyond all places that training reaches
_AT_ONCE = 64  # clips
_DRAWS = (  # the uniform random numbers of a variant, in this order
    *("gain", "polarity", "shift", "pitch", "tilt", "room", "room_time", "room_which"),
    *("stretch", "mix", "partner", "noise", "noise_slope", "time_mask", "time_place"),
    *("band_mask", "band_place"),
)
_ROOM_TIMES = (0.1, 0.8)  # s, range of the reverberation time
_ROOM_LENGTH = 0.8  # s of an impulse response
_SNR_SPAN = 30.0  # dB between the loudest and the softest noise
_NEAR = {"octaves": 2 / 12, "duration": 1.5}  # only toots as close as this are mixed


class Augmenter:
    """Makes variants of clips that have waves; the others, such as synthetic ones, are unchanged.

    A variant depends only on the clip, the seed and its place in the course of training, not on the
    batch or the device. Each transformation has its own random numbers, so that switching one on
    does not change what the others do.

    Args:
        clips: the training clips, never held-out ones.
        config: how strong each transformation is.
        front_end: makes the log-mels; everything is computed on its device.
        seed: of the random numbers.

    Raises:
        InputError: if no clip has a wave, or a file of a room cannot be read.
    """

    def __init__(self, clips: Clips, config: Augmentation, front_end: FrontEnd, seed: int) -> None:
        self.clips, self.config, self.front_end = clips, config, front_end
        self.seed = rng.derive(seed, rng.Stream.AUGMENTATION)
        self.recorded = np.array([wave is not None for wave in clips.waves])
        if not self.recorded.any():
            raise InputError(
                "augmentation is for recordings, and there are none: give data, or leave "
                "augmentation out (a variant of a synthetic toot is another synthetic toot)"
            )
        self.device = front_end.stft.window.device
        self.rate = front_end.config.sample_rate
        self.fill = clips.log_mel.float().mean((0, 2))[:, None].to(self.device)
        self.rooms = augmentation.read_rooms(config.rooms, self.rate) if config.rooms else None

    @classmethod
    def of(
        cls,
        clips: Clips,
        config: Augmentation,
        front_end: FrontEndConfig,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> Augmenter | None:
        """An augmenter on the device, or None where no transformation is switched on."""
        return cls(clips, config, FrontEnd(front_end).to(device), seed) if config.on else None

    def with_originals(self) -> Tensor:
        """Log-mels (B, M, T), float16, of all clips and of `AT_START` variants of each, but no more
        than `MOST` in all. The principal components of an autoencoder are fitted to them.
        """
        count = min(AT_START * len(self.clips), max(MOST - len(self.clips), 0))
        rows = torch.arange(count) % len(self.clips)
        parts = [self.clips.log_mel]
        for places in np.array_split(np.arange(count), -(-count // _AT_ONCE)) if count else ():
            parts.append(self(rows[places], _BEFORE_TRAINING + places)[0].log_mel.half().cpu())
        return torch.cat(parts)

    def __call__(self, rows: Tensor, places: NDArray[np.int64]) -> tuple[Clips, Tensor]:
        """Variants of clips: the targets of training, and the inputs of the encoder.

        Args:
            rows: (B,), which clips.
            places: (B,), distinct numbers: places in the course of training.

        Returns:
            B clips, whose log-mels are float32 and on the device; and the inputs of the encoder (B,
            M, T), which are the same log-mels with noise and masks.
        """
        return self.of_others(self.clips[rows.numpy()], places)

    def of_others(self, clips: Clips, places: NDArray[np.int64]) -> tuple[Clips, Tensor]:
        """Variants, as by calling, of B clips that need not be among those of the augmenter; toots
        to mix with come from those.
        """
        log_mel = clips.log_mel.float().to(self.device)
        recorded = np.array([wave is not None for wave in clips.waves])
        if not recorded.any():
            return replace(clips, log_mel=log_mel), log_mel
        rows, seeds = torch.from_numpy(recorded), (self.seed + places[recorded]) % rng.MAX_SEED
        varied, masked = self._varied(clips[recorded], seeds)
        inputs = log_mel.clone()
        log_mel[rows], inputs[rows] = varied.log_mel, masked
        controls = clips.controls
        columns = {
            name: np.array(getattr(controls, name))
            for name in ("pitch", "duration", "brightness", "loudness")
        }
        for name, column in columns.items():
            column[recorded] = getattr(varied.controls, name)
        bend = clips.known_bend()
        bend[rows] = varied.known_bend()
        targets = replace(clips, log_mel=log_mel, controls=replace(controls, **columns), bend=bend)
        return targets, inputs

    def _varied(self, clips: Clips, seeds: NDArray[np.int64]) -> tuple[Clips, Tensor]:
        """Variants of recorded clips, and the inputs of the encoder (B, M, T)."""
        config, original = self.config, clips.controls
        numbers = rng.uniform(seeds, rng.Stream.AUGMENTATION_DRAWS, len(_DRAWS))
        draw = {
            name: torch.from_numpy(numbers[:, i]).float().to(self.device)
            for i, name in enumerate(_DRAWS)
        }
        cents = config.pitch * (2 * draw["pitch"] - 1)
        wave, measured, loudness = self._varied_waves(clips, cents, draw, seeds)
        pitch = torch.from_numpy(original.pitch).to(wave) * 2 ** (cents / 1200)
        octaves = measures.brightness_octaves(measured.centroid, pitch)

        factor = (1 + config.stretch) ** (2 * draw["stretch"] - 1)
        factor = factor.minimum((self._longest() / measured.duration).clamp_min(1))
        duration = measured.duration * factor
        log_mel = self.front_end(wave)
        if config.stretch:
            log_mel = self._stretched(log_mel, factor)
        if config.mix:
            other, other_loudness, other_octaves, share = self._partners(
                clips, pitch, duration, draw
            )
            log_mel = augmentation.mix(log_mel, other, share)
            loudness = loudness + share * (other_loudness - loudness)
            octaves = octaves + share * (other_octaves - octaves)

        def column(values: Tensor) -> NDArray[np.float64]:
            return values.double().cpu().numpy()

        low, high = np.array([clips.kinds[k].octaves for k in original.kind]).T
        controls = replace(
            original,
            pitch=column(pitch),
            duration=column(duration),
            brightness=(column(octaves) - low) / (high - low),
            loudness=column(loudness),
        )
        tempo = (factor / 2 ** (cents / 1200)).cpu()
        onset = ((self._onset() + 0.5) / BEND_FRAMES) - 0.5
        bend = augmentation.stretch(clips.known_bend()[:, None], tempo, onset, torch.nan)[:, 0]
        varied = replace(clips, log_mel=log_mel, controls=controls, bend=bend)
        return varied, self._hidden(log_mel, loudness, draw, seeds)

    def _varied_waves(
        self, clips: Clips, cents: Tensor, draw: dict[str, Tensor], seeds: NDArray[np.int64]
    ) -> tuple[Tensor, measures.Measures, Tensor]:
        """Waves (B, N) after all that is done to waves, what is measured on them before the gain,
        and their loudness (B,) after it.
        """
        config, wave = self.config, self._waves(clips)
        if config.pitch:
            wave = augmentation.pitch_shift(wave, cents)
        if config.tilt:
            wave = augmentation.tilt_spectrum(wave, config.tilt * (2 * draw["tilt"] - 1), self.rate)
        if config.room:
            wave = augmentation.reverberate(
                wave, self._responses(draw, seeds), config.room * draw["room"]
            )
        if config.polarity:
            wave = augmentation.invert_polarity(wave, draw["polarity"] < config.polarity)
        measured = measures.measure(wave, self.rate)
        target = torch.from_numpy(clips.controls.loudness).to(measured.loudness)
        target = target + config.gain * (2 * draw["gain"] - 1)
        headroom = 20 * (PEAK / wave.abs().amax(1)).log10()
        gain = (target.clamp(*LOUDNESS_RANGE) - measured.loudness).minimum(headroom)
        wave = augmentation.gain(wave, gain)
        if config.shift:
            samples = config.shift * self.rate * (2 * draw["shift"] - 1)
            wave = augmentation.shift(wave, samples.round().long())
        return wave, measured, measured.loudness + gain

    def _hidden(
        self, log_mel: Tensor, loudness: Tensor, draw: dict[str, Tensor], seeds: NDArray[np.int64]
    ) -> Tensor:
        """Log-mels (B, M, T) with noise and masks."""
        config = self.config
        if config.noise:
            white = self._white(seeds, 0, WINDOW_SAMPLES)
            noise = augmentation.coloured(white, draw["noise_slope"][:, None] / 2)
            snr = _SNR_SPAN * draw["noise"] - 20 * math.log10(config.noise)
            silence = torch.zeros_like(noise)
            alone = self.front_end(augmentation.add_noise(silence, noise, loudness, snr))
            # both have the floor
            power = (2 * log_mel).exp() + (2 * alone).exp() - self.front_end.config.floor**2
            log_mel = power.log() / 2
        for name, dim in (("time", 2), ("band", 1)):
            if most := getattr(config, f"{name}_mask"):
                log_mel = augmentation.mask(
                    log_mel, most * draw[f"{name}_mask"], draw[f"{name}_place"], dim, self.fill
                )
        return log_mel

    def _waves(self, clips: Clips) -> Tensor:
        return torch.stack([wave for wave in clips.waves if wave is not None]).to(self.device)

    def _white(self, seeds: NDArray[np.int64], which: int, length: int) -> Tensor:
        """Normal noise (B, length), made on the CPU, so that it is the same on every device."""
        words = rng.words(seeds, rng.Stream.AUGMENTATION_NOISE, 2, start=2 * which).astype(np.int64)
        states = (words[:, 0] << 31) ^ words[:, 1]
        rows = [
            torch.randn(length, generator=torch.Generator().manual_seed(int(state)))
            for state in states
        ]
        return torch.stack(rows).to(self.device)

    def _responses(self, draw: dict[str, Tensor], seeds: NDArray[np.int64]) -> Tensor:
        if self.rooms is not None:
            return self.rooms[(draw["room_which"] * len(self.rooms)).long().cpu()].to(self.device)
        shortest, longest = _ROOM_TIMES
        seconds = shortest * (longest / shortest) ** draw["room_time"]
        return augmentation.decays(
            seconds, self._white(seeds, 1, round(_ROOM_LENGTH * self.rate)), self.rate
        )

    def _partners(
        self, clips: Clips, pitch: Tensor, duration: Tensor, draw: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """For each of B clips another one of its kind, brought to its pitch and duration.

        Returns:
            Log-mel, loudness, brightness in octaves, and the share in the mix, which is 0 where no
            clip is near enough.
        """
        among = np.flatnonzero(self.recorded)
        every = self.clips.controls[among]
        chosen, share = [], self.config.mix * draw["mix"]
        for i, (kind, hertz, seconds) in enumerate(
            zip(clips.controls.kind, pitch.tolist(), duration.tolist(), strict=True)
        ):
            near = (every.kind == kind) & (np.abs(np.log2(every.pitch / hertz)) <= _NEAR["octaves"])
            near &= np.abs(np.log(every.duration / seconds)) <= np.log(_NEAR["duration"])
            near &= [self.clips.waves[k] is not clips.waves[i] for k in among]
            candidates = among[near] if near.any() else among[:1]
            share[i] *= bool(near.any())
            chosen.append(candidates[int(draw["partner"][i] * len(candidates))])
        others = self.clips[np.array(chosen)]
        theirs = torch.from_numpy(others.controls.pitch).to(pitch)
        wave = augmentation.pitch_shift(
            self._waves(others), 1200 * (pitch / theirs).log2() * (share > 0)
        )
        measured = measures.measure(wave, self.rate)
        factor = torch.where(share > 0, duration / measured.duration, 1.0)
        octaves = measures.brightness_octaves(measured.centroid, pitch)
        return self._stretched(self.front_end(wave), factor), measured.loudness, octaves, share

    def _stretched(self, log_mel: Tensor, factor: Tensor) -> Tensor:
        return augmentation.stretch(
            log_mel, factor, self._onset(), math.log(self.front_end.config.floor)
        )

    def _onset(self) -> float:
        return ONSET_SAMPLES / self.front_end.config.hop

    def _longest(self) -> float:
        return (WINDOW_SAMPLES - ONSET_SAMPLES) / self.rate
