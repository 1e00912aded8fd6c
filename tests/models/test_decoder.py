import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tootlearn.controls import Controls, Kind
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.mel import mel_frequencies
from tootlearn.errors import InputError
from tootlearn.models.decoder import Condition, ConditionalDecoder, Decoder
from tootlearn.models.harmonic_comb import time_features
from tootlearn.models.layers import ResidualBlock

SMALL = FrontEndConfig(hop=512, mels=24)  # 88 frames
HORN = Kind("horn", (100, 2000), (0.1, 2.0), (0.0, 2.0))
CHORD = Kind("chord", (100, 2000), (0.1, 2.0), (0.0, 2.0), (1.0, 1.5, 2.25))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stirred(module: nn.Module) -> nn.Module:
    """The module with random numbers for all its weights and running statistics."""
    with torch.no_grad():
        for i, (name, tensor) in enumerate(module.state_dict().items()):
            if tensor.is_floating_point():
                drawn = 0.3 * noise(*tensor.shape, seed=i)
                tensor.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return module


def controls(pitch=440.0, duration=0.5, brightness=0.5, loudness=-12.0, kind=0) -> Condition:
    columns = (pitch, duration, brightness, loudness)
    return Condition.of(Controls(np.array([kind]), *(np.array([float(v)]) for v in columns)))


def small(kinds=(HORN, CHORD), residual=3, **changes) -> ConditionalDecoder:
    torch.manual_seed(0)
    return ConditionalDecoder(SMALL, 88, kinds, residual, width=16, blocks=2, **changes).eval()


# The plain decoder


def test_the_baseline_expands_over_time_and_ends_in_a_linear_layer():
    decoder = Decoder(128, 128, 176)
    assert isinstance(decoder.expand, nn.Linear) and decoder.expand.out_features == 128 * 176 // 4
    assert [type(layer) for layer in decoder.layers] == 2 * [
        nn.ConvTranspose1d,
        nn.ReLU,
        nn.BatchNorm1d,
    ]
    assert [(c.in_channels, c.out_channels) for c in decoder.layers[0::3]] == [(128, 64), (64, 32)]
    assert [norm.num_features for norm in decoder.layers[2::3]] == [64, 32]
    assert isinstance(decoder.out, nn.Conv1d)
    assert decoder.out.kernel_size == (1,) and (
        decoder.out.in_channels,
        decoder.out.out_channels,
    ) == (32, 128)


def numpy_transposed(x: np.ndarray, layer: nn.ConvTranspose1d) -> np.ndarray:
    """(C, T) -> (C', 2 T): every input stamps the kernel of 4 at twice its place, less the margin
    of 1.
    """
    weight, bias = (t.detach().double().numpy() for t in (layer.weight, layer.bias))
    out = np.zeros((weight.shape[1], 2 * x.shape[1] + 2))
    for t in range(x.shape[1]):
        out[:, 2 * t : 2 * t + 4] += np.einsum(
            "io,iok->ok", x[:, t, None] * np.ones(weight.shape[1]), weight
        )
    return out[:, 1:-1] + bias[:, None]


def test_the_baseline_equals_a_computation_by_hand():
    decoder, z = stirred(Decoder(6, 5, 16, (8, 4), start=3)).eval(), noise(1, 6, seed=99)
    weights = {name: t.detach().double().numpy() for name, t in decoder.state_dict().items()}
    h = (weights["expand.weight"] @ z[0].double().numpy() + weights["expand.bias"]).reshape(3, 4)
    for i in (0, 3):
        h = np.maximum(numpy_transposed(h, decoder.layers[i]), 0)
        mean, variance, scale, shift = (
            weights[f"layers.{i + 2}.{n}"][:, None]
            for n in ("running_mean", "running_var", "weight", "bias")
        )
        h = (h - mean) / np.sqrt(variance + 1e-5) * scale + shift
    expected = weights["out.weight"][:, :, 0] @ h + weights["out.bias"][:, None]
    np.testing.assert_allclose(decoder(z)[0].detach(), expected, rtol=1e-4, atol=1e-5)


def test_what_it_draws_can_change_over_time():
    x = Decoder(16, 8, 32).train()(noise(4, 16))
    assert x.std(2).min() > 0.05


