"""The dial: a picture and an alt text for each value, one of them chosen, and no script."""

import base64
import io
import re

import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from tootlearn.audio import InputError
from tootlearn.widgets import dial


@pytest.fixture
def shown(monkeypatch):
    out: list[dict] = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: out.append(data))
    return out


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
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)
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
