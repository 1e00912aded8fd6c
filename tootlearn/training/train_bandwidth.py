"""Training of the bandwidth extension: from sounds at 44,100 Hz to `bandwidth.safetensors`.

It learns from the notes of all instruments of a sound font, played without the synthesiser's low
pass, from synthetic toots at twice their speed, and from recordings if there are any. Each sound is
heard as it is and with other slopes of its spectrum and other noise. What the network reads is what
is left of it at 22,050 Hz; what it is compared with are the bands above, their levels and how
periodic they are.
"""

from __future__ import annotations

import json
import math
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from tootlearn import rng
from tootlearn.data import sounds
from tootlearn.data.sound_font import find_font
from tootlearn.data.sounds import Sounds
from tootlearn.errors import InputError
from tootlearn.models import model_file
from tootlearn.models.bandwidth import (
    CENTRES,
    HEARD,
    Bandwidth,
    BandwidthConfig,
    HighBand,
    tone_share,
)
from tootlearn.models.device import to_device
from tootlearn.training import dataset, schedule
from tootlearn.training.config import TrainConfig
from tootlearn.training.train import check_run
from tootlearn.version import __version__

_AT_ONCE = 64  # sounds whose features are made together
# nats: by what a band falls below the last but one where the recording ends, not the sound
_WALL = 2.0
# nats: a frame so far below the loudest of its band counts half, one further below next to nothing
_LEAST = 5.0
_CLEAREST = 0.005  # share of noise below which a tone is as good as clean
_UNSURE = 0.05  # of shares of tone
FILE = "bandwidth.safetensors"


@dataclass(frozen=True)
class BandwidthTrainConfig:
    """What an extension is trained on, and how.

    Args:
        bandwidth: its size.
        synthetic: how many synthetic toots. They are made at 22,050 Hz, so they are played at twice
            their speed; harmonics that fall by a power of their number do so at any speed.
        sampled: how many notes of a sound font: half of them brass, a third other winds, the rest
            everything else.
        font: the sound font (.sf2 or .sf3); null: see `sound_font.find_font`.
        data: folders of recordings at 32 kHz or more, whatever they are called.
        versions: how often each sound is heard, the first time as it is.
        steps: of the optimiser.
        batch: pieces a step.
        frames: of a piece.
        learning_rate: the highest; a cosine brings it to zero after a linear start of 100 steps.
        seed: of sounds, versions, initial weights and pieces.
        check_every: steps between looks at what is held out.

    Raises:
        InputError: values that are not allowed.
    """

    bandwidth: BandwidthConfig = field(default_factory=BandwidthConfig)
    synthetic: int = 1200
    sampled: int = 3000
    font: str | None = None
    data: tuple[str, ...] = ()
    versions: int = 2
    steps: int = 4000
    batch: int = 32
    frames: int = 64
    learning_rate: float = 2e-3
    seed: int = 0
    check_every: int = 500

    def __post_init__(self) -> None:
        for name in ("versions", "steps", "batch", "frames", "check_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is 1 or more, not {getattr(self, name)}")
        if min(self.synthetic, self.sampled) < 0 or not (
            self.synthetic or self.sampled or self.data
        ):
            raise InputError(
                "there is nothing to learn from: give numbers of toots and notes, or folders of data"
            )
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate is more than 0, not {self.learning_rate}")
        if not 0 <= self.seed <= rng.MAX_SEED:
            raise InputError(f"seed is 0 to {rng.MAX_SEED}, not {self.seed}")


@dataclass(frozen=True)
class Features:
    """What the network reads, and what it should say with the weights of it."""

    log_mel: Tensor  # (B, M, T)
    heard: Tensor  # (B, 3, T), share of tone below
    levels: Tensor  # (B, H, T)
    moved: Tensor  # (B, H, T)
    weight: Tensor  # (B, H, T)


