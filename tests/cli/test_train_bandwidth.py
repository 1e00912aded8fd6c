"""`tootlearn train-bandwidth`, on a folder of recordings."""

import itertools

import numpy as np
import soundfile


def test_an_extension_is_trained_on_a_folder_and_heard_at_higher_rates_alone(run, tmp_path):
    time = np.arange(45000) / 44100
    (tmp_path / "mine").mkdir()
    for i in range(12):
        wave = sum(
            np.sin(2 * np.pi * 110 * (i + 1) * k * time) / k for k in range(1, 20 // (i + 1) + 9)
        )
        soundfile.write(tmp_path / f"mine/{i}.wav", 0.1 * wave, 44100)
    small = "--bandwidth.width 8 --bandwidth.hidden 8 --bandwidth.blocks 1 --versions 1"
    small += " --steps 2 --batch 2 --device cpu"
    words = ("--data", tmp_path / "mine", "--synthetic", 0, "--sampled", 0, *small.split())
    trained = run("train-bandwidth", *words, "--out", tmp_path / "run")
    assert trained.status == 0 and "12 windows of the recordings in mine" in trained.out
    file = tmp_path / "run/bandwidth.safetensors"
    asked = ("--count", 1, "--kind", "trumpet", "--pitch", "A4", "--duration", 0.3)
    sounds = {}
    for rate in (22050, 44100):
        for name, chosen in (("own", file), ("none", "none"), ("shipped", None)):
            extra = ("--bandwidth", chosen) if chosen else ()
            out = tmp_path / f"{name}{rate}"
            assert run("generate", *asked, *extra, "--sample-rate", rate, "--out", out).status == 0
            sounds[name, rate] = soundfile.read(out / "000_trumpet.wav")[0]
    assert np.array_equal(sounds["own", 22050], sounds["none", 22050])
    assert np.array_equal(sounds["shipped", 22050], sounds["none", 22050])
    assert not any(
        np.array_equal(sounds[a, 44100], sounds[b, 44100])
        for a, b in itertools.combinations(("own", "none", "shipped"), 2)
    )
