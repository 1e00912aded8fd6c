"""Generation: from controls and a seed to a toot. Here the whole chain comes together.

    controls, seed -> residual latent from the prior -> log-mel -> magnitude -> phase -> wave

Random numbers are a function of the seed alone (`rng`) and toots are made one by one, so a seed
gives the same samples whatever was made before.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tootlearn import rng
from tootlearn.controls import ControlRequest, Controls, complete, kinds_with
from tootlearn.dsp import denoising, measures
from tootlearn.dsp.audio import resample
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.dsp.envelope import apply_envelope, parse_envelope
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.phase import ridge_integration
from tootlearn.errors import InputError, check_range
from tootlearn.generation import harmonics
from tootlearn.generation.breath_noise import correlated_noise, noise_deviation
from tootlearn.generation.place import placed
from tootlearn.models import model_file
from tootlearn.models.bandwidth import Bandwidth
from tootlearn.models.decoder import Condition, Drawing
from tootlearn.models.device import to_device
from tootlearn.models.generator import Generator
from tootlearn.models.toot_model import TootModel
from tootlearn.models.vocoder import Vocoder

PHASE_ITERATIONS = 4
PEAK = 0.98  # louder toots are attenuated, so that nothing is clipped
SAMPLE_RATES = (8000, 192000)  # Hz: what a toot can be resampled to
TEMPERATURES = (0, 3)
_QUIET = 10 ** (-60 / 20)  # of the peak: where a toot is cut
_FADE = 0.005  # s


class TootGenerator:
    """A trained model that makes toots.

    Args:
        model: with a generator, an autoencoder or both.
        description: the metadata of its file.
        device: where it runs.
        vocoder: turns log-mels into magnitudes; None uses the mel inversion, which is not learned.
        bandwidth: adds the high band at sample rates above the model's; None adds nothing.

    Raises:
        InputError: if the vocoder has another front end than the model, or ``bandwidth`` another
            rate.

    Example:
        >>> from tootlearn.generation.toot_generator import TootGenerator
        >>> from tootlearn.models import model_file
        >>> model, description = model_file.load_model(model_file.shipped("tiny"))
        >>> TootGenerator(model, description).sample_rate
        22050
    """

    def __init__(
        self,
        model: TootModel,
        description: Mapping[str, Any],
        device: torch.device | str = "cpu",
        vocoder: Vocoder | None = None,
        bandwidth: Bandwidth | None = None,
    ) -> None:
        rate = model.front_end.config.sample_rate
        if bandwidth and bandwidth.rate != 2 * rate:
            raise InputError(
                f"the bandwidth extension is for {bandwidth.rate // 2} Hz, the model makes "
                f"{rate} Hz"
            )
        if vocoder and vocoder.front_end.config != model.front_end.config:
            raise InputError(
                "the vocoder and the model have different front ends: use a vocoder trained for "
                "this one"
            )
        self.vocoder = vocoder and vocoder.eval().to(device)
        self.bandwidth = bandwidth and bandwidth.eval().to(device)
        self.model = model.eval().to(device)
        self.description = description
        self.device = torch.device(device)
        self._noise_deviation = noise_deviation(self.model.front_end.mel.bank)[:, None]
        self._front_ends = {self.model.front_end.config.n_fft: self.model.front_end}

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.model.front_end.config.sample_rate

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the kinds that it knows."""
        return tuple(kind.name for kind in self.model.kinds)

    def kinds_with(
        self, pitch: float | str | None = None, duration: float | None = None
    ) -> tuple[str, ...]:
        """The kinds whose ranges hold this pitch and this duration; None allows any.

        Raises:
            InputError: if there is none, or the pitch cannot be read.

        Example:
            >>> import tootlearn
            >>> tootlearn.load().kinds_with(pitch=2500)
            ('pea_whistle',)
        """
        return tuple(kind.name for kind in kinds_with(self.model.kinds, pitch, duration))

    def controls(
        self,
        kind: str | None = None,
        pitch: float | str | None = None,
        duration: float | None = None,
        brightness: float | None = None,
        loudness: float | None = None,
        seed: int = 0,
    ) -> Controls:
        """The controls of one toot: those that are given, checked, and random values for the rest.

        Args:
            kind: one of :attr:`kinds`.
            pitch: Hz, a note name or MIDI (`controls.parse_pitch`), within the range of the kind.
            duration: s, within the range of the kind.
            brightness: 0 to 1.
            loudness: dBFS, -36 to -6.
            seed: decides what is not given.

        Raises:
            InputError: for a control that is unknown, unreadable or out of range.

        Example:
            >>> import tootlearn
            >>> controls = tootlearn.load().controls("trumpet", pitch="A4", seed=1)
            >>> float(controls.pitch[0])
            440.0
        """
        request = ControlRequest(kind, pitch, duration, brightness, loudness)
        share = rng.uniform(checked_seed(seed), rng.Stream.GENERATION_CONTROLS, 5)
        return complete(self.model.kinds, request, share)

    def generate(
        self,
        kind: str | None = None,
        pitch: float | str | None = None,
        duration: float | None = None,
        brightness: float | None = None,
        loudness: float | None = None,
        seed: int = 0,
        texture: float = 1.0,
        sample_rate: int | None = None,
        denoise: bool = False,
        temperature: float = 1.0,
        envelope: str | ArrayLike | None = None,
    ) -> NDArray[np.float32]:
        """One toot. The same arguments give the same samples, whatever was made before.

        Args:
            kind, pitch, duration, brightness, loudness, seed: as in :meth:`controls`; the seed also
                decides everything that the controls leave open.
            texture: how much the breath noise fluctuates, 0 (not at all) to 1 (like noise).
            sample_rate: Hz, 8,000 to 192,000; None for :attr:`sample_rate`, above which the
                bandwidth extension adds the high band.
            denoise: filter the toot like a noisy recording. There is silence around a toot before
                it is cut, so no noise is found and next to nothing changes: this is for models
                that learned the noise of recordings.
            temperature: how much toots vary beyond their controls, see :meth:`residual`.
            envelope: levels in dB from the beginning of the toot to its end, see `parse_envelope`;
                None leaves the envelope to the network.

        Returns:
            Wave, shape (N,), float32, from the first to the last sample within 60 dB of its peak,
            which is 0.98 at most.

        Raises:
            InputError: for bad arguments, or a model without a generator.

        Example:
            >>> import tootlearn
            >>> g = tootlearn.load()
            >>> wave = g.generate("trumpet", pitch="A4", duration=0.5, seed=7)
            >>> 0.4 < len(wave) / g.sample_rate < 0.7
            True
        """
        controls = self.controls(kind, pitch, duration, brightness, loudness, seed)
        residual = self.residual(controls, seed, temperature)
        return self.render(controls, residual, seed, texture, sample_rate, denoise, envelope)

    def noise(self, seed: int) -> Tensor:
        """The standard normal numbers (1, Z) of a seed, which the prior turns into a residual."""
        size = self.network.config.residual
        normal = rng.normal(checked_seed(seed), rng.Stream.GENERATION_RESIDUAL, size)
        return torch.as_tensor(normal, dtype=torch.float32, device=self.device)[None]

    def residual(self, controls: Controls, seed: int, temperature: float = 1.0) -> Tensor:
        """The residual latent (1, Z) of one toot, drawn from the prior for its controls.

        The standard normal numbers of the draw are multiplied by the temperature, 0 to 3. With 0
        every seed gives the toot at the mean of the prior; with 1 toots vary as the training
        sounds do, and above 1 they vary more.

        Raises:
            InputError: for a bad seed or temperature, or a model without a generator.

        Example:
            >>> import tootlearn
            >>> g = tootlearn.load("tiny")
            >>> residual = g.residual(g.controls("trumpet"), seed=7)
            >>> g.render(g.controls("trumpet"), residual, seed=7).ndim
            1
        """
        scale = check_range("temperature", temperature, *TEMPERATURES, "")
        condition = Condition.of(controls, self.device)
        return self.network.prior.sample(condition, scale * self.noise(seed))

    @torch.inference_mode()
    def render(
        self,
        controls: Controls,
        residual: Tensor,
        seed: int = 0,
        texture: float = 1.0,
        sample_rate: int | None = None,
        denoise: bool = False,
        envelope: str | ArrayLike | None = None,
        shares: Tensor | None = None,
    ) -> NDArray[np.float32]:
        """One toot from its controls and residual latent (1, Z); otherwise as :meth:`generate`.

        ``shares``, (1, K), may place the toot between kinds, see `decoder.Condition`.
        """
        rate = self.sample_rate if sample_rate is None else sample_rate
        rate = int(check_range("sample rate", rate, *SAMPLE_RATES, " Hz"))
        log_mel, drawing = self.draw(controls, residual, seed, texture, shares)
        speaks = self.vocoder and self.resolving(drawing) is self.model.front_end
        wave = self.to_wave(log_mel) if speaks else self.drawn_to_wave(log_mel, drawing)
        wave = denoising.denoise(wave, self.sample_rate) if denoise else wave
        if envelope is not None:
            wave = apply_envelope(wave, self.sample_rate, parse_envelope(envelope))
        # The network gets the level right to a few dB; one gain corrects the rest.
        measured = float(measures.loudness(wave, self.sample_rate))
        if math.isfinite(measured):
            wave *= 10 ** ((float(controls.loudness[0]) - measured) / 20)
        wave_rate = self.sample_rate
        if self.bandwidth and rate > wave_rate:
            wave = self.bandwidth.extend(wave, drawing.notes[0], drawing.level[0], seed)
            wave_rate = self.bandwidth.rate
        return _cut(resample(wave, wave_rate, rate), rate)

    def draw(
        self,
        controls: Controls,
        residual: Tensor,
        seed: int = 0,
        texture: float = 1.0,
        shares: Tensor | None = None,
    ) -> tuple[Tensor, Drawing]:
        """The log-mel (M, T) of one toot with its breath noise, and the drawing without."""
        strength = check_range("texture", texture, 0, 1, "")
        condition = Condition.of(controls, self.device, shares)
        drawing = self.network.decode(condition, residual)
        noise = correlated_noise(checked_seed(seed), *drawing.log_mel.shape[1:]).to(self.device)
        deviation = strength * drawing.breath[0] * self._noise_deviation
        return drawing.log_mel[0] + deviation * noise, drawing

    def place(
        self,
        wave: ArrayLike,
        place: str | os.PathLike[str] = "street",
        seed: int = 0,
        floor: float | None = None,
        sample_rate: int | None = None,
    ) -> NDArray[np.float32]:
        """A toot as it sounds in a place: see `place.placed`.

        Example:
            >>> import tootlearn
            >>> g = tootlearn.load("tiny")
            >>> toot = g.generate("train_horn", duration=0.5)
            >>> len(g.place(toot, "hall")) > len(toot)
            True
        """
        rate = self.sample_rate if sample_rate is None else sample_rate
        return placed(wave, rate, place, seed, floor)

    @torch.inference_mode()
    def reconstruct(self, wave: Tensor) -> Tensor:
        """Encode a sound and decode it again; the decoder sees the latent alone.

        Args:
            wave: (N,) at :attr:`sample_rate`. A sound longer than the model's window is
                reconstructed window by window.

        Returns:
            (N,), attenuated if its peak would exceed 0.98. Silence comes back as silence.

        Raises:
            InputError: for a model without an autoencoder.

        Example:
            >>> import torch
            >>> import tootlearn
            >>> tootlearn.load().reconstruct(torch.zeros(1000)).shape
            torch.Size([1000])
        """
        if self.model.autoencoder is None:
            raise InputError(
                "this model has no autoencoder: it generates, but does not reconstruct"
            )
        count = len(wave)
        windows = (
            torch.nn.functional.pad(wave, (0, -count % WINDOW_SAMPLES))
            .view(-1, WINDOW_SAMPLES)
            .to(self.device)
        )
        parts = []
        for window in windows:
            if not bool(window.any()):
                parts.append(window)
                continue
            x = self.model.normalizer(self.model.front_end(window[None]))
            parts.append(self.to_wave(self.model.normalizer.inverse(self.model.autoencoder(x))[0]))
        together = torch.cat(parts)[:count].cpu()
        return together * min(1.0, PEAK / max(float(together.abs().max()), 1e-9))

    def to_wave(self, log_mel: Tensor) -> Tensor:
        """Log-mel (M, T) of a window to a wave (WINDOW_SAMPLES,): magnitude (by the vocoder, if
        any), then phase.
        """
        front_end = self.model.front_end
        return _with_phase((self.vocoder or front_end.magnitude)(log_mel[None]), front_end)

    def drawn_to_wave(self, log_mel: Tensor, drawing: Drawing) -> Tensor:
        """Like :meth:`to_wave`, with the harmonics at the notes that the decoder states.

        Args:
            log_mel: (M, T), the drawing's, with or without breath noise.
            drawing: of one toot.

        Returns:
            (WINDOW_SAMPLES,). See `harmonics`.
        """
        front_end = self.resolving(drawing)
        wider = front_end.config.n_fft / self.model.front_end.config.n_fft
        wave = _with_phase(harmonics.magnitude(log_mel, drawing, front_end, wider)[None], front_end)
        # A short window cannot resolve the harmonics of a low note: match its level here.
        gain = float(log_mel.exp().norm() / self.model.front_end(wave).exp().norm())
        return wave * gain

    def resolving(self, drawing: Drawing) -> FrontEnd:
        """The front end whose window resolves the harmonics of a drawing."""
        config = self.model.front_end.config
        n_fft = harmonics.resolving(config, 2 ** float(drawing.notes.min()))
        if n_fft not in self._front_ends:
            self._front_ends[n_fft] = FrontEnd(replace(config, n_fft=n_fft)).to(self.device)
        return self._front_ends[n_fft]

    @property
    def network(self) -> Generator:
        """The model's generator. Raises InputError if it has none."""
        if self.model.generator is None:
            raise InputError("this model has no generator: it reconstructs, but does not generate")
        return self.model.generator

    @property
    def latent(self) -> int:
        """The size of the autoencoder's latent; 0 without an autoencoder."""
        return self.model.autoencoder.config.latent if self.model.autoencoder else 0


