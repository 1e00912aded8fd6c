"""What `vary` and `morph` share: kinds that are found, and what is refused."""

import pytest

from tests.cli.invoking import rows
from tootlearn.cli.main import main
from tootlearn.generation import inversion


def test_kinds_that_are_not_given_are_looked_for(recordings, monkeypatch):
    invert, asked = inversion.invert, []

    def quick(generator, wave, kind, pitch):
        asked.append(kind)
        return invert(generator, wave, "car_horn")

    monkeypatch.setattr(inversion, "invert", quick)
    main(["morph", "car.wav", "horn.wav", "--steps", "2"])
    main(["vary", "car.wav", "--count", "1"])
    assert asked == [None] * 3 and len(rows("morph/toots.csv")) == 2


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["vary", "none.wav"], "none.wav"),
        (["vary", "car.wav", "--is", "car_horn", "--count", "0"], "1 variation or more"),
        (["vary", "car.wav", "--is", "car_horn", "--amount", "2"], "amount 2 "),
        (["vary", "car.wav", "--is", "car_hron"], "did you mean car_horn"),
        (["vary", "car.wav", "--is", "car_horn", "--sample-rate", "5"], "5 Hz"),
        (["vary", "car.wav", "--out", "horn.wav"], "horn.wav is a file"),
        (
            ["morph", "car.wav", "horn.wav", "--kinds", "car_horn", "french_horn", "--steps", "1"],
            "2 steps or more",
        ),
    ],
)
def test_what_is_refused_leaves_nothing_behind(recordings, capsys, words, named):
    before = sorted(recordings.rglob("*"))
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2 and named in capsys.readouterr().err
    assert sorted(recordings.rglob("*")) == before
