"""Shards against a folder of the same WAVs: toots a second, read from front to end, and memory over three epochs.

    python benchmarks/shards.py [--toots 600] [--megabytes 5] [--seconds 60]

The folder holds toots as `tootlearn batch` writes them, and the shards are written from it. "clips" is what training
reads, log-mels and controls; "stream" gives the waves of an epoch, one shard in memory at a time; "waves" reads the
WAVs alone, which is all that a loop over a folder can do less. Memory is the largest that Python's own objects had in
each epoch of the stream, by tracemalloc.
"""

import argparse
import tempfile
import tracemalloc
from pathlib import Path

from timing import interleaved, one_machine

from tootlearn import audio
from tootlearn.data import folder, sharding, shards, synthesis
from tootlearn.data.recipes import KINDS
from tootlearn.front_end import FrontEnd

NAMES = ("trumpet", "car_horn", "tuba")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toots", type=int, default=600)
    parser.add_argument("--megabytes", type=float, default=5.0, help="of a shard")
    parser.add_argument("--seconds", type=float, default=60.0, help="of measuring")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(one_machine(options.threads))
    front_end = FrontEnd()
    with tempfile.TemporaryDirectory() as temporary:
        wavs, packed = Path(temporary) / "wavs", Path(temporary) / "shards"
        for name in NAMES:
            (wavs / name).mkdir(parents=True)
            waves, _ = synthesis.toots((name,), options.toots // len(NAMES), 0, 0)
            for i, wave in enumerate(waves):
                audio.save(wavs / name / f"{i}.wav", wave, front_end.config.sample_rate)
        report = sharding.write([wavs], packed, options.megabytes)
        stream = shards.Stream(packed)
        print(f"{report.clips} toots of {report.files} WAVs in {len(stream.index.paths)} shards")
        calls = {
            "clips, from the folder": lambda: folder.read(wavs, front_end, [KINDS[name] for name in NAMES]),
            "clips, from shards": lambda: shards.read(packed, front_end),
            "waves, from the folder": lambda: [audio.load(path, 22050) for path in wavs.rglob("*.wav")],
            "waves, from shards": lambda: list(map(len, (toot.wave for toot in stream.epoch()))),
        }
        for name, seconds in interleaved(calls, options.seconds, rounds=3).items():
            print(f"{name:24}{report.clips / seconds:9.0f} toots a second")
        tracemalloc.start()
        for epoch in range(3):
            tracemalloc.reset_peak()
            count = sum(1 for _ in stream.epoch())
            print(f"epoch {epoch}: {count} toots, at most {tracemalloc.get_traced_memory()[1] / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
