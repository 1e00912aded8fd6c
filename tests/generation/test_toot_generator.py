"""Generation: what a toot obeys, what its seed decides, and what is refused. On the model that
ships.
"""

from importlib.resources import files

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tootlearn
from tootlearn import rng
from tootlearn.controls import Kind
from tootlearn.data import recipes, synthesis
from tootlearn.dsp import measures
from tootlearn.dsp.config import WINDOW_SAMPLES, FrontEndConfig
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.evaluation import metrics
from tootlearn.generation import toot_generator
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models import model_file
from tootlearn.models.config import AutoencoderConfig, GeneratorConfig, VocoderConfig
from tootlearn.models.decoder import Condition
from tootlearn.models.toot_model import TootModel
from tootlearn.models.vocoder import Vocoder

RATE = 22050
KINDS = tuple(recipes.KINDS)


@pytest.fixture(scope="module")
def g() -> TootGenerator:
    return tootlearn.load()


LOW, HIGH = Kind("low", (100, 200), (0.2, 1), (1, 2)), Kind("high", (400, 800), (0.2, 1), (1, 2))


def half(
    generator: GeneratorConfig | None = None, autoencoder: AutoencoderConfig | None = None
) -> TootGenerator:
    """An untrained model that holds what is given."""
    normalizer = Normalizer(torch.zeros(128, 1), torch.ones(128, 1))
    model = TootModel(FrontEndConfig(), normalizer, [LOW, HIGH], generator, autoencoder)
    return TootGenerator(model, {"schema": 1, "front_end": {"hop": 256}})


