"""`tootlearn morph`: from two recordings to a folder of toots."""

import numpy as np
import pytest
import soundfile

from tests.cli.invoking import rows
from tootlearn.cli.main import main


def test_a_morph_of_two_recordings_at_another_rate(recordings, capsys):
    words = [
        "car.wav",
        "horn.wav",
        "--kinds",
        "car_horn",
        "french_horn",
        "--steps",
        "3",
        "--sample-rate",
        "44100",
    ]
    main(["morph", *words])
    assert "horn.wav: french_horn, " in capsys.readouterr().out
    found = rows("morph/toots.csv")
    assert [row["file"] for row in found] == [f"{i:03d}_car_horn-french_horn.wav" for i in range(3)]
    pitches = [float(row["pitch_hz"]) for row in found]
    assert pitches[1] == pytest.approx(np.sqrt(pitches[0] * pitches[2]), rel=1e-3)
    assert soundfile.info("morph/000_car_horn-french_horn.wav").samplerate == 44100
