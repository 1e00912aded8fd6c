"""`tootlearn info`: what ships, and files that are no models."""

import json
import pickle
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import tootlearn

SHIPPED = Path(str(files("tootlearn") / "weights" / "default.safetensors"))


def bad_model(path: Path, trouble: str) -> None:
    """Write a model file with this trouble."""
    if trouble == "empty":
        path.write_bytes(b"")
    elif trouble == "truncated":
        path.write_bytes(SHIPPED.read_bytes()[:500_000])
    elif trouble == "text":
        path.write_text("I am a model, honestly.\n" * 9)
    elif trouble == "foreign":
        save_file({"weight": torch.zeros(2)}, path)
    elif trouble == "pickle":
        path.write_bytes(pickle.dumps({"weight": [0.0]}))
    elif trouble == "torch":
        torch.save({"weight": torch.zeros(2)}, path)
    else:
        with safe_open(SHIPPED, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            description = json.loads(file.metadata()["tootlearn"])
        if trouble == "schema":
            description["schema"] = 99
        elif trouble == "front end":
            description["front_end"]["mels"] = 80
        elif trouble == "missing":
            del tensors["generator.prior_mean"]
        save_file(tensors, path, metadata={"tootlearn": json.dumps(description)})


@pytest.mark.parametrize(
    ("trouble", "named"),
    [
        ("empty", "truncated"),
        ("truncated", "truncated"),
        ("text", "safetensors"),
        ("foreign", "not those of a tootlearn model"),
        ("pickle", "pickle"),
        ("torch", "pickle"),
        ("schema", "schema 99"),
        ("front end", "front end"),
        ("missing", "missing"),
    ],
)
def test_a_bad_model_file_says_what_is_wrong_with_it(refused, tmp_path, trouble, named):
    bad_model(tmp_path / "bad.safetensors", trouble)
    for words in (("info", "bad.safetensors"), ("generate", "--model", "bad.safetensors")):
        message = refused(*words)
        assert "bad.safetensors" in message and named in message


def test_info_shows_what_ships(run):
    text = run("info").out
    for word in (
        *tootlearn.load().kinds,
        "165 to 988",
        "0.12 to 1.8",
        "M parameters",
        "synthetic toots",
        "MIT",
    ):
        assert word in text