def load(
    path: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    vocoder: str | os.PathLike[str] | None = None,
    bandwidth: str | os.PathLike[str] | None = None,
) -> TootGenerator:
    """The generator of a model file, or of the model that comes with the package.

    Args:
        path: a model file; None for the shipped one.
        device: "cpu", "cuda", "mps" or "auto".
        vocoder: a vocoder's file, or "none"; None for the shipped one, if the model has its front
            end.
        bandwidth: a bandwidth extension's file, or "none"; None for the shipped one, if it fits.

    Raises:
        InputError: as `model_file.load_model`, `load_vocoder` and `load_bandwidth`.

    Example:
        >>> import tootlearn
        >>> tootlearn.load("tiny").kinds[:2]
        ('car_horn', 'bicycle_horn')
    """
    model, description = model_file.load_model(model_file.shipped() if path is None else path)
    speaker = None
    if vocoder is None:
        shipped, _ = model_file.load_vocoder()
        speaker = shipped if shipped.front_end.config == model.front_end.config else None
    elif vocoder != "none":
        speaker, _ = model_file.load_vocoder(vocoder, model.front_end.config)
    above = None if bandwidth == "none" else model_file.load_bandwidth(bandwidth)[0]
    if above and bandwidth is None and above.rate != 2 * model.front_end.config.sample_rate:
        above = None
    return TootGenerator(model, description, to_device(device), speaker, above)


