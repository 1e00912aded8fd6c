"""Shards against a folder of the same WAVs, and training that streams them against training from
memory.

    python benchmarks/shards.py [--toots 600] [--megabytes 3] [--seconds 60]

First what is read a second, front to end: "clips" are log-mels and controls, all that training
needs; "waves" alone are all that a loop over a folder can do less. The folder holds WAVs as
`tootlearn batch` writes them, with their pitches in a manifest, and the shards are written from it.
Then examples a second in training, with the preset's model: from memory; streamed, where a thread
reads the next batch while one is learned from; and streamed without that thread. On the processor
that thread needs a core of its own, so the same follows for a step that only waits, as for a
graphics card. All of a table take turns. Last the memory of a process of its own that trains a
small model for three epochs, streamed, on these shards and on copies of them, which are more than
the pool for statistics holds: the most that the process has held until each epoch's end.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from shared import interleaved, one_machine, parser_of

from tootlearn.data import folder, shard_writer, shards, synthesis
from tootlearn.data.recipes import KINDS
from tootlearn.data.shard_stream import ShardStream
from tootlearn.dsp import audio
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.models.config import AutoencoderConfig
from tootlearn.training import config as presets
from tootlearn.training import dataset, loop
from tootlearn.training.batches import Batch, shares
from tootlearn.training.compute import launch
from tootlearn.training.config import Compute, TrainConfig
from tootlearn.training.loader import Loader, ShardLoader, make_loader
from tootlearn.training.objective import Objective
from tootlearn.training.train import build, parts, train

NAMES = ("trumpet", "car_horn", "tuba")
STEPS = 3  # of a turn
ELSEWHERE = 0.1  # s: a step of which this processor computes nothing
SOURCES = 40  # that the toots are said to come from


def write_wavs(out: Path, count: int) -> None:
    out.mkdir()
    waves, controls = synthesis.toots(NAMES, count, 0, 0)
    rows = ["path,label,pitch,source"]
    for i, wave in enumerate(waves):
        audio.save_audio(out / f"{i}.wav", audio.trim(wave, 22050), 22050)
        rows.append(f"{i}.wav,{NAMES[controls.kind[i]]},{controls.pitch[i]},{i % SOURCES}")
    (out / "manifest.csv").write_text("\n".join(rows))


def reading(wavs: Path, packed: Path, compact: Path, seconds: float) -> None:
    front_end, known = FrontEnd(), [KINDS[name] for name in NAMES]

    def waves_of(path: Path) -> int:
        found = shards.read_index(path)
        pairs = zip(found.paths, found.counts, strict=True)
        return sum(
            len(shards.decode_sample(*s, found).wave) > 0
            for shard in pairs
            for s in shards.samples(*shard)
        )

    def streamed() -> int:
        stream = ShardStream(packed)
        return sum(stream.toot(place) is not None for place in range(stream.count))

    calls: dict[str, Callable[[], int]] = {
        "clips, from the folder": lambda: len(folder.read_folder(wavs, front_end, known)[0]),
        "clips, from shards": lambda: len(shards.read_shards(packed, front_end)[0]),
        "waves, from the folder": lambda: sum(
            len(audio.load_audio(path, 22050)[0]) > 0 for path in wavs.glob("*.wav")
        ),
        "waves, from shards": lambda: waves_of(packed),
        "waves, from shards of FLAC": lambda: waves_of(compact),
        "waves, streamed": streamed,
    }
    counts = {name: call() for name, call in calls.items()}
    print(f"\n{'':28}{'toots/s':>11}")
    for name, median in interleaved(calls, seconds, rounds=3).items():
        print(f"{name:28}{counts[name] / median:11.0f}")


def learning(packed: Path, batch: int, seconds: float) -> None:
    config = presets.preset("own", data=(str(packed),), batch=batch)
    streamed = replace(config, stream=True, steps=10**6)
    learn, _ = dataset.gather_clips(config, progress=False).split()
    own, cpu = shares(batch, 1, 1)[0], torch.device("cpu")

    def streams() -> ShardLoader:
        loader = make_loader(streamed, learn, own, cpu)
        assert isinstance(loader, ShardLoader)
        return loader

    def step_of() -> Callable[[Batch, int], object]:
        """A step on this processor."""
        model, fabric = build(config, learn).train(), launch(Compute(), "cpu")
        optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate)
        prepared = loop.prepare(fabric, Objective(model, config), optimizer)
        return lambda batch, step: loop.take_step(
            fabric, *prepared, parts(batch, own, len(batch.weight)), step, config.clip
        )

    def asleep(batch: Batch, step: int) -> None:
        """A step as this processor sees it that another device computes."""
        time.sleep(ELSEWHERE)

    def turn_of(loader: Loader, learn_from: Callable[[Batch, int], object]) -> Callable[[], None]:
        step = 0

        def turn() -> None:
            nonlocal step
            for _ in range(STEPS):
                learn_from(loader(step), step)
                step += 1
            for future in loader.ahead.values() if isinstance(loader, ShardLoader) else ():
                future.result()  # what is begun in a turn is finished in it

        return turn

    for name, work in (
        ("training", step_of),
        (f"a step elsewhere, {ELSEWHERE * 1000:.0f} ms", lambda: asleep),
    ):
        calls = {
            "from memory": turn_of(make_loader(config, learn, own, cpu), work()),
            "streamed": turn_of(streams(), work()),
            "streamed, no thread": turn_of(streams().read, work()),
        }
        medians = interleaved(calls, seconds / 2, rounds=3)
        print(f"\n{f'{name}, batch {batch}':40}{'examples/s':>11}{'speed':>8}")
        for call, median in medians.items():
            print(f"{call:40}{STEPS * batch / median:11.1f}{medians['from memory'] / median:8.2f}")


def copied(packed: Path, out: Path, copies: int) -> Path:
    """A folder with so many copies of each shard, as links."""
    out.mkdir()
    told = json.loads((packed / shards.INDEX).read_text())
    every = [
        shard | {"name": f"{i}-{shard['name']}"} for i in range(copies) for shard in told["shards"]
    ]
    for shard in every:
        os.link(packed / shard["name"].split("-", 1)[1], out / shard["name"])
    (out / shards.INDEX).write_text(json.dumps(told | {"shards": every}))
    return out


def remember(packed: Path) -> None:
    """Three epochs; what was held at most until the beginning and until the end of each is printed,
    in MiB.
    """
    torch.set_num_threads(1)
    small = AutoencoderConfig(
        latent=4, encoder_widths=(8, 8), decoder_start=8, decoder_widths=(8, 8)
    )
    config = TrainConfig(
        generator=None, autoencoder=small, kinds=(), clips=0, data=(str(packed),), stream=True
    )
    count = ShardStream(packed).count
    every = -(-count // config.batch)
    pool = dataset.gather_clips(config, progress=False)
    most = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]
    with tempfile.TemporaryDirectory() as out:
        train(
            replace(config, steps=3 * every, check_every=every),
            pool,
            Path(out) / "run",
            progress=False,
            on_check=lambda *_: most.append(
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            ),
        )
    print(f"{count:8}" + "".join(f"{value:10.0f}" for value in most))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--toots", type=int, default=600)
    parser.add_argument("--megabytes", type=float, default=3.0, help="of a shard (default 3)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of measuring, for each table (default 60)"
    )
    parser.add_argument("--batch", type=int, default=32, help="(default 32)")
    parser.add_argument(
        "--copies", type=int, default=12, help="of the shards, for the memory; and twice as many"
    )
    parser.add_argument("--remember", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.remember:
        remember(options.remember)
        return
    print(one_machine(options.threads))
    with tempfile.TemporaryDirectory() as temporary:
        wavs, packed, compact = (Path(temporary) / name for name in ("wavs", "shards", "compact"))
        write_wavs(wavs, options.toots)
        report = shard_writer.write_shards([wavs], packed, options.megabytes)
        shard_writer.write_shards([wavs], compact, options.megabytes, form="flac")
        sizes = [
            sum(path.stat().st_size for path in out.rglob("*")) / 1e6
            for out in (wavs, packed, compact)
        ]
        print(
            f"{report.clips} toots of {report.files} WAVs in "
            f"{len(shards.read_index(packed).paths)} shards; ",
            end="",
        )
        print("{:.0f} MB as WAVs, {:.0f} as shards, {:.0f} as shards of FLAC".format(*sizes))
        reading(wavs, packed, compact, options.seconds)
        learning(packed, options.batch, options.seconds)
        print(
            f"\nMiB at most {'before':>15}{'epoch 1':>10}{'epoch 2':>10}{'epoch 3':>10}\n   toots"
        )
        more = [
            copied(packed, Path(temporary) / f"copied-{n}", n)
            for n in (options.copies, 2 * options.copies)
        ]
        for data in (packed, *more):
            sys.stdout.flush()
            subprocess.run([sys.executable, __file__, "--remember", data], check=True)


if __name__ == "__main__":
    main()
