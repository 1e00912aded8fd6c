"""Training of the vocoder: from sounds of many sorts to `vocoder.safetensors`.

It learns from synthetic toots, from the notes of all instruments of a sound font, and from
recordings if there are any. Each step takes short pieces of some of them and makes recordings of
these: two at once, in a room, with noise, at any level. What it learns from is the log-mel; what it
is compared with is the short-time Fourier transform itself.

The random choices of a step follow from the seed and the step alone, so that a run can be stopped
and resumed.
"""

from __future__ import annotations

import json
import math
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from tootlearn import rng
from tootlearn.data import sounds
from tootlearn.data.sound_font import find_font
from tootlearn.data.sounds import Pieces, Sounds
from tootlearn.dsp.front_end import FrontEndConfig
from tootlearn.dsp.phase import advances, floored_log, peak_frequencies, region_peaks
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError
from tootlearn.models import model_file
from tootlearn.models.device import to_device
from tootlearn.models.vocoder import Vocoder, VocoderConfig
from tootlearn.training import checkpoint, dataset, schedule
from tootlearn.training.config import TrainConfig
from tootlearn.training.train import Stopped, check_run
from tootlearn.version import __version__


@dataclass(frozen=True)
class VocoderTrainConfig:
    """What a vocoder is trained on, and how.

    Args:
        front_end: of the log-mels that it shall turn to sound.
        vocoder: its size.
        synthetic: how many synthetic toots.
        sampled: how many notes of a sound font: half of them brass, a third other winds, the rest
            everything else.
        font: the sound font (.sf2 or .sf3); null: see `sound_font.find_font`.
        data: folders of recordings, whatever they are called.
        steps: of the optimiser.
        batch: pieces a step.
        frames: of a piece.
        learning_rate: the highest; a cosine brings it to zero after a linear start of 100 steps.
        log_weight: of the error of the log-magnitude, beside that of the spectral convergence (in
            nats, times .2).
        peak_weight: of the error of the peaks' frequencies.
        augmentation: the share of rooms, noise and second sounds; 0 trains on the sounds as they
            are.
        seed: of data, initial weights, pieces and noise.
        check_every: steps between looks at what is held out, and checkpoints.

    Raises:
        InputError: values that are not allowed.
    """

    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    synthetic: int = 3072
    sampled: int = 2400
    font: str | None = None
    data: tuple[str, ...] = ()
    steps: int = 10000
    batch: int = 40
    frames: int = 24
    learning_rate: float = 2e-3
    log_weight: float = 0.3
    peak_weight: float = 0.15
    augmentation: float = 0.4
    seed: int = 0
    check_every: int = 500

    def __post_init__(self) -> None:
        for name in ("synthetic", "sampled"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is 0 or more, not {getattr(self, name)}")
        if not self.synthetic and not self.sampled and not self.data:
            raise InputError("nothing to train on: give synthetic toots, sampled notes, or data")
        for name, least in (("steps", 1), ("batch", 2), ("frames", 4), ("check_every", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {least} or more, not {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate is a positive number, not {self.learning_rate}")
        for name in ("log_weight", "peak_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} is 0 or more, not {getattr(self, name)}")
        if not 0 <= self.augmentation <= 1:
            raise InputError(f"augmentation is 0 to 1, not {self.augmentation}")
        if not 0 <= self.seed <= rng.MAX_SEED:
            raise InputError(f"seed is 0 to {rng.MAX_SEED}, not {self.seed}")


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
        magnitude: (B, F, T), drawn.
        spectrum: complex (B, F, T), true.
        stft: the transform of both.

    Returns:
        A scalar; -8.1 for no error.
    """
    drawn, true = magnitude.transpose(1, 2).contiguous(), spectrum.transpose(1, 2)  # (B, T, F)
    peak = region_peaks(drawn.detach())
    turns = advances(peak_frequencies(drawn, floored_log(drawn), peak, stft), peak, stft)
    now, before = true[:, 1:], true[:, :-1]
    difference = 2 * math.pi * turns - torch.angle(now * before.conj() + 1e-20)
    here = peak[:, 1:] == torch.arange(stft.bins, device=peak.device)
    weight = (now.abs() * before.abs()).sqrt() * here
    error = (1 - difference.cos() + 3e-4).log()
    return ((weight * error).sum((1, 2)) / weight.sum((1, 2)).clamp_min(1e-6)).mean()


def terms(vocoder: Vocoder, waves: Tensor) -> dict[str, Tensor]:
    """The terms of the loss of pieces (B, N), scalars, by the names they have in the log."""
    front_end = vocoder.front_end
    with torch.no_grad():
        spectrum = front_end.stft(waves)[..., : front_end.frames(waves.shape[1])]
        log_mel, target = front_end(waves), spectrum.abs()
    magnitude = vocoder(log_mel)
    return {
        # in nats, so that a clean tone counts as much as one in noise, whose error is twenty times
        # as large
        "convergence": (relative_error(magnitude, target) + 3e-3).log().mean(),
        "log_magnitude": log_error(magnitude, target),
        "peaks": peak_error(magnitude, spectrum, front_end.stft),
    }


def total(terms: dict[str, Tensor], config: VocoderTrainConfig) -> Tensor:
    """The weighted sum of the terms."""
    return (
        0.2 * terms["convergence"]
        + config.log_weight * terms["log_magnitude"]
        + config.peak_weight * terms["peaks"]
    )


# The loop


def gather(
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
    return Pieces(
        waves, front_end.sample_rate, config.batch, length, config.augmentation, config.seed
    )


def train_vocoder(
    config: VocoderTrainConfig,
    heard: Sounds,
    out: Path,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> Vocoder:
    """Train a vocoder and write ``out/vocoder.safetensors``; on the way, ``log.jsonl`` and
    ``checkpoint.safetensors``.

    Args:
        config: what and how.
        heard: as `gather` makes them of ``config``; those held out are split off here.
        out: the folder of the run, made if need be.
        resume: go on from the checkpoint in ``out``; without it, a folder that holds a run is left
            alone.
        device: see `model_file.to_device`.
        progress: show a bar on stderr.

    Returns:
        The trained vocoder, as saved.

    Raises:
        InputError: if ``out`` holds a run and ``resume`` is not given, its checkpoint is of another
            config, the sounds are too few, or the disk is full.
        training.Stopped: on Ctrl-C, once the checkpoint of the last whole step is written.
    """
    where = to_device(device)
    path = check_run(out, resume, "vocoder.safetensors")
    if heard.held_out.all() or not heard.held_out.any():
        raise InputError(f"{len(heard.waves)} sounds are too few to hold some out: give more")
    out.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        vocoder = Vocoder(config.front_end, config.vocoder).to(where).train()
    optimizer = torch.optim.AdamW(
        vocoder.parameters(), config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4
    )
    step = checkpoint.restore(path, asdict(config), vocoder, optimizer) if resume else 0
    pieces, unheard = (
        _pieces(heard.waves[rows], config) for rows in (~heard.held_out, heard.held_out)
    )
    started = time.perf_counter()
    bar = tqdm(total=config.steps, initial=step, desc="train", disable=None if progress else True)
    # where to go on from after a step that was cut short
    whole = step, checkpoint.collect(vocoder, optimizer)
    try:
        while step < config.steps:
            for group in optimizer.param_groups:
                group["lr"] = schedule.learning_rate(
                    config.learning_rate, step, config.steps, warmup=100
                )
            found = terms(vocoder, pieces(step).to(where))
            optimizer.zero_grad(set_to_none=True)
            total(found, config).backward()
            torch.nn.utils.clip_grad_norm_(vocoder.parameters(), 1.0)
            optimizer.step()
            step += 1
            bar.update()
            if step % config.check_every == 0 or step == config.steps:
                held = evaluate(vocoder, unheard)
                checkpoint.save(path, asdict(config), step, checkpoint.collect(vocoder, optimizer))
                row = {
                    "step": step,
                    **{name: round(term.item(), 5) for name, term in found.items()},
                    "held_out": held,
                }
                with (out / "log.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                bar.set_postfix(held)
            whole = step, checkpoint.collect(vocoder, optimizer)
    except KeyboardInterrupt:
        checkpoint.save(path, asdict(config), *whole)
        raise Stopped(
            f"stopped after step {whole[0]} of {config.steps}: go on with --resume --out {out}"
        ) from None
    finally:
        bar.close()
    told = asdict(config) | {"data": [Path(name).name for name in config.data]}
    told |= {"font": config.font and Path(config.font).name}
    provenance = {
        "data": describe(config, heard),
        "seed": config.seed,
        "steps": config.steps,
        "held_out": evaluate(vocoder, unheard),
        "seconds": round(time.perf_counter() - started),
        "config": told,
        "versions": {
            "tootlearn": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "licence": licence(config),
    }
    model_file.save_vocoder(out / "vocoder.safetensors", vocoder, provenance)
    return model_file.load_vocoder(out / "vocoder.safetensors")[0]


@torch.no_grad()
def evaluate(vocoder: Vocoder, unheard: Pieces, steps: int = 8) -> dict[str, float]:
    """The terms on what is held out, means over the pieces of so many steps."""
    where = vocoder.draw.weight.device
    found = [terms(vocoder, unheard(step).to(where)) for step in range(steps)]
    return {name: round(sum(float(one[name]) for one in found) / steps, 4) for name in found[0]}


def describe(config: VocoderTrainConfig, heard: Sounds) -> str:
    """What a vocoder is trained on, in words."""
    parts = [f"{config.synthetic} synthetic toots"] if config.synthetic else []
    if config.sampled:
        font = Path(config.font) if config.font else find_font()
        parts.append(f"{config.sampled} notes of the instruments of {font.stem}")
    parts += [f"the recordings in {Path(path).name}" for path in config.data]
    held_out = int(heard.held_out.sum())
    return f"{len(heard.waves)} windows of {', '.join(parts)}; {held_out} of them held out"


def licence(config: VocoderTrainConfig) -> str:
    """What may be done with a vocoder that was trained so."""
    return dataset.licence(
        TrainConfig(
            clips=config.synthetic, sampled=config.sampled, font=config.font, data=config.data
        )
    )
