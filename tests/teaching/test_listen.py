"""Players: what is played is what was given, a row has one gain, and the fingerprint tells sounds
apart.
"""

import base64
import io
import math
import re

import numpy as np
import pytest
import soundfile
import torch

from tootlearn.data.synthesis import render
from tootlearn.dsp import measures
from tootlearn.errors import InputError
from tootlearn.teaching.listen import MP3_RATES, _spectrograms, fingerprint, listen, quick_f0

RATE = 22050


def tone(hertz: float = 440.0, amplitude: float = 0.25, seconds: float = 0.5) -> torch.Tensor:
    return amplitude * torch.sin(2 * math.pi * hertz * torch.arange(round(seconds * RATE)) / RATE)


def played(content: str) -> list[tuple[np.ndarray, int]]:
    data = re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', content)
    return [soundfile.read(io.BytesIO(base64.b64decode(item))) for item in data]


# What is played


def test_a_player_plays_the_wave_at_its_level_and_whole_length(shown):
    wave = tone()
    listen(wave)
    ((samples, rate),) = played(shown[0]["text/html"])
    assert rate == RATE and len(samples) == len(wave)
    middle = slice(2000, 9000)
    assert np.sqrt(np.mean(samples[middle] ** 2)) == pytest.approx(0.25 / math.sqrt(2), rel=0.02)


def test_levels_differ_in_a_row_as_they_do_in_the_waves(shown):
    listen({"loud": tone(amplitude=0.5), "quiet": tone(amplitude=0.05)})
    (loud, _), (quiet, _) = played(shown[0]["text/html"])
    assert np.abs(loud).max() / np.abs(quiet).max() == pytest.approx(10, rel=0.05)
    assert " dB" not in shown[0]["text/html"]


def test_a_row_beyond_full_scale_is_turned_down_as_one_and_says_so(shown):
    listen({"loud": tone(amplitude=2.0), "quiet": tone(amplitude=0.2)}, caption="both")
    (loud, _), (quiet, _) = played(shown[0]["text/html"])
    assert np.abs(quiet[2000:9000]).max() == pytest.approx(0.1, rel=0.05)
    assert np.abs(loud[2000:9000]).max() == pytest.approx(1.0, rel=0.05)
    assert "both The row is turned down by 6.0 dB" in shown[0]["text/html"]


def test_matched_loudness_shows_each_gain_and_never_turns_up(shown, capsys):
    listen(
        {"loud": tone(amplitude=0.5), "quiet": tone(amplitude=0.25), "none": torch.zeros(5000)},
        match="loudness",
    )
    content = shown[0]["text/html"]
    (loud, _), (quiet, _), (none, _) = played(content)
    assert np.abs(loud).max() == pytest.approx(np.abs(quiet).max(), rel=0.03)
    assert np.abs(none).max() < 1e-4
    assert re.findall(r"\((-?[\d.]+) dB\)", content) == ["-6.0", "0.0", "0.0"]
    assert "loud: peak -6.0 dBFS" in capsys.readouterr().out  # of the wave as given


@pytest.mark.parametrize("rate", [4000, 22050, 40000, 96000])
def test_any_rate_plays_for_as_long_as_it_lasts(shown, rate):
    listen(torch.sin(torch.arange(rate) * 0.2) / 4, rate)
    ((samples, known),) = played(shown[0]["text/html"])
    assert known in MP3_RATES and len(samples) / known == pytest.approx(1.0, abs=0.001)


def test_controls_and_pictures_have_names_and_text_is_escaped(shown):
    listen({'a<b & "c"': tone(3000)}, caption="<i>")
    content = shown[0]["text/html"]
    assert 'controls preload="metadata" aria-label="Play a&lt;b &amp; &quot;c&quot;"' in content
    assert re.search(
        r'alt="Spectrogram of a&lt;b [^"]*strongest around (29|30)\d\d?0 Hz, 0.50 s', content
    )
    assert "<figcaption>&lt;i&gt;</figcaption>" in content
    assert shown[0]["text/plain"] == '<player: a<b & "c">'


