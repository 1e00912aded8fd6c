"""What is left of a run that is killed: is every checkpoint whole, and does the run go on to the
same weights?

    python benchmarks/killing.py --points 20 [--stream]

A small run is killed by SIGKILL, which no program can answer, at random points of its training, and
every third time while a checkpoint is being written, half of it on the disk. What lies there is
read, the run goes on, and its weights are compared with those of a run that was left alone. Each
killed run is a process of its own, forked from this one. With --stream the run reads its toots from
shards while it trains.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from tootlearn import files
from tootlearn.data import shard_writer, synthesis
from tootlearn.data.clips import Clips, synthesise
from tootlearn.dsp import audio
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.models.config import AutoencoderConfig, GeneratorConfig
from tootlearn.training import dataset
from tootlearn.training.config import TrainConfig
from tootlearn.training.train import train


def tiny(steps: int) -> TrainConfig:
    """A config that has all sorts of state: batch statistics, a prior, a random latent, dropout."""
    widths = {"encoder_widths": (8, 8), "decoder_start": 8, "decoder_widths": (8, 8)}
    return TrainConfig(
        generator=GeneratorConfig(residual=2, width=8, blocks=1, encoder_widths=(8, 8)),
        autoencoder=AutoencoderConfig(latent=4, dropout=0.1, variational=True, **widths),
        front_end=FrontEndConfig(hop=512, mels=16),
        kinds=("trumpet", "car_horn"),
        clips=40,
        steps=steps,
        batch=8,
        check_every=2,
    )


def streamed(config: TrainConfig, out: Path) -> tuple[TrainConfig, Clips]:
    """The same on toots in shards, 96 of them, and the pool of these."""
    waves, controls = synthesis.toots(config.kinds, 96, 0, 0)
    out.mkdir()
    rows = ["path,label,pitch,source"]
    for i, wave in enumerate(waves):
        audio.save_audio(out / f"{i}.wav", wave, synthesis.SAMPLE_RATE)
        rows.append(f"{i}.wav,{config.kinds[controls.kind[i]]},{controls.pitch[i]},{i % 12}")
    (out / "manifest.csv").write_text("\n".join(rows))
    shard_writer.write_shards([out], out / "shards", megabytes=0.5)
    config = replace(config, kinds=(), clips=0, data=(str(out / "shards"),), stream=True)
    return config, dataset.gather_clips(config, progress=False)


def train_quietly(config: TrainConfig, clips: Clips, out: Path, resume: bool) -> None:
    train(config, clips, out, resume, progress=False)


def dies_writing(config: TrainConfig, clips: Clips, out: Path, resume: bool, write: int) -> None:
    """Train until the so-manieth checkpoint is half written, and be killed there."""
    fsync, count = os.fsync, 0

    def half(file: int) -> None:
        nonlocal count
        count += 1
        if count == write:
            os.ftruncate(file, os.fstat(file).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(file)

    files.os.fsync = half
    train_quietly(config, clips, out, resume)


def unreadable(out: Path) -> int:
    """How many checkpoints in a folder cannot be read."""
    broken = 0
    for path in out.glob("*.safetensors"):
        try:
            load_file(path)
        except SafetensorError:
            broken += 1
    return broken


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--points", type=int, default=20, help="how often a run is killed (default 20)"
    )
    parser.add_argument("--steps", type=int, default=60, help="of a run (default 60)")
    parser.add_argument(
        "--stream", action="store_true", help="train on shards that are read meanwhile"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the points (default 0)")
    options = parser.parse_args()
    if not hasattr(os, "fork"):
        raise SystemExit("this needs processes that fork: run it on Linux or macOS")
    torch.set_num_threads(1)  # a process that has started threads cannot fork
    config, chance = tiny(options.steps), random.Random(options.seed)
    forked = multiprocessing.get_context("fork")
    equal = broken = 0
    with tempfile.TemporaryDirectory() as folder:
        if options.stream:
            config, clips = streamed(config, Path(folder) / "wavs")
        else:
            clips = synthesise(
                config.kinds, config.clips, config.seed, FrontEnd(config.front_end), progress=False
            )
        whole = Path(folder) / "whole"
        train(config, clips, whole, progress=False)
        started = time.perf_counter()
        # now that everything is loaded
        train(config, clips, Path(folder) / "timed", progress=False)
        seconds = time.perf_counter() - started
        wanted = {
            name: load_file(whole / name)
            for name in ("model.safetensors", "checkpoint.safetensors")
        }
        for point in range(options.points):
            out = Path(folder) / f"killed-{point}"
            if point % 3 == 2:
                write = chance.randint(2, options.steps // config.check_every)
                child = forked.Process(target=dies_writing, args=(config, clips, out, False, write))
                child.start()
                child.join()
                where = f"in the writing of checkpoint {write}"
            else:
                child = forked.Process(target=train_quietly, args=(config, clips, out, False))
                child.start()
                child.join(chance.uniform(0.02, 1.0) * seconds)
                child.kill()
                child.join()
                rows = (
                    len((out / "log.jsonl").read_text().splitlines())
                    if (out / "log.jsonl").exists()
                    else 0
                )
                where = f"after {rows * config.check_every} steps or more"
            broken += unreadable(out)
            train(config, clips, out, (out / "checkpoint.safetensors").exists(), progress=False)
            same = (
                all(
                    found.keys() == tensors.keys()
                    and all(torch.equal(found[k], tensors[k]) for k in tensors)
                    for name, tensors in wanted.items()
                    for found in [load_file(out / name)]
                )
                and (out / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()
            )
            equal += same
            print(
                f"killed {where} (status {child.exitcode}): {'the same' if same else 'DIFFERENT'}",
                flush=True,
            )
    print(f"{equal} of {options.points} bit-equal, {broken} unreadable")
    sys.exit(equal != options.points or broken != 0)


if __name__ == "__main__":
    main()