def tensor(wave: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(wave)


def middle(g: TootGenerator, kind: str) -> float:
    low, high = g.model.kinds[g.kinds.index(kind)].pitch
    return float(np.sqrt(low * high))


# What is asked for is heard


@pytest.mark.parametrize("pitch", [185.0, 392.0, 830.0])
def test_a_trumpet_has_its_pitch(g, pitch):
    wave = tensor(g.generate("trumpet", pitch, 0.7, 0.5, -18, seed=int(pitch)))
    assert abs(measures.cents(measures.tone_f0(wave, RATE, pitch), pitch)) < 30
    # it is that tone, and not noise beside it
    assert measures.harmonic_to_noise_ratio(wave, RATE, pitch) > 15


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_notes(g, kind):
    pitch, about = middle(g, kind), g.model.kinds[g.kinds.index(kind)]
    duration = min(1.2, about.duration[1])
    # a slide has its pitch where it starts
    length = int((0.2 if about.slide else 1.0) * duration * RATE)
    waves = [
        tensor(g.generate(kind, pitch, duration, 0.5, -18, seed=seed))[:length] for seed in range(3)
    ]
    measured = [measures.chord_f0(wave, RATE, about.intervals, pitch) for wave in waves]
    assert abs(measures.cents(torch.stack(measured).median(), pitch)) < 30


@pytest.mark.parametrize("kind", KINDS)
def test_duration(g, kind):
    shortest, longest = g.model.kinds[g.kinds.index(kind)].duration
    for duration in (max(shortest, 0.3), (shortest + longest) / 2, min(longest, 1.5)):
        wave = g.generate(kind, middle(g, kind), duration, 0.5, -18, seed=5)
        assert float(measures.duration(tensor(wave), RATE)) == pytest.approx(duration, abs=0.06)
        assert len(wave) / RATE == pytest.approx(duration, abs=0.15)  # it is trimmed


@pytest.mark.parametrize("kind", KINDS)
def test_brightness_and_loudness_rise(g, kind):
    pitch, steps = middle(g, kind), np.linspace(0, 1, 5)
    bright = [
        float(measures.centroid(tensor(g.generate(kind, pitch, 0.65, b, -20, seed=3)), RATE))
        / pitch
        for b in steps
    ]
    loud = [
        float(measures.loudness(tensor(g.generate(kind, pitch, 0.65, 0.5, -36 + 20 * s, 3)), RATE))
        for s in steps
    ]
    low, high = g.model.kinds[g.kinds.index(kind)].octaves
    np.testing.assert_allclose(
        np.log2(bright), low + (high - low) * steps, atol=max(0.4, 0.25 * (high - low))
    )
    assert (np.diff(bright) > 0).all()
    np.testing.assert_allclose(loud, -36 + 20 * steps, atol=0.2)


def test_the_residual_changes_the_sound_and_the_controls_stay(g):
    controls = g.controls("train_horn", 262.0, 0.8, 0.5, -20, seed=0)
    waves = [tensor(g.render(controls, g.residual(controls, seed), seed=1)) for seed in range(6)]
    notes = g.model.kinds[g.kinds.index("train_horn")].intervals
    for wave in waves:
        assert abs(measures.cents(measures.chord_f0(wave, RATE, notes, 262.0), 262.0)) < 30
        measured = measures.measure(wave, RATE)
        assert float(measured.duration) == pytest.approx(0.8, abs=0.06)
        assert float(measured.loudness) == pytest.approx(-20, abs=1.5)
    length = min(len(wave) for wave in waves)
    logs = g.model.front_end(torch.stack([wave[:length] for wave in waves]))
    apart = (logs[1:] - logs[:1]).square().mean((1, 2)).sqrt() * (20 / np.log(10))
    assert (apart > 1.0).all()  # dB: another attack, another balance of the notes


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_another_sample_rate_is_the_same_sound(g, rate):
    own = g.generate("trumpet", "A4", 0.6, 0.4, -18, seed=2)
    other = g.generate("trumpet", "A4", 0.6, 0.4, -18, seed=2, sample_rate=rate)
    assert len(other) == pytest.approx(len(own) * rate / RATE, rel=0.05)
    assert abs(measures.cents(measures.tone_f0(tensor(other), rate, 440.0), 440.0)) < 15
    assert float(measures.loudness(tensor(other), rate)) == pytest.approx(-18, abs=1.5)


@pytest.mark.parametrize("rate", [None, 8000, 44100, 96000])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loudest_toot_is_turned_down_not_clipped(g, kind, rate):
    wave = g.generate(kind, loudness=-6, brightness=1.0, seed=4, sample_rate=rate)
    peak = np.abs(wave).max()
    # a sine of -6 dBFS peaks at .71, all others higher
    assert 0.75 < peak <= toot_generator.PEAK * (1 + 1e-6)
    assert (np.abs(wave) > 0.999 * peak).sum() < 10  # no flat top


def test_texture_is_noise_in_the_breath(g):
    def whistle(texture: float) -> torch.Tensor:
        return tensor(g.generate("steam_whistle", 600.0, 1.0, 0.5, -18, seed=8, texture=texture))

    smooth, rough = (
        measures.harmonic_to_noise_ratio(whistle(texture), RATE, 600.0) for texture in (0.0, 1.0)
    )
    assert not torch.equal(whistle(0.0)[:5000], whistle(1.0)[:5000])
    assert rough <= smooth + 1


def test_a_place_is_put_around_a_toot(g):
    toot = g.generate("car_horn", 400.0, 0.5, 0.5, -18, seed=1)
    assert np.array_equal(g.place(toot, "dry"), toot)
    assert len(g.place(toot, "hall")) > len(toot) + 0.3 * RATE


def test_the_noise_filter_finds_no_noise_in_what_is_generated(g):
    for kind in ("trumpet", "car_horn", "steam_whistle"):
        plain, filtered = (g.generate(kind, seed=3, denoise=on) for on in (False, True))
        assert not np.array_equal(plain, filtered)
        both = min(len(plain), len(filtered))  # a tail may be cut a little earlier
        assert abs(len(plain) - len(filtered)) < 0.02 * RATE
        # 60 dB below
        assert np.linalg.norm(filtered[:both] - plain[:both]) < 1e-3 * np.linalg.norm(plain)


def test_a_toot_begins_and_ends_without_a_click(g):
    for kind in KINDS:
        wave = g.generate(kind, seed=6)
        assert max(abs(wave[0]), abs(wave[-1])) < 0.01 * np.abs(wave).max()


@settings(max_examples=12)
@given(
    kind=st.sampled_from(KINDS),
    shares=st.tuples(*[st.floats(0, 1)] * 4),
    seed=st.integers(0, rng.MAX_SEED),
    texture=st.floats(0, 1),
)
def test_any_legal_controls_make_a_sound(g, kind, shares, seed, texture):
    about = g.model.kinds[g.kinds.index(kind)]
    pitch, duration = (
        low + (high - low) * s
        for (low, high), s in zip((about.pitch, about.duration), shares, strict=False)
    )
    wave = g.generate(kind, pitch, duration, shares[2], -36 + 30 * shares[3], seed, texture)
    assert wave.dtype == np.float32 and wave.ndim == 1 and len(wave) <= WINDOW_SAMPLES
    assert np.isfinite(wave).all() and 0.001 < np.abs(wave).max() <= toot_generator.PEAK * (
        1 + 1e-6
    )


# The seed


def test_a_seed_gives_the_same_bits_whatever_was_made_before(g):
    first = g.generate("trumpet", seed=11)
    g.generate("car_horn", seed=12)
    torch.manual_seed(99)
    again = tootlearn.load().generate("trumpet", seed=11)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, g.generate("trumpet", seed=13)[: len(first)])


