"""A search that is killed half-way and goes on; and whether what it finds is better than the preset
at the same budget.

    python benchmarks/tuning.py [--preset synthetic] [--trials 30] [--steps 60] [--json
    tootlearn/teaching/results/tuning.json]

Two processes search, each `tootlearn tune --workers 1`. When half of the trials are finished, one
is killed by SIGKILL in the middle of a trial, and then a third joins by the same command. It is
checked that all finished trials of that moment are as they were, that no settings were finished
twice, and that there are as many finished trials as asked.

Then the preset and the best config train over --seeds, none of which the search has seen: the seed
decides clips, initial weights and batches. The table has the held-out squared error after the same
number of steps of the same batch, mean and standard deviation. The start of the learning rate, 100
steps in the presets, is 10 here. Half the presets' resolution (hop 512, 64 bands) and few clips
make it quick.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from shared import one_machine

from tootlearn.dsp.config import FrontEndConfig
from tootlearn.training import config as presets
from tootlearn.training import dataset
from tootlearn.training.config import TrainConfig
from tootlearn.training.train import train
from tootlearn.tuning import search as tuning
from tootlearn.tuning import space, study


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="synthetic")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--clips", type=int, default=480)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--out", type=Path, help="folder of the search; one that is deleted without it"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine = one_machine(1)
    given = {"steps": options.steps, "clips": options.clips, "batch": options.batch}
    given |= {"check_every": max(1, options.steps // 6), "warmup": 10}
    words = [f"--{name}={value}" for name, value in given.items()]
    words += [
        f"--preset={options.preset}",
        "--front_end.hop=512",
        "--front_end.mels=64",
        f"--trials={options.trials}",
    ]
    config = presets.preset(options.preset, front_end=FrontEndConfig(hop=512, mels=64), **given)
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder) / "search"
        started = time.perf_counter()
        killed = search(config, out, [*words, f"--out={out}", "--device=cpu"], options.trials)
        found = json.loads((out / "summary.json").read_text("utf8"))
        seconds = round(time.perf_counter() - started)
    best = space.changed(config, found["best"]["params"])
    table = {"preset": errors(config, options.seeds), "best": errors(best, options.seeds)}
    print(f"{machine}\n{tuning.summary_text(found)}\n{killed}; {seconds} s in all")
    for name, values in table.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(
            f"{name:8} {statistics.mean(values):.4f} +- {spread:.4f} over {len(values)} "
            f"seeds: {values}"
        )
    if options.json:
        told = {
            "machine": machine,
            "preset": options.preset,
            **given,
            "wall_seconds": seconds,
            "killed": killed,
        }
        told |= {"search": found, "seeds": options.seeds, "held_out": table}
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf8")


def search(config: TrainConfig, out: Path, words: list[str], trials: int) -> str:
    """Search by two processes, one of which is killed half-way and replaced; what came of it."""
    from optuna.trial import TrialState

    ends = (TrialState.COMPLETE, TrialState.PRUNED)
    command = [sys.executable, "-m", "tootlearn", "tune", *words]
    workers = [subprocess.Popen(command) for _ in range(2)]

    def wait() -> None:
        time.sleep(0.2)
        if any(worker.poll() for worker in workers):
            raise SystemExit("a worker failed")

    while (
        not (out / "summary.json").exists() and len(list((out / "trials").glob("*"))) < trials // 2
    ):
        wait()
    opened, _ = tuning.Search(config, out).open()
    while study.finished(opened) < trials // 2:
        wait()
    time.sleep(3)  # s: into the next trial, whoever finished the last
    workers[0].send_signal(signal.SIGKILL)
    workers[0].wait()
    before = {t.number: (t.value, t.params) for t in opened.get_trials() if t.state in ends}
    workers[0] = subprocess.Popen(command)
    if any([worker.wait() for worker in workers]):
        raise SystemExit("a worker failed")
    trials_now = opened.get_trials()
    after = {t.number: (t.value, t.params) for t in trials_now if t.state in ends}
    failed = [t.number for t in trials_now if t.state == TrialState.FAIL]
    retried = [t.user_attrs["retry_of"] for t in trials_now if "retry_of" in t.user_attrs]
    assert all(after[number] == was for number, was in before.items()), (
        "a finished trial was lost or changed"
    )
    assert len(after) == trials, f"{len(after)} trials are finished, not {trials}"
    assert len({json.dumps(params, sort_keys=True) for _, params in after.values()}) == trials, (
        "settings came twice"
    )
    assert failed, "no trial was running when the worker was killed: search longer"
    assert failed == retried, f"trials {failed} failed, but {retried} were done again"
    return f"killed with {len(before)} finished trials; trials {failed} were done again"


def errors(config: TrainConfig, seeds: list[int]) -> list[float]:
    """The held-out error of the last check, for each seed."""
    found = []
    for seed in seeds:
        seeded, rows = replace(config, seed=seed), []
        clips = dataset.gather_clips(seeded, progress=False)
        with tempfile.TemporaryDirectory() as folder:
            train(
                seeded,
                clips,
                Path(folder) / "run",
                progress=False,
                on_check=lambda row, *_, rows=rows: rows.append(row),
            )
        found.append(round(sum(rows[-1]["held_out"].values()), 5))
    return found


if __name__ == "__main__":
    main()
