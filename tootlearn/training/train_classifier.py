"""Training of the classifier of kinds."""

from __future__ import annotations

import functools
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tootlearn import rng
from tootlearn.data.clips import Clips, synthesise
from tootlearn.data.recipes import KINDS
from tootlearn.data.synthesis import SAMPLE_RATE
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError
from tootlearn.models.classifier import Classifier
from tootlearn.models.config import ClassifierConfig
from tootlearn.training import loop
from tootlearn.training.compute import one_process

_CURVE = 6  # cosines that a smooth curve over the bands is made of
_SWAY = 8  # and one over the frames
CHANCES = 10 + 2 * _CURVE + _SWAY  # random numbers that `augmented` takes for a clip
_TEXTURE = 2048  # frames of noise that the noise of every clip is cut from
LISTENER_CLIPS, LISTENER_SEED = 2400, 7000  # what `listener` is trained on


class ClassifierObjective(nn.Module):
    """The cross-entropy of a classifier, with smoothed labels.

    Args:
        model: the classifier.
        smoothing: of the labels.
    """

    def __init__(self, model: Classifier, smoothing: float) -> None:
        super().__init__()
        self.model, self.smoothing = model, smoothing

    def networks(self) -> list[nn.Module]:
        return [self.model]

    def forward(self, batch: tuple[Tensor, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of log-mels (B, M, T) and their kinds (B,), which is its only term."""
        log_mel, kind = batch
        loss = F.cross_entropy(self.model(log_mel), kind, label_smoothing=self.smoothing)
        return loss, {"loss": loss}


def train_classifier(
    clips: Clips,
    config: ClassifierConfig | None = None,
    front_end: FrontEndConfig | None = None,
    progress: bool = False,
    out: Path | None = None,
    resume: bool = False,
    held_out: Clips | None = None,
    on_check: loop.OnCheck | None = None,
) -> Classifier:
    """Train a classifier on all of these clips, to name their kinds.

    Args:
        clips: of two kinds or more, made with ``front_end``.
        config: how.
        front_end: what the clips were made with; None for the default.
        progress: show a bar on stderr.
        out: the folder of the run, for its log and checkpoint; None keeps nothing.
        resume: go on from the checkpoint in ``out``.
        held_out: other clips, on which the share of wrong names is logged.
        on_check: see `loop.fit`.

    Returns:
        The classifier, in evaluation mode. The same clips and config give the same one, to the bit,
        on one machine and thread count; torch's global random state stays as it was.

    Raises:
        InputError: if there are too few kinds or clips, they are of another front end, or ``out``
        holds a run. loop.Diverged, loop.Stopped: see `loop.fit`.
    """
    config, front_end = config or ClassifierConfig(), front_end or FrontEndConfig()
    if len(clips.kinds) < 2 or len(clips) < config.batch:
        given = f"{len(clips)} clips of {len(clips.kinds)} kinds"
        raise InputError(f"{given} are too few: give {config.batch} or more, of 2 kinds or more")
    if clips.log_mel.shape[1] != front_end.mels:
        raise InputError(
            f"the clips have {clips.log_mel.shape[1]} bands, the front end {front_end.mels}"
        )
    if (held_out or on_check) and not out:
        raise InputError("held-out clips are for the log of a run: give out, its folder")
    if out:
        loop.check_run(out, resume)
        out.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = Classifier(front_end, tuple(kind.name for kind in clips.kinds), config).train()
    labels = torch.from_numpy(clips.controls.kind)
    texture = noise_texture(front_end, config.seed)

    def load(step: int) -> list[loop.Part]:
        rows = _rows(config.seed, step, config.batch, len(clips))
        x = clips.log_mel[rows].float()
        if config.augmentation:
            stream = rng.at_step(rng.Stream.CLASSIFIER_AUGMENTATION, step)
            chances = rng.uniform(config.seed, stream, len(x) * CHANCES).reshape(len(x), CHANCES)
            x = augmented(x, torch.from_numpy(chances).float(), texture, config.augmentation)
        return [loop.Part((x, labels[rows]))]

    loop.fit(
        ClassifierObjective(model, config.smoothing),
        load,
        lambda: _share_wrong(model, held_out) if held_out else {},
        loop.Optimisation(
            config.steps,
            config.learning_rate,
            warmup=max(1, config.steps // 10),
            weight_decay=0.02,
            betas=(0.9, 0.999),
            clip=math.inf,
            check_every=max(1, config.steps // 10),
            seed=config.seed,
        ),
        one_process(),
        out=out,
        identity=asdict(config) | {"front_end": asdict(front_end), "kinds": list(model.kinds)},
        resume=resume,
        on_check=on_check,
        progress=progress,
        name="classifier",
    )
    return model.eval()


def _share_wrong(model: Classifier, clips: Clips) -> dict[str, float]:
    """The share of clips that are given a wrong name."""
    model.eval()
    names = model.names(clips.log_mel)
    model.train()
    kinds = [clips.kinds[k].name for k in clips.controls.kind]
    wrong = sum(name != kind for name, kind in zip(names, kinds, strict=True))
    return {"wrong": round(wrong / len(kinds), 4)}


def listener(
    front_end: FrontEndConfig,
    config: ClassifierConfig | None = None,
    clips: int = LISTENER_CLIPS,
    seed: int = LISTENER_SEED,
    progress: bool = False,
) -> Classifier:
    """The classifier whose features the embedding loss compares: of all kinds that there are
    recipes for.

    It is trained once a process, which takes up to a minute, on synthetic toots that are the same
    every time. So there is one for any front end, and whatever the model is trained on, be it
    recordings of a single kind.

    Args:
        front_end: of the log-mels that it listens to.
        config: how it is trained.
        clips: how many toots it is trained on.
        seed: of these toots.
        progress: show bars on stderr.

    Returns:
        The classifier, in evaluation mode; its weights want no gradient.

    Raises:
        InputError: if the synthesiser has no toots for this front end.
    """
    if front_end.sample_rate != SAMPLE_RATE:
        raise InputError(
            f"the embedding loss listens to synthetic toots at {SAMPLE_RATE} Hz, and this front "
            "end works at "
            f"{front_end.sample_rate} Hz: train without it"
        )
    return _listener(front_end, config, clips, seed, progress)


@functools.cache  # the trials of a search and the sizes of a throughput finder share one
def _listener(
    front_end: FrontEndConfig,
    config: ClassifierConfig | None,
    clips: int,
    seed: int,
    progress: bool,
) -> Classifier:
    toots = synthesise(tuple(KINDS), clips, seed, FrontEnd(front_end), progress)
    return train_classifier(toots, config, front_end, progress).requires_grad_(False)


def _rows(seed: int, step: int, batch: int, count: int) -> Tensor:
    """Which clips a step sees: (batch,) indices below ``count``, drawn with replacement."""
    chance = rng.uniform(seed, rng.at_step(rng.Stream.CLASSIFIER_ROWS, step), batch)
    return torch.from_numpy((chance * count).astype(np.int64))


def noise_texture(front_end: FrontEndConfig, seed: int) -> Tensor:
    """How the log-mel of white noise strays from its mean in each band: (M, 2048)."""
    wave = torch.from_numpy(
        rng.normal(seed, rng.Stream.CLASSIFIER_TEXTURE, _TEXTURE * front_end.hop)
    ).float()
    texture: Tensor = FrontEnd(front_end)(0.1 * wave)
    return texture - texture.mean(1, keepdim=True)


def augmented(log_mel: Tensor, chances: Tensor, texture: Tensor, strength: float = 1.0) -> Tensor:
    """Clips as recordings of them may sound: another microphone and room, noise, cut short, a
    little later or higher.

    They are taken to begin with their toot, as `Clips` do: it is never cut away altogether.

    Args:
        log_mel: (B, M, T).
        chances: (B, CHANCES) uniform random numbers in (0, 1).
        texture: of noise, see `noise_texture`.
        strength: 1 for tilts of up to 6 dB an octave or so and noise from 0 to 60 dB below the
            peak; 0 changes nothing.

    Returns:
        (B, M, T), relative to the peak of each.
    """
    bands, frames = log_mel.shape[1:]
    named, curves = chances[:, :10], 2 * chances[:, 10:] - 1
    # (B, 1) each
    later, cut, cut_at, tilt, snr, colour, place, reverb, decay, higher = named.T[..., None]
    x = _shifted(log_mel, strength * (8 * later - 2), strength * 2 * (2 * higher - 1))
    time, band = torch.arange(frames), torch.linspace(0, 1, bands)
    # a microphone: a tilt and a smooth curve over the bands
    cosines = torch.cos(math.pi * torch.arange(1, _CURVE + 1)[:, None] * band)  # (_CURVE, M)
    response = strength * (2.5 * (2 * tilt - 1) * (band - 0.5) + 0.5 * curves[:, :_CURVE] @ cosines)
    x = x + response[..., None]
    power = (2 * (x - x.amax((1, 2), keepdim=True))).exp()
    # some end early
    end = torch.where(cut < 0.3 * strength, 12 + cut_at * (frames - 12), frames)
    power = power * (time < end)[:, None]
    # a room: what was falls by a factor of e in 3 to 17 frames, and is some share of what is
    rate = 1 / (3 + 14 * decay)
    fall = (-rate * time)[:, None]
    share = strength * rate * (0.3 * reverb.square())
    power = power + share[..., None] * fall.exp() * (power * (-fall).exp()).cumsum(2)
    # noise: of some colour, with a smooth curve of its own, swaying slowly
    spectrum = (1 - 6 * colour) * (band - 0.5) + 0.7 * curves[:, _CURVE : 2 * _CURVE] @ cosines
    sway = (
        0.3
        * curves[:, 2 * _CURVE :]
        @ torch.cos(math.pi * torch.arange(1, _SWAY + 1)[:, None] * time / frames)
    )
    start = (place[:, 0] * (texture.shape[1] - frames)).long()
    fluctuation = torch.stack([texture[:, s : s + frames] for s in start.tolist()])
    level = spectrum - spectrum.amax(1, keepdim=True) - 6.9 * snr / max(strength, 1e-3)
    noise = (2 * (level[..., None] + sway[:, None] + fluctuation)).exp()
    noisy: Tensor = (power + noise).log() / 2
    return noisy


def _shifted(log_mel: Tensor, later: Tensor, higher: Tensor) -> Tensor:
    """Clips (B, M, T) moved by frames (B, 1), rounded, and by bands (B, 1); where nothing comes in
    it is quiet.
    """
    bands, frames = log_mel.shape[1:]
    silence = log_mel.amin((1, 2), keepdim=True)
    source = torch.arange(frames) - later.round().long()  # (B, T)
    moved = log_mel.gather(2, source.clamp(0, frames - 1)[:, None].expand_as(log_mel))
    moved = torch.where(((source >= 0) & (source < frames))[:, None], moved, silence)
    place = (torch.arange(bands) - higher).clamp(0, bands - 1.001)  # (B, M)
    low = place.floor().long()
    index = low[..., None].expand_as(moved)
    return torch.lerp(moved.gather(1, index), moved.gather(1, index + 1), (place - low)[..., None])