@given(
    latent=st.integers(1, 9),
    mels=st.integers(1, 9),
    blocks=st.integers(1, 5),
    widths=st.lists(st.sampled_from([8, 16]), min_size=1, max_size=3),
    start=st.integers(1, 9),
    residual=st.integers(0, 2),
)
def test_any_config_draws_a_log_mel_of_its_size(latent, mels, blocks, widths, start, residual):
    frames = blocks * 2 ** len(widths)
    decoder = Decoder(latent, mels, frames, tuple(widths), start, residual).eval()
    x = decoder(noise(2, latent))
    assert x.shape == (2, mels, frames) and x.isfinite().all()
    assert sum(isinstance(layer, ResidualBlock) for layer in decoder.layers) == residual * len(
        widths
    )


@pytest.mark.parametrize("residual", [0, 1])
def test_every_parameter_gets_a_gradient(residual):
    decoder = stirred(Decoder(6, 5, 16, (8, 16), 4, residual)).train()
    (decoder(noise(4, 6)) * noise(4, 5, 16, seed=1)).sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_frames_that_do_not_fit_are_named_with_what_does():
    with pytest.raises(InputError, match="2 doublings make a multiple of 4 frames, not 89"):
        Decoder(6, 5, 89)
    with pytest.raises(InputError, match="a multiple of 4 frames, not 90"):
        ConditionalDecoder(SMALL, 90, [HORN], 3)


# Controls as a network takes them


def test_a_condition_is_in_the_units_it_says():
    found = controls(440.0, 0.5, 0.5, -20.0, kind=1)
    assert found.kind.dtype == torch.int64 and found.kind.tolist() == [1]
    assert float(found.octave) == pytest.approx(math.log2(440)) and float(found.duration) == 0.5
    assert math.exp(float(found.gain)) == pytest.approx(0.1)  # -20 dB
    # -20 dB lies 1 dB over the middle of a range of 30
    numbers = [(math.log2(440) - 8.5) / 2, 0.0, 0.0, 1 / 15]
    torch.testing.assert_close(found.numbers, torch.tensor([numbers]))
    for low, high in ((-36.0, -1.0), (-6.0, 1.0)):
        assert float(controls(loudness=low).numbers[0, 3]) == pytest.approx(high)
    assert (
        controls(brightness=0.0).numbers[0, 2] == -1 and controls(brightness=1.0).numbers[0, 2] == 1
    )


# The conditional decoder


def without_bend(decoder: ConditionalDecoder) -> ConditionalDecoder:
    """The decoder with the last of what it draws at zero: the bend of f0, four frames at a time."""
    with torch.no_grad():
        decoder.out.weight[-4:] = 0
        decoder.out.bias[-4:] = 0
    return decoder


def test_a_pitch_draws_its_harmonics_even_with_random_weights():
    torch.manual_seed(0)
    decoder = without_bend(
        ConditionalDecoder(FrontEndConfig(), 176, [HORN], 3, width=16, blocks=1)
    ).eval()
    centres = mel_frequencies(130, 0.0, 11025.0)[1:-1]

    def band(hz: float) -> int:
        return int((centres - hz).abs().argmin())

    with torch.no_grad():
        drawn = {
            hz: decoder(controls(hz), torch.zeros(1, 3)).log_mel[0, :, 20:40].mean(1)
            for hz in (330, 440, 587)
        }
    for pitch, spectrum in drawn.items():
        for number in (1, 2, 3):
            valleys = [float(spectrum[band((number + side) * pitch)]) for side in (-0.5, 0.5)]
            assert spectrum[band(number * pitch)] > max(valleys) + 2
    # a peak for 440 Hz alone
    assert drawn[440][band(440)] > max(drawn[330][band(440)], drawn[587][band(440)]) + 2


def test_a_network_that_draws_nothing_leaves_the_comb_at_its_bend_and_gain():
    decoder, bend = small(), 0.3
    with torch.no_grad():
        for parameter in decoder.out.parameters():
            parameter.zero_()
        decoder.out.bias[-4:] = math.atanh(bend)
        drawing = decoder(controls(440.0, loudness=-20.0), noise(1, 3))
    tone = decoder.comb(torch.tensor(math.log2(440) + bend)) + 1e-4
    level = 0.1 * (tone + math.exp(-6))
    expected = (level.square() + SMALL.floor**2).sqrt().log()
    torch.testing.assert_close(
        drawing.log_mel, expected[None, :, None].expand(1, -1, 88), atol=2e-3, rtol=0
    )
    share = math.exp(-6) / (tone + math.exp(-6))
    torch.testing.assert_close(
        drawing.breath, share[None, :, None].expand(1, -1, 88), atol=1e-3, rtol=0
    )


