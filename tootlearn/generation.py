"""Generation: controls and a seed in, a toot out. The one place where the whole chain meets.

    controls, seed -> residual latent from the prior -> log-mel -> magnitude -> phase -> wave

Randomness is counter-based and toots are made one by one, so that a seed gives the same samples whatever else is
asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import as_file, files
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn import model_file, rng
from tootlearn.audio import InputError
from tootlearn.autoencoder import Generator, TootModel
from tootlearn.controls import LOUDNESS_RANGE, Controls, check_range, find_kind, parse_pitch
from tootlearn.decoder import Condition
from tootlearn.front_end import WINDOW_SAMPLES
from tootlearn.phase import ridge_integration

PHASE_ITERATIONS = 4
PEAK = 0.98  # a toot that would pass it is turned down: nothing is clipped
USUAL_LOUDNESS = (-20.0, -12.0)  # dBFS, when none is asked for
_CONTROLS, _RESIDUAL, _TEXTURE = 11, 12, 13  # streams of random numbers
_QUIET = 10 ** (-60 / 20)  # where a toot is cut: below its peak
_FADE = 0.005  # s


class TootGenerator:
    """A trained model that makes toots.

    Args:
        model: with a generator, an autoencoder or both.
        description: the metadata of its file.
        device: what it runs on.
    """

    def __init__(self, model: TootModel, description: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        self.model = model.eval().to(device)
        self.description = description
        self.device = torch.device(device)

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.model.front_end.config.sample_rate

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the kinds that it knows."""
        return tuple(kind.name for kind in self.model.kinds)

    def controls(
        self,
        kind: str | None = None,
        pitch: float | str | None = None,
        duration: float | None = None,
        brightness: float | None = None,
        loudness: float | None = None,
        seed: int = 0,
    ) -> Controls:
        """The controls of one toot: those that are given, checked, and the rest drawn as they occur.

        Args:
            kind: one of :attr:`kinds`.
            pitch: Hz, a note name or MIDI (`controls.parse_pitch`), within the range of the kind.
            duration: s, within the range of the kind.
            brightness: 0 to 1.
            loudness: dBFS, -36 to -6.
            seed: decides what is not given.

        Raises:
            InputError: for a control that is unknown, unreadable or out of range.
        """
        share = rng.uniform(checked_seed(seed), _CONTROLS, 5)
        known = self.model.kinds
        hz = None if pitch is None else parse_pitch(pitch)
        if kind is not None:
            index = find_kind(kind, known)
        else:  # a kind that has this pitch, if any has
            able = [i for i, k in enumerate(known) if hz is None or k.pitch[0] <= hz <= k.pitch[1]] or list(
                range(len(known))
            )
            index = able[int(share[0] * len(able))]
        about = known[index]
        low, high = about.pitch
        hz = low * (high / low) ** share[1] if hz is None else check_range(f"{about.name}: pitch", hz, low, high, " Hz")
        low, high = about.duration
        if duration is None:
            duration = low * (high / low) ** share[2]
        else:
            check_range(f"{about.name}: duration", duration, low, high, " s")
        brightness = share[3] if brightness is None else check_range("brightness", brightness, 0, 1, "")
        low, high = USUAL_LOUDNESS
        loudness = (
            low + (high - low) * share[4]
            if loudness is None
            else check_range("loudness", loudness, *LOUDNESS_RANGE, " dB")
        )
        return Controls(np.array([index]), *(np.array([float(v)]) for v in (hz, duration, brightness, loudness)))

    def generate(
        self,
        kind: str | None = None,
        pitch: float | str | None = None,
        duration: float | None = None,
        brightness: float | None = None,
        loudness: float | None = None,
        seed: int = 0,
        texture: float = 1.0,
    ) -> NDArray[np.float32]:
        """One toot.

        Args:
            kind, pitch, duration, brightness, loudness, seed: as in :meth:`controls`; the seed also decides what all
                controls leave open.
            texture: how much of the spread that the model has seen about its drawing is put back, 0 to 1.

        Returns:
            Wave, shape (N,), float32 in [-1, 1], at :attr:`sample_rate`, from its onset to 60 dB below its peak.

        Raises:
            InputError: for bad controls, or a model without a generator.
        """
        controls = self.controls(kind, pitch, duration, brightness, loudness, seed)
        return self.render(controls, self.residual(controls, seed), seed, texture)

    def residual(self, controls: Controls, seed: int) -> Tensor:
        """A residual latent from the prior, shape (1, Z)."""
        generator = self._generator()
        noise = rng.normal(seed, _RESIDUAL, generator.config.residual)
        return generator.sample_prior(
            torch.as_tensor(controls.kind, device=self.device),
            torch.as_tensor(noise, dtype=torch.float32, device=self.device)[None],
        )

    @torch.inference_mode()
    def render(self, controls: Controls, residual: Tensor, seed: int = 0, texture: float = 1.0) -> NDArray[np.float32]:
        """One toot from its controls and residual latent (1, Z); otherwise as :meth:`generate`."""
        drawing = self._generator().decode(Condition.of(controls, self.device), residual)
        log_mel = drawing.log_mel[0]
        if texture:
            noise = _texture(seed, *log_mel.shape).to(self.device)
            log_mel = log_mel + texture * drawing.log_spread[0].clamp(-4, 0).exp() * noise
        wave = self.to_wave(log_mel)
        return _cut(wave, self.sample_rate)

    @torch.inference_mode()
    def reconstruct(self, wave: Tensor) -> Tensor:
        """Encode a sound and decode it again; the decoder sees the latent alone.

        Args:
            wave: (N,) at :attr:`sample_rate`. What is longer than the model's window is done window by window.

        Returns:
            (N,). Silence comes back as silence.

        Raises:
            InputError: for a model without an autoencoder.
        """
        if self.model.autoencoder is None:
            raise InputError("this model has no autoencoder: it generates, but does not reconstruct")
        count = len(wave)
        windows = torch.nn.functional.pad(wave, (0, -count % WINDOW_SAMPLES)).view(-1, WINDOW_SAMPLES).to(self.device)
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
        """Log-mel (M, T) of a window to a wave (WINDOW_SAMPLES,): magnitude, then phase."""
        front_end = self.model.front_end
        magnitude = front_end.magnitude(log_mel[None])
        wave: Tensor = ridge_integration(magnitude, front_end.stft, iterations=PHASE_ITERATIONS, length=WINDOW_SAMPLES)[
            0
        ]
        return wave

    @property
    def latent(self) -> int:
        """How many numbers a window is reconstructed from; 0 without an autoencoder."""
        return self.model.autoencoder.config.latent if self.model.autoencoder else 0

    def _generator(self) -> Generator:
        if self.model.generator is None:
            raise InputError("this model has no generator: it reconstructs, but does not generate")
        return self.model.generator