def test_seeds_of_64_bits_count_in_full(g):
    waves = [
        g.generate("trumpet", "A4", 0.3, 0.5, -18, seed=seed) for seed in (5, 5 + 2**32, 5 + 2**52)
    ]
    assert len({wave.tobytes() for wave in waves}) == 3


def test_torch_and_numpy_keep_their_random_state(g):
    torch.manual_seed(5)
    before, ours = torch.get_rng_state(), np.random.get_state()[1].copy()
    loaded = tootlearn.load()
    loaded.generate(seed=1)
    loaded.reconstruct(tensor(loaded.generate(seed=2)))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], ours)


def test_what_is_given_stays_and_what_is_not_is_drawn_within_the_range(g):
    drawn = [g.controls(seed=seed) for seed in range(60)]
    assert {int(c.kind[0]) for c in drawn} == set(range(len(g.kinds)))
    for c in drawn:
        kind = g.model.kinds[int(c.kind[0])]
        assert (
            kind.pitch[0] <= c.pitch[0] <= kind.pitch[1]
            and kind.duration[0] <= c.duration[0] <= kind.duration[1]
        )
        assert 0 <= c.brightness[0] <= 1 and -20 <= c.loudness[0] <= -12
    given_ = g.controls("trumpet", "A4", 0.5, 0.25, -30, seed=3)
    values = [given_.pitch[0], given_.duration[0], given_.brightness[0], given_.loudness[0]]
    np.testing.assert_allclose(values, [440, 0.5, 0.25, -30])
    free = g.controls("trumpet", seed=3)
    # one choice does not move the others
    assert g.controls("trumpet", pitch=440, seed=3).duration == free.duration
    assert g.controls("trumpet", duration=0.5, seed=3).pitch == free.pitch


def test_a_kind_is_chosen_that_can_do_what_is_asked(g):
    assert g.kinds_with() == g.kinds == KINDS
    assert g.kinds_with(pitch=1500) == ("steam_whistle",)
    assert g.kinds_with(pitch=2500) == ("pea_whistle",)
    assert g.kinds_with(pitch=50) == ("ship_horn", "tuba")
    assert g.kinds_with("midi:41", 0.2) == ("trombone", "tuba", "french_horn")
    assert all(
        g.kinds[int(g.controls(pitch=1500, seed=seed).kind[0])] == "steam_whistle"
        for seed in range(8)
    )


def test_a_pitch_between_the_kinds_is_refused():
    g = half(GeneratorConfig(2, 8, 1, encoder_widths=(8,)))
    assert g.kinds_with(pitch=150, duration=0.5) == ("low",)
    with pytest.raises(InputError, match="no kind has a pitch of 300 Hz"):
        g.kinds_with(pitch=300, duration=0.5)


