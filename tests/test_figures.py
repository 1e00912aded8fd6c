"""Figures: the contact sheet shows every sound on one scale, and no partial file is written."""

import errno

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import AxesImage, imread

from tootlearn import figures
from tootlearn.dsp import audio
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError
from tootlearn.figures import RANGE_DB, contact_sheet

RATE = 22050


def tone(hertz: float, seconds: float = 0.5, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(
        np.float32
    )


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that are saved in this test."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *arguments: object, **options: object) -> None:
        figures.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def images(figure: Figure) -> list[AxesImage]:
    return [image for axes in figure.axes for image in axes.images]


@pytest.mark.parametrize("count", [1, 3, 6])
def test_every_sound_has_a_wave_a_spectrogram_and_its_title(drawn, tmp_path, count):
    waves = [tone(300 + 100 * i) for i in range(count)]
    contact_sheet(tmp_path / "sheet.png", waves, [f"toot {i}" for i in range(count)], RATE)
    visible = [axes for axes in drawn[0].axes if axes.axison]
    assert len(visible) == 2 * count and len(images(drawn[0])) == count
    assert [axes.get_title() for axes in visible if axes.lines] == [
        f"toot {i}" for i in range(count)
    ]
    assert imread(tmp_path / "sheet.png").shape[1] == pytest.approx(
        3.1 * 110 * min(count, 4), abs=2
    )


def test_a_tone_is_drawn_where_its_frequency_is(drawn, tmp_path):
    contact_sheet(tmp_path / "sheet.png", [tone(3000)], ["3 kHz"], RATE)
    (image,) = images(drawn[0])
    left, right, bottom, top = image.get_extent()
    assert (
        (left, bottom) == (0, 0) and right == pytest.approx(0.5, abs=0.001) and top == RATE / 2000
    )
    row = np.asarray(image.get_array()).mean(1).argmax()
    assert image.origin == "lower" and row / 512 * top == pytest.approx(3.0, abs=0.05)


def test_one_colour_scale_and_one_axis_for_all(drawn, tmp_path):
    loud, quiet = tone(500, amplitude=0.5), tone(500, 0.25, amplitude=0.005)
    contact_sheet(tmp_path / "sheet.png", [loud, quiet], ["loud", "quiet"], RATE)
    a, b = images(drawn[0])
    assert a.get_clim() == b.get_clim() and np.ptp(a.get_clim()) == pytest.approx(RANGE_DB)
    assert (
        a.get_array().max() == pytest.approx(a.get_clim()[1])
        and b.get_array().max() < a.get_array().max() - 35
    )
    assert len({axes.get_xlim() for axes in drawn[0].axes}) == 1
    assert {axes.get_ylim() for axes in drawn[0].axes if axes.lines} == {(-1, 1)}
    brightest = [image.to_rgba(image.get_array())[..., :3].sum(-1).max() for image in (a, b)]
    assert brightest[1] < 0.7 * brightest[0]


def test_silence_is_black_beside_a_sound_and_alone(drawn, tmp_path):
    silence = np.zeros(5000, dtype=np.float32)
    contact_sheet(tmp_path / "a.png", [tone(500), silence], ["", ""], RATE)
    contact_sheet(tmp_path / "b.png", [silence], [""], RATE)
    for image in (images(drawn[0])[1], images(drawn[1])[0]):
        assert (image.norm(image.get_array()) <= 0).all()


def test_one_sample_and_another_rate(tmp_path):
    contact_sheet(
        tmp_path / "sheet.png",
        [np.zeros(1, dtype=np.float32), tone(200)],
        ["none", "some"],
        96000,
        columns=1,
    )
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_the_same_sounds_give_the_same_picture_and_no_global_state_changes(tmp_path):
    before = dict(matplotlib.rcParams)
    for name in ("a", "b"):
        contact_sheet(tmp_path / f"{name}.png", [tone(500)], ["toot"], RATE)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert dict(matplotlib.rcParams) == before


def test_a_full_disk_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "sheet.png"
    path.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(audio.os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        contact_sheet(path, [tone(500)], ["toot"], RATE)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("waves", "titles"), [([], []), ([tone(500)], []), ([tone(500)], ["a", "b"])]
)
def test_no_sounds_or_other_titles_are_an_error(tmp_path, waves, titles):
    with pytest.raises(ValueError, match="a title for each"):
        contact_sheet(tmp_path / "sheet.png", waves, titles, RATE)


# The tables of an evaluation


def obedience(f0: float, milliseconds: float) -> dict:
    return {"f0_median": f0, "duration_median": milliseconds}


REPORT = {
    "control": {
        "tuba": {"generated": obedience(3, 12), "synthesiser": obedience(2, 5)},
        "all": {"generated": obedience(4, 14), "synthesiser": obedience(1, 6)},
    },
    "kind": {"tuba": {"generated": {"right": 0.75}, "held out": {"right": 0.5}}},
    "set": {
        "density": {"value": 0.8, "spread": 0.1, "floor": 1.1, "floor_spread": 0.2, "count": 60}
    },
    "swap": {"pitch": {"obeyed": 0.9}, "loudness": {"obeyed": 1.0}},
    "reconstruction": {
        "PCA, 9 numbers": {"error": 0.1, "lsd": 2.5},
        "mean": {"error": 1.0, "lsd": float("nan")},
    },
}


def heights(figure: Figure) -> list[list[float]]:
    return [[patch.get_height() for patch in ax.patches] for ax in figure.axes]


def test_an_evaluation_is_drawn_as_its_tables_say(drawn, tmp_path):
    figures.evaluation_sheet(tmp_path / "sheet.png", REPORT)
    (figure,) = drawn
    assert heights(figure)[:5] == [
        [3, 4, 2, 1],
        [12, 14, 5, 6],
        [0.75, 0.5],
        [0.8, 1.1],
        [0.9, 1.0],
    ]
    assert heights(figure)[5] == [0.1, 1.0] and heights(figure)[6][0] == 2.5
    density = figure.axes[3]
    assert "N = 60" in density.get_title()
    bars = [bar.get_segments()[0][:, 1].tolist() for bar in density.collections]
    assert np.allclose(bars, [[0.7, 0.9], [0.9, 1.3]])
    assert [label.get_text() for label in figure.axes[0].get_legend().get_texts()] == [
        "generated",
        "synthesiser",
    ]
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("part", REPORT)
def test_an_evaluation_of_one_part_is_drawn_alone(drawn, tmp_path, part):
    before = dict(matplotlib.rcParams)
    figures.evaluation_sheet(tmp_path / "sheet.png", {part: REPORT[part]})
    assert len(drawn[0].axes) == {"control": 2, "reconstruction": 2}.get(part, 1)
    assert dict(matplotlib.rcParams) == before


def test_an_evaluation_without_a_part_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no part to draw"):
        figures.evaluation_sheet(tmp_path / "sheet.png", {})


# Figures in a notebook


@pytest.fixture
def ax():
    return Figure(layout="constrained").subplots()


def test_a_wave_is_drawn_in_seconds_on_full_scale(ax):
    figures.waveform(torch.from_numpy(tone(3, 0.5, 0.25)), ax, "slow", RATE, start=1.0)
    seconds, samples = ax.lines[0].get_data()
    assert (
        seconds[0] == 1.0
        and seconds[-1] == pytest.approx(1.5, abs=1e-4)
        and samples.max() == pytest.approx(0.25)
    )
    assert ax.get_ylim() == (-1, 1) and ax.get_xlabel() == "time (s)" and ax.get_title() == "slow"


def test_a_wave_beyond_full_scale_is_not_cut(ax):
    figures.waveform(tone(100, amplitude=1.7), ax)
    assert ax.get_ylim()[1] == pytest.approx(1.7, abs=0.01)


@pytest.mark.parametrize("form", ["wave", "magnitude", "complex"])
def test_spectrogram_of_a_tone_in_any_form(ax, form):
    wave = torch.from_numpy(tone(3000))
    stft = Stft(1024, 256)
    sound = {"wave": wave, "magnitude": stft.magnitude(wave), "complex": stft(wave)}[form]
    image = figures.spectrogram(sound, ax)
    row = np.asarray(image.get_array()).mean(1).argmax()
    assert row / 512 * image.get_extent()[3] == pytest.approx(3.0, abs=0.05)
    assert ax.get_ylabel() == "frequency (kHz)" and ax.get_xlabel() == "time (s)"
    assert np.ptp(image.get_clim()) == pytest.approx(RANGE_DB)
    assert image.get_clim()[1] == pytest.approx(
        float(20 * stft.magnitude(wave).max().log10()), abs=1e-3
    )
    assert (
        image.get_extent()[1] == pytest.approx(0.5, abs=0.02)
        and image.get_cmap().name == figures.COLOURS
    )


def test_spectrograms_are_compared_under_one_top(ax):
    top = figures.spectrogram(tone(500), ax).get_clim()[1]
    quiet = figures.spectrogram(tone(500, amplitude=0.05), ax, top=top, colourbar=False)
    assert quiet.get_clim() == (top - RANGE_DB, top) and quiet.get_array().max() == pytest.approx(
        top - 20, abs=0.1
    )


def test_log_mel_is_drawn_by_band_over_the_same_range(ax):
    front_end = FrontEnd()
    x = front_end(torch.from_numpy(tone(1000)))
    image = figures.log_mel(x, front_end, ax, "x")
    assert np.ptp(image.get_clim()) == pytest.approx(RANGE_DB * np.log(10) / 20)
    assert image.get_extent()[1] == pytest.approx(0.5, abs=0.02) and image.get_extent()[3] == 128
    assert ax.get_ylabel() == "mel band" and np.array_equal(image.get_array(), x.numpy())


@pytest.mark.parametrize("draw", [figures.waveform, figures.spectrogram, figures.log_mel])
def test_what_cannot_be_drawn_is_refused(draw):
    with pytest.raises(InputError, match="give an array of shape"):
        draw(torch.zeros(2, 3, 4))


def test_style_reads_on_light_and_dark_pages():
    """Ink on the card has the contrast that small text needs (4.5), and the card is opaque."""
    with matplotlib.rc_context():
        figures.style()
        card = matplotlib.colors.to_rgba(matplotlib.rcParams["savefig.facecolor"])
        assert card[3] == 1 and matplotlib.rcParams["savefig.transparent"] is False
        inks = [
            matplotlib.rcParams["text.color"],
            *(c["color"] for c in matplotlib.rcParams["axes.prop_cycle"]),
        ]
    assert all(contrast(ink, card) >= 4.5 for ink in inks)


def contrast(a, b) -> float:
    """Of two colours as WCAG 2 defines it."""

    def luminance(colour) -> float:
        rgb = np.array(matplotlib.colors.to_rgb(colour))
        linear = np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
