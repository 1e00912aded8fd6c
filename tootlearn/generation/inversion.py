"""Inversion: the controls and the residual with which a generator plays a given sound.

The controls of a recording are measured like the labels of training clips, and the encoder finds
the residual that they leave open. If its kind or pitch is not given, all candidates are drawn, and
the one that comes nearest to the recording is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn import losses
from tootlearn.controls import Controls, check_pitch, find_kind, parse_pitch
from tootlearn.data.clips import Clips, estimate_pitch, from_waves
from tootlearn.data.folder import pieces
from tootlearn.dsp import measures
from tootlearn.errors import InputError
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models.decoder import Condition

BRIGHTNESS = (-0.25, 1.25)  # the range of training sounds; values beyond it are clipped to it
_SEMITONE = 2 ** (1 / 12)
# the penalty of a kind for each squared standard deviation of its residual, in nats of the error
_UNUSUAL = 0.005
_DOUBT = 0.3  # nats: the penalty of a pitch other than the one that was tracked
_SILENCE = 4096  # samples
_START = 0.2  # share of a slide's duration in which it still has its pitch


@dataclass(frozen=True)
class Inversion:
    """The controls and the residual that a generator finds in a sound.

    Args:
        controls: of one toot; the kind is an index into the kinds of the generator. Pitch and
            duration are as measured, even beyond the range of the kind, as long as another kind of
            the model reaches that far. Brightness is clipped to `BRIGHTNESS` and loudness to its
            range, where the network has seen sounds.
        residual: what the controls leave open, (1, Z): the mean that the encoder gives.
        error: the RMS difference, in dB over bands and frames of the log-mel, between the sound and
            what the generator draws from these.
    """

    controls: Controls
    residual: Tensor
    error: float


def invert(
    generator: TootGenerator,
    wave: Tensor,
    kind: str | None = None,
    pitch: float | str | None = None,
) -> Inversion:
    """The controls and the residual with which a generator comes nearest to a sound.

    Args:
        generator: the model.
        wave: (N,) at the generator's sample rate: a toot with or without silence around it. Of
            several toots the one with the most energy is taken; of a long one, its first 1.9 s.
        kind: the name of its kind; None tries all.
        pitch: Hz, a note name or MIDI; None estimates it.

    Raises:
        InputError: if the wave is silent or has no pitch, if the model has no generator, or for an
            unknown kind or a pitch that no kind has.

    Example:
        >>> import tootlearn
        >>> g = tootlearn.load()
        >>> wave = torch.from_numpy(g.generate("trumpet", "A4", 0.5, seed=7))
        >>> round(float(invert(g, wave, "trumpet").controls.pitch[0]) / 10)
        44
    """
    network, front_end = generator.network, generator.model.front_end
    wave = wave.detach().cpu().float()
    if not bool(wave.isfinite().all()):
        raise InputError("the recording has NaN or infinite samples: export it again")
    toots = pieces(_framed(wave, generator.sample_rate), generator.sample_rate) if len(wave) else []
    if not toots:
        raise InputError("there is no toot in the recording: it is silent, or only clicks")
    toot = max(toots, key=lambda part: float(part.square().sum()))
    names, pitches, doubtful = _candidates(generator, toot, kind, pitch)
    front_end_here = (
        front_end if generator.device.type == "cpu" else type(front_end)(front_end.config)
    )
    clips = from_waves(
        [toot] * len(names),
        names,
        pitches,
        names,
        front_end_here,
        generator.model.kinds,
        problems=[],
    )
    controls = _held(generator, clips)
    condition, log_mel = (
        Condition.of(controls, generator.device),
        clips.log_mel.float().to(generator.device),
    )
    with torch.inference_mode():
        residual = network.encode(log_mel, condition)[0]
        strayed = network.decode(condition, residual).log_mel - log_mel
        config = front_end.config
        weight = losses.frame_weights(
            condition.duration, log_mel.shape[2], config.hop, config.sample_rate
        )
        error = (strayed.square().mean(1) * weight).sum(1) / weight.sum(1)  # (B,)
        unusual = network.prior.noise(condition, residual).square().sum(1)
        cost = error.log() + _UNUSUAL * unusual
        best = int((cost + _DOUBT * torch.tensor(doubtful, device=cost.device)).argmin())
    decibel = 20 / math.log(10) * math.sqrt(float(error[best]))
    return Inversion(controls[best : best + 1], residual[best : best + 1].clone(), decibel)


def _framed(wave: Tensor, sample_rate: int) -> Tensor:
    """A toot (N,) with silence added around it if its ends are quiet: otherwise `pieces` would take
    its end for noise.
    """
    level = measures.envelope(wave, sample_rate)
    clean = float(torch.maximum(level[0], level[-1])) <= measures.THRESHOLD * float(level.max())
    return torch.nn.functional.pad(wave, (_SILENCE, _SILENCE)) if clean else wave


def _candidates(
    generator: TootGenerator, toot: Tensor, kind: str | None, pitch: float | str | None
) -> tuple[list[str], list[float], list[bool]]:
    """What the toot (N,) may be: names of kinds, a pitch in Hz for each, and whether that differs
    from the tracked one.

    A chord cannot be tracked, and a slide only at its start.
    """
    kinds = generator.model.kinds
    low, high = min(k.pitch[0] for k in kinds), max(k.pitch[1] for k in kinds)
    tried = kinds if kind is None else (kinds[find_kind(kind, kinds)],)
    if pitch is not None:
        lowest, highest = (
            min(k.pitch_limits[0] for k in kinds),
            max(k.pitch_limits[1] for k in kinds),
        )
        hertz = check_pitch("pitch", parse_pitch(pitch), lowest, highest)
        able = [k.name for k in tried if kind or k.pitch_limits[0] <= hertz <= k.pitch_limits[1]]
        if not able:
            raise InputError(f"no kind has a pitch of {hertz:g} Hz: give a kind too")
        return able, [hertz] * len(able), [False] * len(able)
    rate = generator.sample_rate
    start = toot[: int(_START * len(toot))]
    names, pitches, doubtful = list[str](), list[float](), list[bool]()
    slides = {k.slide for k in tried if len(k.intervals) == 1}
    tracked_f0 = {slide: estimate_pitch(start if slide else toot, rate) for slide in slides}
    for about in tried:
        part, tracked = start if about.slide else toot, math.nan
        if len(about.intervals) == 1:
            tracked = tracked_f0[about.slide]
        middle = math.sqrt(about.pitch[0] * about.pitch[1])
        span = 600 * math.log2(about.pitch[1] / about.pitch[0])
        candidates = {float(measures.chord_f0(part, rate, about.intervals, middle, span))}
        # recordings may lie outside the range of their kind
        inside = (low, high) if kind else (about.pitch[0] / 2, about.pitch[1] * 2)
        if not about.slide and inside[0] <= tracked <= inside[1]:
            candidates.add(tracked)
        for hertz in sorted(candidates):
            names.append(about.name)
            pitches.append(hertz)
            doubtful.append(math.isfinite(tracked) and abs(math.log2(hertz / tracked)) > 1 / 12)
    return names, pitches, doubtful


def _held(generator: TootGenerator, clips: Clips) -> Controls:
    """The controls of clips, with kinds as indices into the generator's, and brightness clipped to
    what it has seen.
    """
    place: NDArray[np.int64] = np.array(
        [find_kind(k.name, generator.model.kinds) for k in clips.kinds]
    )
    controls = clips.controls
    return replace(
        controls, kind=place[controls.kind], brightness=controls.brightness.clip(*BRIGHTNESS)
    )
