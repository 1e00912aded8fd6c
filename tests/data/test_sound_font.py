"""Sound fonts: where they are found, what plays them, and what is refused."""

import sys
from types import SimpleNamespace

import pytest
import torch

from tests import needs
from tootlearn.controls import midi_to_hz
from tootlearn.data import sampled, sound_font
from tootlearn.dsp import measures
from tootlearn.errors import InputError

RATE = 22050


@pytest.fixture
def font(tmp_path):
    path = tmp_path / "Choir.sf2"
    path.write_bytes(b"a font")
    return path


def test_a_kind_without_a_program_is_named_with_its_neighbour():
    with pytest.raises(InputError, match="'trumpett': did you mean trumpet"):
        sampled.notes(["trumpett"], 1, 0)


def test_without_a_renderer_it_says_how_to_install_one(monkeypatch, font):
    for name in sound_font._RENDERERS:
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails
    with pytest.raises(InputError, match="pip install --no-deps tinysoundfont"):
        sampled.render_note(font, "tuba", 40, 100, 0.2)


def test_a_fluidsynth_that_cannot_be_loaded_is_none(monkeypatch, tmp_path):
    for name in ("fluidsynth", "tinysoundfont"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text("raise OSError('libfluidsynth.so.3: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="no renderer of sound fonts is installed"):
        sound_font.renderer()


def test_tinysoundfont_is_taken_where_fluidsynth_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "tinysoundfont", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "fluidsynth", SimpleNamespace())
    assert sound_font.renderer() == "fluidsynth"
    monkeypatch.setitem(sys.modules, "fluidsynth", None)
    assert sound_font.renderer() == "tinysoundfont"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "kazoo"}, "kazoo"),
        ({"kind": 128}, "program 128"),
        ({"note": 128}, "note 128"),
        ({"note": float("nan")}, "note nan"),
        ({"velocity": 0}, "velocity 0"),
        ({"duration": 0.0}, "duration 0"),
        ({"duration": float("inf")}, "duration inf"),
        ({"font": "nowhere.sf2"}, "nowhere.sf2"),
    ],
)
def test_values_out_of_range_are_named(monkeypatch, font, changed, message):
    monkeypatch.setattr(sound_font, "renderer", lambda: "tinysoundfont")
    asked = {"font": font, "kind": "tuba", "note": 40.0, "velocity": 100, "duration": 0.2} | changed
    with pytest.raises(InputError, match=message):
        sampled.render_note(**asked)


def test_the_variable_names_the_font(monkeypatch, font, tmp_path):
    monkeypatch.setenv(sound_font.FONT_VARIABLE, str(font))
    assert sampled.find_font() == font
    monkeypatch.setenv(sound_font.FONT_VARIABLE, str(tmp_path / "gone.sf2"))
    with pytest.raises(InputError, match="gone.sf2"):
        sampled.find_font()


def test_the_standard_folders_are_searched_and_fluidr3_goes_first(monkeypatch, tmp_path):
    monkeypatch.delenv(sound_font.FONT_VARIABLE, raising=False)
    folders = [tmp_path / "sf2", tmp_path / "sf3", tmp_path / "missing"]
    monkeypatch.setattr(sound_font, "font_folders", lambda: folders)
    with pytest.raises(InputError, match="apt-get install fluidr3mono-gm-soundfont"):
        sampled.find_font()
    for folder in folders[:2]:
        folder.mkdir()
    (folders[0] / "readme.txt").touch()
    for path in (folders[0] / "b.SF2", folders[0] / "a.sf2"):
        path.touch()
    assert sampled.find_font().name in ("a.sf2", "b.SF2")
    (folders[1] / "FluidR3Mono_GM.sf3").touch()
    assert sampled.find_font().name == "FluidR3Mono_GM.sf3"


@pytest.mark.parametrize(
    ("platform", "part"),
    [("linux", "share/sounds/sf3"), ("darwin", "Banks"), ("win32", "soundfonts")],
)
def test_every_system_has_its_folders(monkeypatch, platform, part):
    monkeypatch.setattr(sound_font, "sys", SimpleNamespace(platform=platform))
    assert any(part in folder.as_posix() for folder in sound_font.font_folders())


# A real font, where there is one


@pytest.fixture(scope="module")
def real_font():
    return needs.need_sound_font()


@pytest.fixture(scope="module")
def player(real_font):
    return sound_font.open_font(real_font, RATE)


@pytest.mark.parametrize("kind", ["trumpet", "trombone", "tuba", "french_horn"])
@pytest.mark.parametrize("midi", [50.0, 55.5])
def test_a_real_note_has_its_pitch(player, kind, midi):
    wave = sound_font.play(player, sound_font.PROGRAMS[kind], midi, 90, 0.5, RATE)
    hertz = midi_to_hz(midi)
    assert abs(float(measures.cents(measures.tone_f0(wave, RATE, hertz), hertz))) < 30
    assert 0.4 < float(measures.duration(wave, RATE)) < 1.2


def test_a_real_note_is_longer_and_louder_as_it_is_asked_to_be(player):
    short, long, soft = (
        sound_font.play(player, 58, 45, v, d, RATE) for v, d in ((100, 0.3), (100, 0.8), (40, 0.3))
    )
    assert float(measures.duration(long, RATE) - measures.duration(short, RATE)) == pytest.approx(
        0.5, abs=0.15
    )
    assert float(measures.loudness(short, RATE) - measures.loudness(soft, RATE)) > 6


def test_a_real_note_does_not_depend_on_what_was_played_before(real_font, player):
    alone = sampled.render_note(real_font, "tuba", 45.3, 90, 0.2)
    player.play(60, 50, 127, 6400, 64)  # cut short: it would go on to sound
    assert torch.equal(alone, sound_font.play(player, 58, 45.3, 90, 0.2, RATE))


def test_a_soft_note_that_is_played_brightly_loses_nothing_above(real_font):
    """As the recording, which has the same spectrum whatever the velocity."""
    if sound_font.renderer() != "fluidsynth":
        with pytest.raises(InputError, match="only FluidSynth"):
            sound_font.open_font(real_font, 44100, bright=True)
        return

    def upper(bright: bool, velocity: int) -> float:
        """dB of the energy above 8 kHz against the whole."""
        one = sound_font.open_font(real_font, 44100, bright)
        wave = sound_font.play(one, sound_font.PROGRAMS["trumpet"], 66, velocity, 0.5, 44100)
        power = torch.fft.rfft(wave.double()).abs().square()
        hz = torch.arange(len(power)) * (44100 / len(wave))
        return float(10 * (power[hz > 8000].sum() / power.sum()).log10())

    assert upper(False, 40) < upper(False, 120) - 10
    assert upper(True, 40) > upper(False, 40) + 15
    assert upper(True, 40) > upper(True, 120) - 6


def test_a_file_that_is_no_font_is_named(tmp_path):
    needs.need_renderer()
    path = tmp_path / "words.sf2"
    path.write_text("no font\n" * 100)
    with pytest.raises(InputError, match="words.sf2 cannot be read as a sound font"):
        sampled.render_note(path, "tuba", 40, 100, 0.2)
