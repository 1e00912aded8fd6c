import math

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tootlearn import losses
from tootlearn.classifier import Classifier, ClassifierConfig
from tootlearn.front_end import FrontEnd, FrontEndConfig
from tootlearn.mel import mel_frequencies
from tootlearn.stft import Stft

RATE, HOP = 22050, 256


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_frames_later_than_a_tenth_of_a_second_after_the_end_count_one_tenth():
    weight = losses.frame_weights(torch.tensor([0.5]), 176, HOP, RATE)[0]
    centres = (np.arange(176) * HOP - 512) / RATE  # s since the onset, which is 512 samples into the window
    late = torch.from_numpy(centres > 0.6)
    assert late.any() and not late.all()
    torch.testing.assert_close(weight[late], (0.1 * weight[0]).expand(int(late.sum())))
    assert (weight[~late] == weight[0]).all()


@given(duration=st.lists(st.floats(0.05, 2.5), min_size=1, max_size=5), hop=st.sampled_from([256, 512]))
def test_frame_weights_have_a_mean_of_one_and_the_same_scale_for_all_clips(duration, hop):
    weight = losses.frame_weights(torch.tensor(duration), 45056 // hop, hop, RATE)
    assert weight.shape == (len(duration), 45056 // hop)
    assert float(weight.mean()) == pytest.approx(1, rel=1e-5)
    assert (weight[:, 0] == weight[0, 0]).all()  # the first frame always counts


def test_squared_error_equals_numpy():
    x, y, w = noise(3, 5, 7), noise(3, 5, 7, seed=1), noise(3, 7, seed=2).abs()
    expected = np.mean((x.numpy() - y.numpy()) ** 2 * w.numpy()[:, None, :])
    assert float(losses.squared_error(x, y, w)) == pytest.approx(float(expected), rel=1e-5)
    only = torch.zeros(3, 7)
    only[1, 4] = 21  # all the weight, whose mean is 1, on one frame
    expected = np.mean((x.numpy() - y.numpy())[1, :, 4] ** 2)
    assert float(losses.squared_error(x, y, only)) == pytest.approx(float(expected), rel=1e-5)


def test_mel_convergence_equals_numpy_and_a_gain_is_its_distance_from_one():
    x, y = noise(3, 5, 7), noise(3, 5, 7, seed=1)
    a, b = np.exp(x.double().numpy()), np.exp(y.double().numpy())
    expected = np.mean(np.linalg.norm(a - b, axis=(1, 2)) / np.linalg.norm(b, axis=(1, 2)))
    assert float(losses.mel_convergence(x, y)) == pytest.approx(expected, rel=1e-5)
    for gain in (0.5, 1.5):
        assert float(losses.mel_convergence(y + math.log(gain), y)) == pytest.approx(0.5, rel=1e-4)


def test_mel_convergence_stays_finite_for_wild_networks_and_silence():
    wild = torch.full((1, 4, 4), 1e4, requires_grad=True)
    losses.mel_convergence(wild, noise(1, 4, 4)).backward()
    assert wild.grad.isfinite().all()
    same = noise(1, 4, 4).requires_grad_()
    loss = losses.mel_convergence(same, same.detach())
    loss.backward()
    assert float(loss.detach()) < 1e-5 and same.grad.isfinite().all()
    assert losses.mel_convergence(torch.full((1, 4, 4), -11.5), torch.full((1, 4, 4), -1e4)).isfinite()


def test_bend_error_is_the_weighted_mean_square_where_there_is_a_weight():
    drawn, target, weight = noise(3, 8), noise(3, 8, seed=1), torch.ones(3, 8)
    expected = float(np.mean((drawn.numpy() - target.numpy()) ** 2))
    assert float(losses.bend_error(drawn, target, weight)) == pytest.approx(expected, rel=1e-5)
    weight[1], weight[2, 5:] = 0.25, 0.0
    heard = weight.numpy() > 0
    expected = float(np.mean(((drawn.numpy() - target.numpy()) ** 2 * weight.numpy())[heard]))
    drawn.requires_grad_()
    loss = losses.bend_error(drawn, target, weight)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    assert drawn.grad.isfinite().all() and np.array_equal(drawn.grad.numpy() != 0, heard)


def test_bend_error_is_zero_where_nothing_is_heard():
    drawn = noise(2, 4).requires_grad_()
    loss = losses.bend_error(drawn, noise(2, 4, seed=1), torch.zeros(2, 4))
    loss.backward()
    assert float(loss.detach()) == 0 and (drawn.grad == 0).all()


def test_divergence_equals_torchs_and_is_zero_for_the_prior_itself():
    mean, log_scale = noise(5, 3), 0.5 * noise(5, 3, seed=1)
    prior = torch.distributions.Normal(torch.zeros(5, 3), 1.0)
    posterior = torch.distributions.Normal(mean, log_scale.exp())
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
    torch.testing.assert_close(losses.divergence(mean, log_scale), expected)
    assert float(losses.divergence(torch.zeros(5, 3), torch.zeros(5, 3))) == 0


# Perceptual losses

MELS = mel_frequencies(130, 0, 11025)[1:-1]  # the default front end's bands
BINS = torch.linspace(0, 11025, 513)
FLOOR = math.log(1e-5)


def listening():
    """What the features of some untrained classifier make of log-mels (B, 128, T)."""
    torch.manual_seed(0)
    return Classifier(FrontEndConfig(), ("a", "b"), ClassifierConfig(width=4, embedding=8)).eval().features


def perceptual(*names: str) -> losses.Perceptual:
    return losses.Perceptual(names or losses.PERCEPTUAL, MELS, listening())


def toot(hertz: float = 440.0, start: int = 8) -> torch.Tensor:
    """The log-mel of four harmonics from frame `start` on, (1, 128, 48)."""
    time = torch.arange(48 * HOP) / RATE
    wave = sum(0.2 / k * torch.sin(2 * math.pi * k * hertz * time) for k in range(1, 5))
    return FrontEnd()(wave * (torch.arange(48 * HOP) >= start * HOP))[None]


ONES = torch.ones(1, 48)


@pytest.mark.parametrize(
    ("hertz", "decibels"),  # IEC 61672-1:2013, table 3, at the exact base-ten frequencies that its nominal ones name
    [(10**1.5, -39.4), (100, -19.1), (10**2.4, -8.6), (10**2.7, -3.2), (1000, 0.0), (10**3.3, 1.2), (10**3.6, 1.0)]
    + [(10**3.9, -1.1), (10**4.3, -9.3)],
)
def test_a_weighting_is_that_of_the_standards_table(hertz, decibels):
    assert float(losses.a_weighting(torch.tensor(float(hertz)))) == pytest.approx(decibels, abs=0.06)


def test_a_weighting_equals_librosas_and_0_hz_is_not_heard():
    hertz = torch.logspace(1.2, 4.3, 50)
    expected = librosa.A_weighting(hertz.numpy(), min_db=None)
    np.testing.assert_allclose(losses.a_weighting(hertz), expected, atol=0.01)
    assert losses.a_weighting(torch.tensor(0.0)) == -math.inf


def test_spreading_falls_by_25_db_a_bark_below_and_10_db_above_the_masker():
    places = torch.tensor([-6.0, -5.0, 0.0, 5.0, 6.0])
    below, _, middle, _, above = losses.spreading(places)
    assert float(middle) == pytest.approx(0, abs=0.02)
    assert float(losses.spreading(places[1]) - below) == pytest.approx(25, abs=0.5)
    assert float(above - losses.spreading(places[3])) == pytest.approx(-10, abs=0.5)
    assert float(losses.bark(torch.tensor(650 * math.sinh(1.0)))) == pytest.approx(7)


def with_bands(frequencies: torch.Tensor, **levels: float) -> torch.Tensor:
    """One clip of 4 frames at the floor, but for bands near f (as in f1000=-20) at this level in dB."""
    x = torch.full((1, len(frequencies), 4), FLOOR)
    for name, level in levels.items():
        x[:, (frequencies - float(name[1:])).abs().argmin()] = level * math.log(10) / 20
    return x


@pytest.mark.parametrize("frequencies", [MELS, BINS], ids=["mel bands", "bins of an STFT"])
def test_a_loud_masker_hides_a_weak_neighbour_and_leaves_a_far_one(frequencies):
    audibility = losses.Audibility(frequencies)
    quiet, masked = with_bands(frequencies, f200=-10), with_bands(frequencies, f200=-10, f2000=0)

    def cost(target, **levels):  # of a partial that the target lacks
        drawn = torch.maximum(target, with_bands(frequencies, **levels))
        return float(losses.audible_error(drawn, target, torch.ones(1, 4), audibility))

    for near in ({"f2200": -40.0}, {"f1900": -40.0}):
        assert cost(masked, **near) < 0.2 * cost(quiet, **near)
    assert cost(masked, f2200=-10) > 0.9 * cost(quiet, f2200=-10)  # too loud to be hidden
    assert cost(masked, f6000=-40) > 0.5 * cost(quiet, f6000=-40)
    # upward spread of masking: 3 Bark above the masker more is hidden than 3 Bark below it
    threshold = audibility.threshold(masked)[0, :, 0]
    above, below = (float(threshold[(frequencies - hertz).abs().argmin()].log10()) for hertz in (3000, 1350))
    assert 10 * (above - below) > 8


def test_what_is_drawn_too_loud_hides_nothing_of_the_target():
    audibility = losses.Audibility(MELS)
    target = with_bands(MELS, f2000=-40)
    loud = with_bands(MELS, f2200=0)  # instead of the partial
    at = (MELS - 2000).abs().argmin()
    assert float(audibility(loud, target)[0, at].min()) > 0.9


def test_what_is_60_db_below_the_peak_or_too_low_to_be_heard_counts_little():
    audibility = losses.Audibility(MELS)
    target = with_bands(MELS, f1000=0)

    def heard(**levels):
        drawn = torch.maximum(target, with_bands(MELS, **levels))
        return float(audibility(drawn, target)[drawn > target].mean())

    assert heard(f5000=-30) > 0.9 and heard(f5000=-90) < 0.1
    assert heard(f5000=-50) > heard(f100=-50) + 0.3  # 100 Hz is 19 dB less loud
    assert float(audibility(target, target).max()) > 0.9


def test_a_lost_partial_is_missed_and_led_back_however_far_down_it_is():
    audibility = losses.Audibility(MELS)
    target = with_bands(MELS, f1000=0, f4000=-20)
    lost = with_bands(MELS, f1000=0).requires_grad_()
    losses.audible_error(lost, target, torch.ones(1, 4), audibility).backward()
    missing = (target - lost.detach() > 1)[0, :, 0]
    assert missing.sum() == 1 and (lost.grad[0, missing] < 0).all()
    # the whole distance counts: its square, over the bands
    expected = -2 * float((target - lost.detach()).max()) / lost.numel()
    assert float(lost.grad[0, missing, 0]) == pytest.approx(expected, rel=0.1)


def test_audibility_does_not_depend_on_the_level_of_the_clip_and_passes_no_gradient():
    audibility, x, y = losses.Audibility(MELS), toot().requires_grad_(), toot(450)
    found = audibility(x, y)
    assert not found.requires_grad and found.min() >= 0 and found.max() <= 1
    torch.testing.assert_close(audibility(x - 0.5, y - 0.5), found, atol=1e-3, rtol=0)


def test_the_unit_of_the_bands_does_not_matter_to_tones():
    """A sine is about as loud in a wide mel band, which is divided by its width, as in a bin; undivided, 17 dB less."""
    time = torch.arange(8192) / RATE
    found = {}
    for hertz in (700.0, 7000.0):
        wave = torch.sin(2 * math.pi * hertz * time)[None]
        mel = losses.Audibility(MELS).power(FrontEnd()(wave)).sum(1).median()
        stft = losses.Audibility(BINS).power(Stft(1024, 256).magnitude(wave).clamp_min(1e-5).log()).sum(1).median()
        found[hertz] = 10 * float((mel / stft).log10())
    assert found[700.0] == pytest.approx(found[7000.0], abs=4)


@pytest.mark.parametrize("start", range(8, 16))  # wherever the onset lies in a coarse field
def test_a_shift_by_one_frame_costs_less_at_coarse_scales(start):
    x, late = toot(start=start), toot(start=start + 1)
    costs = [float(losses.multi_scale_error(late, x, ONES, [scale])) for scale in losses.SCALES]
    assert all(fine > 1.4 * coarse > 0 for fine, coarse in zip(costs, costs[1:], strict=False))
    assert costs[0] == pytest.approx(float((late - x).square().mean()), rel=1e-4)
    assert float(losses.multi_scale_error(late, x, ONES)) == pytest.approx(np.mean(costs), rel=1e-5)


def test_a_partial_one_band_too_high_costs_little_at_coarse_scales():
    x = with_bands(MELS, f1000=-20)
    costs = [float(losses.multi_scale_error(x.roll(1, 1), x, torch.ones(1, 4), [scale])) for scale in (1, 4)]
    assert costs[1] < 0.1 * costs[0]


def test_a_gain_costs_as_much_at_every_scale():
    for scale in (1, 3, 8):  # 3 leaves a rest of bands at the edge
        found = losses.multi_scale_error(toot() + 0.25, toot(), ONES, [scale])
        assert float(found) == pytest.approx(0.25**2, rel=1e-3)


def test_a_coarse_scale_averages_over_frames_and_bands():
    x, y, weight = noise(2, 4, 4), noise(2, 4, 4, seed=1), noise(2, 4, seed=2).abs()
    averaged = (x - y).numpy().reshape(2, 2, 2, 2, 2).mean((2, 4))
    expected = np.mean(averaged**2 * weight.numpy().reshape(2, 2, 2).mean(2)[:, None])
    assert float(losses.multi_scale_error(x, y, weight, [2])) == pytest.approx(float(expected), rel=1e-4)


def test_a_coarse_scale_sees_what_is_left_at_the_edges():
    x = torch.zeros(1, 7, 7)
    for place in ((0, 6, 2), (0, 2, 6)):
        y = x.clone()
        y[place] = 1
        assert float(losses.multi_scale_error(y, x, torch.ones(1, 7), [3])) > 0


def test_features_are_compared_layer_by_layer_and_by_the_weight_of_the_frames():
    drawn = (noise(2, 3, 5, 4), noise(2, 6, seed=1))
    target = (noise(2, 3, 5, 4, seed=2), noise(2, 6, seed=3))
    weight = noise(2, 8, seed=4).abs()
    local = np.abs((drawn[0] - target[0]).numpy()).mean((1, 2)) * weight.numpy().reshape(2, 4, 2).mean(2)
    expected = (local.mean() + np.abs((drawn[1] - target[1]).numpy()).mean()) / 2
    assert float(losses.feature_error(drawn, target, weight)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", losses.PERCEPTUAL)
def test_each_is_zero_for_equal_sounds_and_finite_for_silence_and_wild_networks(name):
    loss = perceptual(name)
    for target in (toot(), torch.full((1, 128, 48), FLOOR), torch.full((1, 128, 48), -1e3)):
        same = target.clone().requires_grad_()
        (value,) = loss(same, target, ONES).values()
        value.backward()
        assert float(value.detach()) == 0 and same.grad.isfinite().all()
        for other in (toot(600), torch.full((1, 128, 48), -1e3), 1e3 * noise(1, 128, 48)):
            x = other.clone().requires_grad_()
            (value,) = loss(x, target, ONES).values()
            value.backward()
            assert value.isfinite() and float(value.detach()) >= 0 and x.grad.isfinite().all()


@pytest.mark.parametrize("name", losses.PERCEPTUAL)
def test_following_the_gradient_of_each_leads_to_the_target(name):
    loss, target = perceptual(name), toot()
    x = (target + 0.5 * noise(1, 128, 48)).requires_grad_()
    optimizer = torch.optim.Adam([x], 0.03)
    found = []
    for _ in range(40):
        (value,) = loss(x, target, ONES).values()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        found.append(float(value.detach()))
    assert found[-1] < 0.4 * found[0]


@pytest.mark.parametrize("name", losses.PERCEPTUAL)
def test_each_looks_away_from_frames_without_weight(name):
    x = toot()
    spoiled = x.clone()
    spoiled[..., 40:] += noise(1, 128, 8)
    weight = ONES.clone()
    weight[:, 40:] = 0
    loss = perceptual(name)
    with torch.no_grad():
        (all_frames,), (without,) = (loss(spoiled, x, w).values() for w in (ONES, weight))
    assert float(all_frames) > 0
    # an embedding is of the whole clip: the layers that have no frames still see them
    assert float(without) < (1 if name == "embedding" else 0.5) * float(all_frames)


def test_the_names_that_are_asked_for_come_back():
    assert perceptual()(toot(500), toot(), ONES).keys() == set(losses.PERCEPTUAL)
    assert perceptual("audible")(toot(500), toot(), ONES).keys() == {"audible"}
    assert losses.Perceptual((), MELS)(toot(500), toot(), ONES) == {}