def gather(
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
        there = complete(model.levels(model.stft(wave)))
        wave = wave if i < plain else varied(wave, model.rate, generator)
        wave = wave / wave.abs().amax(1, keepdim=True)
        low = halved(wave)
        log_mel = model.front_end(low)
        levels = model.levels(model.stft(wave)[..., : log_mel.shape[2]])
        below = levels.amax(2, keepdim=True) - levels
        weight = there[..., None] * (_LEAST - below).sigmoid()
        frames = levels.shape[2]
        heard = tone_share(low, model.rate // 2, HEARD, frames)
        moved = as_clear(tone_share(wave, model.rate, CENTRES, frames), heard)
        parts.append((log_mel, heard, levels, moved, weight))
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


def complete(levels: Tensor) -> Tensor:
    """Whether a sound has a band, (B, H): recordings end at half their sample rate, or where a
    codec cut them.

    A band that is much weaker than the last but one, over the whole sound, and those above it are
    the recording's end.
    """
    means = (2 * levels).logsumexp(2) / 2  # (B, H)
    fallen = means[:, 2:] < means[:, :-2] - _WALL
    wall = torch.nn.functional.pad(fallen, (1, 1)).cummax(1).values
    return ~wall


def as_clear(tone: Tensor, heard: Tensor) -> Tensor:
    """How much noise leaves of tones like those that are heard below, (B, 3, T), as much as there
    is, (B, H, T).
    """
    return ((tone + _UNSURE) / (heard.mean(1, keepdim=True) + _UNSURE)).clamp_max(1)


def error(drawn: HighBand, levels: Tensor, moved: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of the distance of levels and, for a tenth, of the shares of noise, in nats.

    The first is a square where it is small, and straight from 1/2 on.
    """
    there = drawn.levels.isfinite() & (weight > 0)
    apart = torch.nn.functional.huber_loss(
        drawn.levels[there], levels[there], reduction="none", delta=0.5
    )
    noise = [(1 - share[there] + _CLEAREST).log() for share in (drawn.moved, moved)]
    apart = apart + 0.1 * (noise[0] - noise[1]).square()
    return (apart * weight[there]).sum() / weight[there].sum().clamp_min(1e-6)


def train_bandwidth(
    config: BandwidthTrainConfig,
    heard: Sounds,
    out: Path,
    device: str = "cpu",
    progress: bool = True,
) -> Bandwidth:
    """Train an extension and write ``out/bandwidth.safetensors``; on the way, ``log.jsonl``. It
    takes minutes.

    Args:
        config: what and how.
        heard: as `gather` makes them of ``config``; those held out are split off here.
        out: the folder of the run, made if need be.
        device: see `model_file.to_device`.
        progress: show a bar on stderr.

    Returns:
        The trained extension, as saved.

    Raises:
        InputError: if ``out`` holds a run, the sounds are too few, or the disk is full.
    """
    where = to_device(device)
    check_run(out, False, FILE)
    if heard.held_out.all() or not heard.held_out.any():
        raise InputError(f"{len(heard.waves)} sounds are too few to hold some out: give more")
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = Bandwidth(config.bandwidth)
    learn = features(model, heard.waves[~heard.held_out], config.versions, config.seed, progress)
    unheard = features(model, heard.waves[heard.held_out], 1, config.seed, progress)
    model = model.to(where).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4
    )
    generator = torch.Generator().manual_seed(config.seed)
    span = min(config.frames, learn.log_mel.shape[2])
    bar = tqdm(range(config.steps), desc="train", disable=None if progress else True)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate(
                config.learning_rate, step, config.steps, warmup=100
            )
        rows = torch.randint(len(learn.log_mel), (config.batch,), generator=generator)
        first = int(torch.randint(learn.log_mel.shape[2] - span + 1, (), generator=generator))
        cut = slice(first, first + span)
        peak = learn.log_mel[rows].amax((1, 2), keepdim=True)
        drawn = model(
            *(x[rows, :, cut].to(where) for x in (learn.log_mel, learn.heard)), peak.to(where)
        )
        true = (x[rows, :, cut].to(where) for x in (learn.levels, learn.moved, learn.weight))
        loss = error(drawn, *true)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % config.check_every == 0 or step + 1 == config.steps:
            row = {
                "step": step + 1,
                "loss": round(loss.item(), 5),
                "held_out": evaluate(model, unheard),
            }
            with (out / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            bar.set_postfix(row["held_out"])
    told = asdict(config) | {"data": [Path(name).name for name in config.data]}
    told |= {"font": config.font and Path(config.font).name}
    provenance = {
        "data": describe(config, heard),
        "seed": config.seed,
        "steps": config.steps,
        "held_out": evaluate(model, unheard),
        "seconds": round(time.perf_counter() - started),
        "config": told,
        "versions": {
            "tootlearn": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "licence": licence(config),
    }
    model_file.save_bandwidth(out / FILE, model, provenance)
    return model_file.load_bandwidth(out / FILE)[0]


@torch.no_grad()
def evaluate(model: Bandwidth, unheard: Features) -> dict[str, float]:
    """On what is held out: the mean error of a band's level over a whole sound in dB, its mean
    absolute value, and the mean absolute error of the share that is moved up."""
    where = model.out.weight.device
    parts = zip(unheard.log_mel.split(_AT_ONCE), unheard.heard.split(_AT_ONCE), strict=True)
    drawn = [model(log_mel.to(where), heard.to(where)) for log_mel, heard in parts]
    levels, moved = (torch.cat(column).cpu() for column in zip(*drawn, strict=True))
    there = unheard.weight.amax(2) > 0
    energy = [(2 * x).logsumexp(2)[there] for x in (levels, unheard.levels)]
    apart = 10 / math.log(10) * (energy[0] - energy[1])
    apart = apart[apart.isfinite()]
    wrong = ((moved - unheard.moved).abs() * unheard.weight).sum() / unheard.weight.sum()
    found = {"bias_db": apart.mean(), "error_db": apart.abs().mean(), "moved": wrong}
    return {name: round(float(value), 3) for name, value in found.items()}


def describe(config: BandwidthTrainConfig, heard: Sounds) -> str:
    """What an extension is trained on, in words."""
    parts = [f"{config.synthetic} synthetic toots at twice their speed"] if config.synthetic else []
    if config.sampled:
        font = Path(config.font) if config.font else find_font()
        parts.append(f"{config.sampled} notes of the instruments of {font.stem}")
    parts += [f"the recordings in {Path(path).name}" for path in config.data]
    return f"{len(heard.waves)} windows of {', '.join(parts)}; {int(heard.held_out.sum())} of them held out"


def licence(config: BandwidthTrainConfig) -> str:
    """What may be done with an extension that was trained so."""
    return dataset.licence(
        TrainConfig(
            clips=config.synthetic, sampled=config.sampled, font=config.font, data=config.data
        )
    )
