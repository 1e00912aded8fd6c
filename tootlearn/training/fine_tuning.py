"""Fine-tuning: a trained model learns sounds of one's own, also of a new kind, and keeps what it
knew.

A network that learns new sounds alone forgets the old ones. So it hears both: before it starts, the
model plays its own kinds, and what it played is mixed among the new clips (generative replay: Shin
et al. 2017). The old training data need not be there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tootlearn import rng
from tootlearn.controls import Kind, hz_to_midi
from tootlearn.data.clips import Clips
from tootlearn.data.synthesis import natural_controls
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.models.decoder import Condition
from tootlearn.models.toot_model import TootModel
from tootlearn.training.config import TrainConfig

_AT_ONCE = 64  # clips
OF_KINDS = {  # tensors with a row for each kind
    "generator.decoder.kind.weight",
    "generator.prior_mean",
    "generator.prior_scale",
}


def adapted(config: TrainConfig, base: TootModel, usual: TrainConfig | None = None) -> TrainConfig:
    """The config with the front end and the parts of the model that training starts from.

    Args:
        config: what was asked for.
        base: the model.
        usual: what is asked for if nothing is said; whoever asks for other parts than these wants
            another model.

    Raises:
        InputError: if other parts are asked for than those of ``usual`` or of the model.
    """
    parts = {
        name: getattr(base, name) and getattr(base, name).config
        for name in ("generator", "autoencoder")
    }
    parts["front_end"] = base.front_end.config
    for name, part in parts.items() if usual else ():
        if getattr(config, name) not in (getattr(usual, name), part):
            raise InputError(
                f"a model that is started from keeps its {name}: leave --{name} out, or train "
                "from scratch"
            )
    return replace(config, **parts)


@torch.no_grad()
def replay(base: TootModel, count: int, seed: int) -> Clips:
    """Toots of a model, its kinds in turn, with controls as they occur and residuals from its
    prior.

    Args:
        base: a model with a generator.
        count: B.
        seed: of the set; clip i is the same, to rounding, whatever ``count``.

    Raises:
        InputError: if the model has no generator.
    """
    if base.generator is None:
        raise InputError(
            "this model has no generator, so it cannot rehearse what it knows: start from another"
        )
    controls = natural_controls(base.kinds, count, seed)
    condition = Condition.of(controls)
    noise = np.stack(
        [
            rng.normal(
                rng.child(seed, i), rng.Stream.REPLAY_RESIDUAL, base.generator.config.residual
            )
            for i in range(count)
        ]
    )
    z = base.generator.prior.sample(condition, torch.from_numpy(noise).float())
    log_mel, bend = [], []
    for rows in torch.arange(count).split(_AT_ONCE):
        part = condition.take(rows)
        drawing = base.generator.decode(part, z[rows])
        log_mel.append(drawing.log_mel.half())
        bend.append((drawing.notes[:, :, 0] - part.octave[:, None]).unflatten(1, (-1, 2)).mean(2))
    names = [base.kinds[k].name for k in controls.kind]
    semitones = np.round(hz_to_midi(controls.pitch)).astype(int)
    source = tuple(f"{name}-{semitone}" for name, semitone in zip(names, semitones, strict=True))
    return Clips(torch.cat(log_mel), controls, base.kinds, source, torch.cat(bend))


def rehearsed(recorded: Clips, played: Clips) -> Clips:
    """The recorded clips among those that the model played, repeated to be half of all."""
    times = max(1, round(len(played) / len(recorded)))
    return Clips.concatenate([played, *[recorded] * times])


def extended(base: TootModel, kinds: Sequence[Kind]) -> TootModel:
    """A copy of a model that knows more kinds; of the old ones it knows what it knew.

    A new kind begins as the mean of the old: its embedding, its prior, and its weights in the
    encoder.

    Args:
        base: a model of the first of ``kinds``.
        kinds: all kinds.
    """
    generator, autoencoder = base.generator, base.autoencoder
    configs = generator.config if generator else None, autoencoder.config if autoencoder else None
    normalizer = Normalizer(base.normalizer.mean.clone(), base.normalizer.std.clone())
    # initial weights, soon replaced: the caller's random numbers stay
    with torch.random.fork_rng(devices=[]):
        model = TootModel(base.front_end.config, normalizer, kinds, *configs)
    old, new = base.state_dict(), len(kinds) - len(base.kinds)
    first = next((name for name in old if name.startswith("generator.encoder.")), "")
    bands = base.front_end.config.mels
    known = bands + len(base.kinds)
    for name, wanted in model.state_dict().items():
        had = old[name]
        if name == first:  # (C, M + kinds + 3, 3): a channel for each kind
            had = _with_means(had, 1, bands, known, new)
        elif name in OF_KINDS:
            had = _with_means(had, 0, 0, len(base.kinds), new)
        # levels of notes: a new kind may have more than any old one
        elif had.shape != wanted.shape:
            had = torch.cat([had, had.new_zeros(len(wanted) - len(had), *had.shape[1:])])
        wanted.copy_(had)
    return model


def _with_means(weight: Tensor, axis: int, start: int, end: int, count: int) -> Tensor:
    """``weight`` with ``count`` copies of the mean of its rows from start to end put in behind
    them.
    """
    before, rows, after = weight.split([start, end - start, weight.shape[axis] - end], axis)
    return torch.cat([before, rows, *[rows.mean(axis, keepdim=True)] * count, after], axis)
