"""The ABX quiz: what the score says, what the page holds, and that it does not hold the answer."""

import base64
import io
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
import torch
from scipy import stats

from tootlearn.errors import InputError
from tootlearn.teaching.abx import abx, chance

RATE = 22050


def tone(hertz: float = 440.0, amplitude: float = 0.25, seconds: float = 0.3) -> torch.Tensor:
    return amplitude * torch.sin(2 * math.pi * hertz * torch.arange(round(seconds * RATE)) / RATE)


class Tags(HTMLParser):
    """All elements by the order in which they begin; fails where one is closed that is not open."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.all: list[tuple[str, dict]] = []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs)), f"an attribute stands twice in {tag}"
        self.open.append(tag)
        self.all.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def played(content: str) -> list[np.ndarray]:
    data = re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', content)
    return [soundfile.read(io.BytesIO(base64.b64decode(item)))[0] for item in data]


# The score


@pytest.mark.parametrize("trials", [1, 8, 16, 50])
def test_chance_is_the_binomial_tail(trials):
    for right in range(trials + 1):
        assert chance(right, trials) == pytest.approx(
            stats.binom.sf(right - 1, trials, 0.5), rel=1e-12
        )


def test_the_page_knows_the_chance_of_each_score(shown):
    abx(tone(), tone(450), trials=10)
    chances = json.loads(re.search(r'data-chances="([^"]+)"', shown[0]["text/html"])[1])
    assert chances == pytest.approx([chance(right, 10) for right in range(11)], rel=5e-3)


# The page


def test_elements_are_closed_and_named(shown):
    abx(tone(), tone(450), names=('a<b & "c"', "other"))
    tags = Tags(shown[0]["text/html"])
    assert tags.open == []
    labels = [attributes["aria-label"] for tag, attributes in tags.all if tag == "audio"]
    assert labels == ['Play A: a<b & "c"', "Play B: other", "Play X"]
    assert sum(tag == "button" for tag, _ in tags.all) == 3
    assert all(attributes["type"] == "button" for tag, attributes in tags.all if tag == "button")
    assert shown[0]["text/plain"] == '<ABX quiz: a<b & "c", other, 8 trials>'


def test_nothing_comes_from_elsewhere(shown):
    abx(tone(), tone(450))
    content = shown[0]["text/html"]
    assert "http" not in content and "<script src" not in content


def test_the_answer_does_not_stand_in_the_markup(shown):
    """X has no sound until the page draws one, and no trial is drawn before it begins."""
    for _ in range(2):
        abx(tone(), tone(450))
    first, second = (re.sub(r"abx-\d+-", "abx-", data["text/html"]) for data in shown)
    assert first == second
    (unknown,) = [
        attributes
        for _, attributes in Tags(shown[0]["text/html"]).all
        if attributes.get("data-part") == "x"
    ]
    assert "src" not in unknown
    assert len(played(first)) == 2


def test_two_quizzes_in_a_page_have_names_of_their_own(shown):
    abx(tone(), tone(450))
    abx(tone(), tone(450))
    names = [re.search(r'id="([^"]+)"', data["text/html"])[1] for data in shown]
    assert names[0] != names[1]
    assert all(
        json.dumps(name) in data["text/html"] for name, data in zip(names, shown, strict=True)
    )


def test_without_a_script_only_plain_players_are_seen(shown):
    abx(tone(), tone(450))
    hidden = [a.get("data-part") for _, a in Tags(shown[0]["text/html"]).all if "hidden" in a]
    assert hidden == ["trial", "again"]


# The sounds


def test_neither_loudness_nor_length_tells(shown):
    abx(tone(amplitude=0.5, seconds=0.5), tone(450, amplitude=0.25, seconds=0.3))
    a, b = played(shown[0]["text/html"])
    assert len(a) == len(b) == round(0.5 * RATE)
    part = slice(2000, 5000)
    assert np.sqrt(np.mean(a[part] ** 2)) == pytest.approx(np.sqrt(np.mean(b[part] ** 2)), rel=0.03)
    assert re.findall(r"\((-?[\d.]+) dB\)", shown[0]["text/html"]) == ["-6.0", "0.0"]


def test_no_sample_passes_full_scale(shown):
    abx(tone(amplitude=2.0), tone(450, amplitude=2.0))
    assert all(np.abs(wave).max() < 1.05 for wave in played(shown[0]["text/html"]))
    assert re.findall(r"\((-?[\d.]+) dB\)", shown[0]["text/html"]) == ["-6.0", "-6.0"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: abx(tone(), tone(), trials=0), "1 to 50, not 0"),
        (lambda: abx(tone(), tone(), trials=51), "1 to 50, not 51"),
        (lambda: abx(tone()[None], tone(), names=("old", "new")), "old: a wave has shape"),
        (lambda: abx(tone(), tone() * math.nan, names=("old", "new")), "new: a wave"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
