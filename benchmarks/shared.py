"""What the benchmarks share: their arguments, timings that a busy machine does not spoil, and the
distance between halves of two sets.
"""

import argparse
import contextlib
import importlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from tootlearn import rng
from tootlearn.controls import ONSET_SAMPLES
from tootlearn.evaluation.set_metrics import kernel_distance


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows a module's docstring as it is, with the option --threads."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1, help="of torch and numpy (default 1)")
    return parser


def started(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options, once the threads are set and the machine is printed."""
    options = parser.parse_args()
    print(one_machine(options.threads))
    return options


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


def halved(estimate: Tensor, reference: Tensor, splits: int, seed: int) -> tuple[float, float]:
    """Mean and standard deviation of KAD over halvings: one half of ``estimate`` to the other half
    of ``reference``.
    """
    distances = []
    for split in range(splits):
        order = torch.from_numpy(np.argsort(rng.words(seed, split, len(reference)), kind="stable"))
        half = len(order) // 2
        distances.append(kernel_distance(estimate[order[:half]], reference[order[half : 2 * half]]))
    return float(np.mean(distances)), float(np.std(distances))


def place(window: Tensor, wave: Tensor) -> None:
    """Put a toot (N,) into a window of silence, where clips begin; what does not fit is cut."""
    wave = wave[: len(window) - ONSET_SAMPLES]
    window[ONSET_SAMPLES : ONSET_SAMPLES + len(wave)] = wave
