"""Training of the vocoder: from sounds of many sorts to `vocoder.safetensors`.

It learns from synthetic toots, from the notes of all instruments of a sound font, and from
recordings if there are any. Each step takes short pieces of some of them and makes recordings of
these: two at once, in a room, with noise, at any level. What it learns from is the log-mel; what it
is compared with is the short-time Fourier transform itself.

The random choices of a step follow from the seed and the step alone, so that a run can be stopped
and resumed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tootlearn.data import sounds
from tootlearn.data.sounds import Pieces, Sounds
from tootlearn.dsp.phase import advances, floored_log, peak_frequencies, region_peaks
from tootlearn.dsp.stft import Stft
from tootlearn.models import model_file
from tootlearn.models.vocoder import Vocoder
from tootlearn.training import loop
from tootlearn.training.batches import shares
from tootlearn.training.compute import launch
from tootlearn.training.config import Compute, VocoderTrainConfig
from tootlearn.training.provenance import describe_sounds, licence, provenance

RESULT = "vocoder.safetensors"
_HELD_OUT_STEPS = 8


# What training minimises


def relative_error(magnitude: Tensor, target: Tensor) -> Tensor:
    """Spectral convergence of each of (B, F, T), linear: (B,)."""
    error = ((magnitude - target).square().sum((1, 2)) + 1e-6).sqrt()
    size = target.square().sum((1, 2)).sqrt().clamp_min(1e-3)
    share: Tensor = error / size
    return share


def log_error(magnitude: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of natural-log magnitudes (B, F, T), floored 80 dB below the peak of
    each; a scalar.
    """
    floor = 1e-4 * target.amax((1, 2), keepdim=True) + 1e-3
    mean: Tensor = ((magnitude + floor) / (target + floor)).log().abs().mean()
    return mean


def peak_error(magnitude: Tensor, spectrum: Tensor, stft: Stft) -> Tensor:
    """How badly the peaks of a magnitude tell how fast their partials turn.

    From one frame to the next the phase of a partial advances by its frequency. `phase.ridge_phase`
    reads it from a peak's shape; the true spectrum knows. The mean over the peaks, by their true
    magnitude, of log(3e-4 + 1 - cos(difference)): the logarithm, so that the steady partials, which
    an ear follows, go on counting when they are nearly right and noise is not.

    Args:
        magnitude: (B, F, T), predicted.
        spectrum: complex (B, F, T), true.
        stft: the transform of both.

    Returns:
        A scalar; -8.1 for no error.
    """
    predicted, true = magnitude.transpose(1, 2).contiguous(), spectrum.transpose(1, 2)  # (B, T, F)
    peak = region_peaks(predicted.detach())
    turns = advances(peak_frequencies(predicted, floored_log(predicted), peak, stft), peak, stft)
    now, before = true[:, 1:], true[:, :-1]
    difference = 2 * math.pi * turns - torch.angle(now * before.conj() + 1e-20)
    here = peak[:, 1:] == torch.arange(stft.bins, device=peak.device)
    weight = (now.abs() * before.abs()).sqrt() * here
    error = (1 - difference.cos() + 3e-4).log()
    return ((weight * error).sum((1, 2)) / weight.sum((1, 2)).clamp_min(1e-6)).mean()


