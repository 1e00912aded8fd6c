"""Variants: what they are learned as fits what is measured on them, and what is drawn depends on
the place alone.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tootlearn.controls import ONSET_SAMPLES
from tootlearn.data import augmentation, synthesis
from tootlearn.data.augmenter import Augmenter
from tootlearn.data.clips import Clips, from_waves, synthesise
from tootlearn.data.config import Augmentation
from tootlearn.data.recipes import KINDS
from tootlearn.dsp import audio, measures
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError
from tootlearn.models.config import AutoencoderConfig
from tootlearn.training.config import TrainConfig
from tootlearn.training.objective import Objective
from tootlearn.training.train import build, train

FRONT_END = FrontEnd(FrontEndConfig(n_fft=512, mels=24))
RATE = 22050
NAMES = ("trumpet", "tuba")
ALL = Augmentation(
    gain=6,
    polarity=0.5,
    shift=0.005,
    pitch=100,
    tilt=3,
    room=0.3,
    stretch=0.2,
    mix=0.3,
    noise=0.1,
    time_mask=0.2,
    band_mask=0.2,
)
COLUMNS = ("kind", "pitch", "duration", "brightness", "loudness")


@pytest.fixture(scope="module")
def clips() -> Clips:
    """Trumpets and tubas as if they were recordings."""
    waves, controls = synthesis.toots(NAMES, 24, 0, 0)
    names = [NAMES[k] for k in controls.kind]
    sources = [f"{i}.wav" for i in range(24)]
    return from_waves(
        list(waves), names, controls.pitch, sources, FRONT_END, tuple(KINDS.values()), keep=True
    )


def variants(clips, seed=0, **strengths):
    return Augmenter(clips, Augmentation(**strengths), FRONT_END, seed)


def draw(made, rows=range(24), first=0):
    rows = torch.tensor(list(rows))
    return made(rows, np.arange(first, first + len(rows)))


def same(one, other):
    (a, heard_a), (b, heard_b) = one, other
    for column in COLUMNS:
        np.testing.assert_allclose(
            getattr(a.controls, column), getattr(b.controls, column), rtol=1e-6
        )
    torch.testing.assert_close(a.log_mel, b.log_mel, atol=1e-5, rtol=0)
    torch.testing.assert_close(heard_a, heard_b, atol=1e-5, rtol=0)


def test_waves_are_kept_as_they_went_into_the_log_mels(clips):
    again = FRONT_END(torch.stack(clips.waves))
    torch.testing.assert_close(again, clips.log_mel.float(), atol=0.005, rtol=0)
    picked = clips[np.array([5, 2])]
    assert picked.waves[0] is clips.waves[5] and picked.waves[1] is clips.waves[2]
    both = Clips.concatenate([synthesise(NAMES, 2, 0, FRONT_END, progress=False), picked])
    assert both.waves[:2] == (None, None) and both.waves[2] is clips.waves[5]
    with pytest.raises(ValueError, match="do not match"):
        replace(clips, waves=clips.waves[:3])


def test_a_draw_depends_on_seed_and_place_alone(clips):
    made = Augmenter(clips, ALL, FRONT_END, 3)
    whole = draw(made)
    part = made(torch.arange(9, 12), np.arange(9, 12))  # another batch, as another rank has it
    rows = np.arange(9, 12)
    same((whole[0][rows], whole[1][torch.from_numpy(rows)]), part)
    elsewhere = draw(made, first=24)
    assert not np.allclose(whole[0].controls.pitch, elsewhere[0].controls.pitch)
    twice = made(torch.tensor([4, 4]), np.array([0, 1]))[0].controls.pitch
    assert twice[0] != twice[1]  # of few clips a step sees some twice
    other = draw(Augmenter(clips, ALL, FRONT_END, 4))
    assert not np.allclose(whole[0].controls.pitch, other[0].controls.pitch)


def test_a_transformation_draws_what_it_draws_without_the_others(clips):
    alone, among = (
        draw(variants(clips, pitch=100.0))[0],
        draw(Augmenter(clips, ALL, FRONT_END, 0))[0],
    )
    np.testing.assert_array_equal(alone.controls.pitch, among.controls.pitch)


def test_controls_are_what_is_measured(clips, monkeypatch):
    """The waves before the front end, measured anew, have the controls that the variants are
    learned with.
    """
    given = []
    listen = FRONT_END.forward
    monkeypatch.setattr(FRONT_END, "forward", lambda wave: (given.append(wave), listen(wave))[1])
    made, heard = draw(
        variants(clips, gain=6.0, pitch=200.0, tilt=4.0, room=0.5, polarity=0.5, shift=0.01)
    )
    assert len(given) == 1 and heard is not None
    wave, found = given[0], measures.measure(given[0], RATE)
    assert float(wave.abs().max()) <= 0.981
    np.testing.assert_allclose(made.controls.duration, found.duration, atol=2e-3)
    np.testing.assert_allclose(made.controls.loudness, found.loudness, atol=0.02)
    pitch = torch.from_numpy(made.controls.pitch).float()
    low, high = np.array([made.kinds[k].octaves for k in made.controls.kind]).T
    octaves = measures.brightness_octaves(found.centroid, pitch).numpy()
    np.testing.assert_allclose(made.controls.brightness, (octaves - low) / (high - low), atol=0.02)
    long = made.controls.duration > 0.3
    cents = measures.cents(measures.tone_f0(wave, RATE, pitch), pitch)[torch.from_numpy(long)]
    before = measures.tone_f0(
        torch.stack(clips.waves), RATE, torch.from_numpy(clips.controls.pitch)
    )
    own = measures.cents(before, torch.from_numpy(clips.controls.pitch))[torch.from_numpy(long)]
    assert float((cents - own).abs().median()) < 2  # as far from the label as before
    moved = 1200 * np.log2(made.controls.pitch / clips.controls.pitch)
    assert (
        np.abs(moved).max() <= 200 and np.abs(moved).max() > 120 and moved.min() < 0 < moved.max()
    )
    onset = measures.onset(wave, RATE) - ONSET_SAMPLES / RATE
    assert float(onset.abs().max()) < 0.015 and float(onset.std()) > 0.003


def test_a_stretched_toot_keeps_all_but_its_duration_and_its_frames_follow(clips):
    made, _ = draw(variants(clips, stretch=0.3))
    factor = made.controls.duration / clips.controls.duration
    assert (
        factor.min() < 0.9
        and factor.max() > 1.1
        and factor.max() <= 1.3001
        and factor.min() >= 1 / 1.3001
    )
    assert made.controls.duration.max() <= (45056 - ONSET_SAMPLES) / RATE + 1e-6
    for column in ("pitch", "loudness"):
        np.testing.assert_allclose(
            getattr(made.controls, column), getattr(clips.controls, column), atol=0.01
        )

    def sounding(log_mel):  # frames no 40 dB below the loudest
        level = log_mel.float().logsumexp(1)
        return (level > level.amax(1, keepdim=True) - 4.6).sum(1)

    found = sounding(made.log_mel) / sounding(clips.log_mel)
    long = clips.controls.duration > 0.5
    assert np.abs(found.numpy() / factor - 1)[long].max() < 0.06


def test_the_bend_goes_with_the_toot(clips):
    bend = torch.arange(44.0).expand(24, 44).contiguous()
    made, _ = draw(variants(replace(clips, bend=bend), stretch=0.3))
    factor = torch.from_numpy(made.controls.duration / clips.controls.duration).float()
    onset = (ONSET_SAMPLES / 256 + 0.5) / 4 - 0.5
    expected = onset + (20 - onset) / factor
    torch.testing.assert_close(
        made.bend[:, 20], expected.where(expected <= 43, torch.nan), equal_nan=True
    )


def test_noise_and_masks_are_heard_and_not_learned(clips):
    for strengths in ({"noise": 0.1}, {"time_mask": 0.3}, {"band_mask": 0.3}):
        made, heard = draw(variants(clips, **strengths))
        assert float((made.log_mel - clips.log_mel.float()).abs().max()) < 0.005
        assert float((heard - made.log_mel).abs().mean()) > 0.02
        for column in COLUMNS:
            np.testing.assert_allclose(
                getattr(made.controls, column), getattr(clips.controls, column), atol=1e-4
            )


def test_a_mix_has_a_partner_of_its_kind_and_pitch(clips):
    """Of two trumpets of one pitch each takes some of the other's log-mel; a toot without a partner
    stays as it is.
    """
    asked = (("trumpet", 400.0, 0.5, -18), ("trumpet", 410.0, 0.6, -24), ("tuba", 100.0, 0.5, -18))
    waves = [
        torch.from_numpy(synthesis.render(kind, f0, long, 0.5, level, 1))
        for kind, f0, long, level in asked
    ]
    names, pitches = [name for name, *_ in asked], np.array([hertz for _, hertz, *_ in asked])
    three = from_waves(
        waves, names, pitches, ["a", "b", "c"], FRONT_END, tuple(KINDS.values()), keep=True
    )
    mixed, _ = draw(variants(three, mix=0.5), range(3))
    np.testing.assert_allclose(mixed.controls.pitch, pitches)
    moved = (mixed.log_mel - three.log_mel.float()).abs().mean((1, 2))
    assert float(moved[:2].min()) > 0.02 and float(moved[2]) < 0.005
    quieter = (three.controls.loudness - mixed.controls.loudness)[:2]
    assert 0 < quieter[0] < 3 and -3 < quieter[1] < 0  # dB: half of the way at most
    repeated, _ = draw(variants(three, mix=0.5), [2, 2, 2])  # of few clips a step sees some twice
    assert float((repeated.log_mel - three.log_mel[2].float()).abs().max()) < 0.005


def test_strengths_are_how_far_it_goes(clips):
    """Most of each range is used, and no more: dB of the gain, and what a tilt does to the
    brightness.
    """
    louder = draw(variants(clips, gain=6.0))[0].controls.loudness - clips.controls.loudness
    # up it may be held by the peak
    assert -6.01 <= louder.min() < -3 and louder.max() <= 6.01 and louder.std() > 1.5
    tilted = draw(variants(clips, tilt=6.0))[0].controls.brightness - clips.controls.brightness
    less = draw(variants(clips, tilt=1.0))[0].controls.brightness - clips.controls.brightness
    assert (
        np.abs(tilted).mean() > 3 * np.abs(less).mean() > 0.01 and tilted.min() < 0 < tilted.max()
    )


def test_noise_has_the_snr_that_was_asked_for_all_over_the_window(clips, monkeypatch):
    """.1 of the toot's RMS is 20 dB below its loudness, and at most 30 dB more; also behind a
    shortened toot.
    """
    given, add_noise = [], augmentation.add_noise
    monkeypatch.setattr(
        augmentation, "add_noise", lambda *them: (given.append(add_noise(*them)), given[-1])[1]
    )
    made, heard = draw(variants(clips, noise=0.1, stretch=0.3))
    (noise,) = given
    snr = made.controls.loudness - 20 * noise.square().mean(1).sqrt().log10().numpy()
    assert 19.9 < snr.min() < 25 and 45 < snr.max() < 50.1
    short = made.controls.duration < 1.2
    torch.testing.assert_close(
        heard[short, :, -4:], FRONT_END(noise)[short, :, -4:], atol=0.02, rtol=0
    )
    assert float((heard - made.log_mel).min()) >= -1e-5


def test_synthetic_clips_pass_as_they_are_and_alone_are_refused(clips):
    played = synthesise(NAMES, 4, 0, FRONT_END, progress=False)
    both = Clips.concatenate([played, clips])
    made, heard = draw(Augmenter(both, ALL, FRONT_END, 0), range(8))
    assert torch.equal(made.log_mel[:4], played.log_mel.float()) and torch.equal(
        heard[:4], played.log_mel.float()
    )
    np.testing.assert_array_equal(made.controls[:4].duration, played.controls.duration)
    torch.testing.assert_close(made.bend[:4], played.bend)
    assert not torch.allclose(made.log_mel[4:], clips.log_mel[:4].float())
    only, same_ = draw(Augmenter(both, ALL, FRONT_END, 0), range(4))
    assert torch.equal(only.log_mel, played.log_mel.float()) and torch.equal(same_, only.log_mel)
    with pytest.raises(InputError, match="for recordings, and there are none"):
        Augmenter(played, ALL, FRONT_END, 0)


def test_rooms_of_ones_own_are_heard(clips, tmp_path):
    impulse = torch.zeros(8000)
    impulse[0], impulse[6000] = 0.7, 0.7  # an echo after .27 s
    audio.save_audio(tmp_path / "echo.wav", impulse, RATE)
    made, _ = draw(variants(clips, room=1.0, rooms=(str(tmp_path / "echo.wav"),)))
    longer = made.controls.duration - clips.controls.duration
    fits = clips.controls.duration < 1.5
    echo = 6000 / RATE
    # an echo that is less loud than the sound passes the threshold of its end a little earlier
    assert np.median(longer[fits]) == pytest.approx(echo, abs=0.03)
    assert longer[fits].min() > 0.05 and longer[fits].max() < echo + 0.001


def test_training_with_augmentation_resumes_to_the_bit_and_holds_out_the_originals(clips, tmp_path):
    config = TrainConfig(
        generator=None,
        autoencoder=AutoencoderConfig(latent=4),
        front_end=FRONT_END.config,
        kinds=NAMES,
        clips=0,
        data=("recordings",),
        augmentation=ALL,
        steps=4,
        batch=8,
        check_every=2,
    )
    whole = train(config, clips, tmp_path / "whole", progress=False)

    class Unplugged(Exception):
        pass

    def stop(self, batch, step, forward=Objective.forward):
        if step == 3:
            raise Unplugged
        encoder_input = batch.encoder_input
        assert encoder_input is not batch.log_mel
        assert not torch.equal(encoder_input, batch.log_mel)
        return forward(self, batch, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objective, "forward", stop)
        with pytest.raises(Unplugged):
            train(config, clips, tmp_path / "again", progress=False)
    again = train(config, clips, tmp_path / "again", resume=True, progress=False)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    plain = train(
        replace(config, augmentation=Augmentation()), clips, tmp_path / "plain", progress=False
    )
    differ = [not torch.equal(v, plain.state_dict()[k]) for k, v in whole.state_dict().items()]
    assert any(differ)


def test_principal_components_are_found_from_variants_too(clips, monkeypatch):
    """A held-out pitch is nearer to the components of many pitches than to those of few."""
    made = variants(clips, pitch=300.0, stretch=0.3)
    seen = made.with_originals()
    assert seen.shape == (9 * 24, 24, 176) and torch.equal(seen[:24], clips.log_mel)
    assert len({x.sum().item() for x in seen[24:].float()}) == 8 * 24
    monkeypatch.setattr("tootlearn.data.augmenter.MOST", 30)
    assert torch.equal(made.with_originals(), seen[:30])
    other, controls = synthesis.toots(NAMES, 8, 1, 0)
    held_out = FRONT_END(other)
    config = TrainConfig(
        generator=None,
        autoencoder=AutoencoderConfig(latent=16, linear=True),
        front_end=FRONT_END.config,
        clips=0,
        data=("recordings",),
    )
    monkeypatch.undo()

    def error(augmentation):
        model = build(replace(config, augmentation=augmentation), clips)
        x = model.normalizer(held_out)
        path = model.autoencoder.linear
        return float((path.decode(path.encode(x)) - x).square().mean())

    assert error(Augmentation(pitch=300.0, stretch=0.3)) < 0.95 * error(Augmentation())


def test_augmentation_without_data_is_refused():
    with pytest.raises(InputError, match="augmentation is for recordings"):
        TrainConfig(augmentation=Augmentation(gain=6.0))
