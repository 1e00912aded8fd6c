"""The doctor: it finds nothing where nothing is wrong, and names what is broken with its cure."""

import errno
import importlib
import os
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tootlearn.cli import doctor, main
from tootlearn.cli.doctor import Finding, Trouble
from tootlearn.dsp import audio
from tootlearn.errors import InputError
from tootlearn.generation import toot_generator
from tootlearn.models import model_file


@pytest.fixture
def packages(monkeypatch):
    """Packages that import at once, but those in this dict, which raise what it says."""
    broken: dict[str, Exception] = {}

    def stand_in(name: str) -> SimpleNamespace:
        if name in broken:
            raise broken[name]
        return SimpleNamespace(__version__="1.2.3")

    monkeypatch.setattr(doctor, "importlib", SimpleNamespace(import_module=stand_in))
    return broken


def trouble() -> list[Finding]:
    return [finding for finding in doctor.examine() if not finding.fine]


def test_nothing_is_wrong_here():
    findings = list(doctor.examine())
    assert all(finding.fine for finding in findings), [f.what for f in findings if not f.fine]
    text = "\n".join(finding.what for finding in findings)
    for name in (*doctor.PACKAGES, *doctor.OPTIONAL_PACKAGES):
        assert f"{name} {getattr(importlib.import_module(name), '__version__', '')}" in text
    assert "Python 3." in text and "MP3" in text and "makes a toot" in text


def test_all_that_is_installed_with_it_is_looked_at():
    project = tomllib.loads(
        (Path(doctor.__file__).parents[2] / "pyproject.toml").read_text("utf8")
    )["project"]
    wanted = {re.split(r"[<>=\[]", requirement)[0] for requirement in project["dependencies"]}
    names = {"yaml": "PyYAML", "sklearn": "scikit-learn", "lightning_fabric": "lightning-fabric"}
    assert {names.get(name, name) for name in doctor.PACKAGES + doctor.OPTIONAL_PACKAGES} == wanted


@pytest.mark.parametrize(
    "error",
    [ImportError("No module named 'x'"), OSError("libsndfile.so: cannot open\nmore"), KeyError()],
)
def test_a_broken_package_is_named_with_its_cure(packages, error):
    packages["soundfile"] = error
    (finding,) = trouble()
    assert finding.what.startswith("soundfile does not import (") and "\n" not in finding.what
    assert "pip install --force-reinstall soundfile" in finding.what and not finding.optional


@pytest.mark.parametrize("name", doctor.OPTIONAL_PACKAGES)
def test_generation_does_without_some_packages(packages, name, capsys):
    packages[name] = ImportError("broken")
    (finding,) = trouble()
    assert finding.optional
    main.main(["doctor"])  # status 0
    assert f"note  {name} does not import" in capsys.readouterr().out


def examined(capsys) -> str:
    with pytest.raises(SystemExit) as done:
        main.main(["doctor"])
    assert done.value.code == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("ok ")]
    return line


def test_a_missing_model_is_bad(packages, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(model_file, "shipped", lambda: tmp_path / "default.safetensors")
    line = examined(capsys)
    assert line.startswith("BAD   the shipped model makes no toot: reinstall tootlearn")
    assert "default.safetensors" in line


@pytest.mark.parametrize("wave", [np.zeros(9), np.full(9, np.nan), np.full(9, 3.0)])
def test_a_model_that_makes_nonsense_is_bad(packages, capsys, monkeypatch, wave):
    monkeypatch.setattr(
        toot_generator.TootGenerator, "generate", lambda *_, **__: wave.astype(np.float32)
    )
    assert "makes a toot that peaks at" in examined(capsys)


def test_a_disk_that_takes_nothing_is_bad(packages, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise InputError("No space left on device")

    monkeypatch.setattr(audio, "save_audio", full)
    line = examined(capsys)
    assert (
        line.startswith("BAD   sound files cannot be written and read back")
        and "No space left on device" in line
    )


def test_a_folder_for_nothing_is_bad(packages, capsys, monkeypatch):
    def deny(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(doctor.tempfile, "mkdtemp", deny)
    assert os.strerror(errno.EROFS) in examined(capsys)


def test_an_old_python_is_too_old(monkeypatch):
    monkeypatch.setattr(doctor.sys, "version_info", (3, 10, 0))
    finding = next(iter(doctor.examine()))
    assert not finding.fine and "install 3.11 or newer" in finding.what


def test_without_devices_torch_is_to_be_mended(packages, capsys, monkeypatch):
    def broken() -> None:
        raise RuntimeError("no driver\nmore")

    monkeypatch.setattr(doctor, "_devices", broken)
    assert examined(capsys).endswith("cannot be looked at: mend torch first (no driver)")


def test_a_trouble_is_told_in_its_words(packages, monkeypatch):
    """All troubles at once, but for a model that makes nonsense: the words are those that the book
    looks up.
    """
    packages.update(dict.fromkeys(doctor.PACKAGES, ImportError("gone")))
    monkeypatch.setattr(doctor.sys, "version_info", (3, 10, 0))
    for name in ("_devices", "_first_toot", "_disk"):
        monkeypatch.setattr(doctor, name, lambda: 1 / 0)
    found = trouble()
    assert {finding.trouble for finding in found} == set(Trouble) - {Trouble.NONSENSE}
    assert all(finding.trouble.value in finding.what for finding in found)
