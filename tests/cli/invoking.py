"""What the tests of the command line share."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]


class Done(NamedTuple):
    status: int
    out: str
    err: str


def samples(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


BLOCKADE = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {broken}:
            raise ImportError(name + " is broken here")
sys.meta_path.insert(0, Broken())
def offline(event, args):
    if event in ("socket.__new__", "socket.connect", "socket.getaddrinfo", "socket.bind"):
        raise OSError("there is no network here")
sys.addaudithook(offline)
"""


def elsewhere(tmp_path: Path, *words: str, broken: tuple[str, ...]) -> subprocess.CompletedProcess:
    """`python -m tootlearn` in a process without sockets and in which some packages fail to
    import.
    """
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(BLOCKADE.format(broken=broken))
    paths = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tootlearn", *words]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)


class Interrupt:
    """Stands in for a function: Ctrl-C arrives at the start of the call after the first `after`."""

    def __init__(self, after: int, function=None) -> None:
        self.after, self.function, self.calls = after, function, 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        if self.calls == self.after + 1:
            signal.raise_signal(signal.SIGINT)
        return self.function(*arguments, **options)


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
