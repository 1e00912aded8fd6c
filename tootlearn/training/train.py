"""Training: one flat loop from clips to a model file.

Every random choice of step s is a pure function of (seed, s), so a run that was interrupted goes on
exactly where it was: the state is the weights, the optimiser's moments and the number of steps, all
in one .safetensors file that is replaced in one move. It is also what lets several processes share
a step: each knows which clips of the batch are its own, and which of the random numbers.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from tootlearn.data.augmenter import Augmenter
from tootlearn.data.clips import SYNTHETIC, Clips
from tootlearn.dsp.front_end import WINDOW_SAMPLES
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.losses import log_mel as losses
from tootlearn.models import model_file
from tootlearn.models.toot_model import TootModel
from tootlearn.training import checkpoint, dataset, fine_tuning, schedule
from tootlearn.training.batches import Batch, frame_weights, shares
from tootlearn.training.compute import RunConfig, anywhere, as_the_first, summed
from tootlearn.training.config import TrainConfig
from tootlearn.training.loader import feed_of
from tootlearn.training.objective import Criterion
from tootlearn.training.run_log import BEST, LAST, Journal
from tootlearn.training.steps import Objective, set_up, take_step
from tootlearn.version import __version__

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Stopped(Exception):
    """Training was interrupted; the checkpoint is written."""


# gets the row of the log, the model, the held-out clips
OnCheck = Callable[[dict[str, Any], TootModel, Clips], None]


def train(
    config: TrainConfig,
    clips: Clips,
    out: Path,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
    how: RunConfig | None = None,
    on_check: OnCheck | None = None,
) -> TootModel:
    """Train a model and write ``out/model.safetensors``; on the way, ``log.jsonl`` and
    ``checkpoint.safetensors``.

    Args:
        config: what and how.
        clips: all clips, as `dataset.gather` makes them of ``config``, or a pool of them if they
            are streamed; those held out are split off here.
        out: the folder of the run, made if need be; of several machines, one that all of them see.
        resume: go on from the checkpoint in ``out``; without it, a folder that holds a run is left
            alone.
        device: see `model_file.to_device`.
        progress: show a bar on stderr.
        how: precision, processes, and which checkpoints are kept; None for 32 bits, one process,
            the last checkpoint.
        on_check: called by the first process after each look at the held-out clips, once log and
            checkpoint are written, and before the next step; what it raises ends the run and comes
            out of here.

    Returns:
        The trained model, as saved.

    Raises:
        InputError: if ``out`` holds a run and ``resume`` is not given, its checkpoint is of another
            config, the clips do not go with ``config`` or are too few, ``how`` is not to be had or
            does not go with ``config``, or the disk is full.
        Stopped: on Ctrl-C or SIGTERM, once the step is finished and the checkpoint written.
    """
    how = how or RunConfig()
    fabric = how.launch(device)
    path = check_run(out, resume)
    learn, held_out = _split(clips, config)
    if config.balance and fabric.world_size * how.accumulate > 1:
        raise InputError(
            "the balancer needs a whole batch: leave --balance out, or give 1 process and --accumulate 1"
        )
    own = shares(config.batch, fabric.world_size, how.accumulate)[fabric.global_rank]
    out.mkdir(parents=True, exist_ok=True)

    model = start(config, learn).to(fabric.device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    feed, criterion = (
        feed_of(config, learn, own, fabric.device),
        Criterion.of(config, fabric.device, progress),
    )
    others, identity = {"criterion": criterion}, asdict(config) | dataset.digests(config)
    step = checkpoint.restore(path, identity, model, optimizer, others) if resume else 0
    journal = Journal(out, identity, how, fabric, step if resume else None)
    as_the_first(fabric, model)
    objective, stepper = set_up(fabric, Objective(model, criterion, config), optimizer, how)
    started, hidden = time.perf_counter(), None if progress and fabric.is_global_zero else True
    bar = tqdm(total=config.steps, initial=step, desc="train", disable=hidden)
    with bar, torch.random.fork_rng(devices=[]), checkpoint.interruptible() as signals:
        while step < config.steps and not anywhere(fabric, bool(signals)):
            batch = feed(step)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            terms = take_step(fabric, objective, stepper, batch, own, step)
            step += 1
            bar.update()
            if step % config.check_every == 0 or step == config.steps:
                as_the_first(fabric, model)
                held = evaluate(model, held_out, config, fabric)
                mean = summed(fabric, {name: float(term) for name, term in terms.items()})
                row = {
                    "step": step,
                    **{name: round(term, 6) for name, term in mean.items()},
                    "held_out": held,
                }
                journal.enter(row, checkpoint.collect(model, optimizer, others))
                bar.set_postfix({k: f"{v:.4f}" for k, v in held.items()})
                if on_check and fabric.is_global_zero:
                    on_check(row, model, held_out)
            elif how.keep_every and step % how.keep_every == 0:
                journal.keep(step, checkpoint.collect(model, optimizer, others))
    if step < config.steps:
        journal.keep(step, checkpoint.collect(model, optimizer, others))
        raise Stopped(
            f"stopped after step {step} of {config.steps}: go on with --resume --out {out}"
        )

    fabric.barrier()
    if how.best and (out / BEST).exists():
        checkpoint.restore(out / BEST, identity, model, optimizer, others)
    if model.generator:
        fit_prior(model, learn, config)
    told = asdict(config)
    # where files lie is nobody else's business
    told |= {"data": [Path(path).name for path in config.data]}
    told |= {name: told[name] and Path(told[name]).name for name in ("font", "start_from")}
    provenance = {
        "data": dataset.describe(config, clips),
        "seed": config.seed,
        "steps": config.steps,
        "held_out": evaluate(model, held_out, config, fabric),
        "seconds": round(time.perf_counter() - started),
        "config": told,
        "versions": {
            "tootlearn": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "licence": dataset.licence(config),
    }
    if fabric.is_global_zero:
        model_file.save_model(out / "model.safetensors", model, provenance, half=True)
    fabric.barrier()
    return model_file.load_model(out / "model.safetensors")[0]


def _split(clips: Clips, config: TrainConfig) -> tuple[Clips, Clips]:
    """What is learned and what is held out, once the clips are seen to be those of the config."""
    shape = (config.front_end.mels, -(-WINDOW_SAMPLES // config.front_end.hop))
    if (given := tuple(clips.log_mel.shape[1:])) != shape:
        raise InputError(
            f"the front end of the config makes {shape} bands and frames, but the clips have {given}"
        )
    if not set(config.kinds) <= (names := {kind.name for kind in clips.kinds}):
        raise InputError(
            f"the config asks for {', '.join(config.kinds)}, but the clips are of {', '.join(names)}"
        )
    learn, held_out = clips.split()
    if not len(learn) or not len(held_out):
        raise InputError(
            f"{len(clips)} clips are too few, or too much alike, to hold some out: give more"
        )
    return learn, held_out


def check_run(out: Path, resume: bool, result: str = "model.safetensors") -> Path:
    """The checkpoint of the run in ``out``, whose end is ``result``, if ``resume`` fits to whether
    there is one.

    Raises:
        InputError: if there is none to resume, or a run that would be overwritten.
    """
    path = out / LAST
    if resume and not path.exists():
        raise InputError(
            f"there is no checkpoint {path} to go on from: train without --resume first"
        )
    if not resume and any((out / name).exists() for name in (path.name, "log.jsonl", result)):
        raise InputError(
            f"{out} holds a run already: give --resume to go on with it, or another --out"
        )
    return path


def start(config: TrainConfig, learn: Clips) -> TootModel:
    """The model before the first step: new, or the one to start from, which may meet new kinds."""
    if config.start_from:
        return fine_tuning.extended(model_file.load_model(config.start_from)[0], learn.kinds)
    return build(config, learn)


def build(config: TrainConfig, learn: Clips) -> TootModel:
    """A new model with the statistics of the training clips; its initial weights depend on the seed
    alone.
    """
    weight = frame_weights(learn, config)
    normalizer = Normalizer.fit(learn.log_mel.float(), weight)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = TootModel(
            config.front_end, normalizer, learn.kinds, config.generator, config.autoencoder
        )
    if model.autoencoder and model.autoencoder.linear:
        variants = Augmenter.of(learn, config.augmentation, config.front_end, config.seed)
        model.autoencoder.linear.fit(
            variants.with_originals() if variants else learn.log_mel, normalizer
        )
    return model


def learning_rate(config: TrainConfig, step: int) -> float:
    """Of this step, the first of which is 0, as `schedule.learning_rate` has it."""
    return schedule.learning_rate(config.learning_rate, step, config.steps, config.warmup)


@torch.no_grad()
def evaluate(
    model: TootModel, clips: Clips, config: TrainConfig, fabric: Fabric | None = None
) -> dict[str, float]:
    """Squared errors, standardised: "generation" from controls and residual mean, "reconstruction"
    from z alone.

    The processes of ``fabric`` take some of the clips each, and all of them get the means over all
    clips.
    """
    was_training = model.training
    model.eval()
    everything = Batch.of(clips, config, model.normalizer.mean.device)
    sums = {
        n: 0.0
        for n, part in (("generation", model.generator), ("reconstruction", model.autoencoder))
        if part
    }
    own = torch.arange(len(clips))
    if fabric:
        own = own.tensor_split(fabric.world_size)[fabric.global_rank]
    for rows in own.split(128) if len(own) else ():
        batch = everything[rows]
        x = model.normalizer(batch.log_mel)
        decoded = {}
        if model.generator:
            mean, _ = model.generator.encode(batch.log_mel, batch.controls)
            decoded["generation"] = model.normalizer(
                model.generator.decode(batch.controls, mean).log_mel
            )
        if model.autoencoder:
            decoded["reconstruction"] = model.autoencoder(x)
        for name, y in decoded.items():
            share = len(rows) / len(clips)
            sums[name] += share * float(losses.squared_error(y, x, batch.weight))
    model.train(was_training)
    return {name: round(value, 7) for name, value in summed(fabric, sums).items()}


@torch.no_grad()
def fit_prior(model: TootModel, clips: Clips, config: TrainConfig) -> None:
    """Fit the generator's prior to the residuals of the training clips; of a kind that has
    recordings or sampled notes, to theirs: toots shall sound like them."""
    assert model.generator is not None
    model.eval()
    everything = Batch.of(clips, config, model.normalizer.mean.device)
    natural = torch.from_numpy(clips.origin != SYNTHETIC).to(everything.log_mel.device)
    counts = everything.controls.kind[natural].bincount(minlength=len(model.kinds))
    rows = natural | (counts <= model.generator.config.residual)[everything.controls.kind]
    model.generator.fit_prior(everything.log_mel, everything.controls, rows)
