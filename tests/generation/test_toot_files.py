"""Toots as files: a set is whole, replaces the one before it, and touches nothing else in the
folder.
"""

import csv

import numpy as np
import pytest

from tootlearn.controls import Controls
from tootlearn.errors import InputError
from tootlearn.generation import toot_files
from tootlearn.generation.toot_files import Toot


def toots(kind: str, count: int) -> list[Toot]:
    controls = Controls(np.array([0]), *(np.array([value]) for value in (440.0, 0.5, 0.5, -18.0)))
    wave = 0.1 * np.sin(np.arange(4000) / 5).astype(np.float32)
    return [Toot(wave, kind, controls, seed) for seed in range(count)]


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_second_set_replaces_the_first_and_no_file_of_ones_own(tmp_path):
    assert toot_files.write_toots(tmp_path, toots("tuba", 3), 22050) == 3
    (tmp_path / "mine.wav").write_bytes(b"my own")
    (tmp_path.parent / "outside.wav").write_bytes(b"elsewhere")
    with open(tmp_path / "toots.csv", "a", newline="") as file:
        csv.writer(file).writerow(["../outside.wav", "tuba", 1, 1, 1, 1, 1])
    toot_files.write_toots(tmp_path, toots("trumpet", 1), 22050)
    assert names(tmp_path) == {"000_trumpet.wav", "toots.csv", "contact_sheet.png", "mine.wav"}
    assert (tmp_path.parent / "outside.wav").exists()


def test_a_set_that_breaks_off_leaves_the_one_before(tmp_path):
    toot_files.write_toots(tmp_path, toots("tuba", 2), 22050)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken():
        yield from toots("trumpet", 1)
        raise InputError("the disk is full")

    with pytest.raises(InputError, match="the disk is full"):
        toot_files.write_toots(tmp_path, broken(), 22050)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_list_that_is_none_is_passed_over(tmp_path):
    (tmp_path / "toots.csv").write_bytes(b"\xff\xfe\x00 no list")
    toot_files.write_toots(tmp_path, toots("tuba", 1), 22050)
    assert names(tmp_path) == {"000_tuba.wav", "toots.csv", "contact_sheet.png"}