def test_spectrograms_share_their_colours(monkeypatch):
    from PIL import Image

    pictures = _spectrograms({"loud": tone(amplitude=0.5), "quiet": tone(amplitude=0.005)}, RATE)
    brightest = []
    for tag in pictures.values():
        data = base64.b64decode(re.search(r"base64,([^\"]+)", tag)[1])
        brightest.append(int(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).sum(-1).max()))
    assert brightest[1] < 0.75 * brightest[0]


def test_a_toot_is_a_few_kilobytes(shown):
    listen({"toot": render("trumpet", 330, 0.8, 0.5, -18, 1)})
    assert len(shown[0]["text/html"]) < 30_000


@pytest.mark.parametrize(
    "wave", [torch.zeros(0), torch.zeros(2, 5), torch.tensor([0.1, math.nan]), {}]
)
def test_what_is_no_wave_is_refused(wave):
    with pytest.raises(InputError, match="wave"):
        listen(wave)


# The fingerprint


def test_fingerprint_of_a_sine():
    line = fingerprint(0.5 * torch.sin(2 * math.pi * 441 * torch.arange(RATE) / RATE), RATE)
    assert line.startswith("peak -6.0 dBFS, RMS -9.0 dBFS, f0 441 Hz, ") and line.endswith(
        ", 1.00 s"
    )


def test_fingerprint_tells_level_pitch_colour_and_length_apart():
    wave = torch.from_numpy(render("tuba", 110, 0.8, 0.5, -18, 1))
    lines = {
        fingerprint(wave),
        fingerprint(wave * 10 ** (-6 / 20)),
        fingerprint(wave * 10 ** (0.2 / 20)),
        fingerprint(wave[:15000]),
        fingerprint(torch.from_numpy(render("tuba", 112, 0.8, 0.5, -18, 1))),
        fingerprint(torch.from_numpy(render("tuba", 110, 0.8, 0.7, -18, 1))),
    }
    assert len(lines) == 6


def test_fingerprint_holds_against_rounding():
    wave = torch.from_numpy(render("trombone", 233, 0.7, 0.4, -15, 2))
    noise = 1e-6 * torch.randn(len(wave), generator=torch.Generator().manual_seed(0))
    assert fingerprint(wave) == fingerprint(wave + noise) == fingerprint(wave.double().numpy())


def test_fingerprint_of_silence():
    assert (
        fingerprint(torch.zeros(1000)) == "peak -inf dBFS, RMS -inf dBFS, f0 -, centroid -, 0.00 s"
    )


@pytest.mark.parametrize("hertz", [33.0, 55.0, 110.0, 441.0, 1234.0, 1950.0, 5000.0])
def test_quick_f0_of_harmonics(hertz):
    wave = sum(tone(hertz * h, 0.1 / h) for h in range(1, 6) if hertz * h < RATE / 2)
    assert quick_f0(wave, RATE) == pytest.approx(hertz, rel=0.004)


@pytest.mark.parametrize("kind", ["trumpet", "tuba", "french_horn", "ship_horn"])
def test_quick_f0_of_a_toot_is_that_of_pyin(kind):
    wave = torch.from_numpy(render(kind, 130, 0.8, 0.5, -18, 4))
    assert quick_f0(wave, RATE) == pytest.approx(float(measures.median_f0(wave, RATE)), rel=0.01)


def test_quick_f0_of_a_glide_is_none():
    time = torch.arange(RATE, dtype=torch.float64) / RATE
    assert math.isnan(quick_f0(torch.sin(2 * math.pi * (300 * time + 200 * time**2)).float(), RATE))


def test_quick_f0_of_noise_and_of_a_click_is_none():
    noise = torch.randn(RATE, generator=torch.Generator().manual_seed(1))
    click = torch.zeros(1000)
    click[500] = 1
    assert math.isnan(quick_f0(noise, RATE)) and math.isnan(quick_f0(click, RATE))