def test_what_is_drawn_four_frames_at_a_time_comes_in_their_order():
    """The input stacks the features of four frames, the output unstacks theirs."""
    decoder, seen = small(), []
    # the onset is at sample 512
    torch.testing.assert_close(decoder.time[:3], torch.tensor([-512.0, 0, 512]) / 22050)
    decoder.enter.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        decoder(controls(), torch.zeros(1, 3))
        features = time_features(decoder.time, torch.tensor([0.5]))
        for frame in (0, 1, 6, 43, 87):
            stacked = seen[0][0, : 4 * len(features[0]), frame // 4].view(-1, 4)
            assert torch.equal(stacked[:, frame % 4], features[0, :, frame])
        for parameter in decoder.out.parameters():
            parameter.zero_()
        before = decoder(controls(), torch.zeros(1, 3)).breath.logit()
        band, second = 5, 2
        # after the resonator's
        decoder.out.bias[len(decoder.NUMBERS) + 4 * (SMALL.mels + band) + second] = 0.7
        change = decoder(controls(), torch.zeros(1, 3)).breath.logit() - before
    expected = torch.zeros(SMALL.mels, 88)
    expected[band, second::4] = 2 * 0.7
    torch.testing.assert_close(change[0], expected, atol=1e-4, rtol=0)


def test_loudness_shifts_what_is_above_the_floor_by_the_gain_and_nothing_else():
    decoder, condition, z = small(), controls(), noise(1, 3)
    with torch.no_grad():
        decoder.out.bias += 2  # well above the floor
        quiet, loud = (
            decoder(condition._replace(gain=condition.gain + gain), z).log_mel
            for gain in (0.0, math.log(2))
        )
        floor = math.log(SMALL.floor)
        above = quiet > floor + 5
        assert above.float().mean() > 0.5
        torch.testing.assert_close(
            (loud - quiet)[above], torch.full_like(quiet, math.log(2))[above], atol=1e-4, rtol=0
        )
        silent = decoder(condition._replace(gain=condition.gain - 100), z).log_mel
        # it goes to the floor, and no further
        torch.testing.assert_close(silent, torch.full_like(silent, floor))


def test_level_and_floor_add_up_as_powers():
    decoder, condition, z = small(), controls(), noise(1, 3)
    with torch.no_grad():
        loud = decoder(condition._replace(gain=condition.gain + 10), z).log_mel.double()
        found = decoder(condition._replace(gain=condition.gain - 4), z).log_mel.double()
    level = (loud - 14).exp()
    expected = (level.square() + SMALL.floor**2).sqrt().log()
    assert (expected < math.log(SMALL.floor) + 1).any() and (
        expected > math.log(SMALL.floor) + 1
    ).any()
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_a_note_that_a_kind_lacks_has_no_level():
    """A kind with one note draws the same beside a kind with three as alone."""
    both, alone = small((HORN, CHORD)), small((HORN,))
    state = both.state_dict()
    state["levels.weight"], state["levels.bias"] = noise(3, 128), noise(3)
    both.load_state_dict(state)
    state["kind.weight"] = state["kind.weight"][:1]
    state["levels.weight"], state["levels.bias"] = (
        state["levels.weight"][:1],
        state["levels.bias"][:1],
    )
    alone.load_state_dict(state)
    with torch.no_grad():
        ours, theirs = both(controls(), noise(1, 3)), alone(controls(), noise(1, 3))
    torch.testing.assert_close(ours.log_mel, theirs.log_mel)
    torch.testing.assert_close(ours.breath, theirs.breath)


def test_a_chord_is_the_sum_of_its_notes_at_their_levels():
    decoder = small()
    octave = torch.tensor([8.0, 8.9]).log2().view(2, 1, 1) + torch.tensor([1.0, 1.5, 2.25]).log2()
    level = torch.tensor([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0]])
    found = decoder.log_comb(octave, level)
    for b in range(2):
        notes = sum(level[b, n] * decoder.comb(octave[b, 0, n]) for n in range(3))
        torch.testing.assert_close(found[b, 0], (notes + 1e-4).log())


def test_the_notes_of_a_chord_stand_at_its_intervals():
    """The drawing of a chord with all level on one note is that of a horn at this note's pitch."""
    decoder = small()
    with torch.no_grad():
        decoder.levels.bias.copy_(torch.tensor([-100.0, 0.0, -100.0]))
        chord = decoder.log_comb(*_notes(decoder, controls(300.0, kind=1)))
        horn = decoder.log_comb(*_notes(decoder, controls(450.0, kind=0)))
    torch.testing.assert_close(chord, horn, atol=1e-3, rtol=1e-3)


