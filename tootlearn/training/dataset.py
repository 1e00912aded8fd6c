"""From a config to the clips that it asks for: synthetic, rendered from a sound font, recorded,
replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tootlearn.controls import Kind
from tootlearn.data import folder, public, sampled, shard_stream, shards
from tootlearn.data.clips import RECORDED, SAMPLED, SYNTHETIC, Clips, synthesise
from tootlearn.data.recipes import KINDS
from tootlearn.data.sound_font import PROGRAMS, find_font
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.errors import InputError
from tootlearn.models.toot_model import TootModel
from tootlearn.training import fine_tuning
from tootlearn.training.config import TrainConfig
from tootlearn.training.provenance import font_name


def gather_clips(
    config: TrainConfig,
    base: TootModel | None = None,
    problems: list[str] | None = None,
    progress: bool = True,
    keep: bool = False,
) -> Clips:
    """All clips to train with, held-out ones included: `Clips.split` knows which they are.

    If the config streams them, a pool of them: `shard_stream.pool`.

    Args:
        config: what is asked for.
        base: the model that training starts from, if any: its kinds keep their scales, and its own
            toots are replayed.
        problems: where a line goes for each file or sound that is left out; None makes warnings of
            some of them.
        progress: show bars on stderr.
        keep: keep the waves of recordings, as augmentation needs them, even if ``config`` has no
            augmentation.

    Raises:
        InputError: if something cannot be found or read, or nothing is left.
    """
    front_end, keep = FrontEnd(config.front_end), keep or config.augmentation.on
    if config.stream:
        home = _shards(config.data[0])
        return shard_stream.pool(home, front_end, config.seed, problems, progress, keep)
    known = _known(base)
    parts = []
    if config.clips:
        parts.append(synthesise(config.kinds, config.clips, config.seed, front_end, progress))
    if config.sampled and (kinds := font_kinds(config.kinds)):
        notes = sampled.clips(
            Path(config.font) if config.font else _find_font(),
            kinds,
            config.sampled,
            config.seed,
            front_end,
            bright=config.bright,
            known=known,
            problems=problems,
            progress=progress,
        )
        parts.append(notes)
    for path in config.data:
        clips, report = _reader(path)(path, front_end, known, progress=progress, keep=keep)
        known = _known(base, clips.kinds)
        if problems is not None:
            problems += report.problems
        parts.append(clips)
    clips = Clips.concatenate(parts)
    if base is None:
        return clips
    count = max(config.replay, len(base.kinds))
    return fine_tuning.rehearsed(clips, fine_tuning.replay(base, count, config.seed))


def _reader(path: str) -> Callable[..., Any]:
    """What reads a folder of recordings: as shards, as a public data set, or as it is."""
    if shards.is_shard_folder(path):
        return shards.read_shards
    return public.read_public_set if public.detect_data_set(path) else folder.read_folder


def _shards(path: str) -> Path:
    """The folder of shards that is streamed. Raises InputError if it is none."""
    if not shards.is_shard_folder(path):
        raise InputError(
            f"{path} is not a folder of shards, and nothing else can be streamed: write one with "
            f"tootlearn data shard {path} --out shards, or train without --stream"
        )
    return Path(path)


def shard_digests(data: Sequence[str], stream: bool) -> dict[str, str]:
    """A digest of the data of a run that streams them, by file name; empty for other runs.

    A run that is resumed reads the shards again, and the toots that it has seen must be where they
    were.
    """
    return {shards.INDEX: shards.read_index(_shards(data[0])).digest} if stream else {}


def _find_font() -> Path:
    try:
        return find_font()
    except InputError as error:
        raise InputError(
            f"{error}; or train on synthetic toots alone: --preset synthetic"
        ) from error


def training_clips(
    trained: Mapping[str, Any],
    front_end: FrontEndConfig,
    data: Sequence[str] = (),
    font: str | None = None,
) -> Clips:
    """The clips that a model was trained with, held-out ones included, made again.

    They are drawn from today's random streams. Where the model's provenance names other `streams`,
    notes of a sound font are other ones than those that it learned from; which semitones are held
    out is the same.

    Args:
        trained: the config in the provenance of the model's file, which has only the names of
            folders and fonts.
        front_end: the model's.
        data, font: where they lie.

    Raises:
        InputError: if the config does not say what they were, or they cannot be found.
    """
    if trained.get("start_from"):
        raise InputError(
            "the training clips of a fine-tuned model cannot be made again: measure only its "
            "control"
        )
    if len(data) != len(trained.get("data") or ()):
        names = ", ".join(trained.get("data") or ("no recordings",))
        raise InputError(f"this model was trained on {names}: say with --data where they are")
    if trained.get("font") and not font:
        raise InputError(
            f"this model was trained on notes of {trained['font']}: say with --font where it is"
        )
    try:
        kept = {name: trained[name] for name in ("clips", "seed")}
        kinds = tuple(trained["kinds"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"this model file does not say what it was trained on (no {error})"
        ) from error
    absent = {"sampled": 0, "stream": False, "bright": 0.0}
    kept |= {name: trained.get(name, usual) for name, usual in absent.items()}
    return gather_clips(
        TrainConfig(kinds=kinds, front_end=front_end, data=tuple(data), font=font, **kept)
    )


def font_kinds(kinds: Sequence[str]) -> list[str]:
    """The kinds that can be rendered from a sound font: those that General MIDI has instruments
    for.
    """
    return [kind for kind in kinds if kind in PROGRAMS]


def _known(base: TootModel | None, more: Sequence[Kind] = ()) -> list[Kind]:
    """Kinds that have scales already, each name once: the model's, then those of earlier clips,
    then the recipes'.
    """
    kinds = [*(base.kinds if base else ()), *more, *KINDS.values()]
    return list({kind.name: kind for kind in reversed(kinds)}.values())[::-1]


def describe_clips(config: TrainConfig, clips: Clips) -> str:
    """What the clips of a config are, in a line."""
    synthetic, notes, recorded = (
        int(np.sum(clips.origin == origin)) for origin in (SYNTHETIC, SAMPLED, RECORDED)
    )
    parts = []
    if synthetic and config.start_from:
        parts.append(f"{synthetic} toots of the model that training started from")
    elif synthetic:
        parts.append(f"{synthetic} synthetic toots of {', '.join(config.kinds)}")
    if notes:
        kinds = ", ".join(font_kinds(config.kinds))
        parts.append(f"{notes} notes of {kinds} from {font_name(config.font)}")
    if config.stream:
        count = sum(shards.read_index(config.data[0]).counts)
        parts.append(f"{count} toots streamed from {Path(config.data[0]).name}")
    elif recorded:
        names = ", ".join(Path(path).name for path in config.data)
        count = len(set(np.array(clips.source)[clips.origin == RECORDED]))
        parts.append(f"{count} recording{'s' if count > 1 else ''} of {names}")
    return "; ".join(parts) + "; every sixth semitone, or of recordings one in six, held out"
