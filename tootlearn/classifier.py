"""A small network that names the kind of a toot, and whose last layer but one says how far toots are apart.

It is a judge, not a part of the generator: trained on its own, on toots in all sorts of noise, rooms and microphones,
so that what it knows of a kind holds for recordings too. What does not make a kind is kept from it: loudness (each clip
is seen relative to its own peak, so far down that the front end's floor is hidden), and where in the window the toot
stands (convolutions, and statistics over the frames that sound).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from tootlearn import rng, schedule
from tootlearn.audio import InputError
from tootlearn.data.clips import Clips, synthesise
from tootlearn.data.recipes import KINDS
from tootlearn.data.synthesis import SAMPLE_RATE
from tootlearn.front_end import FrontEnd, FrontEndConfig

RANGE = 6.0  # nats: what lies further below the peak of its clip (52 dB) is silence
_SOUNDING = 3.5  # nats: frames whose loudest band is less than this below the peak (30 dB) count
_ENVELOPES = (1, 5, 9, 17)  # widths of the envelopes, in pairs of bands; 1 is what is shown itself
_CURVE = 6  # cosines that a smooth curve over the bands is made of
_SWAY = 8  # and one over the frames
CHANCES = 10 + 2 * _CURVE + _SWAY  # random numbers that `augmented` takes for a clip
_TEXTURE = 2048  # frames of noise that the noise of every clip is cut from
_ROWS, _CHANCES, _TEXTURES = 31, 32, 33  # streams of random numbers
LISTENER_CLIPS, LISTENER_SEED = 2400, 7000  # what `listener` is trained on


@dataclass(frozen=True)
class ClassifierConfig:
    """How a classifier is trained.

    Args:
        steps: of the optimiser.
        batch: clips a step.
        learning_rate: the highest; a cosine brings it to zero after a linear start over a tenth of the steps.
        width: channels of the first convolution; the later ones have four times as many.
        embedding: E, numbers of the embedding.
        dropout: share of the embedding's numbers that a step does without.
        smoothing: of the labels, so that it does not grow too sure (Szegedy et al. 2016).
        augmentation: 0 trains on the clips as they are, 1 on clips as recordings may sound: see `augmented`.
        seed: of initial weights, batches and augmentation.

    Raises:
        InputError: values that are not allowed; the message says what is.
    """

    steps: int = 700
    batch: int = 48
    learning_rate: float = 3e-3
    width: int = 8
    embedding: int = 64
    dropout: float = 0.1
    smoothing: float = 0.05
    augmentation: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 2), ("width", 1), ("embedding", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {least} or more, not {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate is a positive number, not {self.learning_rate}")
        if not 0 <= self.augmentation < math.inf:
            raise InputError(f"augmentation is 0 or more, not {self.augmentation}")
        for name in ("dropout", "smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is 0 or more and below 1, not {getattr(self, name)}")
        if not 0 <= self.seed <= rng.MAX_SEED:
            raise InputError(f"seed is 0 to {rng.MAX_SEED}, not {self.seed}")


def _block(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv1d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm1d(outputs), nn.ReLU())


class Classifier(nn.Module):
    """Log-mel (B, M, T) -> logits (B, K) of the kinds.

    A convolution over bands and frames; mean and spread over the sounding frames of what it shows in each band, and the
    mean spectrum; their envelopes, as the largest within some bands; and three convolutions over the bands. Envelopes
    show resonances whatever the pitch.

    Args:
        front_end: what the log-mels are made with.
        kinds: K names, in the order of the logits.
        config: its size.
    """

    def __init__(self, front_end: FrontEndConfig, kinds: tuple[str, ...], config: ClassifierConfig) -> None:
        super().__init__()
        self.front_end, self.kinds = front_end, kinds
        w = config.width
        glance = nn.Conv2d(1, w, (5, 7), 2, padding=(2, 3), bias=False)
        self.look = nn.Sequential(glance, nn.BatchNorm2d(w), nn.ReLU())
        seen = len(_ENVELOPES) * (2 * w + 1)
        self.body = nn.Sequential(_block(seen, 4 * w, 5, 1), _block(4 * w, 4 * w, 5, 2), _block(4 * w, 4 * w, 5, 2))
        self.squeeze = nn.Linear(4 * w * -(-front_end.mels // 8), config.embedding)
        self.norm = nn.BatchNorm1d(config.embedding)
        self.dropout = nn.Dropout(config.dropout)
        self.name = nn.Linear(config.embedding, len(kinds))

    def forward(self, log_mel: Tensor) -> Tensor:
        logits: Tensor = self.name(self.dropout(self.embed(log_mel)))
        return logits

    def embed(self, log_mel: Tensor) -> Tensor:
        """Log-mel (B, M, T) -> embedding (B, E); differentiable. Its Euclidean distances are those to compare by."""
        return self.features(log_mel)[-1]

    def features(self, log_mel: Tensor) -> tuple[Tensor, ...]:
        """What each layer makes of log-mels (B, M, T), for `perceptual.feature_error`; differentiable.

        Returns:
            The first convolution's (B, C, M / 2, T / 2); those over the bands (B, 4 C, M / 2), (B, 4 C, M / 4) and
            (B, 4 C, M / 8), sizes rounded up; the embedding (B, E).
        """
        x = relative(log_mel)
        above = (x.amax(1) - (1 - _SOUNDING / RANGE)).clamp_min(0)  # (B, T)
        weight = F.max_pool1d(above, 2, ceil_mode=True)[:, None, None]
        weight = weight / weight.sum(3, keepdim=True)  # (B, 1, 1, T / 2)
        h = self.look(x[:, None])  # (B, C, M / 2, T / 2)
        mean = (h * weight).sum(3)
        spread = ((h - mean[..., None]).square() * weight).sum(3).add(1e-5).sqrt()
        spectrum = F.avg_pool1d((x[:, None, :, ::2] * weight).sum(3), 2, ceil_mode=True)
        shown = torch.cat([mean, spread, spectrum], 1)  # (B, 2 C + 1, M / 2)
        envelopes = torch.cat([F.max_pool1d(shown, width, 1, width // 2) for width in _ENVELOPES], 1)
        layers = [h]
        for block in self.body:
            envelopes = block(envelopes)
            layers.append(envelopes)
        return *layers, self.norm(self.squeeze(envelopes.flatten(1)))

    @torch.inference_mode()
    def names(self, log_mel: Tensor) -> list[str]:
        """The most likely kind of each clip of log-mels (B, M, T), of any float type and any B."""
        return [self.kinds[i] for part in log_mel.split(64) for i in self(part.float()).argmax(1).tolist()]

    @torch.inference_mode()
    def embeddings(self, log_mel: Tensor) -> Tensor:
        """The embeddings (B, E) of log-mels (B, M, T), of any float type and any B."""
        return torch.cat([self.embed(part.float()) for part in log_mel.split(64)])


def relative(log_mel: Tensor) -> Tensor:
    """Log-mel (B, M, T) -> how far above silence: 1 at the clip's peak, 0 for `RANGE` and more below it.

    Silence is at its peak everywhere.
    """
    peak = log_mel.amax((1, 2), keepdim=True)
    return ((log_mel - peak) / RANGE + 1).clamp_min(0)


def train(
    clips: Clips,
    config: ClassifierConfig | None = None,
    front_end: FrontEndConfig | None = None,
    progress: bool = False,
) -> Classifier:
    """Train a classifier on all of these clips, to name their kinds.

    Args:
        clips: of two kinds or more, made with ``front_end``.
        config: how.
        front_end: what the clips were made with; None for the default.
        progress: show a bar on stderr.

    Returns:
        The classifier, in evaluation mode. The same clips and config give the same one, to the bit, on one machine and
        thread count; torch's global random state stays as it was.

    Raises:
        InputError: if there are too few kinds or clips, or they are of another front end.
    """
    config, front_end = config or ClassifierConfig(), front_end or FrontEndConfig()
    if len(clips.kinds) < 2 or len(clips) < config.batch:
        given = f"{len(clips)} clips of {len(clips.kinds)} kinds"
        raise InputError(f"{given} are too few: give {config.batch} or more, of 2 kinds or more")
    if clips.log_mel.shape[1] != front_end.mels:
        raise InputError(f"the clips have {clips.log_mel.shape[1]} bands, the front end {front_end.mels}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = Classifier(front_end, tuple(kind.name for kind in clips.kinds), config).train()
        optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=0.02)
        labels, texture = torch.from_numpy(clips.controls.kind), noise_texture(front_end, config.seed)
        hidden, warmup = None if progress else True, max(1, config.steps // 10)
        for step in tqdm(range(config.steps), desc="classifier", leave=False, disable=hidden):
            for group in optimizer.param_groups:
                group["lr"] = schedule.learning_rate(config.learning_rate, step, config.steps, warmup)
            rows = _rows(config, step, len(clips))
            x = clips.log_mel[rows].float()
            if config.augmentation:
                chances = rng.uniform(config.seed, _CHANCES + (step << 8), len(x) * CHANCES).reshape(len(x), CHANCES)
                x = augmented(x, torch.from_numpy(chances).float(), texture, config.augmentation)
            loss = F.cross_entropy(model(x), labels[rows], label_smoothing=config.smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return model.eval()


def listener(
    front_end: FrontEndConfig,
    config: ClassifierConfig | None = None,
    clips: int = LISTENER_CLIPS,
    seed: int = LISTENER_SEED,
    progress: bool = False,
) -> Classifier:
    """The classifier whose features the embedding loss compares: of all kinds that there are recipes for.

    It is trained once a process, which takes up to a minute, on synthetic toots that are the same every time. So there
    is one for any front end, and whatever the model is trained on, be it recordings of a single kind.

    Args:
        front_end: of the log-mels that it shall listen to.
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
            f"the embedding loss listens to synthetic toots at {SAMPLE_RATE} Hz, and this front end works at "
            f"{front_end.sample_rate} Hz: train without it"
        )
    return _listener(front_end, config, clips, seed, progress)


