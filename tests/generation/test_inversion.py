"""Inversion of the shipped model's own toots finds their controls again, and draws them again."""

import numpy as np
import pytest
import torch

import tootlearn
from tests import needs
from tootlearn.controls import Controls
from tootlearn.data import sampled, synthesis
from tootlearn.data.sound_font import PROGRAMS, open_font, play
from tootlearn.dsp import measures
from tootlearn.errors import InputError
from tootlearn.generation.inversion import BRIGHTNESS, invert
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models.decoder import Condition

RATE = 22050


@pytest.fixture(scope="module")
def g() -> TootGenerator:
    return tootlearn.load()


def values(controls: Controls) -> list[float]:
    return [
        float(getattr(controls, name)[0])
        for name in ("pitch", "duration", "brightness", "loudness")
    ]


def wave_of(g: TootGenerator, *asked, seed: int = 3) -> torch.Tensor:
    return torch.from_numpy(g.generate(*asked, seed=seed))


def test_what_was_asked_for_is_found_again_without_a_hint(g):
    requested = ("car_horn", 400.0, 0.8, 0.5, -18.0)
    result = invert(g, wave_of(g, *requested))
    assert g.kinds[int(result.controls.kind[0])] == "car_horn"
    pitch, duration, brightness, loudness = values(result.controls)
    assert abs(1200 * np.log2(pitch / 400)) < 20
    assert duration == pytest.approx(0.8, abs=0.05)
    assert brightness == pytest.approx(0.5, abs=0.15)
    assert loudness == pytest.approx(-18, abs=0.5)


# seeds differ much here
@pytest.mark.parametrize("kind", ["air_horn", "ship_horn", "steam_whistle", "pea_whistle"])
def test_the_residual_is_that_of_the_sound_and_not_of_another(g, kind):
    ours, others = [], []
    for seed in (3, 5, 7):
        controls = g.controls(kind, None, 0.8, 0.5, -18.0, seed=seed)
        true, other = g.residual(controls, seed), g.residual(controls, seed + 1)
        result = invert(g, torch.from_numpy(g.render(controls, true, seed)), kind)
        condition = Condition.of(controls)
        with torch.no_grad():
            drawn, original, wrong = (
                g.network.decode(condition, z).log_mel for z in (result.residual, true, other)
            )
        ours.append((drawn - original).square().mean())
        others.append((wrong - original).square().mean())
        assert 1 < result.error < 10  # dB
    assert sum(ours) < 0.4 * sum(others)


@pytest.mark.slow
def test_notes_of_recorded_brass_are_told_apart_by_both_models_that_ship(g):
    """Of a sound font, where there is one, played as it was recorded."""
    notes = sampled.notes(("trumpet", "trombone", "tuba", "french_horn"), 16, seed=1, bright=1.0)
    player = open_font(needs.need_sound_font(), RATE, bright=True)
    waves = [play(player, PROGRAMS[n.kind], n.midi, n.velocity, n.duration, RATE) for n in notes]
    for generator in (g, tootlearn.load("tiny")):
        result = [invert(generator, torch.as_tensor(wave)) for wave in waves]
        named = [generator.kinds[int(sound.controls.kind[0])] for sound in result]
        assert sum(name == note.kind for name, note in zip(named, notes, strict=True)) >= 15, named


def test_silence_around_it_and_level_change_nothing_but_the_loudness(g):
    wave = wave_of(g, "french_horn", 300.0, 0.6, 0.5, -12.0)
    plain = invert(g, wave, "french_horn")
    padded = invert(
        g, 0.25 * torch.cat([torch.zeros(9000), wave, torch.zeros(5000)]), "french_horn"
    )
    ours, theirs = values(padded.controls), values(plain.controls)
    np.testing.assert_allclose(ours[:3], theirs[:3], rtol=0.02)
    assert ours[3] == pytest.approx(theirs[3] - 20 * np.log10(4), abs=0.1)
    assert (padded.residual - plain.residual).abs().max() < 0.3 * plain.residual.abs().max()


def test_of_two_toots_the_louder_is_described(g):
    loud, soft = (
        wave_of(g, "trumpet", 600.0, 0.5, 0.5, -12.0),
        wave_of(g, "trumpet", 300.0, 0.5, 0.5, -26.0),
    )
    result = invert(g, torch.cat([soft, torch.zeros(8000), loud]), "trumpet")
    assert abs(1200 * np.log2(values(result.controls)[0] / 600)) < 25


def test_a_pitch_beyond_the_kind_is_taken_as_it_is(g):
    """A trumpet of the model ends at 988 Hz; the recording does not, and must not come back out of
    tune.
    """
    time = torch.arange(14000) / RATE
    tone = sum(torch.sin(2 * np.pi * 1100 * k * time) / k for k in (1, 2, 3, 4)) * 0.1
    result = invert(g, tone, "trumpet", "1100 Hz")
    assert values(result.controls)[0] == pytest.approx(1100)
    low, high = BRIGHTNESS
    assert low <= values(result.controls)[2] <= high


@pytest.mark.parametrize("hertz", [440.0, 1319.0])
def test_without_a_hint_a_steady_tone_has_the_pitch_that_is_heard(g, hertz):
    """Each kind has a pitch for all that it hears; that which was tracked counts. 1,319 Hz is above
    all brass here.
    """
    time = torch.arange(16000) / RATE
    tone = (
        sum(
            torch.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 7) if k * hertz < RATE / 2
        )
        * 0.1
    )
    assert abs(1200 * np.log2(values(invert(g, tone).controls)[0] / hertz)) < 30


def test_a_slide_is_described_by_where_it_starts(g):
    wave = torch.from_numpy(synthesis.render("slide_whistle", 700.0, 0.9, 0.5, -18.0, 5))
    result = invert(g, wave, "slide_whistle")
    assert abs(1200 * np.log2(values(result.controls)[0] / 700)) < 60
    end = float(measures.tone_f0(wave[15000:19000], RATE, 700.0, 1200.0))
    assert abs(1200 * np.log2(end / 700)) > 150  # it did slide


@pytest.mark.parametrize(
    ("wave", "hints", "named"),
    [
        (torch.zeros(5000), (), "there is no toot"),
        (torch.zeros(0), (), "there is no toot"),
        (torch.full((5000,), torch.nan), (), "NaN or infinite"),
        (torch.sin(torch.arange(9000) * 0.1), ("trumpt",), "did you mean trumpet"),
        (torch.sin(torch.arange(9000) * 0.1), (None, 20), "pitch 20 Hz .*38.89 to 3200 Hz"),
    ],
)
def test_what_cannot_be_described_is_named(g, wave, hints, named):
    with pytest.raises(InputError, match=named):
        invert(g, wave, *hints)
