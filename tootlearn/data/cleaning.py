"""Noise reduction for files and folders of recordings."""

import os
from pathlib import Path

from tqdm import tqdm

from tootlearn.data.folder import FOREIGN, SUFFIXES
from tootlearn.dsp.audio import load_audio, save_audio
from tootlearn.dsp.denoising import clean
from tootlearn.errors import InputError
from tootlearn.files import atomic_write


def clean_file(source: Path, target: Path, noise: str | os.PathLike[str] | None = None) -> None:
    """:func:`clean` a recording, as mono at its own sample rate, into another file.

    Args:
        source: the recording.
        target: the file to write.
        noise: a recording of noise alone, if there is one.

    Raises:
        InputError: if a file cannot be read or written, or the recording of noise is too short.
    """
    if target.is_dir():
        raise InputError(f"{target} is a folder: name the file to write")
    wave, rate = load_audio(source)
    save_audio(
        target, clean(wave, rate, None if noise is None else load_audio(noise, rate)[0]), rate
    )


def clean_folder(
    source: Path, target: Path, noise: str | os.PathLike[str] | None, problems: list[str]
) -> tuple[int, int]:
    """Apply :func:`clean_file` to each recording in a folder and below, with the same names in
    another folder.

    A recording in a format that `audio.save_audio` does not write becomes a WAV file, .wav appended
    to its name. A `manifest.csv` is copied.

    Args:
        source: the folder; hidden files and folders in it are skipped.
        target: created if it is missing; must not be in ``source``.
        noise: a recording of noise alone, if there is one.
        problems: receives a line for each recording that could not be read or written; the others
            are cleaned all the same.

    Returns:
        How many recordings were cleaned, and how many there are.

    Raises:
        InputError: if there are no recordings, or ``target`` is a file or within ``source``.
    """
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file: give a folder for the recordings of {source}")
    if target.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"{target} is in {source}, which must not change: give a folder outside it"
        )
    files = [
        path
        for path in sorted(source.rglob("*"))
        if path.suffix.lower() in SUFFIXES + FOREIGN
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(source).parts)
    ]
    if not files:
        raise InputError(f"{source} holds no recordings: put WAV, FLAC, Ogg or MP3 files there")
    done = 0
    for path in tqdm(files, desc="files", unit="", leave=False, disable=None):
        out = target / path.relative_to(source)
        if path.suffix.lower() not in (".wav", ".flac", ".ogg", ".mp3"):
            out = out.with_name(f"{out.name}.wav")
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            clean_file(path, out, noise)
            done += 1
        except InputError as error:
            problems.append(f"left out: {error}")
    if (source / "manifest.csv").is_file():
        atomic_write(target / "manifest.csv", (source / "manifest.csv").read_bytes())
    return done, len(files)
