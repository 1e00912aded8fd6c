"""What the benchmarks share: a machine's description and timings that a busy machine does not
spoil.
"""

import contextlib
import importlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping

import torch


def one_machine(threads: int) -> str:
    """Set the number of threads of torch and numpy, and say what the figures were measured on."""
    torch.set_num_threads(threads)
    with contextlib.suppress(ImportError):  # comes with librosa, and rules numpy's matrix product
        importlib.import_module("threadpoolctl").threadpool_limits(threads)
    processor = platform.processor() or platform.machine()
    return (
        f"{processor}, {os.cpu_count()} cores, {threads} thread(s), {platform.system()}; "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def interleaved(
    calls: Mapping[str, Callable[[], object]], seconds: float, rounds: int = 5
) -> dict[str, float]:
    """Median seconds of each call; they take turns until the time is used up, ``rounds`` rounds at
    least.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < rounds:
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}
