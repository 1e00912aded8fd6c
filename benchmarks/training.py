"""Examples a second in training: ours in several ways, beside a librosa loop and a Lightning
Trainer.

    python benchmarks/training.py --seconds 60

Three tables: the ways, which take turns, by medians; how near 16 bits come to 32 on held-out clips
after a short training; and examples a second by batch and width, with the batch that is fastest.
All do the same work: a step of the preset's model, losses and optimiser on stored log-mels; the
librosa loop makes its log-mels from waves, clip by clip.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from shared import interleaved, one_machine, parser_of
from torch import Tensor

from tootlearn.data import synthesis
from tootlearn.data.clips import Clips, synthesise
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.training import config as presets
from tootlearn.training import loop, throughput, train
from tootlearn.training.batches import Batch, batch_rows, shares
from tootlearn.training.compute import launch
from tootlearn.training.config import Compute, TrainConfig
from tootlearn.training.objective import Objective

STEPS = 2  # of a turn


def ours(config: TrainConfig, clips: Clips, compute: Compute) -> Callable[[], None]:
    """A turn of our loop."""
    fabric = launch(compute, "cpu")
    model = train.build(config, clips).train()
    objective = Objective.of(model, config, fabric.device)
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    prepared = loop.prepare(fabric, objective, optimizer, compute.compile)
    everything = Batch.of(clips, config.front_end, fabric.device)
    (own,) = shares(config.batch, 1, compute.accumulate)
    step = 0

    def turn() -> None:
        nonlocal step
        for _ in range(STEPS):
            rows = batch_rows(config.seed, config.batch, step, len(clips))
            parts = train.parts(everything[rows], own, config.batch)
            loop.take_step(fabric, *prepared, parts, step, config.clip)
            step += 1

    return turn


def librosa_loop(config: TrainConfig, clips: Clips) -> Callable[[], None]:
    """A turn of a loop that makes the log-mels of each batch from waves, one by one."""
    import librosa

    waves, _ = synthesis.toots(config.kinds, config.batch, seed=0)
    whole = Batch.of(clips, config.front_end, torch.device("cpu"))[torch.arange(config.batch)]
    model = train.build(config, clips).train()
    objective = Objective(model, config)
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    settings = {"sr": 22050, "n_fft": 1024, "hop_length": 256, "n_mels": 128, "power": 1.0}

    def log_mels() -> Tensor:
        items = []
        for wave in waves:
            mel = librosa.feature.melspectrogram(y=wave.numpy(), **settings)
            items.append(torch.from_numpy(np.log(np.maximum(mel, 1e-5)))[:, :176])
        return torch.stack(items)

    def turn() -> None:
        for _ in range(STEPS):
            loss, _ = objective(replace(whole, log_mel=log_mels()), 0)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()

    return turn


def lightning_trainer(config: TrainConfig, clips: Clips) -> Callable[[], None]:
    """A turn of a plain Lightning Trainer: a data loader over the same stored log-mels, and the
    same losses.
    """
    import pytorch_lightning as pl

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    everything = Batch.of(clips, config.front_end, torch.device("cpu"))

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.objective = Objective(train.build(config, clips).train(), config)

        def training_step(self, rows: Tensor, number: int) -> Tensor:
            return self.objective(everything[rows], number)[0]

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(
                self.parameters(), config.learning_rate, weight_decay=config.weight_decay
            )

    loader = torch.utils.data.DataLoader(
        torch.arange(len(clips)),
        batch_size=config.batch,
        shuffle=True,
        drop_last=True,
        num_workers=0,
    )
    module = Module()
    off = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }

    def turn() -> None:
        trainer = pl.Trainer(
            max_steps=STEPS, accelerator="cpu", gradient_clip_val=config.clip, **off
        )
        trainer.fit(module, loader)

    return turn


def ways(config: TrainConfig, clips: Clips, seconds: float, compiled: bool) -> None:
    learn, _ = clips.split()
    calls = {
        "librosa, clip by clip": librosa_loop(config, learn),
        "Lightning Trainer": lightning_trainer(config, learn),
        "ours, 32 bits": ours(config, learn, Compute()),
        "ours, bf16": ours(config, learn, Compute(precision="bf16")),
        "ours, in 2 parts": ours(config, learn, Compute(accumulate=2)),
    }
    if compiled:
        calls["ours, compiled"] = ours(config, learn, Compute(compile=True))
    medians = interleaved(calls, seconds, rounds=3)
    unit = medians["librosa, clip by clip"]
    print(f"\n{f'training, batch {config.batch}':28}{'examples/s':>11}{'speed':>8}")
    for name, median in medians.items():
        print(f"{name:28}{STEPS * config.batch / median:11.1f}{unit / median:8.2f}")


def processes(seconds: float, batch: int) -> None:
    """One and two processes, of one thread each, which cannot take turns with the others."""
    for count in (1, 2):
        command = [
            sys.executable,
            __file__,
            "--worker",
            str(count),
            "--seconds",
            str(seconds),
            "--batch",
            str(batch),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        print(
            f"{f'processes: {count}':28}{float(done.stdout.split()[-1]):11.1f}"
            if not done.returncode
            else done.stderr
        )


def worker(count: int, seconds: float, batch: int) -> None:
    import time

    config = presets.preset("synthetic", batch=batch)
    compute = Compute(devices=count)
    fabric = launch(compute, "cpu")
    learn, _ = synthesise(
        config.kinds, 4 * batch, 0, FrontEnd(config.front_end), progress=False
    ).split()
    model = train.build(config, learn).train()
    objective = Objective.of(model, config, fabric.device)
    prepared = loop.prepare(fabric, objective, torch.optim.AdamW(model.parameters()))
    everything, own = (
        Batch.of(learn, config.front_end, fabric.device),
        shares(batch, count, 1)[fabric.global_rank],
    )
    times = []
    started = time.perf_counter()
    while len(times) < 4 or not fabric.broadcast(time.perf_counter() > started + seconds):
        now = time.perf_counter()
        rows = batch_rows(config.seed, batch, len(times), len(learn))
        parts = train.parts(everything[rows], own, batch)
        loop.take_step(fabric, *prepared, parts, len(times), config.clip)
        times.append(time.perf_counter() - now)
    fabric.print(batch / float(np.median(times[1:])))


def precisions(config: TrainConfig, clips: Clips, steps: int, seeds: int) -> None:
    """Held-out losses after a short training, in 32 bits and in bf16."""
    print(
        f"\n{f'held out after {steps} steps':28}"
        f"{'generation':>12}{'reconstruction':>16}{'both / 32 bits':>16}"
    )
    for seed in range(seeds):
        both = {}
        for precision in ("32", "bf16"):
            run = replace(
                config,
                steps=steps,
                check_every=steps,
                warmup=min(config.warmup, steps // 5),
                seed=seed,
            )
            with tempfile.TemporaryDirectory() as folder:
                train.train(
                    run, clips, Path(folder), progress=False, compute=Compute(precision=precision)
                )
                held = json.loads((Path(folder) / "log.jsonl").read_text().splitlines()[-1])[
                    "held_out"
                ]
            both[precision] = sum(held.values())
            ratio = both[precision] / both["32"]
            name = f"{precision}, seed {seed}"
            print(
                f"{name:28}{held['generation']:12.4f}{held['reconstruction']:16.4f}{ratio:16.4f}",
                flush=True,
            )


def sizes(config: TrainConfig, clips: Clips, seconds: float) -> None:
    print(f"\n{'batch':>8}{'width':>8}{'examples/s':>12}{'MB so far':>11}")
    rates = []
    for rate in throughput.measure_rates(
        config, clips, (8, 16, 32, 64, 128), (96, 160), seconds=seconds / 10
    ):
        rates.append(rate)
        print(f"{rate.batch:8}{rate.width:8}{rate.examples:12.1f}{rate.memory:11.0f}", flush=True)
    usual = [rate for rate in rates if rate.width == config.generator.width]
    print(
        f"the smallest batch near the fastest, of width {config.generator.width}: "
        f"{throughput.fastest(usual).batch}"
    )


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--seconds", type=float, default=60, help="of measuring, for each table (default 60)"
    )
    parser.add_argument("--batch", type=int, default=32, help="(default 32)")
    parser.add_argument(
        "--steps", type=int, default=150, help="of the trainings in two precisions; 0 for none"
    )
    parser.add_argument("--seeds", type=int, default=1, help="of these (default 1)")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="also compiled networks: needs a C++ compiler, minutes",
    )
    parser.add_argument(
        "--no-sizes", action="store_true", help="leave out the table by batch and width"
    )
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    machine = one_machine(options.threads)
    if options.worker:
        worker(options.worker, options.seconds, options.batch)
        return
    print(machine)
    config = presets.preset("synthetic", batch=options.batch)
    clips = synthesise(
        config.kinds, 8 * options.batch, 0, FrontEnd(config.front_end), progress=False
    )
    ways(config, clips, options.seconds, options.compile)
    processes(options.seconds / 4, options.batch)
    if options.steps:
        precisions(config, clips, options.steps, options.seeds)
    if not options.no_sizes:
        sizes(config, clips, options.seconds)


if __name__ == "__main__":
    main()
