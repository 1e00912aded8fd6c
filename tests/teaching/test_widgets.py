"""The dial: a picture and an alt text for each value, one of them chosen, and no script; and the
panel that plays.
"""

import base64
import io
import re

import numpy as np
import pytest
import soundfile
from matplotlib import pyplot
from PIL import Image

from tootlearn.errors import InputError
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models import model_file
from tootlearn.teaching.widgets import dial, playground


def draw(value):
    figure, ax = pyplot.subplots(figsize=(2, 1))
    ax.axhspan(0, value, color="red")
    ax.set_ylim(0, 10)
    return figure


def test_one_picture_and_choice_for_each_value(shown):
    before = pyplot.get_fignums()
    dial(draw, "height <m>", [1, 9], alt="A red bar of {}", start=1)
    content = shown[0]["text/html"]
    assert re.findall(r'alt="([^"]+)"', content) == ["A red bar of 1", "A red bar of 9"]
    assert re.findall(r"<input[^>]*?( checked)?> (\d)", content) == [("", "1"), (" checked", "9")]
    assert "<legend" in content and "height &lt;m&gt;" in content and "<script" not in content
    red = []
    for data in re.findall(r"base64,([^\"]+)", content):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(
            int
        )
        red.append(((pixels[..., 0] > 200) & (pixels[..., 1] < 60)).sum())
    assert red[1] > 5 * red[0] > 0
    assert pyplot.get_fignums() == before


def test_two_dials_do_not_turn_each_other(shown):
    for _ in range(2):
        dial(draw, "height", [1, 2], alt="bar {}")
    names = [set(re.findall(r'name="([^"]+)"', data["text/html"])) for data in shown]
    assert len(names[0]) == len(names[1]) == 1 and names[0] != names[1]


@pytest.mark.parametrize(("values", "alt"), [([1], "bar {}"), ([1, 2], "")])
def test_what_turns_nothing_is_refused(values, alt):
    with pytest.raises(InputError, match="two values or more"):
        dial(draw, "height", values, alt=alt)


# The panel


@pytest.fixture(scope="module")
def speaker():
    return TootGenerator(model_file.load_model("tiny")[0], {})


def test_the_panel_plays_the_toot_that_generate_gives(speaker):
    kind, pitch, duration, brightness, loudness, seed, button, output = playground(speaker).children
    kind.value, seed.value = "trumpet", 7
    pitch.value, duration.value, brightness.value, loudness.value = 440, 0.5, 0.75, -20
    button.click()
    button.click()
    assert len(output.outputs) == 1  # the last toot alone
    source = re.search(r"data:audio/wav;base64,([^\"]+)", output.outputs[0]["data"]["text/html"])[1]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(source)))
    expected = speaker.generate("trumpet", 440, 0.5, 0.75, -20, seed=7)
    assert rate == speaker.sample_rate
    np.testing.assert_allclose(samples, expected, atol=2 / 32768)


def test_the_panel_keeps_to_the_ranges_of_each_kind(speaker):
    kind, pitch, duration, *_, button, output = playground(speaker).children
    for about in speaker.model.kinds:
        kind.value = about.name.replace("_", " ")
        assert (10**pitch.min, 10**pitch.max) == pytest.approx(about.pitch)
        assert (duration.min, duration.max) == about.duration
        assert about.pitch[0] < pitch.value < about.pitch[1]
    pitch.value, duration.value = 10**pitch.max, duration.min
    button.click()
    assert "audio/wav" in output.outputs[0]["data"]["text/html"]


def test_a_panel_without_a_generator_is_refused(speaker):
    plain = TootGenerator(model_file.load_model("tiny")[0], {})
    plain.model.generator = None
    with pytest.raises(InputError, match="has no generator"):
        playground(plain)
