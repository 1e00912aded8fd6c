"""Training of generator and autoencoder: from clips to a model file.

The loop is `loop.fit`. What stands here is what differs from other networks: the model before the
first step, its data and objective, how it is evaluated, and the prior that is fitted in the end.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tootlearn import losses
from tootlearn.data.augmenter import Augmenter
from tootlearn.data.clips import SYNTHETIC, Clips
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.models import model_file
from tootlearn.models.toot_model import TootModel
from tootlearn.training import dataset, fine_tuning, loop
from tootlearn.training.batches import Batch, clip_weights, shares
from tootlearn.training.compute import all_reduce_sum, launch
from tootlearn.training.config import Compute, TrainConfig
from tootlearn.training.loader import make_loader
from tootlearn.training.objective import Objective
from tootlearn.training.provenance import licence, provenance

if TYPE_CHECKING:
    from lightning_fabric import Fabric

RESULT = "model.safetensors"


def train(
    config: TrainConfig,
    clips: Clips,
    out: Path,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
    compute: Compute | None = None,
    on_check: loop.OnCheck | None = None,
) -> TootModel:
    """Train a model and write ``out/model.safetensors``; on the way, ``log.jsonl`` and
    ``checkpoint.safetensors``.

    Args:
        config: what and how.
        clips: all clips, as `dataset.gather_clips` makes them of ``config``, or a pool of them if
            they are streamed; those held out are split off here.
        out: the folder of the run, made if necessary; with several machines, one that all of them
            see.
        resume: go on from the checkpoint in ``out``; without it, a folder that holds a run is left
            alone.
        device: see `device.to_device`.
        progress: show a bar on stderr.
        compute: precision, processes, and which checkpoints are kept; None for 32 bits, one
            process, the last one.
        on_check: see `loop.fit`.

    Returns:
        The trained model, as saved.

    Raises:
        InputError: if ``out`` holds a run and ``resume`` is not given, its checkpoint is of another
            config, the clips do not go with ``config`` or are too few, ``compute`` is impossible
            here, or the disk is full.
        loop.Diverged: if a loss or gradient is not finite.
        loop.Stopped: on Ctrl-C or SIGTERM, once the step is finished and the checkpoint written.
    """
    compute, started = compute or Compute(), time.perf_counter()
    fabric = launch(compute, device)
    loop.check_run(out, resume, RESULT)
    learn, held_out = _split(clips, config)
    ranges = shares(config.batch, fabric.world_size, compute.accumulate)[fabric.global_rank]
    out.mkdir(parents=True, exist_ok=True)
    model = initial_model(config, learn).to(fabric.device).train()
    objective = Objective.of(model, config, fabric.device, progress and fabric.is_global_zero)
    loader = make_loader(config, learn, ranges, fabric.device)
    loop.fit(
        objective,
        lambda step: parts(loader(step), ranges, config.batch),
        lambda: evaluate(model, held_out, fabric),
        optimisation(config),
        fabric,
        compute=compute,
        out=out,
        identity=asdict(config) | dataset.shard_digests(config.data, config.stream),
        resume=resume,
        on_check=on_check,
        progress=progress,
    )
    if model.generator:
        fit_prior(model, learn)
    rights = licence(
        synthetic=bool(config.clips),
        sampled=bool(config.sampled and dataset.font_kinds(config.kinds)),
        font=config.font,
        data=config.data,
        start_from=bool(config.start_from),
    )
    origin = provenance(
        config,
        dataset.describe_clips(config, clips),
        evaluate(model, held_out, fabric),
        time.perf_counter() - started,
        rights,
    )
    if fabric.is_global_zero:
        model_file.save_model(out / RESULT, model, origin, half=True)
    fabric.barrier()
    return model_file.load_model(out / RESULT)[0]


def _split(clips: Clips, config: TrainConfig) -> tuple[Clips, Clips]:
    """What is learned from and what is held out, once the clips are seen to be those of the
    config.
    """
    shape = (config.front_end.mels, -(-WINDOW_SAMPLES // config.front_end.hop))
    if (given := tuple(clips.log_mel.shape[1:])) != shape:
        raise InputError(
            f"the front end of the config makes {shape} bands and frames, but the clips have "
            f"{given}"
        )
    if not set(config.kinds) <= (names := {kind.name for kind in clips.kinds}):
        raise InputError(
            f"the config asks for {', '.join(config.kinds)}, but the clips are of "
            f"{', '.join(names)}"
        )
    learn, held_out = clips.split()
    if not len(learn) or not len(held_out):
        raise InputError(
            f"{len(clips)} clips are too few, or too much alike, to hold some out: give more"
        )
    return learn, held_out


def optimisation(config: TrainConfig) -> loop.Optimisation:
    """The optimiser and schedule of a config."""
    return loop.Optimisation(
        steps=config.steps,
        learning_rate=config.learning_rate,
        warmup=config.warmup,
        weight_decay=config.weight_decay,
        betas=(0.9, 0.999),
        clip=config.clip,
        check_every=config.check_every,
        seed=config.seed,
    )


def parts(batch: Batch, ranges: list[tuple[int, int]], size: int) -> list[loop.Part]:
    """What a process computes of a batch of so many clips: the spans of `batches.shares`."""
    return [loop.Part(batch.part(a, b), (b - a) / size, a) for a, b in ranges]


def initial_model(config: TrainConfig, learn: Clips) -> TootModel:
    """The model before the first step: a new one, or the one to start from, which may meet new
    kinds.
    """
    if config.start_from:
        return fine_tuning.extended(model_file.load_model(config.start_from)[0], learn.kinds)
    return build(config, learn)


def build(config: TrainConfig, learn: Clips) -> TootModel:
    """A new model with the statistics of the training clips; its initial weights depend on the seed
    alone.
    """
    weight = clip_weights(learn, config.front_end)
    normalizer = Normalizer.fit(learn.log_mel.float(), weight)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = TootModel(
            config.front_end, normalizer, learn.kinds, config.generator, config.autoencoder
        )
    if model.autoencoder and model.autoencoder.linear:
        augmenter = Augmenter.of(learn, config.augmentation, config.front_end, config.seed)
        log_mel = augmenter.with_originals() if augmenter else learn.log_mel
        model.autoencoder.linear.fit(log_mel, normalizer)
    return model


@torch.no_grad()
def evaluate(model: TootModel, clips: Clips, fabric: Fabric | None = None) -> dict[str, float]:
    """Squared errors of standardised log-mels on clips.

    Args:
        model: what is evaluated.
        clips: B of them.
        fabric: its processes take some of the clips each, and all of them get the means over all
            clips.

    Returns:
        "generation", from the controls and the mean of the residual, and "reconstruction", from z
        alone; those that the model has.
    """
    was_training = model.training
    model.eval()
    everything = Batch.of(clips, model.front_end.config, model.normalizer.mean.device)
    named = {"generation": model.generator, "reconstruction": model.autoencoder}
    sums = {name: 0.0 for name, network in named.items() if network}
    own = torch.arange(len(clips))
    if fabric:
        own = own.tensor_split(fabric.world_size)[fabric.global_rank]
    for rows in own.split(128) if len(own) else ():
        batch = everything[rows]
        x = model.normalizer(batch.log_mel)
        outputs = {}
        if model.generator:
            mean, _ = model.generator.encode(batch.log_mel, batch.controls)
            drawing = model.generator.decode(batch.controls, mean)
            outputs["generation"] = model.normalizer(drawing.log_mel)
        if model.autoencoder:
            outputs["reconstruction"] = model.autoencoder(x)
        for name, y in outputs.items():
            error = float(losses.squared_error(y, x, batch.weight))
            sums[name] += len(rows) / len(clips) * error
    model.train(was_training)
    return {name: round(value, 7) for name, value in all_reduce_sum(fabric, sums).items()}


@torch.no_grad()
def fit_prior(model: TootModel, clips: Clips) -> None:
    """Fit the generator's prior to the residuals of the training clips.

    A kind that has recordings or sampled notes gets the residuals of these alone: its toots should
    sound like them.
    """
    assert model.generator is not None
    model.eval()
    everything = Batch.of(clips, model.front_end.config, model.normalizer.mean.device)
    natural = torch.from_numpy(clips.origin != SYNTHETIC).to(everything.log_mel.device)
    counts = everything.controls.kind[natural].bincount(minlength=len(model.kinds))
    rows = natural | (counts <= model.generator.config.residual)[everything.controls.kind]
    model.generator.fit_prior(everything.log_mel, everything.controls, rows)
