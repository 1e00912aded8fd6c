"""`tootlearn train-vocoder`, on a folder of recordings."""

import itertools

import numpy as np
import soundfile


def test_a_vocoder_is_trained_on_a_folder_and_generates(run, tmp_path):
    """Whatever the recordings are: no labels, and one that cannot be read."""
    time = np.arange(30000) / 22050
    (tmp_path / "mine").mkdir()
    for i in range(12):
        soundfile.write(
            tmp_path / f"mine/{i}.wav", 0.3 * np.sin(2 * np.pi * 110 * (i + 1) * time), 22050
        )
    (tmp_path / "mine/notes.wav").write_text("no sound")
    small = (
        "--vocoder.width 8 --vocoder.hidden 8 --vocoder.blocks 1 --vocoder.wide 8 "
        "--steps 2 --batch 2 --device cpu"
    )
    words = ("--data", tmp_path / "mine", "--synthetic", 0, "--sampled", 0, *small.split())
    trained = run("train-vocoder", *words, "--out", tmp_path / "run")
    assert (
        trained.status == 0
        and "12 windows of the recordings in mine" in trained.out
        and "notes.wav" in trained.err
    )
    file = tmp_path / "run/vocoder.safetensors"
    for speaker, folder in ((file, "a"), ("none", "b"), (None, "c")):
        chosen = ("--vocoder", speaker) if speaker else ()
        asked = ("--count", 1, "--kind", "trumpet", "--pitch", "A4", "--duration", 0.3)
        assert run("generate", *asked, *chosen, "--out", tmp_path / folder).status == 0
    sounds = [soundfile.read(tmp_path / folder / "000_trumpet.wav")[0] for folder in "abc"]
    assert not any(np.array_equal(x, y) for x, y in itertools.combinations(sounds, 2))
    again = run("train-vocoder", *words, "--out", tmp_path / "run")
    assert again.status == 2 and "--resume" in again.err
