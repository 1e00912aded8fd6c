"""`tootlearn vary`: from a recording to a folder of toots."""

import re

import numpy as np
import pytest
import soundfile

from tests.cli.invoking import rows
from tootlearn.cli.main import main


def test_variations_of_a_recording(recordings, capsys):
    main(
        [
            "vary",
            "car.wav",
            "--count",
            "2",
            "--is",
            "car_horn",
            "--pitch",
            "A4",
            "--out",
            "made",
            "--seed",
            "3",
        ]
    )
    told = capsys.readouterr().out
    assert float(re.search(r"car.wav: car_horn, (.+?) Hz", told)[1]) == pytest.approx(400, rel=0.02)
    assert "2 toots" in told
    found = rows("made/toots.csv")
    assert [row["file"] for row in found] == ["000_car_horn.wav", "001_car_horn.wav"]
    assert all(float(row["pitch_hz"]) == 440 for row in found)
    assert float(found[0]["duration_s"]) == pytest.approx(0.4, abs=0.04)
    waves = [soundfile.read(recordings / "made" / row["file"])[0] for row in found]
    assert not np.array_equal(waves[0][:5000], waves[1][:5000])
    assert (recordings / "made/contact_sheet.png").is_file()
