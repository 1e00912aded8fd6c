"""Training: one flat loop from clips to a model file.

Every random choice of step s is a pure function of (seed, s), so a run that was interrupted goes on exactly where it
was: the state is the weights, the optimiser's moments and the number of steps, all in one .safetensors file that is
replaced in one move.
"""

from __future__ import annotations

import json
import math
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from tootlearn import __version__, checkpoint, classifier, dataset, fine_tuning, losses, model_file, rng
from tootlearn.audio import InputError
from tootlearn.autoencoder import TootModel
from tootlearn.controls import ONSET_SAMPLES
from tootlearn.data.clips import BEND_FRAMES, SYNTHETIC, Clips
from tootlearn.decoder import Condition
from tootlearn.front_end import WINDOW_SAMPLES
from tootlearn.mel import mel_frequencies
from tootlearn.normalization import Normalizer
from tootlearn.presets import TrainConfig

_BATCH, _NOISE, _LATENT_NOISE = 21, 22, 23  # streams of random numbers
UNKNOWN_BEND = 0.05  # how much a bend of 0 counts where none is known: a recording is near its pitch


class Stopped(Exception):
    """Training was interrupted; the checkpoint is written."""


def train(
    config: TrainConfig, clips: Clips, out: Path, resume: bool = False, device: str = "cpu", progress: bool = True
) -> TootModel:
    """Train a model and write ``out/model.safetensors``; on the way, ``log.jsonl`` and ``checkpoint.safetensors``.

    Args:
        config: what and how.
        clips: all clips, as `dataset.gather` makes them of ``config``; those held out are split off here.
        out: the folder of the run, made if need be.
        resume: go on from the checkpoint in ``out``; without it, a folder that holds a run is left alone.
        device: see `model_file.to_device`.
        progress: show a bar on stderr.

    Returns:
        The trained model, as saved.

    Raises:
        InputError: if ``out`` holds a run and ``resume`` is not given, its checkpoint is of another config, the clips
            do not go with ``config`` or are too few, or the disk is full.
        Stopped: on Ctrl-C, once the checkpoint is written: of the last whole step, wherever in a step it came.
    """
    where = model_file.to_device(device)
    path = check_run(out, resume)
    learn, held_out = _split(clips, config)
    out.mkdir(parents=True, exist_ok=True)

    model = start(config, learn).to(where).train()
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    step = checkpoint.restore(path, asdict(config), model, optimizer) if resume else 0
    everything, heard = Batch.of(learn, config, where), perceptual(config, where, progress)
    log = out / "log.jsonl"
    started, hidden = time.perf_counter(), None if progress else True
    bar = tqdm(total=config.steps, initial=step, desc="train", disable=hidden)
    whole = step, checkpoint.collect(model, optimizer)  # where to go on from after a step that was cut short
    try:
        while step < config.steps:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            rows = batch_rows(config, step, len(learn))
            terms = model_losses(model, everything[rows], config, step, heard)
            optimizer.zero_grad(set_to_none=True)
            total(terms, config, step).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            step += 1
            bar.update()
            if step % config.check_every == 0 or step == config.steps:
                held = evaluate(model, held_out, config)
                checkpoint.save(path, asdict(config), step, checkpoint.collect(model, optimizer))
                row = {"step": step, **{k: round(v.item(), 6) for k, v in terms.items()}, "held_out": held}
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                bar.set_postfix({k: f"{v:.4f}" for k, v in held.items()})
            whole = step, checkpoint.collect(model, optimizer)
    except KeyboardInterrupt:
        checkpoint.save(path, asdict(config), *whole)
        raise Stopped(f"stopped after step {whole[0]} of {config.steps}: go on with --resume --out {out}") from None
    finally:
        bar.close()

    if model.generator:
        fit_prior(model, learn, config)
    told = asdict(config)
    told |= {"data": [Path(path).name for path in config.data]}  # where files lie is nobody else's business
    told |= {name: told[name] and Path(told[name]).name for name in ("font", "start_from")}
    provenance = {
        "data": dataset.describe(config, clips),
        "seed": config.seed,
        "steps": config.steps,
        "held_out": evaluate(model, held_out, config),
        "seconds": round(time.perf_counter() - started),
        "config": told,
        "versions": {"tootlearn": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "licence": dataset.licence(config),
    }
    model_file.save(out / "model.safetensors", model, provenance, half=True)
    return model_file.load(out / "model.safetensors")[0]


def _split(clips: Clips, config: TrainConfig) -> tuple[Clips, Clips]:
    """What is learned and what is held out, once the clips are seen to be those of the config."""
    shape = (config.front_end.mels, -(-WINDOW_SAMPLES // config.front_end.hop))
    if (given := tuple(clips.log_mel.shape[1:])) != shape:
        raise InputError(f"the front end of the config makes {shape} bands and frames, but the clips have {given}")
    if not set(config.kinds) <= (names := {kind.name for kind in clips.kinds}):
        raise InputError(f"the config asks for {', '.join(config.kinds)}, but the clips are of {', '.join(names)}")
    learn, held_out = clips.split()
    if not len(learn) or not len(held_out):
        raise InputError(f"{len(clips)} clips are too few, or too much alike, to hold some out: give more")
    return learn, held_out


def check_run(out: Path, resume: bool, result: str = "model.safetensors") -> Path:
    """The checkpoint of the run in ``out``, whose end is ``result``, if ``resume`` fits to whether there is one.

    Raises:
        InputError: if there is none to resume, or a run that would be overwritten.
    """
    path = out / "checkpoint.safetensors"
    if resume and not path.exists():
        raise InputError(f"there is no checkpoint {path} to go on from: train without --resume first")
    if not resume and any((out / name).exists() for name in (path.name, "log.jsonl", result)):
        raise InputError(f"{out} holds a run already: give --resume to go on with it, or another --out")
    return path


def start(config: TrainConfig, learn: Clips) -> TootModel:
    """The model before the first step: new, or the one to start from, which may meet new kinds."""
    if config.start_from:
        return fine_tuning.extended(model_file.load(config.start_from)[0], learn.kinds)
    return build(config, learn)


def build(config: TrainConfig, learn: Clips) -> TootModel:
    """A new model with the statistics of the training clips; its initial weights depend on the seed alone."""
    weight = _weights(learn, config)
    normalizer = Normalizer.fit(learn.log_mel.float(), weight)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = TootModel(config.front_end, normalizer, learn.kinds, config.generator, config.autoencoder)
    if model.autoencoder and model.autoencoder.linear:
        model.autoencoder.linear.fit(learn.log_mel, normalizer)
    return model


@dataclass(frozen=True)
class Batch:
    """Clips as a step takes them: log-mels (B, M, T), controls, weights of frames (B, T), bend of f0 (B, T / 4)."""

    log_mel: Tensor
    controls: Condition
    weight: Tensor
    bend: Tensor  # octaves above the pitch; 0 where it is not known
    bend_weight: Tensor  # 1 while the toot lasts, `UNKNOWN_BEND` where it is not known, 0 after the toot

    @classmethod
    def of(cls, clips: Clips, config: TrainConfig, device: torch.device) -> Batch:
        """All clips, on the device."""
        bend = clips.known_bend()
        seconds = config.front_end.hop / config.front_end.sample_rate
        start = torch.arange(bend.shape[1]) * BEND_FRAMES * seconds - ONSET_SAMPLES / config.front_end.sample_rate
        duration = torch.as_tensor(clips.controls.duration, dtype=torch.float32)
        sounding = (start >= 0) & (start <= duration[:, None])
        bend_weight = torch.where(bend.isnan(), UNKNOWN_BEND, 1.0) * sounding
        controls, weight = Condition.of(clips.controls, device), _weights(clips, config).to(device)
        return cls(clips.log_mel.to(device), controls, weight, bend.nan_to_num().to(device), bend_weight.to(device))

    def __getitem__(self, rows: Tensor) -> Batch:
        rows = rows.to(self.log_mel.device)
        log_mel = self.log_mel[rows].float()
        return Batch(log_mel, self.controls.take(rows), self.weight[rows], self.bend[rows], self.bend_weight[rows])


def _weights(clips: Clips, config: TrainConfig) -> Tensor:
    duration = torch.as_tensor(clips.controls.duration, dtype=torch.float32)
    return losses.frame_weights(duration, clips.log_mel.shape[2], config.front_end.hop, config.front_end.sample_rate)


def batch_rows(config: TrainConfig, step: int, count: int) -> Tensor:
    """Which clips step ``step`` sees: (batch,) indices below ``count``.

    The steps walk through one epoch after another, each of which has every clip once, in an order of its own.
    """
    places = np.arange(step * config.batch, (step + 1) * config.batch)
    rows = np.empty(config.batch, dtype=np.int64)
    for epoch in np.unique(places // count):
        order = np.argsort(rng.words(config.seed, _BATCH + (int(epoch) << 8), count), kind="stable")
        here = places // count == epoch
        rows[here] = order[places[here] % count]
    return torch.from_numpy(rows)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Of this step, the first of which is 0: a linear start, times a cosine that reaches zero after the last."""
    rise = min(1.0, (step + 1) / config.warmup)
    return config.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / config.steps))


def perceptual(config: TrainConfig, device: torch.device, progress: bool = False) -> losses.Perceptual:
    """The perceptual losses that have a weight in the config; for "embedding" a classifier is trained first."""
    names = [name for name in losses.PERCEPTUAL if getattr(config, name)]
    front_end = config.front_end
    centres = mel_frequencies(front_end.mels + 2, front_end.fmin, front_end.fmax)[1:-1]
    features = None
    if "embedding" in names:
        features = classifier.listener(front_end, progress=progress).to(device).features
    return losses.Perceptual(names, centres, features).to(device)


def model_losses(
    model: TootModel, batch: Batch, config: TrainConfig, step: int, heard: losses.Perceptual | None = None
) -> dict[str, Tensor]:
    """The terms of the loss, scalars, by the names they have in the log; which there are depends on the model.

    The perceptual losses stand behind the name of what they judge: "generation_audible".
    """

    def judged(name: str, log_mel: Tensor) -> dict[str, Tensor]:
        found = heard(log_mel, batch.log_mel, batch.weight) if heard else {}
        return {f"{name}_{loss}": value for loss, value in found.items()}

    terms: dict[str, Tensor] = {}
    if model.generator:
        mean, log_scale = model.generator.encode(batch.log_mel, batch.controls)
        drawing = model.generator.decode(batch.controls, drawn(mean, log_scale, config.seed, _NOISE, step))
        strayed = drawing.log_mel - batch.log_mel
        standardised = strayed / model.normalizer.std
        terms["generation"] = losses.squared_error(standardised, torch.zeros_like(standardised), batch.weight)
        terms["convergence"] = losses.mel_convergence(drawing.log_mel, batch.log_mel)
        bend = drawing.notes[:, :, 0] - batch.controls.octave[:, None]  # (B, T / 2)
        terms["bend"] = losses.bend_error(bend.unflatten(1, (-1, 2)).mean(2), batch.bend, batch.bend_weight)
        terms["divergence"] = losses.divergence(mean, log_scale)
        terms |= judged("generation", drawing.log_mel)
    if model.autoencoder:
        x = model.normalizer(batch.log_mel)
        z, log_scale = model.autoencoder.posterior(x)
        if model.autoencoder.config.variational:
            terms["latent_divergence"] = losses.divergence(z, log_scale, config.free_bits)
            z = drawn(z, log_scale, config.seed, _LATENT_NOISE, step)
        y = model.autoencoder.decode(z)
        terms["reconstruction"] = losses.squared_error(y, x, batch.weight)
        terms |= judged("reconstruction", model.normalizer.inverse(y))
    return terms


def drawn(mean: Tensor, log_scale: Tensor, seed: int, stream: int, step: int) -> Tensor:
    """A draw (B, Z) from Gaussians of this mean and log standard deviation (B, Z), for a step."""
    noise = rng.normal(seed, stream + (step << 8), mean.numel()).reshape(mean.shape)
    return mean + log_scale.exp() * torch.as_tensor(noise, dtype=mean.dtype, device=mean.device)


def total(terms: dict[str, Tensor], config: TrainConfig, step: int) -> Tensor:
    """The weighted sum of the terms."""
    weights = {
        "generation": 1.0,
        "convergence": config.convergence,
        "bend": config.bend,
        "divergence": config.divergence * 200 ** max(0.0, 1 - 2 * step / config.steps),
        "reconstruction": 1.0,
        "latent_divergence": config.latent_divergence * min(1.0, 2 * step / config.steps),
    }
    for loss in losses.PERCEPTUAL:
        weights |= {f"{name}_{loss}": getattr(config, loss) for name in ("generation", "reconstruction")}
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


@torch.no_grad()
def evaluate(model: TootModel, clips: Clips, config: TrainConfig) -> dict[str, float]:
    """Squared errors, standardised: "generation" from controls and residual mean, "reconstruction" from z alone."""
    was_training = model.training
    model.eval()
    everything = Batch.of(clips, config, model.normalizer.mean.device)
    sums: dict[str, float] = {}
    for rows in torch.arange(len(clips)).split(128):
        batch = everything[rows]
        x = model.normalizer(batch.log_mel)
        decoded = {}
        if model.generator:
            mean, _ = model.generator.encode(batch.log_mel, batch.controls)
            decoded["generation"] = model.normalizer(model.generator.decode(batch.controls, mean).log_mel)
        if model.autoencoder:
            decoded["reconstruction"] = model.autoencoder(x)
        for name, y in decoded.items():
            share = len(rows) / len(clips)
            sums[name] = sums.get(name, 0.0) + share * float(losses.squared_error(y, x, batch.weight))
    model.train(was_training)
    return {name: round(value, 5) for name, value in sums.items()}


@torch.no_grad()
def fit_prior(model: TootModel, clips: Clips, config: TrainConfig) -> None:
    """Fit the generator's prior to the residuals of the training clips; of a kind that has recordings or sampled notes,
    to theirs: toots shall sound like them."""
    assert model.generator is not None
    model.eval()
    everything = Batch.of(clips, config, model.normalizer.mean.device)
    natural = torch.from_numpy(clips.origin != SYNTHETIC).to(everything.log_mel.device)
    counts = everything.controls.kind[natural].bincount(minlength=len(model.kinds))
    rows = natural | (counts <= model.generator.config.residual)[everything.controls.kind]
    model.generator.fit_priors(everything.log_mel, everything.controls, rows)