def test_temperature_scales_how_far_toots_stray(g):
    controls = g.controls("train_horn", 262.0, 0.8, 0.5, -20, seed=0)
    usual, warm, none = (
        torch.cat([g.residual(controls, s, t) for s in range(9)]) for t in (1.0, 2.0, 0.0)
    )
    middle = g.network.prior_mean[controls.kind]
    torch.testing.assert_close(warm - middle, 2 * (usual - middle), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(none, middle.expand_as(none))
    requested = ("trumpet", "A4", 0.5, 0.5, -18)
    assert np.array_equal(
        g.generate(*requested, seed=3), g.generate(*requested, seed=3, temperature=1)
    )
    assert np.array_equal(
        g.generate(*requested, 3, 0.0, temperature=0), g.generate(*requested, 4, 0.0, temperature=0)
    )


def test_a_toot_between_kinds_lies_between_their_notes(g):
    """Shares of one kind alone are that kind; half-way, notes that both have lie between theirs."""
    controls, decoder = g.controls("car_horn", 400.0, 0.5, 0.5, -18), g.network.decoder
    plain, z = Condition.of(controls), g.residual(controls, 1)
    shares = plain.shares(len(g.kinds))
    with torch.inference_mode():
        whole, by_shares = (decoder(c, z) for c in (plain, plain._replace(kind=shares)))
        for ours, theirs in zip(whole, by_shares, strict=True):
            torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)
        other = torch.nn.functional.one_hot(torch.tensor([g.kinds.index("trumpet")]), len(g.kinds))
        halves = decoder(plain._replace(kind=(shares + other) / 2), z)
        third = torch.nn.functional.one_hot(torch.tensor([g.kinds.index("air_horn")]), len(g.kinds))
        chord = decoder(plain._replace(kind=(shares + third) / 2), z)
    assert float(halves.level[0, 1]) == pytest.approx(
        float(whole.level[0, 1]) / 2, rel=0.3
    )  # the trumpet has no second note
    assert float(halves.level.sum()) == pytest.approx(1, abs=1e-5)
    second = float((chord.notes[0, 20, 1] - chord.notes[0, 20, 0]).exp2())
    assert second == pytest.approx(np.sqrt(1.25 * 1.2), rel=1e-3)


