"""Losses that know of hearing: what is heard, from how far, and by whom."""

import math

import librosa
import numpy as np
import pytest
import torch

from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.mel import mel_frequencies
from tootlearn.dsp.stft import Stft
from tootlearn.losses import perceptual
from tootlearn.models.classifier import Classifier
from tootlearn.models.config import ClassifierConfig

RATE, HOP = 22050, 256


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


MELS = mel_frequencies(130, 0, 11025)[1:-1]  # the default front end's bands
BINS = torch.linspace(0, 11025, 513)
FLOOR = math.log(1e-5)


def listening():
    """What the features of some untrained classifier make of log-mels (B, 128, T)."""
    torch.manual_seed(0)
    return (
        Classifier(FrontEndConfig(), ("a", "b"), ClassifierConfig(width=4, embedding=8))
        .eval()
        .features
    )


def loss_of(name: str):
    """The loss as a function of a drawing, a target and the weights of frames."""
    audibility, features = perceptual.Audibility(MELS), listening()
    return {
        "audible": lambda x, y, weight: perceptual.audible_error(x, y, weight, audibility),
        "multi_scale": perceptual.multi_scale_error,
        "embedding": lambda x, y, weight: perceptual.feature_error(
            features(x), features(y), weight
        ),
    }[name]


NAMES = ("audible", "multi_scale", "embedding")


def toot(hertz: float = 440.0, start: int = 8) -> torch.Tensor:
    """The log-mel of four harmonics from frame `start` on, (1, 128, 48)."""
    time = torch.arange(48 * HOP) / RATE
    wave = sum(0.2 / k * torch.sin(2 * math.pi * k * hertz * time) for k in range(1, 5))
    return FrontEnd()(wave * (torch.arange(48 * HOP) >= start * HOP))[None]


ONES = torch.ones(1, 48)


@pytest.mark.parametrize(
    # IEC 61672-1:2013, table 3, at the exact base-ten frequencies that its nominal ones name
    ("hertz", "decibels"),
    [
        (10**1.5, -39.4),
        (100, -19.1),
        (10**2.4, -8.6),
        (10**2.7, -3.2),
        (1000, 0.0),
        (10**3.3, 1.2),
        (10**3.6, 1.0),
    ]
    + [(10**3.9, -1.1), (10**4.3, -9.3)],
)
def test_a_weighting_is_that_of_the_standards_table(hertz, decibels):
    assert float(perceptual.a_weighting(torch.tensor(float(hertz)))) == pytest.approx(
        decibels, abs=0.06
    )


def test_a_weighting_equals_librosas_and_0_hz_is_not_heard():
    hertz = torch.logspace(1.2, 4.3, 50)
    expected = librosa.A_weighting(hertz.numpy(), min_db=None)
    np.testing.assert_allclose(perceptual.a_weighting(hertz), expected, atol=0.01)
    assert perceptual.a_weighting(torch.tensor(0.0)) == -math.inf


def test_spreading_falls_by_25_db_a_bark_below_and_10_db_above_the_masker():
    places = torch.tensor([-6.0, -5.0, 0.0, 5.0, 6.0])
    below, _, middle, _, above = perceptual.spreading(places)
    assert float(middle) == pytest.approx(0, abs=0.02)
    assert float(perceptual.spreading(places[1]) - below) == pytest.approx(25, abs=0.5)
    assert float(above - perceptual.spreading(places[3])) == pytest.approx(-10, abs=0.5)
    assert float(perceptual.bark(torch.tensor(650 * math.sinh(1.0)))) == pytest.approx(7)


def with_bands(frequencies: torch.Tensor, **levels: float) -> torch.Tensor:
    """One clip of 4 frames at the floor, but for bands near f (as in f1000=-20) at this level in
    dB.
    """
    x = torch.full((1, len(frequencies), 4), FLOOR)
    for name, level in levels.items():
        x[:, (frequencies - float(name[1:])).abs().argmin()] = level * math.log(10) / 20
    return x


@pytest.mark.parametrize("frequencies", [MELS, BINS], ids=["mel bands", "bins of an STFT"])
def test_a_loud_masker_hides_a_weak_neighbour_and_leaves_a_far_one(frequencies):
    audibility = perceptual.Audibility(frequencies)
    quiet, masked = with_bands(frequencies, f200=-10), with_bands(frequencies, f200=-10, f2000=0)

    def cost(target, **levels):  # of a partial that the target lacks
        drawn = torch.maximum(target, with_bands(frequencies, **levels))
        return float(perceptual.audible_error(drawn, target, torch.ones(1, 4), audibility))

    for near in ({"f2200": -40.0}, {"f1900": -40.0}):
        assert cost(masked, **near) < 0.2 * cost(quiet, **near)
    assert cost(masked, f2200=-10) > 0.9 * cost(quiet, f2200=-10)  # too loud to be hidden
    assert cost(masked, f6000=-40) > 0.5 * cost(quiet, f6000=-40)
    # upward spread of masking: 3 Bark above the masker more is hidden than 3 Bark below it
    threshold = audibility.threshold(masked)[0, :, 0]
    above, below = (
        float(threshold[(frequencies - hertz).abs().argmin()].log10()) for hertz in (3000, 1350)
    )
    assert 10 * (above - below) > 8


