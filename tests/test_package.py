"""The package as a whole: its parts, what they import, what ships, and what its files promise."""

import importlib.util
import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tootlearn

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))
PROJECT = PYPROJECT["project"]
MODULES = sorted((ROOT / "tootlearn").rglob("*.py"))
MODELS = sorted(path.name for path in (ROOT / "tootlearn/weights").glob("*.safetensors"))


def text(name: str) -> str:
    return (ROOT / name).read_text("utf8")


def tracked() -> list[Path]:
    """The files of the repository: those in git, or about to be."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def written() -> dict[str, str]:
    """The tracked files that are text and our own, by name."""
    files = {}
    for path in tracked():
        if "vendor" in path.parts:
            continue
        data = path.read_bytes()
        if b"\0" not in data:
            files[path.relative_to(ROOT).as_posix()] = data.decode("utf8")
    return files


# Imports


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says of the package in a folder, by the contracts of pyproject.toml."""
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports; "
    code += (
        f"sys.exit(lint_imports(config_filename={str(ROOT / 'pyproject.toml')!r}, no_cache=True))"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)


def test_layers_hold():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout
    (contract,) = PYPROJECT["tool"]["importlinter"]["contracts"]
    named = {name for layer in contract["layers"] for name in layer.split(" | ")}
    rooms = {path.relative_to(ROOT / "tootlearn").parts[0].removesuffix(".py") for path in MODULES}
    rooms -= {"__init__", "__main__"}
    assert named == {f"tootlearn.{room}" for room in rooms}, "every folder and module has its layer"


@pytest.mark.parametrize(
    ("module", "line", "told"),
    [
        (
            "dsp/mel.py",
            "from tootlearn.training.train import train",
            "tootlearn.dsp.mel -> tootlearn.training.train",
        ),
        (
            "models/decoder.py",
            "from tootlearn import data",
            "tootlearn.models.decoder -> tootlearn.data",
        ),
        ("generation/batch.py", "import tootlearn.training.config", "-> tootlearn.training.config"),
    ],
)
def test_an_upward_import_is_seen(tmp_path, module, line, told):
    for path in MODULES:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    with (tmp_path / "tootlearn" / module).open("a", encoding="utf8") as file:
        file.write(f"\n\ndef planted():\n    {line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert told in done.stdout, done.stdout


def test_import_is_cheap():
    """Only torch and numpy: the others cost from a tenth of a second to seconds, or may fail to
    import.
    """
    names = "sorted({name.split('.')[0] for name in sys.modules})"
    code = f"import sys, json, tootlearn; print(json.dumps({names}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    costly = (
        "jsonargparse",
        "librosa",
        "matplotlib",
        "numba",
        "scipy",
        "sklearn",
        "soundfile",
        "torchaudio",
    )
    assert "tootlearn" in json.loads(done.stdout)
    assert not set(costly).intersection(json.loads(done.stdout))


# Tests and stages


