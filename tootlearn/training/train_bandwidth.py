"""Training of the bandwidth extension: from sounds at 44,100 Hz to `bandwidth.safetensors`.

It learns from the notes of all instruments of a sound font, played without the synthesiser's low
pass, from synthetic toots at twice their speed, and from recordings if there are any. Each sound is
heard as it is and with other slopes of its spectrum and other noise. What the network reads is what
is left of it at 22,050 Hz; what it is compared with are the bands above, their levels and how
periodic they are.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from tootlearn import rng
from tootlearn.data import sounds
from tootlearn.data.sounds import Sounds
from tootlearn.models import model_file
from tootlearn.models.bandwidth import CENTRES, HEARD, Bandwidth, HighBand, tone_share
from tootlearn.training import loop
from tootlearn.training.batches import shares
from tootlearn.training.compute import launch
from tootlearn.training.config import BandwidthTrainConfig, Compute
from tootlearn.training.provenance import describe_sounds, licence, provenance

_AT_ONCE = 64  # sounds whose features are made together
# nats: by what a band falls below the last but one where the recording ends, not the sound
_WALL = 2.0
# nats: a frame so far below the loudest of its band counts half, one further below next to nothing
_LEAST = 5.0
_CLEAREST = 0.005  # share of noise below which a tone is as good as clean
_UNSURE = 0.05  # of shares of tone
RESULT = "bandwidth.safetensors"


@dataclass(frozen=True)
class Features:
    """What the network reads, and what it should say with the weights of it."""

    log_mel: Tensor  # (B, M, T)
    tone: Tensor  # (B, 3, T), share of tone below
    levels: Tensor  # (B, H, T)
    moved: Tensor  # (B, H, T)
    weight: Tensor  # (B, H, T)

    def piece(self, seed: int, step: int, batch: int, frames: int) -> Piece:
        """So many frames of so many sounds, a function of the seed and the step."""
        count, _, length = self.log_mel.shape
        span = min(frames, length)
        chance = rng.uniform(seed, rng.at_step(rng.Stream.BANDWIDTH_PIECE, step), batch + 1)
        rows = torch.from_numpy((chance[:-1] * count).astype(int))
        first = int(chance[-1] * (length - span + 1))
        cut = slice(first, first + span)
        peak = self.log_mel[rows].amax((1, 2), keepdim=True)
        return Piece(Features(*(x[rows, :, cut] for x in vars(self).values())), peak)


@dataclass(frozen=True)
class Piece:
    """Some frames of some sounds."""

    features: Features
    peak: Tensor  # (B, 1, 1): of the whole sounds' log-mels

    def rows(self, start: int, stop: int, device: torch.device) -> Piece:
        """Some of the sounds, on the device."""
        columns = (x[start:stop].to(device) for x in vars(self.features).values())
        return Piece(Features(*columns), self.peak[start:stop].to(device))


def bandwidth_sounds(
    config: BandwidthTrainConfig, problems: list[str] | None = None, progress: bool = True
) -> Sounds:
    """All sounds that a config asks for, at 44,100 Hz: see `data.sounds.collect_sounds`."""
    rate = config.bandwidth.front_end.sample_rate
    parts = []
    if config.synthetic:
        parts.append(
            sounds.collect_sounds(rate, config.synthetic, seed=config.seed, progress=progress)
        )
    if config.sampled or config.data:
        others = config.sampled, config.font, config.data, config.seed, problems, progress
        parts.append(sounds.collect_sounds(2 * rate, 0, *others, bright=True))
    return Sounds(
        torch.cat([part.waves for part in parts]), torch.cat([part.held_out for part in parts])
    )


@torch.no_grad()
def features(
    model: Bandwidth, waves: Tensor, versions: int, seed: int, progress: bool = False
) -> Features:
    """Of waves (B, N) at 44,100 Hz, int16: as they are, then other versions of them, B x versions
    in all.
    """
    parts = []
    generator = torch.Generator().manual_seed(seed)
    chunks = [chunk for _ in range(versions) for chunk in waves.split(_AT_ONCE)]
    plain = len(chunks) // versions
    hidden = None if progress else True
    for i, chunk in enumerate(tqdm(chunks, desc="features", disable=hidden, leave=False)):
        wave = chunk.float() / 32767
        # (B, H): before noise hides where a recording ends
        there = bands_present(model.levels(model.stft(wave)))
        wave = wave if i < plain else varied(wave, model.rate, generator)
        wave = wave / wave.abs().amax(1, keepdim=True)
        low = halved(wave)
        log_mel = model.front_end(low)
        levels = model.levels(model.stft(wave)[..., : log_mel.shape[2]])
        below = levels.amax(2, keepdim=True) - levels
        weight = there[..., None] * (_LEAST - below).sigmoid()
        frames = levels.shape[2]
        tone = tone_share(low, model.rate // 2, HEARD, frames)
        moved = as_clear(tone_share(wave, model.rate, CENTRES, frames), tone)
        parts.append((log_mel, tone, levels, moved, weight))
    return Features(*(torch.cat(column) for column in zip(*parts, strict=True)))


def varied(wave: Tensor, rate: int, generator: torch.Generator) -> Tensor:
    """Waves (B, N) whose spectra fall more or less steeply above some frequency, some of them with
    noise.
    """

    def chance(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(wave), 1, generator=generator)

    spectrum = torch.fft.rfft(wave)
    octave = (torch.arange(spectrum.shape[1]) * (rate / wave.shape[1])).clamp_min(20).log2()
    # dB an octave; log2 of 1 to 8 kHz
    slope, corner = chance(-9, 6), chance(0, 1) * 3 + math.log2(1000)
    spectrum = spectrum * 10 ** (slope / 20 * (octave - corner).clamp_min(0))
    white = torch.randn(spectrum.shape, generator=generator, dtype=spectrum.dtype)
    noise = white * 2 ** (-chance(0, 1) * (octave - 10))
    share = (chance(0, 1) < 0.4) * 10 ** (-chance(40, 90) / 20)
    noise = noise * (spectrum.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True) * share)
    made: Tensor = torch.fft.irfft(spectrum + noise, n=wave.shape[1])
    return made


def halved(wave: Tensor) -> Tensor:
    """Waves (B, N), N even, at half the rate: (B, N / 2). What lies above is left out sharply."""
    spectrum = torch.fft.rfft(wave)[:, : wave.shape[1] // 4 + 1]
    half: Tensor = torch.fft.irfft(spectrum, n=wave.shape[1] // 2) / 2
    return half


def bands_present(levels: Tensor) -> Tensor:
    """Whether a sound has a band, (B, H): recordings end at half their sample rate, or where a
    codec cut them.

    A band that is much weaker than the last but one, over the whole sound, and those above it are
    the recording's end.
    """
    means = (2 * levels).logsumexp(2) / 2  # (B, H)
    fallen = means[:, 2:] < means[:, :-2] - _WALL
    wall = torch.nn.functional.pad(fallen, (1, 1)).cummax(1).values
    return ~wall


def as_clear(tone: Tensor, below: Tensor) -> Tensor:
    """How much noise leaves of tones like those that are heard below, (B, 3, T), as much as there
    is, (B, H, T).
    """
    return ((tone + _UNSURE) / (below.mean(1, keepdim=True) + _UNSURE)).clamp_max(1)


def error(predicted: HighBand, levels: Tensor, moved: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of the distance of levels and, for a tenth, of the shares of noise, in nats.

    The first is a square where it is small, and straight from 1/2 on.
    """
    there = predicted.levels.isfinite() & (weight > 0)
    apart = torch.nn.functional.huber_loss(
        predicted.levels[there], levels[there], reduction="none", delta=0.5
    )
    noise = [(1 - share[there] + _CLEAREST).log() for share in (predicted.moved, moved)]
    apart = apart + 0.1 * (noise[0] - noise[1]).square()
    return (apart * weight[there]).sum() / weight[there].sum().clamp_min(1e-6)