def load(path: str | os.PathLike[str] | None = None, device: str = "cpu") -> TootGenerator:
    """The generator of a model file, or of the model that comes with the package.

    Args:
        path: a model file; None for the shipped one.
        device: "cpu", "cuda", "mps" or "auto".

    Raises:
        InputError: as `model_file.load`.
    """
    if path is None:
        with as_file(files("tootlearn") / "models" / "default.safetensors") as shipped:
            model, description = model_file.load(shipped)
    else:
        model, description = model_file.load(path)
    return TootGenerator(model, description, model_file.to_device(device))


def summary(generator: TootGenerator) -> str:
    """What a model file holds, for people: kinds and their ranges, sizes, front end, training."""
    model, provenance = generator.model, generator.description["provenance"]
    parts = [p for p in ("generator", "autoencoder") if getattr(model, p) is not None]
    sizes = [f"{p} {sum(t.numel() for t in getattr(model, p).parameters()) / 1e6:.2f} M parameters" for p in parts]
    lines = [
        f"schema {generator.description['schema']}; {'; '.join(sizes)}",
        "",
        "kind            pitch (Hz)      duration (s)   notes",
    ]
    for kind in model.kinds:
        notes = " ".join(f"{ratio:.4g}" for ratio in kind.intervals)
        lines.append(
            f"{kind.name:15} {kind.pitch[0]:g} to {kind.pitch[1]:g}".ljust(32)
            + f"{kind.duration[0]:g} to {kind.duration[1]:g}".ljust(15)
            + notes
        )
    lines += ["", "front end    " + ", ".join(f"{k} {v:g}" for k, v in generator.description["front_end"].items())]
    lines += [f"{name:12} {value}" for name, value in provenance.items() if name != "config"]
    return "\n".join(lines)


def checked_seed(seed: int) -> int:
    """``seed`` if it is one. Raises InputError otherwise."""
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed <= rng.MAX_SEED:
        raise InputError(f"a seed is a whole number from 0 to {rng.MAX_SEED}, not {seed!r}")
    return int(seed)


def _texture(seed: int, mels: int, frames: int) -> Tensor:
    """Unit normal noise (M, T) with the correlation that overlapping Hann frames give to the magnitudes of noise."""
    white = torch.as_tensor(rng.normal(seed, _TEXTURE, mels * frames), dtype=torch.float32).view(1, 1, mels, frames)
    along_time = torch.tensor([0.35, 0.86, 0.35])  # neighbouring frames (hop n_fft / 4) correlate by about .6
    return torch.nn.functional.conv2d(white, along_time.view(1, 1, 1, 3), padding=(0, 1))[0, 0]


def _cut(wave: Tensor, sample_rate: int) -> NDArray[np.float32]:
    """From the first to the last sample within 60 dB of the peak, with short fades; turned down if it would clip."""
    peak = float(wave.abs().max())
    loud = (wave.abs() >= _QUIET * peak).nonzero()
    if peak == 0 or len(loud) == 0:
        return np.zeros(1, dtype=np.float32)
    toot = wave[int(loud[0]) : int(loud[-1]) + 1] * min(1.0, PEAK / peak)
    fade = min(int(_FADE * sample_rate), len(toot) // 2)
    ramp = torch.linspace(0, 1, fade + 2, device=wave.device)[1:-1]
    toot[:fade] *= ramp
    toot[len(toot) - fade :] *= ramp.flip(0)
    return np.asarray(toot.cpu().numpy(), dtype=np.float32)
