"""What every test runs under: one thread, no display, and a numba cache that no other process
writes to.
"""

import dataclasses
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import hypothesis
import matplotlib
import pytest
import torch


def _own_numba_cache() -> tuple[Path, IO[str] | None]:
    """A folder for compiled functions, warm from earlier runs where one is free, and the lock that
    keeps it ours.

    Two processes that compile librosa's pyin into one cache at the same time leave it broken: it
    crashes ever after.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such lock: compile anew
        return Path(tempfile.mkdtemp(prefix="tootlearn-numba-")), None
    for slot in range(64):
        folder = Path(tempfile.gettempdir()) / f"tootlearn-numba-{os.getuid()}-{slot}"
        folder.mkdir(exist_ok=True)
        lock = open(folder / "lock", "w")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return folder, lock
        except OSError:
            lock.close()
    raise RuntimeError("64 test processes at once hold a numba cache each: stop some of them")


_FOLDER, _LOCK = _own_numba_cache()
# numba is not imported yet: librosa does so at its first use
os.environ["NUMBA_CACHE_DIR"] = str(_FOLDER)
# of what tests start: notebooks, the book, the command line
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
matplotlib.use("Agg")
torch.set_num_threads(1)  # the same bits everywhere, and no contention between parallel workers
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, max_examples=25, database=None
)
hypothesis.settings.load_profile("suite")
# a shell that runs tests in the background has it ignored
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What several processes share out: files, since their tests share fixtures; all that looks at
    the built book; and each run of a notebook on its own."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = Path(nodeid.split("::")[0])
            if path.stem in ("test_browser", "test_build"):  # which run the chapters
                return "the built book"
            return nodeid if path.stem == "test_notebooks" else path.stem

    return Scheduling(config, log)


SLOW = 3.0  # s


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say which tests took less time than the marker `slow` asks for. It is shown; no test fails by
    the clock.
    """
    passed = terminalreporter.stats.get("passed", [])
    seconds: dict[str, float] = {}
    for report in [*terminalreporter.stats.get("", []), *passed]:  # set-ups have no category
        if "slow" in report.keywords and report.when in ("setup", "call"):
            seconds[report.nodeid] = seconds.get(report.nodeid, 0.0) + report.duration
    called = {report.nodeid for report in passed}
    fast = {name: taken for name, taken in seconds.items() if name in called and taken < SLOW}
    if fast:
        terminalreporter.section(f"marked slow, but under {SLOW:.0f} s")
        for name, taken in sorted(fast.items()):
            terminalreporter.write_line(f"{taken:.1f} s {name}")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that changes ranges of the recipe of a kind; ``still`` first takes all change and
    noise out of it.
    """
    from tootlearn.data.recipes import RECIPES

    zero = [
        "glide",
        "vibrato",
        "tremolo",
        "detune",
        "stagger",
        "flutter",
        "hold",
        "droop",
        "sweep",
        "drift",
        "trill",
    ]
    zero += ["jitter", "shimmer", "ripple"]
    none = dict.fromkeys(zero, (0.0, 0.0)) | dict.fromkeys(("breath", "chiff"), (-300.0, -300.0))

    def change(kind: str, still: bool = False, **ranges: tuple[float, float]) -> None:
        ranges = (none if still else {}) | ranges
        monkeypatch.setitem(RECIPES, kind, dataclasses.replace(RECIPES[kind], **ranges))

    return change