class BandwidthObjective(nn.Module):
    """The loss of a bandwidth extension on pieces of features: see `error`."""

    def __init__(self, model: Bandwidth) -> None:
        super().__init__()
        self.model = model

    def networks(self) -> list[nn.Module]:
        return [self.model]

    def forward(self, piece: Piece, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a piece of features, which is its only term."""
        predicted = self.model(piece.features.log_mel, piece.features.tone, piece.peak)
        loss = error(predicted, piece.features.levels, piece.features.moved, piece.features.weight)
        return loss, {"loss": loss}


def describe_bandwidth_sounds(config: BandwidthTrainConfig, collected: Sounds) -> str:
    """What the sounds of a config are, in a line."""
    return describe_sounds(
        collected,
        config.synthetic,
        config.sampled,
        config.font,
        config.data,
        "synthetic toots at twice their speed",
    )


def train_bandwidth(
    config: BandwidthTrainConfig,
    collected: Sounds,
    out: Path,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
    compute: Compute | None = None,
    on_check: loop.OnCheck | None = None,
) -> Bandwidth:
    """Train an extension and write ``out/bandwidth.safetensors``; on the way, ``log.jsonl`` and
    ``checkpoint.safetensors``. It takes minutes.

    Args:
        config: what and how.
        collected: as `bandwidth_sounds` makes them of ``config``; held-out ones are split off here.
        out, resume, device, progress, compute, on_check: as of `train.train`.

    Returns:
        The trained extension, as saved.

    Raises:
        InputError: if ``out`` holds a run and ``resume`` is not given, its checkpoint is of another
            config, the sounds are too few, or the disk is full.
        loop.Diverged, loop.Stopped: see `loop.fit`.
    """
    compute, started = compute or Compute(), time.perf_counter()
    fabric = launch(compute, device)
    loop.check_run(out, resume, RESULT)
    waves, held_out = collected.split()
    ranges = shares(config.batch, fabric.world_size, compute.accumulate)[fabric.global_rank]
    out.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = Bandwidth(config.bandwidth)
    learn = features(model, waves, config.versions, config.seed, progress)
    unheard = features(model, held_out, 1, config.seed, progress)
    model = model.to(fabric.device).train()

    def load(step: int) -> list[loop.Part]:
        piece = learn.piece(config.seed, step, config.batch, config.frames)
        return [
            loop.Part(piece.rows(a, b, fabric.device), (b - a) / config.batch, a) for a, b in ranges
        ]

    loop.fit(
        BandwidthObjective(model),
        load,
        lambda: evaluate_bandwidth(model, unheard),
        loop.Optimisation(
            config.steps,
            config.learning_rate,
            check_every=config.check_every,
            seed=config.seed,
        ),
        fabric,
        compute=compute,
        out=out,
        identity=asdict(config),
        score=lambda errors: errors["error_db"],
        resume=resume,
        on_check=on_check,
        progress=progress,
    )
    origin = provenance(
        config,
        describe_bandwidth_sounds(config, collected),
        evaluate_bandwidth(model, unheard),
        time.perf_counter() - started,
        licence(bool(config.synthetic), bool(config.sampled), config.font, config.data),
    )
    if fabric.is_global_zero:
        model_file.save_bandwidth(out / RESULT, model, origin)
    fabric.barrier()
    return model_file.load_bandwidth(out / RESULT)[0]


@torch.no_grad()
def evaluate_bandwidth(model: Bandwidth, held_out: Features) -> dict[str, float]:
    """Errors on held-out sounds: "bias_db", the absolute value of the mean error of a band's level
    over a whole sound; "error_db", its mean absolute error; "moved", the mean absolute error of the
    share that is moved up.
    """
    where = model.out.weight.device
    parts = zip(held_out.log_mel.split(_AT_ONCE), held_out.tone.split(_AT_ONCE), strict=True)
    predicted = [model(log_mel.to(where), tone.to(where)) for log_mel, tone in parts]
    levels, moved = (torch.cat(column).cpu() for column in zip(*predicted, strict=True))
    there = held_out.weight.amax(2) > 0
    energy = [(2 * x).logsumexp(2)[there] for x in (levels, held_out.levels)]
    apart = 10 / math.log(10) * (energy[0] - energy[1])
    apart = apart[apart.isfinite()]
    wrong = ((moved - held_out.moved).abs() * held_out.weight).sum() / held_out.weight.sum()
    errors = {"bias_db": apart.mean().abs(), "error_db": apart.abs().mean(), "moved": wrong}
    return {name: round(float(value), 3) for name, value in errors.items()}
