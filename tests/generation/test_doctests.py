"""The examples in the docstrings of generation give what they show."""

import doctest
import functools
import importlib
import inspect

import pytest

import tootlearn

PUBLIC = {
    "toot_generator": ("TootGenerator", "load"),
    "streaming": ("stream",),
    "inversion": ("invert",),
    "variation": ("vary", "morph"),
    "batch": ("read_spec", "render_batch"),
}
METHODS = ("kinds_with", "controls", "generate", "residual", "reconstruct")


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Each model is read once, and files go to a folder of their own."""
    monkeypatch.setattr(tootlearn, "load", functools.cache(tootlearn.load))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_give_what_they_show(name, quick):
    module = importlib.import_module(f"tootlearn.generation.{name}")
    result = doctest.testmod(module)
    assert result.attempted and not result.failed


def test_each_entry_point_has_an_example():
    for name, entries in PUBLIC.items():
        module = importlib.import_module(f"tootlearn.generation.{name}")
        for entry in entries:
            assert ">>> " in (inspect.getdoc(getattr(module, entry)) or ""), f"{name}.{entry}"
    generator = importlib.import_module("tootlearn.generation.toot_generator").TootGenerator
    for method in METHODS:
        assert ">>> " in (inspect.getdoc(getattr(generator, method)) or ""), method
