"""From a config to the clips that it stands for: synthetic, rendered from a sound font, recorded,
replayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tootlearn.controls import Kind
from tootlearn.data import folder, public, sampled, shard_stream, shards
from tootlearn.data.clips import RECORDED, SAMPLED, SYNTHETIC, Clips, synthesise
from tootlearn.data.recipes import KINDS
from tootlearn.data.sound_font import PROGRAMS, find_font
from tootlearn.dsp.front_end import FrontEnd, FrontEndConfig
from tootlearn.errors import InputError
from tootlearn.models.toot_model import TootModel
from tootlearn.training import fine_tuning
from tootlearn.training.config import TrainConfig


def gather(
    config: TrainConfig,
    base: TootModel | None = None,
    problems: list[str] | None = None,
    progress: bool = True,
    keep: bool = False,
) -> Clips:
    """All clips to train with, held-out ones included: `Clips.split` knows which they are. If the
    config streams them, a pool of them: `streamed.pool`.

    Args:
        config: what is asked for.
        base: the model that training starts from, if any: its kinds keep their scales, and it is
            rehearsed.
        problems: where a line goes for each file or sound that is left out; None makes warnings of
            some of them.
        progress: show bars on stderr.
        keep: keep the waves of recordings, as augmentation needs them, even if ``config`` has none.

    Raises:
        InputError: if some of it is not to be had, or there is nothing in it.
    """
    front_end = FrontEnd(config.front_end)
    if config.stream:
        return shard_stream.pool(
            _shards(config),
            front_end,
            config.seed,
            problems,
            progress,
            keep or config.augmentation.on,
        )
    known = _known(base)
    parts = []
    if config.clips:
        parts.append(synthesise(config.kinds, config.clips, config.seed, front_end, progress))
    if kinds := sampled_kinds(config):
        font = Path(config.font) if config.font else _found()
        played = sampled.clips(
            font,
            kinds,
            config.sampled,
            config.seed,
            front_end,
            bright=config.bright,
            known=known,
            problems=problems,
            progress=progress,
        )
        parts.append(played)
    for path in config.data:
        read = (
            shards.read
            if shards.is_shard_folder(path)
            else public.read
            if public.detect_data_set(path)
            else folder.read
        )
        clips, report = read(
            path, front_end, known, progress=progress, keep=keep or config.augmentation.on
        )
        known = _known(base, clips.kinds)
        if problems is not None:
            problems += report.problems
        parts.append(clips)
    own = Clips.concatenate(parts)
    if base is None:
        return own
    return fine_tuning.rehearsed(
        own, fine_tuning.replay(base, max(config.replay, len(base.kinds)), config.seed)
    )


def _shards(config: TrainConfig) -> Path:
    """The folder that is streamed."""
    if not shards.is_shard_folder(config.data[0]):
        raise InputError(
            f"{config.data[0]} is no folder of shards, and nothing else can be streamed: "
            f"write one with tootlearn data shard {config.data[0]} --out shards, or leave stream out"
        )
    return Path(config.data[0])


def digests(config: TrainConfig) -> dict[str, str]:
    """What tells the data of a run that streams them from other data, by the name of the file; else
    nothing: a run that goes on reads the files anew, and the toots that it has had must be in the
    places that they had."""
    return {shards.INDEX: shards.read_index(_shards(config)).digest} if config.stream else {}


def _found() -> Path:
    try:
        return find_font()
    except InputError as error:
        raise InputError(
            f"{error}; or train on synthetic toots alone: --preset synthetic"
        ) from error


def again(
    trained: Mapping[str, Any],
    front_end: FrontEndConfig,
    data: Sequence[str] = (),
    font: str | None = None,
) -> Clips:
    """The clips that a model was trained with, held-out ones included.

    Args:
        trained: the config in the provenance of its file, which has the names of folders and fonts
            alone.
        front_end: the model's.
        data, font: where they lie.

    Raises:
        InputError: if the config does not say what they were, or they are not to be had.
    """
    if trained.get("start_from"):
        raise InputError(
            "the training clips of a fine-tuned model cannot be made again: measure its control alone"
        )
    if len(data) != len(trained.get("data") or ()):
        names = ", ".join(trained.get("data") or ("no recordings",))
        raise InputError(f"this model was trained on {names}: say with --data where they are")
    if trained.get("font") and not font:
        raise InputError(
            f"this model was trained on notes of {trained['font']}: say with --font where it is"
        )
    try:
        kept = {name: trained[name] for name in ("clips", "seed")} | {
            "sampled": trained.get("sampled", 0)
        }
        kept |= {"stream": trained.get("stream", False), "bright": trained.get("bright", 0.0)}
        kinds = tuple(trained["kinds"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"this model file does not say what it was trained on (no {error})"
        ) from error
    return gather(
        TrainConfig(kinds=kinds, front_end=front_end, data=tuple(data), font=font, **kept)
    )


def sampled_kinds(config: TrainConfig) -> list[str]:
    """Which kinds of the config are rendered from a sound font: those that General MIDI has
    instruments for.
    """
    return [kind for kind in config.kinds if kind in PROGRAMS and config.sampled]


def _known(base: TootModel | None, more: Sequence[Kind] = ()) -> list[Kind]:
    """Kinds that have scales already, each name once: the model's, then those of earlier clips,
    then the recipes'.
    """
    kinds = [*(base.kinds if base else ()), *more, *KINDS.values()]
    return list({kind.name: kind for kind in reversed(kinds)}.values())[::-1]


def describe(config: TrainConfig, clips: Clips) -> str:
    """What clips of :func:`gather` are, in a line."""
    counts = {
        origin: int(np.sum(clips.origin == origin)) for origin in (SYNTHETIC, SAMPLED, RECORDED)
    }
    told = []
    if counts[SYNTHETIC] and config.start_from:
        told.append(f"{counts[SYNTHETIC]} toots of the model that was started from")
    elif counts[SYNTHETIC]:
        told.append(f"{counts[SYNTHETIC]} synthetic toots of {', '.join(config.kinds)}")
    if counts[SAMPLED]:
        told.append(
            f"{counts[SAMPLED]} notes of {', '.join(sampled_kinds(config))} from {_font(config)}"
        )
    if config.stream:
        told.append(
            f"{sum(shards.read_index(config.data[0]).counts)} toots streamed from {Path(config.data[0]).name}"
        )
    elif counts[RECORDED]:
        names = ", ".join(Path(path).name for path in config.data)
        count = len(set(np.array(clips.source)[clips.origin == RECORDED]))
        told.append(f"{count} recording{'s' if count > 1 else ''} of {names}")
    return "; ".join(told) + "; every sixth semitone, or of recordings one in six, held out"


def licence(config: TrainConfig) -> str:
    """What is to be said of the rights in what was trained on."""
    fluid = "fluidr3" in _font(config).lower()
    told = []
    if config.start_from:
        told.append("what the model that was started from was trained on")
    if config.clips:
        told.append("sounds that the package synthesises")
    if sampled_kinds(config):
        notice = "notes of the sound font FluidR3 (Copyright 2000-2013 Frank Wen and others; MIT licence)"
        told.append(notice if fluid else f"notes of {_font(config)}, whose licence holds too")
    for path in config.data:
        name = public.detect_data_set(path)
        rights = (
            f"{name}, {public.LICENCES[name]}"
            if name
            else f"recordings of {Path(path).name}, whose rights hold"
        )
        told.append(rights)
    ours = not config.data and not config.start_from and (fluid or not sampled_kinds(config))
    return ("MIT; " if ours else "") + "trained on " + " and on ".join(told)


def _font(config: TrainConfig) -> str:
    try:
        return Path(config.font).name if config.font else find_font().name
    except InputError:
        return "a sound font"
