"""Variants of recorded clips, made from their waves on the fly: every batch of the training has its
own.
"""

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
from tootlearn.data.augmentation import Augmentation
from tootlearn.data.clips import BEND_FRAMES, Clips
from tootlearn.data.synthesis import PEAK
from tootlearn.dsp import measures
from tootlearn.dsp.front_end import WINDOW_SAMPLES, FrontEnd, FrontEndConfig
from tootlearn.errors import InputError

# variants of a clip, and clips with variants, that principal components are found from
AT_START, MOST = 8, 8192
_BEFORE_TRAINING = 2**40  # places that training does not reach
_AT_ONCE = 64  # clips
_SEED, _DRAWN, _WHITE = 43, 44, 45  # streams of random numbers
_DRAWS = (
    *(
        "gain",
        "polarity",
        "shift",
        "pitch",
        "tilt",
        "room",
        "room_time",
        "room_which",
        "stretch",
        "mix",
        "partner",
    ),
    *("noise", "noise_slope", "time_mask", "time_place", "band_mask", "band_place"),
)
_ROOM_TIMES = (0.1, 0.8)  # s, of a fall by 60 dB
_ROOM_LENGTH = 0.8  # s of an impulse response
_SNR_SPAN = 30.0  # dB between the loudest noise and the softest
_NEAR = {"octaves": 2 / 12, "duration": 1.5}  # toots that are further apart than this are not mixed


