"""`tootlearn reconstruct`: from a recording to a recording."""

import numpy as np
import pytest
import soundfile

from tests.cli.invoking import samples


@pytest.mark.parametrize("trouble", ["empty", "text", "directory", "no samples", "nan", "infinite"])
def test_a_recording_that_is_none_says_why(refused, tmp_path, trouble):
    path = tmp_path / "in.wav"
    if trouble == "empty":
        path.write_bytes(b"")
    elif trouble == "text":
        path.write_text("This is not a sound.\n")
    elif trouble == "directory":
        path.mkdir()
    else:
        wave = np.full(
            0 if trouble == "no samples" else 999,
            np.nan if trouble == "nan" else np.inf,
            dtype=np.float32,
        )
        soundfile.write(path, wave, 22050, subtype="FLOAT")
    assert "in.wav" in refused("reconstruct", "in.wav", "out.wav")


@pytest.mark.parametrize(
    ("output", "named"), [("out.txt", "'.txt'"), ("out", "''"), ("no/out.wav", "out.wav")]
)
def test_an_output_that_cannot_be_is_named(refused, tmp_path, output, named):
    soundfile.write(tmp_path / "in.wav", np.zeros(999), 22050)
    assert named in refused("reconstruct", "in.wav", output)


def test_silence_comes_back_as_silence(run, tmp_path):
    soundfile.write(tmp_path / "in.wav", np.zeros(50000), 22050)
    done = run("reconstruct", "in.wav", "out.wav")
    assert done.status == 0 and "2.27 s" in done.out and "64 numbers" in done.out
    assert len(samples(tmp_path / "out.wav")) == 50000 and not samples(tmp_path / "out.wav").any()


def test_a_long_stereo_recording_of_eight_bits_and_another_rate(run, tmp_path):
    time = np.arange(3 * 44100) / 44100
    tone = 0.4 * np.sin(2 * np.pi * 440 * time) * (time < 2.5)
    soundfile.write(tmp_path / "in.wav", np.stack([tone, 0.5 * tone], 1), 44100, subtype="PCM_U8")
    assert run("reconstruct", "in.wav", "out.flac").status == 0
    info, back = soundfile.info(tmp_path / "out.flac"), samples(tmp_path / "out.flac")
    assert (info.samplerate, info.channels, info.frames) == (22050, 1, 3 * 22050)
    loud = np.abs(back[:44000]).max()
    assert loud > 1000 and np.abs(back[60000:]).max() < 0.1 * loud