def checked_seed(seed: int) -> int:
    """``seed`` if it is one. Raises InputError otherwise."""
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed <= rng.MAX_SEED:
        raise InputError(f"a seed is a whole number from 0 to {rng.MAX_SEED}, not {seed!r}")
    return int(seed)


def _with_phase(magnitude: Tensor, front_end: FrontEnd) -> Tensor:
    """Magnitude (1, F, T) to a wave (WINDOW_SAMPLES,), silent where no frame reaches."""
    length = min(WINDOW_SAMPLES, front_end.stft.reach(magnitude.shape[-1]))
    waves = ridge_integration(magnitude, front_end.stft, iterations=PHASE_ITERATIONS, length=length)
    return torch.nn.functional.pad(waves[0], (0, WINDOW_SAMPLES - length))


def _cut(wave: Tensor, sample_rate: int) -> NDArray[np.float32]:
    """The wave from the first to the last sample within 60 dB of its peak, with short fades, and
    attenuated if it would clip. Silence becomes one silent sample.
    """
    peak = float(wave.abs().max())
    loud = (wave.abs() >= _QUIET * peak).nonzero()
    if peak == 0:
        return np.zeros(1, dtype=np.float32)
    toot = wave[int(loud[0]) : int(loud[-1]) + 1] * min(1.0, PEAK / peak)
    fade = min(int(_FADE * sample_rate), len(toot) // 2)
    ramp = torch.linspace(0, 1, fade + 2, device=wave.device)[1:-1]
    toot[:fade] *= ramp
    toot[len(toot) - fade :] *= ramp.flip(0)
    return np.asarray(toot.cpu().numpy(), dtype=np.float32)