class VocoderObjective(nn.Module):
    """The loss of a vocoder on pieces of sound.

    Args:
        model: the vocoder.
        log_weight, peak_weight: see `VocoderTrainConfig`.
    """

    def __init__(self, model: Vocoder, log_weight: float, peak_weight: float) -> None:
        super().__init__()
        self.model, self.log_weight, self.peak_weight = model, log_weight, peak_weight

    def networks(self) -> list[nn.Module]:
        return [self.model]

    def forward(self, waves: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of waves (B, N), a scalar, and its terms by name, scalars without their
        weights.
        """
        front_end = self.model.front_end
        with torch.no_grad(), torch.autocast(waves.device.type, enabled=False):
            spectrum = front_end.stft(waves)[..., : front_end.frames(waves.shape[1])]
            log_mel, target = front_end(waves), spectrum.abs()
        magnitude = self.model(log_mel)
        with torch.autocast(waves.device.type, enabled=False):
            terms = {
                # in nats, so that a clean tone counts as much as one in noise, whose error is
                # twenty times as large
                "convergence": (relative_error(magnitude, target) + 3e-3).log().mean(),
                "log_magnitude": log_error(magnitude, target),
                "peaks": peak_error(magnitude, spectrum, front_end.stft),
            }
        return self.total(terms), terms

    def total(self, terms: Mapping[str, Any]) -> Any:
        """The weighted sum of the terms."""
        loss = 0.2 * terms["convergence"] + self.log_weight * terms["log_magnitude"]
        return loss + self.peak_weight * terms["peaks"]


# Data and model


def vocoder_sounds(
    config: VocoderTrainConfig, problems: list[str] | None = None, progress: bool = True
) -> Sounds:
    """All sounds that a config asks for: see `data.sounds.collect_sounds`."""
    rate = config.front_end.sample_rate
    return sounds.collect_sounds(
        rate,
        config.synthetic,
        config.sampled,
        config.font,
        config.data,
        config.seed,
        problems,
        progress,
    )


def _pieces(waves: Tensor, config: VocoderTrainConfig) -> Pieces:
    front_end = config.front_end
    length = config.frames * front_end.hop
    share, seed = config.augmentation, config.seed
    return Pieces(waves, front_end.sample_rate, config.batch, length, share, seed)


def describe_vocoder_sounds(config: VocoderTrainConfig, collected: Sounds) -> str:
    """What the sounds of a config are, in a line."""
    return describe_sounds(collected, config.synthetic, config.sampled, config.font, config.data)


def train_vocoder(
    config: VocoderTrainConfig,
    collected: Sounds,
    out: Path,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
    compute: Compute | None = None,
    on_check: loop.OnCheck | None = None,
) -> Vocoder:
    """Train a vocoder and write ``out/vocoder.safetensors``; on the way, ``log.jsonl`` and
    ``checkpoint.safetensors``.

    Args:
        config: what and how.
        collected: as `vocoder_sounds` makes them of ``config``; held-out ones are split off here.
        out, resume, device, progress, compute, on_check: as of `train.train`.

    Returns:
        The trained vocoder, as saved.

    Raises:
        InputError: if ``out`` holds a run and ``resume`` is not given, its checkpoint is of another
            config, the sounds are too few, or the disk is full.
        loop.Diverged, loop.Stopped: see `loop.fit`.
    """
    compute, started = compute or Compute(), time.perf_counter()
    fabric = launch(compute, device)
    loop.check_run(out, resume, RESULT)
    learn, held_out = collected.split()
    ranges = shares(config.batch, fabric.world_size, compute.accumulate)[fabric.global_rank]
    out.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        vocoder = Vocoder(config.front_end, config.vocoder).to(fabric.device).train()
    objective = VocoderObjective(vocoder, config.log_weight, config.peak_weight)
    pieces, unheard = _pieces(learn, config), _pieces(held_out, config)

    def load(step: int) -> list[loop.Part]:
        waves = pieces(step)
        return [
            loop.Part(waves[a:b].to(fabric.device), (b - a) / config.batch, a) for a, b in ranges
        ]

    loop.fit(
        objective,
        load,
        lambda: evaluate_vocoder(objective, unheard),
        loop.Optimisation(
            config.steps,
            config.learning_rate,
            check_every=config.check_every,
            seed=config.seed,
        ),
        fabric,
        compute=compute,
        out=out,
        identity=asdict(config),
        score=objective.total,
        resume=resume,
        on_check=on_check,
        progress=progress,
    )
    origin = provenance(
        config,
        describe_vocoder_sounds(config, collected),
        evaluate_vocoder(objective, unheard),
        time.perf_counter() - started,
        licence(bool(config.synthetic), bool(config.sampled), config.font, config.data),
    )
    if fabric.is_global_zero:
        model_file.save_vocoder(out / RESULT, vocoder, origin)
    fabric.barrier()
    return model_file.load_vocoder(out / RESULT)[0]


@torch.no_grad()
def evaluate_vocoder(objective: VocoderObjective, held_out: Pieces) -> dict[str, float]:
    """The terms of the loss on held-out sounds: means over the pieces of 8 steps."""
    device, was_training = objective.model.draw.weight.device, objective.training
    objective.eval()
    terms = [objective(held_out(step).to(device), step)[1] for step in range(_HELD_OUT_STEPS)]
    objective.train(was_training)
    return {
        name: round(sum(float(one[name]) for one in terms) / len(terms), 4) for name in terms[0]
    }
