"""Recordings cleaned, one by one or a folder of them."""

import os
from pathlib import Path

from tqdm import tqdm

from tootlearn.data.folder import FOREIGN, SUFFIXES
from tootlearn.dsp.audio import load, save
from tootlearn.dsp.denoising import clean
from tootlearn.errors import InputError
from tootlearn.files import atomic_write


def clean_file(source: Path, target: Path, noise: str | os.PathLike[str] | None = None) -> None:
    """:func:`clean` a recording, as mono at its own sample rate, into another file, perhaps with a
    recording of noise.

    Raises:
        InputError: a file that cannot be read or written, or a clip of noise that is too short.
    """
    if target.is_dir():
        raise InputError(f"{target} is a folder: name the file to write")
    wave, rate = load(source)
    save(target, clean(wave, rate, None if noise is None else load(noise, rate)[0]), rate)


def clean_folder(
    source: Path, target: Path, noise: str | os.PathLike[str] | None, problems: list[str]
) -> tuple[int, int]:
    """:func:`clean_file` for each recording in a folder and below, into another folder, under the
    same names.

    What libsndfile reads and `audio.save` does not write becomes a WAV file, with .wav after its
    name. A `manifest.csv` is copied.

    Args:
        source: hidden files and folders in it are passed over.
        target: made where it is missing; neither ``source`` nor in it.
        noise: a recording of noise alone.
        problems: gets a line on each recording that could not be read or written; the others are
            done all the same.

    Returns:
        How many recordings were done, and how many there are.

    Raises:
        InputError: nothing to read, or ``target`` is a file, or within the folder.
    """
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file: give a folder for the recordings of {source}")
    if target.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"{target} is in {source}, whose recordings are kept: give a folder beside it"
        )
    files = [
        path
        for path in sorted(source.rglob("*"))
        if path.suffix.lower() in SUFFIXES + FOREIGN and path.is_file()
    ]
    files = [
        path
        for path in files
        if not any(part.startswith(".") for part in path.relative_to(source).parts)
    ]
    if not files:
        raise InputError(f"{source} holds no recordings: put WAV, FLAC, Ogg or MP3 files there")
    done = 0
    for path in tqdm(files, desc="files", unit="", leave=False, disable=None):
        out = target / path.relative_to(source)
        out = (
            out
            if path.suffix.lower() in (".wav", ".flac", ".ogg", ".mp3")
            else out.with_name(f"{out.name}.wav")
        )
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            clean_file(path, out, noise)
            done += 1
        except InputError as error:
            problems.append(f"left out: {error}")
    if (source / "manifest.csv").is_file():
        atomic_write(target / "manifest.csv", (source / "manifest.csv").read_bytes())
    return done, len(files)