def test_each_module_has_a_test_file_of_its_name():
    elsewhere = {"version.py", "__main__.py"}  # in this file and in tests/cli
    modules = {path.relative_to(ROOT / "tootlearn") for path in MODULES}
    wanted = {
        path.parent / f"test_{path.name}"
        for path in modules
        if path.name != "__init__.py"
        and path.as_posix() not in elsewhere
        and path.parent.name != "answers"  # all of them are tried by teaching/test_exercises.py
    }
    there = {path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    assert not sorted(path.as_posix() for path in wanted - there)


def test_each_stage_is_a_chapter_a_module_and_a_test_file():
    rows = re.findall(
        r"^\| [^|]+ \| `(notebooks/[^|]+)` \| ([^|]+) \| ([^|]+) \|", text("CONTRIBUTING.md"), re.M
    )
    chapters = sorted(
        path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks").glob("*.ipynb")
    )
    assert [chapter for chapter, _, _ in rows] == chapters
    for _, modules, tests in rows:
        modules, tests = re.findall("`([^`]+)`", modules), re.findall("`([^`]+)`", tests)
        assert len(modules) == len(tests) >= 1
        for module, test in zip(modules, tests, strict=True):
            folder, name = module.removeprefix("tootlearn/").rsplit("/", 1)
            assert test == f"tests/{folder}/test_{name}"
            assert (ROOT / module).is_file() and (ROOT / test).is_file()


def test_what_a_newcomer_is_told_to_open_is_there():
    """Paths of the map; those without a folder lie beside the one before them."""
    section = text("CONTRIBUTING.md").split("What to open first:")[1].split("```")[0]
    folder = ROOT
    for name in re.findall(r"`([\w/]+\.py)`", section):
        path = ROOT / name if "/" in name else folder / name
        assert path.is_file(), name
        folder = path.parent


# What ships


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """The built sdist and wheel. Without isolation, which would fetch the build backend."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def contents(dist: Path) -> dict[str, set[str]]:
    """The names of the files in the wheel, and in the sdist below its top folder."""
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive, tarfile.open(sdist) as tar:
        return {
            "wheel": set(archive.namelist()),
            "sdist": {
                member.name.split("/", 1)[1] for member in tar.getmembers() if member.isfile()
            },
        }


def test_a_model_ships_and_is_small():
    assert MODELS, "tootlearn/weights holds no model"
    assert max((ROOT / "tootlearn/weights" / name).stat().st_size for name in MODELS) <= 6_000_000


def test_wheel_and_sdist_hold_the_package_its_models_and_nothing_else(dist):
    package = {path.relative_to(ROOT).as_posix() for path in MODULES} | {
        f"tootlearn/weights/{name}" for name in MODELS
    }
    package |= {"tootlearn/py.typed", "tootlearn/tuning/space.yaml"}
    package.add("tootlearn/evaluation/liveliness.json")
    package |= {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tootlearn/teaching/results").glob("*.json")
    }
    chapters = {
        path.relative_to(ROOT).as_posix() for path in tracked() if path.parent == ROOT / "notebooks"
    }
    sources = "book/references.bib"  # what `tootlearn lab` writes out in the chapters' copies
    # what `tootlearn play` serves
    played = {path.name for path in (ROOT / "book/assets/playground").iterdir()}
    info = f"tootlearn-{tootlearn.__version__}.dist-info/"
    held = contents(dist)
    assert {name for name in held["wheel"] if not name.startswith(info)} == package | {
        f"tootlearn/{name}"
        for name in [*chapters, "notebooks/references.bib", *(f"playground/{n}" for n in played)]
    }
    assert info + "licenses/LICENSE" in held["wheel"]
    pages = {
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CITATION.cff",
        "constraints.txt",
        "pyproject.toml",
    }
    assert held["sdist"] - {"PKG-INFO", ".gitignore"} == package | chapters | pages | {sources} | {
        f"book/assets/playground/{name}" for name in played
    }


def test_an_index_would_accept_wheel_and_sdist(dist):
    command = [sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_wheel_alone_generates(dist, tmp_path):
    """Unpacked by itself, with no source beside it: what it does not hold, it does not have."""
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import sys; sys.path.insert(0, 'site'); import tootlearn; assert 'site' in "
        "tootlearn.__path__[0];"
        "from tootlearn.cli.main import main; sys.exit(main())"
    )
    command = [sys.executable, "-I", "-c", code, "generate", "--count", "1", "--out", "toots"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("toots/*.wav"))) == 1
    assert (tmp_path / "toots/contact_sheet.png").is_file()


# What the files promise


def test_one_version():
    assert re.search(r"^version: (.+)$", text("CITATION.cff"), re.M)[1] == tootlearn.__version__
    assert re.search(r"^## (\S+)", text("CHANGELOG.md"), re.M)[1] == tootlearn.__version__


def test_licence():
    assert PROJECT["license"] == yaml.safe_load(text("CITATION.cff"))["license"] == "MIT"
    assert text("LICENSE").startswith("MIT License\n")
    assert "tootlearn contributors" in text("LICENSE")


def requirements(*extras: str) -> list[Requirement]:
    lists = [
        PROJECT["dependencies"],
        *(PROJECT["optional-dependencies"][extra] for extra in extras),
    ]
    return [Requirement(line) for lines in lists for line in lines]


def test_extras():
    extras = set(PROJECT["optional-dependencies"])
    assert extras == {"train", "mlflow", "eval", "export", "play", "sampled", "book", "test", "all"}
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert Requirement(everything).extras == extras - {"all"}


def test_requirements_are_ranges():
    for requirement in requirements(
        "train", "mlflow", "eval", "export", "play", "sampled", "book", "test"
    ):
        operators = {specifier.operator for specifier in requirement.specifier}
        if requirement.name == "jupyter-book":
            assert str(requirement.specifier) == "==1.0.4.post1"
        else:
            assert ">=" in operators, f"{requirement} has no lower end"
            assert "==" not in operators, requirement


def test_constraints_pin_every_requirement_within_its_range():
    pins = {}
    for line in text("constraints.txt").splitlines():
        if not line.startswith("#"):
            pin = Requirement(line)
            pins.setdefault(canonicalize_name(pin.name), []).append(next(iter(pin.specifier)))
    assert all(specifier.operator == "==" for pinned in pins.values() for specifier in pinned)
    for requirement in requirements(
        "train", "mlflow", "eval", "export", "play", "sampled", "book", "test"
    ):
        for specifier in pins[canonicalize_name(requirement.name)]:
            assert requirement.specifier.contains(specifier.version, prereleases=True), requirement


def test_conda_environment_installs_everything():
    environment = yaml.safe_load(text("environment.yml"))
    assert environment["dependencies"][0] == f"python {PROJECT['requires-python']},<3.14"
    assert environment["dependencies"][-1] == {
        "pip": ["--constraint constraints.txt", "--editable .[all]"]
    }


def test_workflow_covers_systems_pythons_lowest_versions_and_the_wheel():
    workflow = yaml.safe_load(text(".github/workflows/tests.yml"))
    jobs = workflow["jobs"]
    matrix = jobs["tested"]["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    named = [
        line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)
    ]
    assert matrix["python"] == named == ["3.11", "3.12", "3.13"]
    commands = {
        name: "\n".join(step.get("run", "") for step in job["steps"]) for name, job in jobs.items()
    }
    assert "python run.py test" in commands["tested"]
    assert "--resolution lowest-direct" in commands["lowest"]
    assert all(
        part in commands["package"] for part in ("-m build", "twine check", "tootlearn generate")
    )


def test_every_picture_and_link_in_the_pages_is_there():
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", text(page)):
            assert (ROOT / target).is_file(), f"{page} names {target}"


def test_no_address_is_invented():
    """The repository has no home yet: no page names one."""
    for page in (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "pyproject.toml",
        "environment.yml",
    ):
        assert "://" not in text(page), page


MACHINE_PATH = re.compile(
    r"(?<![\w.:/>\])}~*-])/(?:work|root|opt|home|mnt|tmp|Users)/\w|(?<!\w)[A-Z]:\\+Users\b"
)


def test_no_file_names_a_path_of_one_machine():
    named = {
        name: found[0]
        for name, content in written().items()
        if (found := MACHINE_PATH.search(content))
    }
    assert not named


@pytest.mark.parametrize(
    "path", ["@home@me@x.wav", "'@tmp@x'", "(@work@main)"]
)  # @ for a slash: or else this file is one
def test_a_path_of_one_machine_is_seen(path):
    assert MACHINE_PATH.search(f"load {path}".replace("@", "/"))
    assert MACHINE_PATH.search("load C:@Users@me".replace("@", "\\"))


@pytest.mark.static
@pytest.mark.parametrize(
    "tool", ["ruff check", pytest.param("mypy", marks=pytest.mark.slow), "codespell"]
)
def test_static(tool):
    """Style, types and spelling: what the hooks and an editor show, without having to install
    them.
    """
    name, *options = tool.split()
    if name == "codespell":
        name, options = "codespell_lib", [path.relative_to(ROOT).as_posix() for path in tracked()]
    done = subprocess.run(
        [sys.executable, "-m", name, *options], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_hooks():
    (local,) = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    assert {hook["id"] for hook in local["hooks"]} == {"ruff", "codespell", "notebook-metadata"}
    assert all(hook["language"] == "system" and hook["entry"] for hook in local["hooks"])


# The hook that tidies notebooks


def hook():
    spec = importlib.util.spec_from_file_location(
        "notebook_metadata", ROOT / ".ci/notebook_metadata.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def untidy_notebook() -> dict:
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"display_name": "mine (3.12)", "language": "python", "name": "mine"},
            "language_info": {"name": "python", "version": "3.12.1"},
            "mystnb": {"execution_timeout": 90},
            "vscode": {"x": 1},
        },
        "cells": [
            {
                "cell_type": "markdown",
                "id": "a",
                "metadata": {"collapsed": True},
                "source": ["# Trött\n"],
            },
            {
                "cell_type": "code",
                "id": "b",
                "execution_count": 7,
                "metadata": {
                    "tags": ["hide-cell"],
                    "jupyter": {"source_hidden": True, "outputs_hidden": False},
                    "execution": {"iopub.execute_input": "now"},
                },
                "outputs": [
                    {
                        "output_type": "execute_result",
                        "execution_count": 7,
                        "data": {},
                        "metadata": {"isolated": True},
                    },
                    {"output_type": "stream", "name": "stdout", "text": ["peak -1 dB\n"]},
                ],
                "source": ["1"],
            },
        ],
    }


def test_hook_joins_what_was_printed_in_pieces():
    def said(name, text):
        return {"output_type": "stream", "name": name, "text": text}

    notebook = untidy_notebook()
    pieces = [
        said("stdout", ["a\n", "b"]),
        said("stdout", "c\n"),
        said("stderr", "d"),
        said("stdout", "e"),
    ]
    notebook["cells"][1]["outputs"] = pieces
    tidy = hook().tidy(notebook)["cells"][1]["outputs"]
    assert tidy == [said("stdout", "a\nbc\n"), said("stderr", "d"), said("stdout", "e")]


def test_hook_takes_out_what_editors_add_and_nothing_else(tmp_path):
    path = tmp_path / "chapter.ipynb"
    path.write_text(json.dumps(untidy_notebook()), encoding="utf8")
    before = path.read_bytes()
    assert hook().main(["--check", str(path)]) == 1
    assert path.read_bytes() == before
    assert hook().main([str(path)]) == 1
    tidy = json.loads(path.read_text("utf8"))
    assert tidy["metadata"]["kernelspec"]["name"] == "python3"
    assert set(tidy["metadata"]) == {"kernelspec", "language_info", "mystnb"}
    assert tidy["metadata"]["language_info"] == {"name": "python"}
    heading, code = tidy["cells"]
    assert heading == {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# Trött\n"]}
    assert code["metadata"] == {"tags": ["hide-cell"], "jupyter": {"source_hidden": True}}
    assert code["execution_count"] == 1  # in order; a cell without a count is never compared
    result, stream = untidy_notebook()["cells"][1]["outputs"]
    assert code["outputs"] == [result | {"execution_count": 1}, stream]
    assert "Trött" in path.read_text("utf8")
    assert hook().main([str(path)]) == hook().main(["--check", str(path)]) == 0


def test_notebooks_are_tidy():
    assert (
        hook().main(["--check", *(str(path) for path in tracked() if path.suffix == ".ipynb")]) == 0
    )