# What is refused


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"kind": "trumpt"}, "did you mean trumpet"),
        ({"kind": "kazoo"}, "car_horn, bicycle_horn, .*, french_horn"),
        ({"kind": "trumpet", "pitch": 3000}, "trumpet: pitch 3000 Hz .*164.81 to 988 Hz"),
        ({"kind": "trumpet", "pitch": "H4"}, "'H4'"),
        ({"pitch": 20}, "pitch 20 Hz .*38.89 to 3200 Hz"),
        ({"pitch": 1500, "duration": 0.12}, "duration 0.12 s .* 0.3 to 1.9 s"),
        ({"pitch": float("nan")}, "nan"),
        ({"kind": "trumpet", "duration": -1}, "duration -1 s .* 0.12 to 1.8 s"),
        ({"duration": float("nan")}, "duration nan"),
        ({"kind": "trumpet", "duration": float("inf")}, "duration inf"),
        ({"brightness": 1.01}, "brightness 1.01 .* 0 to 1"),
        ({"loudness": 0}, "loudness 0 dB .* -36 to -6 dB"),
        ({"seed": -1}, "seed .* -1"),
        ({"seed": 2**53}, str(2**53)),
        ({"seed": 1.5}, "1.5"),
        ({"texture": 2}, "texture 2 .* 0 to 1"),
        ({"temperature": 3.5}, "temperature 3.5 .* 0 to 3"),
        ({"temperature": -1}, "temperature -1 .* 0 to 3"),
        ({"envelope": "0,soft"}, "envelope"),
        ({"sample_rate": 100}, "100 Hz .* 8000 to 192000 Hz"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_allowed(g, asked, named):
    with pytest.raises(InputError, match=named):
        g.generate(**asked)


def test_a_missing_half_is_named():
    plain = half(autoencoder=AutoencoderConfig(4, (8,), decoder_start=8, decoder_widths=(8,)))
    with pytest.raises(InputError, match="no generator"):
        plain.generate()
    only_generates = half(GeneratorConfig(2, 8, 1, encoder_widths=(8,)))
    assert only_generates.latent == 0 and plain.latent == 4
    with pytest.raises(InputError, match="no autoencoder"):
        only_generates.reconstruct(torch.zeros(10))


# Reconstruction


def test_silence_comes_back_as_silence(g):
    for samples in (1, 1000, WINDOW_SAMPLES, 2 * WINDOW_SAMPLES + 5):
        assert torch.equal(g.reconstruct(torch.zeros(samples)), torch.zeros(samples))


def test_a_long_recording_is_done_window_by_window(g):
    horn = tensor(synthesis.render("car_horn", 400.0, 1.0, 0.5, -18, seed=1))
    tuba = tensor(synthesis.render("tuba", 80.0, 1.0, 0.5, -18, seed=2))
    whole = torch.cat([horn, torch.zeros(WINDOW_SAMPLES), tuba, horn[:3000]])
    back = g.reconstruct(whole)
    assert back.shape == whole.shape and back.dtype == torch.float32
    assert not back[WINDOW_SAMPLES : 2 * WINDOW_SAMPLES].any()
    for window, original, other in (
        (back[:WINDOW_SAMPLES], horn, tuba),
        (back[2 * WINDOW_SAMPLES :], tuba, horn),
    ):
        own, wrong = (
            metrics.compare(window[:WINDOW_SAMPLES], wave).mel_l1 for wave in (original, other)
        )
        assert own < 0.8 * wrong
    measured = measures.loudness(back[:WINDOW_SAMPLES], RATE)
    assert float(measured) == pytest.approx(-18, abs=5)


def test_a_loud_reconstruction_is_turned_down(g):
    square = torch.sin(torch.arange(30000) * 0.1).sign()
    assert g.reconstruct(square).abs().max() <= toot_generator.PEAK * (1 + 1e-6)


# The model


def test_the_shipped_model_is_the_default(g):
    path = files("tootlearn") / "weights" / "default.safetensors"
    by_path = toot_generator.load(str(path))
    assert by_path.kinds == g.kinds == KINDS and g.sample_rate == RATE
    assert np.array_equal(by_path.generate(seed=4), g.generate(seed=4))


# The vocoder


def test_the_shipped_vocoder_speaks_unless_it_is_left_out(g):
    requested = ("trumpet", "A4", 0.5, 0.5, -14)
    plain = tootlearn.load(vocoder="none")
    assert g.vocoder is not None and plain.vocoder is None
    with_it, without = g.generate(*requested, seed=4), plain.generate(*requested, seed=4)
    assert not np.array_equal(with_it, without)
    chosen = tootlearn.load(vocoder=model_file.shipped_vocoder()).generate(*requested, seed=4)
    assert np.array_equal(with_it, chosen)


def test_notes_that_the_window_cannot_resolve_keep_the_decoders_harmonics(g):
    """Below 86 Hz the harmonics of a note run into each other in the log-mel: a vocoder cannot know
    better.
    """
    plain = tootlearn.load(vocoder="none")
    for pitch, same in ((50.0, True), (120.0, False)):
        low = [one.generate("ship_horn", pitch, 0.8, 0.5, -14, seed=4) for one in (g, plain)]
        assert np.array_equal(*low) == same


def test_a_vocoder_of_another_front_end_is_refused(g):
    other = Vocoder(FrontEndConfig(mels=80), VocoderConfig(width=8, hidden=8, blocks=1, wide=8))
    with pytest.raises(InputError, match="front end"):
        TootGenerator(g.model, g.description, vocoder=other)


def test_a_model_of_another_front_end_goes_without(tmp_path, g):
    config = FrontEndConfig(mels=80)
    normalizer = Normalizer(torch.zeros(80, 1), torch.ones(80, 1))
    model = TootModel(
        config, normalizer, [LOW, HIGH], GeneratorConfig(residual=2, width=8, blocks=1), None
    )
    model_file.save_model(tmp_path / "m.safetensors", model, {})
    assert tootlearn.load(tmp_path / "m.safetensors").vocoder is None


def test_a_device_that_is_none_is_named():
    for device in ("tpu", "meta"):
        with pytest.raises(InputError, match=device):
            toot_generator.load(device=device)


def test_summary_shows_kinds_ranges_sizes_data_and_licence(g):
    text = model_file.summary(g.model, g.description)
    for kind in g.model.kinds:
        line = next(line for line in text.splitlines() if line.startswith(kind.name))
        assert f"{kind.pitch[0]:g} to {kind.pitch[1]:g}" in line and f"{kind.duration[1]:g}" in line
    count = sum(p.numel() for p in g.model.generator.parameters())
    assert f"generator {count / 1e6:.2f} M" in text and "autoencoder" in text
    provenance = g.description["provenance"]
    for fact in (
        provenance["data"],
        provenance["licence"],
        f"seed         {provenance['seed']}",
        "hop 256",
    ):
        assert fact in text
    assert "{" not in text


def test_summary_of_a_model_of_unknown_origin():
    h = half(GeneratorConfig(2, 8, 1, encoder_widths=(8,)))
    text = model_file.summary(h.model, h.description)
    assert "high" in text and "autoencoder" not in text