def test_what_is_drawn_too_loud_hides_nothing_of_the_target():
    audibility = perceptual.Audibility(MELS)
    target = with_bands(MELS, f2000=-40)
    loud = with_bands(MELS, f2200=0)  # instead of the partial
    at = (MELS - 2000).abs().argmin()
    assert float(audibility(loud, target)[0, at].min()) > 0.9


def test_what_is_60_db_below_the_peak_or_too_low_to_be_heard_counts_little():
    audibility = perceptual.Audibility(MELS)
    target = with_bands(MELS, f1000=0)

    def heard(**levels):
        drawn = torch.maximum(target, with_bands(MELS, **levels))
        return float(audibility(drawn, target)[drawn > target].mean())

    assert heard(f5000=-30) > 0.9 and heard(f5000=-90) < 0.1
    assert heard(f5000=-50) > heard(f100=-50) + 0.3  # 100 Hz is 19 dB less loud
    assert float(audibility(target, target).max()) > 0.9


def test_a_lost_partial_is_missed_and_led_back_however_far_down_it_is():
    audibility = perceptual.Audibility(MELS)
    target = with_bands(MELS, f1000=0, f4000=-20)
    lost = with_bands(MELS, f1000=0).requires_grad_()
    perceptual.audible_error(lost, target, torch.ones(1, 4), audibility).backward()
    missing = (target - lost.detach() > 1)[0, :, 0]
    assert missing.sum() == 1 and (lost.grad[0, missing] < 0).all()
    # the whole distance counts: its square, over the bands
    expected = -2 * float((target - lost.detach()).max()) / lost.numel()
    assert float(lost.grad[0, missing, 0]) == pytest.approx(expected, rel=0.1)


def test_audibility_does_not_depend_on_the_level_of_the_clip_and_passes_no_gradient():
    audibility, x, y = perceptual.Audibility(MELS), toot().requires_grad_(), toot(450)
    found = audibility(x, y)
    assert not found.requires_grad and found.min() >= 0 and found.max() <= 1
    torch.testing.assert_close(audibility(x - 0.5, y - 0.5), found, atol=1e-3, rtol=0)


def test_the_unit_of_the_bands_does_not_matter_to_tones():
    """A sine is about as loud in a wide mel band, which is divided by its width, as in a bin;
    undivided, 17 dB less.
    """
    time = torch.arange(8192) / RATE
    found = {}
    for hertz in (700.0, 7000.0):
        wave = torch.sin(2 * math.pi * hertz * time)[None]
        mel = perceptual.Audibility(MELS).power(FrontEnd()(wave)).sum(1).median()
        stft = (
            perceptual.Audibility(BINS)
            .power(Stft(1024, 256).magnitude(wave).clamp_min(1e-5).log())
            .sum(1)
            .median()
        )
        found[hertz] = 10 * float((mel / stft).log10())
    assert found[700.0] == pytest.approx(found[7000.0], abs=4)


@pytest.mark.parametrize("start", range(8, 16))  # wherever the onset lies in a coarse field
def test_a_shift_by_one_frame_costs_less_at_coarse_scales(start):
    x, late = toot(start=start), toot(start=start + 1)
    costs = [
        float(perceptual.multi_scale_error(late, x, ONES, [scale])) for scale in perceptual.SCALES
    ]
    assert all(fine > 1.4 * coarse > 0 for fine, coarse in zip(costs, costs[1:], strict=False))
    assert costs[0] == pytest.approx(float((late - x).square().mean()), rel=1e-4)
    assert float(perceptual.multi_scale_error(late, x, ONES)) == pytest.approx(
        np.mean(costs), rel=1e-5
    )


def test_a_partial_one_band_too_high_costs_little_at_coarse_scales():
    x = with_bands(MELS, f1000=-20)
    costs = [
        float(perceptual.multi_scale_error(x.roll(1, 1), x, torch.ones(1, 4), [scale]))
        for scale in (1, 4)
    ]
    assert costs[1] < 0.1 * costs[0]


def test_a_gain_costs_as_much_at_every_scale():
    for scale in (1, 3, 8):  # 3 leaves a rest of bands at the edge
        found = perceptual.multi_scale_error(toot() + 0.25, toot(), ONES, [scale])
        assert float(found) == pytest.approx(0.25**2, rel=1e-3)