class Augmenter:
    """Variants of those clips that have waves; all others, such as synthetic ones, pass as they
    are.

    What is drawn for a place follows from the seed and the place alone, whatever the batch and on
    whatever device; each transformation has numbers of its own, so that switching one on leaves
    what the others do as it was.

    Args:
        clips: those that are learned from, never held-out ones.
        config: what is done to them.
        front_end: makes the log-mels; all is computed on its device.
        seed: of all that is drawn.

    Raises:
        InputError: if no clip has a wave, or a room cannot be read.
    """

    def __init__(self, clips: Clips, config: Augmentation, front_end: FrontEnd, seed: int) -> None:
        self.clips, self.config, self.front_end = clips, config, front_end
        self.seed = rng.child(seed, _SEED)
        self.recorded = np.array([wave is not None for wave in clips.waves])
        if not self.recorded.any():
            raise InputError(
                "augmentation is for recordings, and there are none: give data, or leave augmentation out "
                "(a variant of a synthetic toot is another synthetic toot)"
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
        """Variants on the device, or None where nothing is varied."""
        return cls(clips, config, FrontEnd(front_end).to(device), seed) if config.on else None

    def with_originals(self) -> Tensor:
        """Log-mels (B, M, T), float16, of all clips and of `AT_START` variants of each, but no more
        than `MOST` in all.

        They are what an autoencoder's principal components are found from.
        """
        count = min(AT_START * len(self.clips), max(MOST - len(self.clips), 0))
        rows = torch.arange(count) % len(self.clips)
        parts = [self.clips.log_mel]
        for places in np.array_split(np.arange(count), -(-count // _AT_ONCE)) if count else ():
            parts.append(self(rows[places], _BEFORE_TRAINING + places)[0].log_mel.half().cpu())
        return torch.cat(parts)

    def __call__(self, rows: Tensor, places: NDArray[np.int64]) -> tuple[Clips, Tensor]:
        """Clips as they are to be learned, and their log-mels as the encoder hears them.

        Args:
            rows: (B,) which clips.
            places: (B,) numbers of the draws, no two of them the same: places in the course of
                training.

        Returns:
            B clips, whose log-mels are float32 and on the device, and what is heard, (B, M, T): the
            same log-mels, but for noise and masks.
        """
        return self.of_others(self.clips[rows.numpy()], places)

    def of_others(self, clips: Clips, places: NDArray[np.int64]) -> tuple[Clips, Tensor]:
        """The same of B clips that need not be among those given; the partners in a mix are."""
        log_mel = clips.log_mel.float().to(self.device)
        mine = np.array([wave is not None for wave in clips.waves])
        if not mine.any():
            return replace(clips, log_mel=log_mel), log_mel
        varied, heard_ = self._varied(clips[mine], (self.seed + places[mine]) % rng.MAX_SEED)
        heard = log_mel.clone()
        log_mel[torch.from_numpy(mine)], heard[torch.from_numpy(mine)] = varied.log_mel, heard_
        controls = clips.controls
        columns = {
            name: np.array(getattr(controls, name))
            for name in ("pitch", "duration", "brightness", "loudness")
        }
        for name, column in columns.items():
            column[mine] = getattr(varied.controls, name)
        bend = clips.known_bend()
        bend[torch.from_numpy(mine)] = varied.known_bend()
        return replace(
            clips, log_mel=log_mel, controls=replace(controls, **columns), bend=bend
        ), heard

    def _varied(self, clips: Clips, seeds: NDArray[np.int64]) -> tuple[Clips, Tensor]:
        config, old = self.config, clips.controls
        numbers = rng.uniform(seeds, _DRAWN, len(_DRAWS))
        draw = {
            name: torch.from_numpy(numbers[:, i]).float().to(self.device)
            for i, name in enumerate(_DRAWS)
        }
        both = {name: 2 * number - 1 for name, number in draw.items()}  # from -1 to 1

        wave, cents = self._waves(clips), config.pitch * both["pitch"]
        if config.pitch:
            wave = augmentation.pitch_shift(wave, cents)
        if config.tilt:
            wave = augmentation.tilt(wave, config.tilt * both["tilt"], self.rate)
        if config.room:
            wave = augmentation.reverberate(
                wave, self._responses(draw, seeds), config.room * draw["room"]
            )
        if config.polarity:
            wave = augmentation.invert(wave, draw["polarity"] < config.polarity)
        found = measures.measure(wave, self.rate)
        wanted = torch.from_numpy(old.loudness).to(found.loudness) + config.gain * both["gain"]
        room_left = 20 * (PEAK / wave.abs().amax(1)).log10()
        gain = (wanted.clamp(*LOUDNESS_RANGE) - found.loudness).minimum(room_left)
        wave, loudness = augmentation.gain(wave, gain), found.loudness + gain
        if config.shift:
            wave = augmentation.shift(
                wave, (config.shift * self.rate * both["shift"]).round().long()
            )
        pitch = torch.from_numpy(old.pitch).to(wave) * 2 ** (cents / 1200)
        octaves = measures.brightness_octaves(found.centroid, pitch)

        asked = (1 + config.stretch) ** both["stretch"]
        factor = asked.minimum((self._longest() / found.duration).clamp_min(1))
        duration = found.duration * factor
        drawn = self.front_end(wave)
        if config.stretch:
            drawn = self._stretched(drawn, factor)
        if config.mix:
            other, found_, octaves_, share = self._partners(clips, pitch, duration, draw)
            drawn = augmentation.mix(drawn, other, share)
            loudness = loudness + share * (found_ - loudness)
            octaves = octaves + share * (octaves_ - octaves)
        heard = drawn
        if config.noise:
            noise = augmentation.coloured(
                self._white(seeds, 0, wave.shape[1]), draw["noise_slope"][:, None] / 2
            )
            snr = _SNR_SPAN * draw["noise"] - 20 * math.log10(config.noise)
            alone = self.front_end(
                augmentation.add_noise(torch.zeros_like(wave), noise, loudness, snr)
            )
            # both have the floor
            power = (2 * drawn).exp() + (2 * alone).exp() - self.front_end.config.floor**2
            heard = power.log() / 2
        for name, dim in (("time", 2), ("band", 1)):
            if most := getattr(config, f"{name}_mask"):
                heard = augmentation.mask(
                    heard, most * draw[f"{name}_mask"], draw[f"{name}_place"], dim, self.fill
                )

        def column(values: Tensor) -> NDArray[np.float64]:
            return values.double().cpu().numpy()

        low, high = np.array([clips.kinds[k].octaves for k in old.kind]).T
        controls = replace(
            old,
            pitch=column(pitch),
            duration=column(duration),
            brightness=(column(octaves) - low) / (high - low),
            loudness=column(loudness),
        )
        tempo = (factor / 2 ** (cents / 1200)).cpu()
        onset = ((self._onset() + 0.5) / BEND_FRAMES) - 0.5
        bend = augmentation.stretch(clips.known_bend()[:, None], tempo, onset, torch.nan)[:, 0]
        return replace(clips, log_mel=drawn, controls=controls, bend=bend), heard

    def _waves(self, clips: Clips) -> Tensor:
        return torch.stack([wave for wave in clips.waves if wave is not None]).to(self.device)

    def _white(self, seeds: NDArray[np.int64], which: int, length: int) -> Tensor:
        """Normal noise (B, length), drawn on the CPU, so that it is the same on every device."""
        words = rng.words(seeds, _WHITE, 2 * which + 2)[:, 2 * which :].astype(np.int64)
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
        """For each of B clips another of its kind, brought to its pitch and duration: log-mel,
        loudness, brightness in octaves, and the share that it takes, 0 where there is none near
        enough."""
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
        found = measures.measure(wave, self.rate)
        factor = torch.where(share > 0, duration / found.duration, 1.0)
        octaves = measures.brightness_octaves(found.centroid, pitch)
        return self._stretched(self.front_end(wave), factor), found.loudness, octaves, share

    def _stretched(self, log_mel: Tensor, factor: Tensor) -> Tensor:
        return augmentation.stretch(
            log_mel, factor, self._onset(), math.log(self.front_end.config.floor)
        )

    def _onset(self) -> float:
        return ONSET_SAMPLES / self.front_end.config.hop

    def _longest(self) -> float:
        return (WINDOW_SAMPLES - ONSET_SAMPLES) / self.rate