def _notes(decoder: ConditionalDecoder, condition: Condition) -> tuple[torch.Tensor, torch.Tensor]:
    """What `forward` gives to `log_comb` for the steady pitch."""
    given = []
    original = decoder.log_comb

    def spy(octave: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        given.append((octave, level))
        return original(octave, level)

    decoder.log_comb = spy
    decoder(condition, torch.zeros(1, 3))
    del decoder.log_comb
    return given[0]


def test_by_number_interpolates_as_numpy_in_the_logarithm_of_the_harmonics_number():
    decoder = small()
    octave = torch.tensor([[[7.0], [8.3]], [[9.1], [10.5]]])  # (B, T, 1)
    source = noise(2, len(decoder.NUMBERS), 2)
    found = decoder.by_number(octave, source)
    assert found.shape == (2, 2, SMALL.mels)
    centres = np.log2(mel_frequencies(SMALL.mels + 2, SMALL.fmin, SMALL.fmax)[1:-1].numpy())
    for b in range(2):
        for t in range(2):
            levels = 2 * source[b, :, t].numpy()
            expected = np.interp(centres - float(octave[b, t]), np.log2(decoder.NUMBERS), levels)
            np.testing.assert_allclose(found[b, t], expected, atol=1e-3)


@pytest.mark.parametrize("conditioning", ["film", "concat"])
def test_every_control_and_the_residual_move_the_drawing(conditioning):
    decoder = stirred(small(conditioning=conditioning))
    with torch.no_grad():
        start = decoder(controls(), torch.zeros(1, 3)).log_mel
        for change in (
            {"pitch": 450.0},
            {"duration": 0.6},
            {"brightness": 0.6},
            {"loudness": -11.0},
            {"kind": 1},
        ):
            moved = decoder(controls(**change), torch.zeros(1, 3)).log_mel
            assert (moved - start).abs().max() > 1e-3, change
        for row in torch.eye(3):
            assert (decoder(controls(), row[None]).log_mel - start).abs().max() > 1e-3


def test_film_really_modulates_the_blocks_and_concat_has_nothing_to_do_so():
    film, concat = small(conditioning="film"), small(conditioning="concat")
    assert all(block.film is not None for block in film.blocks)
    assert all(block.film is None for block in concat.blocks)
    stirred(film)
    # all else is the same
    concat.load_state_dict({k: v for k, v in film.state_dict().items() if ".film." not in k})
    with torch.no_grad():
        modulated, plain = (d(controls(), torch.zeros(1, 3)).log_mel for d in (film, concat))
        assert (modulated - plain).abs().mean() > 1e-2
        for block in film.blocks:  # without the modulation the one is the other
            block.film.project.weight.zero_(), block.film.project.bias.zero_()
        torch.testing.assert_close(film(controls(), torch.zeros(1, 3)).log_mel, plain)


def test_a_batch_is_drawn_as_its_members_alone():
    decoder, z = stirred(small()), noise(3, 3)
    members = [
        controls(220.0, 0.3),
        controls(440.0, 1.0, 0.2, -30.0, kind=1),
        controls(1000.0, kind=1),
    ]
    batch = Condition(*(torch.cat(columns) for columns in zip(*members, strict=True)))
    with torch.no_grad():
        together = decoder(batch, z)
        for i, member in enumerate(members):
            for ours, theirs in zip(together, decoder(member, z[i : i + 1]), strict=True):
                torch.testing.assert_close(ours[i : i + 1], theirs, atol=1e-4, rtol=1e-4)


@settings(max_examples=8)
@given(
    hop=st.sampled_from([256, 512]),
    mels=st.integers(1, 20),
    notes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    residual=st.integers(1, 4),
    width=st.sampled_from([8, 24]),
    blocks=st.integers(1, 4),
    conditioning=st.sampled_from(["film", "concat"]),
)
def test_any_config_draws_log_mel_and_breath(
    hop, mels, notes, residual, width, blocks, conditioning
):
    front_end = FrontEndConfig(n_fft=1024, hop=hop, mels=mels)
    kinds = [replace(HORN, intervals=tuple(1 + i / 4 for i in range(count))) for count in notes]
    frames = 45056 // hop
    decoder = ConditionalDecoder(
        front_end, frames, kinds, residual, width, blocks, conditioning
    ).eval()
    last = controls(kind=len(kinds) - 1)
    drawing = decoder(last, noise(1, residual))
    assert drawing.log_mel.shape == drawing.breath.shape == (1, mels, frames)
    assert (
        drawing.log_mel.isfinite().all() and drawing.breath.min() >= 0 and drawing.breath.max() <= 1
    )
    assert drawing.log_mel.min() >= math.log(front_end.floor) - 1e-5
