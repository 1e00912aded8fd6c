"""run.py: what its two commands run, and when they install."""

import importlib.util
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from tests import needs

ROOT = Path(__file__).resolve().parents[1]


class Calls(list[list[str]]):
    """Stands in for subprocess.run: notes the commands; those for which `fails` is true end with
    status 1.
    """

    fails = staticmethod(lambda command: False)

    def __call__(self, command, *, check=False, **_):
        command = [str(part) for part in command]
        self.append(command)
        if "venv" in command:
            Path(command[-1]).mkdir()
        elif "--version" in command:  # is there a pip in .venv?
            return subprocess.CompletedProcess(
                command, 0 if any("venv" in call for call in self) else 1
            )
        status = 1 if self.fails(command) else 0
        if check and status:
            raise subprocess.CalledProcessError(status, command)
        return subprocess.CompletedProcess(command, status)

    @property
    def installs(self):
        return [call for call in self if "install" in call]


@pytest.fixture
def run(tmp_path) -> ModuleType:
    """run.py as it stands in a bare clone: the files that it reads, and no .venv."""
    for name in ("run.py", "pyproject.toml", "constraints.txt", "tootlearn/version.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    spec = importlib.util.spec_from_file_location("run_of_clone", tmp_path / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def calls(run, monkeypatch) -> Calls:
    calls = Calls()
    monkeypatch.setattr(run.subprocess, "run", calls)
    return calls


def test_readme_has_exactly_the_two_commands(run):
    blocks = re.findall(
        r"^```(?:sh|bash|console)?\n(.*?)^```", (ROOT / "README.md").read_text("utf8"), re.M | re.S
    )
    assert [line for block in blocks for line in block.splitlines()] == [
        f"python run.py {name}" for name in run.EXTRAS
    ]


def test_ci_runs_all_tests():
    assert "run.py test --all\n" in (ROOT / ".ci/run").read_text("utf8")


def test_toots_go_to_the_folder_that_the_readme_names_and_options_pass_through(run, calls):
    assert run.main(["toots", "--kind", "trumpet"]) == 0
    assert Path(calls[-1][0]).stem == "tootlearn"
    assert calls[-1][1:] == ["generate", "--out", "toots", "--kind", "trumpet"]


PROCESSES = ["--numprocesses=2", "--no-loadscope-reorder"]


@pytest.mark.parametrize(
    ("options", "passed"),
    [
        ([], [*PROCESSES, "-m", "not slow and not book"]),
        (["--all"], ["--cov", *PROCESSES]),
        (["--all", "-m", "not book"], ["--cov", *PROCESSES, "-m", "not book"]),
        (["-k", "stft"], ["-k", "stft"]),
    ],
)
def test_test_leaves_out_what_is_slow_unless_asked_for_all(run, calls, options, passed):
    run.main(["test", *options])
    assert calls[-1][1:] == ["-m", "pytest", *passed]


def test_requirements_are_the_whole_tested_environment():
    lines = (ROOT / "requirements.txt").read_text("utf8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "--constraint constraints.txt",
        "--editable .[all]",
    ]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]
    extras = project["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(re.findall(r"\w+", everything)) - {"tootlearn"} == set(extras) - {"all"}
    wanted = project["dependencies"] + [line for extra in extras.values() for line in extra]
    names = {re.match(r"[\w-]+", line).group().lower() for line in wanted}
    needed = "jupyterlab jupyter-book torch torchaudio librosa numpy scipy matplotlib"
    assert names >= {*needed.split(), "ipywidgets", "nbval", "pytest"}


def test_installs_the_tested_versions_once_for_each_command(run, calls):
    for name in ("toots", "toots", "test", "toots", "test"):
        assert run.main([name]) == 0
    assert [call[-1] for call in calls.installs] == [".", ".[train,mlflow,export,play,book,test]"]
    assert all("constraints.txt" in call for call in calls.installs)
    assert sum("venv" in call for call in calls) == 1


def test_all_that_tests_import_is_installed(run):
    """Every extra but those whose tests look for other packages, or whose wheels are for some
    machines alone.
    """
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"][
        "optional-dependencies"
    ]
    assert set(run.EXTRAS["test"].strip("[]").split(",")) == set(extras) - {
        "eval",
        "sampled",
        "all",
    }


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "tootlearn/version.py"])
def test_installs_again_when_a_requirement_or_the_version_changes(run, calls, name):
    run.main(["test"])
    with open(run.ROOT / name, "a") as file:
        file.write("# changed\n")
    run.main(["test"])
    assert len(calls.installs) == 2


def test_installs_what_is_allowed_where_the_tested_versions_do_not_install(run, calls, capsys):
    calls.fails = lambda command: "--constraint" in command
    assert run.main(["test"]) == 0
    assert ["--constraint" in call for call in calls.installs] == [True, False]
    assert "tested versions" in capsys.readouterr().err


def test_a_failed_installation_is_an_error_and_is_tried_again(run, calls):
    calls.fails = lambda command: "install" in command
    assert run.main(["test"]) == 1
    assert "pytest" not in calls[-1]
    del calls.fails
    assert run.main(["test"]) == 0
    assert calls.installs[-1][-1] == ".[train,mlflow,export,play,book,test]"


def test_the_status_is_that_of_the_command(run, calls):
    calls.fails = lambda command: "pytest" in command
    assert run.main(["test"]) == 1


@pytest.mark.parametrize("arguments", [[], ["tests"], ["--help"]])
def test_anything_else_shows_the_two_commands_and_runs_nothing(run, calls, capsys, arguments):
    assert run.main(arguments) == 2
    assert "run.py toots" in capsys.readouterr().err
    assert calls == []


def test_an_old_python_is_told_so(run, calls, capsys, monkeypatch):
    monkeypatch.setattr(run.sys, "version_info", (3, 10, 13))
    assert run.main(["test"]) == 2
    assert "3.11" in capsys.readouterr().err
    assert calls == []


@pytest.mark.skipif(os.name == "nt", reason="a script of the shell")
def test_ci_fails_where_there_is_no_fit_python(tmp_path):
    # each is found, and fails: Python is too old, and nothing is installed
    for name in ("python3", "python3.13", "python3.12", "python3.11", "python", "apt-get", "sudo"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    path = os.pathsep.join([str(tmp_path), "/usr/bin", "/bin"])
    done = subprocess.run(
        ["bash", ROOT / ".ci/run"], env={"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "3.11" in done.stderr


def test_a_broken_environment_is_not_usable(run):
    run.PYTHON.parent.mkdir(parents=True)
    assert not run.usable()
    run.PYTHON.write_bytes(b"")
    run.PYTHON.chmod(0o755)
    assert not run.usable()


@pytest.mark.parametrize("ci", [True, False])
def test_what_is_missing_skips_a_test_and_fails_it_in_ci(monkeypatch, ci):
    monkeypatch.setenv("CI", "true" if ci else "")
    with pytest.raises(pytest.fail.Exception if ci else pytest.skip.Exception, match="chromium"):
        needs.unavailable("no browser: install chromium")


def test_a_browser_is_found_on_path_or_where_it_usually_is(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(needs, "_usual_places", lambda: [tmp_path / "gone", tmp_path / "chrome"])
    assert needs.system_browser() is None
    (tmp_path / "chrome").touch()
    assert needs.system_browser() == str(tmp_path / "chrome")
    name = "microsoft-edge.exe" if os.name == "nt" else "microsoft-edge"
    (tmp_path / name).touch(mode=0o755)
    assert needs.system_browser() == str(tmp_path / name)
