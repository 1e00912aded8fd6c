"""A batch of toots: seconds of sound a second, memory over its course, and whether a killed batch
goes on without a repeated or missing file.

    python benchmarks/batch.py --count 10000 --workers 2

The command `tootlearn batch` is started, killed half-way with all its processes, started again, and
the folder is compared with the table that was asked for. Memory is that of the parent and its
workers (Linux).
"""

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import soundfile
from shared import one_machine


def memory(parent: int) -> float:
    """Resident MiB of a process and its children; shared pages count once for each of them."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:  # it has ended
            continue
        if parent in (int(fields["Pid"]), int(fields["PPid"])):
            total += int(fields.get("VmRSS", "0 kB").split()[0])
    return total / 1024


def run(command: list[str], out: Path, until: int | None) -> tuple[float, list[tuple[int, float]]]:
    """Seconds that a command takes, and MiB by the number of files; it is killed when there are
    ``until``.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    ended = threading.Event()
    threading.Thread(target=lambda: (process.wait(), ended.set()), daemon=True).start()
    seen = []
    while not ended.wait(1.0):
        count = sum(len(os.listdir(folder)) for folder in out.glob("*/"))
        seen.append((count, memory(process.pid)))
        if until is not None and count >= until:
            os.killpg(process.pid, signal.SIGKILL)
            ended.wait()
            return time.perf_counter() - started, seen
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - started, seen


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10000, help="toots (default 10000)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    options = parser.parse_args()
    print(one_machine(1), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        spec, out = Path(folder) / "spec.csv", Path(folder) / "out"
        spec.write_text(f"kind,seed,count\n,1,{options.count}\n")
        command = [sys.executable, "-m", "tootlearn", "batch", str(spec), "--out", str(out)]
        command += ["--workers", str(options.workers)]
        first, before = run(command, out, options.count // 2)
        kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.wav")}
        print(
            f"killed with {len(kept)} of {options.count} files, "
            f"{len(list(out.rglob('*.part')))} unfinished"
        )
        second, after = run(command, out, None)
        with open(out / "manifest.csv", encoding="utf8", newline="") as file:
            named = [out / row["path"] for row in csv.DictReader(file)]
        there = set(out.rglob("*.wav"))
        again = sum(path.stat().st_mtime_ns != when for path, when in kept.items())
        print(
            f"gone on: {len(there)} files, {len(set(named) - there)} missing, "
            f"{len(there - set(named))} too many,"
        )
        print(f"  {again} made twice, {len(list(out.rglob('*.part')))} unfinished")
        seconds = sum(soundfile.info(path).duration for path in there)
        took = first + second
        print(
            f"{seconds:.0f} s of sound in {took:.0f} s on {options.workers} workers: "
            f"{seconds / took:.1f} s a second,"
        )
        print(f"  {len(there) / took:.1f} toots a second, start and resumption included")
        print(f"{'files':>8}{'MiB':>8}  parent and workers")
        for course in (before, after):
            for part in range(0, len(course), max(1, len(course) // 5)):
                print(f"{course[part][0]:8d}{course[part][1]:8.0f}")


if __name__ == "__main__":
    main()