def test_a_coarse_scale_averages_over_frames_and_bands():
    x, y, weight = noise(2, 4, 4), noise(2, 4, 4, seed=1), noise(2, 4, seed=2).abs()
    averaged = (x - y).numpy().reshape(2, 2, 2, 2, 2).mean((2, 4))
    expected = np.mean(averaged**2 * weight.numpy().reshape(2, 2, 2).mean(2)[:, None])
    assert float(perceptual.multi_scale_error(x, y, weight, [2])) == pytest.approx(
        float(expected), rel=1e-4
    )


def test_scales_of_a_field_that_divides_are_those_of_each_by_itself_and_others_are_near():
    x = torch.randn(2, 2, 40, 44, generator=torch.Generator().manual_seed(0))
    for frames, bands, near in ((40, 32, 1e-5), (43, 37, 0.1)):
        drawn, target = (part[:, :bands, :frames] for part in x)
        weight = torch.ones(2, frames)
        alone = [
            float(perceptual.multi_scale_error(drawn, target, weight, [scale]))
            for scale in perceptual.SCALES
        ]
        together = float(perceptual.multi_scale_error(drawn, target, weight))
        assert together == pytest.approx(np.mean(alone), rel=near)
    with pytest.raises(ValueError, match="multiple"):
        perceptual.multi_scale_error(drawn, target, weight, [2, 3])


def test_a_coarse_scale_sees_what_is_left_at_the_edges():
    x = torch.zeros(1, 7, 7)
    for place in ((0, 6, 2), (0, 2, 6)):
        y = x.clone()
        y[place] = 1
        assert float(perceptual.multi_scale_error(y, x, torch.ones(1, 7), [3])) > 0


def test_features_are_compared_layer_by_layer_and_by_the_weight_of_the_frames():
    drawn = (noise(2, 3, 5, 4), noise(2, 6, seed=1))
    target = (noise(2, 3, 5, 4, seed=2), noise(2, 6, seed=3))
    weight = noise(2, 8, seed=4).abs()
    local = np.abs((drawn[0] - target[0]).numpy()).mean((1, 2)) * weight.numpy().reshape(
        2, 4, 2
    ).mean(2)
    expected = (local.mean() + np.abs((drawn[1] - target[1]).numpy()).mean()) / 2
    assert float(perceptual.feature_error(drawn, target, weight)) == pytest.approx(
        float(expected), rel=1e-5
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_is_zero_for_equal_sounds_and_finite_for_silence_and_wild_networks(name):
    loss = loss_of(name)
    for target in (toot(), torch.full((1, 128, 48), FLOOR), torch.full((1, 128, 48), -1e3)):
        same = target.clone().requires_grad_()
        value = loss(same, target, ONES)
        value.backward()
        assert float(value.detach()) == 0 and same.grad.isfinite().all()
        for other in (toot(600), torch.full((1, 128, 48), -1e3), 1e3 * noise(1, 128, 48)):
            x = other.clone().requires_grad_()
            value = loss(x, target, ONES)
            value.backward()
            assert value.isfinite() and float(value.detach()) >= 0 and x.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_following_the_gradient_of_each_leads_to_the_target(name):
    loss, target = loss_of(name), toot()
    x = (target + 0.5 * noise(1, 128, 48)).requires_grad_()
    optimizer = torch.optim.Adam([x], 0.03)
    found = []
    for _ in range(40):
        value = loss(x, target, ONES)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        found.append(float(value.detach()))
    assert found[-1] < 0.4 * found[0]


@pytest.mark.parametrize("name", NAMES)
def test_each_looks_away_from_frames_without_weight(name):
    x = toot()
    spoiled = x.clone()
    spoiled[..., 40:] += noise(1, 128, 8)
    weight = ONES.clone()
    weight[:, 40:] = 0
    loss = loss_of(name)
    with torch.no_grad():
        all_frames, without = (loss(spoiled, x, w) for w in (ONES, weight))
    assert float(all_frames) > 0
    # an embedding is of the whole clip: the layers that have no frames still see them
    assert float(without) < (1 if name == "embedding" else 0.5) * float(all_frames)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_differences(name):
    """Where the target is the louder: what can be heard passes no gradient."""
    torch.manual_seed(0)
    features = Classifier(
        FrontEndConfig(n_fft=64, hop=32, mels=8), ("a", "b"), ClassifierConfig(width=2, embedding=3)
    )
    features = features.double().eval().features
    audibility = perceptual.Audibility(mel_frequencies(10, 0, 11025)[1:-1]).double()
    target, weight = noise(2, 8, 10).double() - 3, noise(2, 10, seed=2).abs().double()
    drawn = (target - noise(2, 8, 10, seed=1).abs().double() - 0.01).requires_grad_()
    loss = {
        "audible": lambda x: perceptual.audible_error(x, target, weight, audibility),
        "multi_scale": lambda x: perceptual.multi_scale_error(x, target, weight),
        "embedding": lambda x: perceptual.feature_error(features(x), features(target), weight),
    }[name]
    assert torch.autograd.gradcheck(loss, drawn)
