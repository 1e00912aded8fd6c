"""Files that are written whole or not at all."""

import os

import pytest

from tootlearn import files
from tootlearn.errors import InputError
from tootlearn.files import atomic_write


def test_a_file_has_what_was_written_and_nothing_lies_beside_it(tmp_path):
    path = tmp_path / "a.txt"
    for content in (b"first", b"", b"a longer second one"):
        atomic_write(path, content)
        assert path.read_bytes() == content and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_part(tmp_path, monkeypatch, name):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.txt"
    atomic_write(path, b"old")
    monkeypatch.setattr(files.os, name, full)
    with pytest.raises(InputError, match=r"a\.txt could not be written \(No space left"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match="none.a.txt could not be written"):
        atomic_write(tmp_path / "none" / "a.txt", b"x")