@functools.cache  # the trials of a search and the sizes of a throughput finder share one
def _listener(
    front_end: FrontEndConfig, config: ClassifierConfig | None, clips: int, seed: int, progress: bool
) -> Classifier:
    toots = synthesise(tuple(KINDS), clips, seed, FrontEnd(front_end), progress)
    return train(toots, config, front_end, progress).requires_grad_(False)


def _rows(config: ClassifierConfig, step: int, count: int) -> Tensor:
    """Which clips a step sees: (batch,) indices below ``count``, drawn with replacement."""
    return torch.from_numpy((rng.uniform(config.seed, _ROWS + (step << 8), config.batch) * count).astype(np.int64))


def noise_texture(front_end: FrontEndConfig, seed: int) -> Tensor:
    """How the log-mel of white noise strays from its mean in each band: (M, 2048)."""
    wave = torch.from_numpy(rng.normal(seed, _TEXTURES, _TEXTURE * front_end.hop)).float()
    texture: Tensor = FrontEnd(front_end)(0.1 * wave)
    return texture - texture.mean(1, keepdim=True)


def augmented(log_mel: Tensor, chances: Tensor, texture: Tensor, strength: float = 1.0) -> Tensor:
    """Clips as recordings of them may sound: another microphone and room, noise, cut short, a little later or higher.

    They are taken to begin with their toot, as `Clips` do: it is never cut away altogether.

    Args:
        log_mel: (B, M, T).
        chances: (B, CHANCES) uniform random numbers in (0, 1).
        texture: of noise, see `noise_texture`.
        strength: 1 for tilts of up to 6 dB an octave or so and noise from 0 to 60 dB below the peak; 0 changes nothing.

    Returns:
        (B, M, T), relative to the peak of each.
    """
    bands, frames = log_mel.shape[1:]
    named, curves = chances[:, :10], 2 * chances[:, 10:] - 1
    later, cut, cut_at, tilt, snr, colour, place, reverb, decay, higher = named.T[..., None]  # (B, 1) each
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
    sway = 0.3 * curves[:, 2 * _CURVE :] @ torch.cos(math.pi * torch.arange(1, _SWAY + 1)[:, None] * time / frames)
    start = (place[:, 0] * (texture.shape[1] - frames)).long()
    fluctuation = torch.stack([texture[:, s : s + frames] for s in start.tolist()])
    level = spectrum - spectrum.amax(1, keepdim=True) - 6.9 * snr / max(strength, 1e-3)
    noise = (2 * (level[..., None] + sway[:, None] + fluctuation)).exp()
    noisy: Tensor = (power + noise).log() / 2
    return noisy


def _shifted(log_mel: Tensor, later: Tensor, higher: Tensor) -> Tensor:
    """Clips (B, M, T) moved by frames (B, 1), rounded, and by bands (B, 1); where nothing comes in it is quiet."""
    bands, frames = log_mel.shape[1:]
    silence = log_mel.amin((1, 2), keepdim=True)
    source = torch.arange(frames) - later.round().long()  # (B, T)
    moved = log_mel.gather(2, source.clamp(0, frames - 1)[:, None].expand_as(log_mel))
    moved = torch.where(((source >= 0) & (source < frames))[:, None], moved, silence)
    place = (torch.arange(bands) - higher).clamp(0, bands - 1.001)  # (B, M)
    low = place.floor().long()
    index = low[..., None].expand_as(moved)
    return torch.lerp(moved.gather(1, index), moved.gather(1, index + 1), (place - low)[..., None])
