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
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from tootlearn import __version__, checkpoint, dataset, fine_tuning, losses, model_file, rng
from tootlearn.audio import InputError
from tootlearn.autoencoder import TootModel
from tootlearn.batches import Batch, frame_weights, varied
from tootlearn.criterion import Criterion, clip_gradients
from tootlearn.data.clips import SYNTHETIC, Clips
from tootlearn.data.variants import Variants
from tootlearn.front_end import WINDOW_SAMPLES
from tootlearn.normalization import Normalizer
from tootlearn.presets import TrainConfig

_BATCH = 21  # stream of random numbers


class Stopped(Exception):
    """Training was interrupted; the checkpoint is written."""


OnCheck = Callable[[dict[str, Any], TootModel, Clips], None]  # gets the row of the log, the model, the held-out clips


def train(
    config: TrainConfig,
    clips: Clips,
    out: Path,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
    on_check: OnCheck | None = None,
) -> TootModel:
    """Train a model and write ``out/model.safetensors``; on the way, ``log.jsonl`` and ``checkpoint.safetensors``.

    Args:
        config: what and how.
        clips: all clips, as `dataset.gather` makes them of ``config``; those held out are split off here.
        out: the folder of the run, made if need be.
        resume: go on from the checkpoint in ``out``; without it, a folder that holds a run is left alone.
        device: see `model_file.to_device`.
        progress: show a bar on stderr.
        on_check: called after each look at the held-out clips, once log and checkpoint are written, and before the
            next step; what it raises ends the run and comes out of here.

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
    everything, criterion = Batch.of(learn, config, where), Criterion.of(config, where, progress)
    step = checkpoint.restore(path, asdict(config), model, optimizer, criterion) if resume else 0
    variants = Variants.of(learn, config.augmentation, config.front_end, config.seed, where)
    log = out / "log.jsonl"
    started, hidden = time.perf_counter(), None if progress else True
    bar = tqdm(total=config.steps, initial=step, desc="train", disable=hidden)
    whole = step, checkpoint.collect(model, optimizer, criterion)  # where to go on from after a step that was cut short
    try:
        while step < config.steps:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            rows = batch_rows(config, step, len(learn))
            batch = varied(variants, rows, step, config) if variants else everything[rows]
            loss, terms = criterion(model, batch, step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            clip_gradients(model, config.clip)
            optimizer.step()
            step += 1
            bar.update()
            if step % config.check_every == 0 or step == config.steps:
                held = evaluate(model, held_out, config)
                checkpoint.save(path, asdict(config), step, checkpoint.collect(model, optimizer, criterion))
                row = {"step": step, **{k: round(v.item(), 6) for k, v in terms.items()}, "held_out": held}
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                bar.set_postfix({k: f"{v:.4f}" for k, v in held.items()})
                if on_check:
                    on_check(row, model, held_out)
            whole = step, checkpoint.collect(model, optimizer, criterion)
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
    weight = frame_weights(learn, config)
    normalizer = Normalizer.fit(learn.log_mel.float(), weight)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = TootModel(config.front_end, normalizer, learn.kinds, config.generator, config.autoencoder)
    if model.autoencoder and model.autoencoder.linear:
        variants = Variants.of(learn, config.augmentation, config.front_end, config.seed)
        model.autoencoder.linear.fit(variants.with_originals() if variants else learn.log_mel, normalizer)
    return model


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
    residuals = []
    for rows in torch.arange(len(clips)).split(128):
        batch = everything[rows]
        residuals.append(model.generator.encode(batch.log_mel, batch.controls)[0])
    z, kind = torch.cat(residuals), everything.controls.kind
    natural = torch.from_numpy(clips.origin != SYNTHETIC).to(z.device)
    model.generator.fit_prior(z, kind)
    model.generator.fit_prior(z[natural], kind[natural])
