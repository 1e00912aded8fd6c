"""A run in which the parts of a batch differ from each other in all that a part may get wrong."""

from dataclasses import replace

import torch

from tootlearn.data.clips import Clips, synthesise
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.models.config import AutoencoderConfig, GeneratorConfig
from tootlearn.models.decoder import Condition
from tootlearn.training.batches import Batch
from tootlearn.training.config import TrainConfig

WIDTHS = {"encoder_widths": (8, 8), "decoder_start": 8, "decoder_widths": (8, 8), "norm": "group"}
CONFIG = TrainConfig(
    generator=GeneratorConfig(residual=2, width=8, blocks=1, encoder_widths=(8, 8)),
    autoencoder=AutoencoderConfig(latent=4, variational=True, **WIDTHS),
    free_bits=0.0,
    front_end=FrontEndConfig(hop=512, mels=16),
    kinds=("trumpet", "slide_whistle"),
    clips=40,
    batch=11,
    weights={
        f"{part}_{loss}": 0.5
        for part in ("generation", "reconstruction")
        for loss in ("audible", "multi_scale")
    },
)


def uneven_clips() -> Clips:
    """Every third clip's bend is unknown, so that parts have more or less of it than their
    share.
    """
    clips = synthesise(CONFIG.kinds, CONFIG.clips, 0, FrontEnd(CONFIG.front_end), progress=False)
    bend = clips.known_bend().clone()
    bend[::3] = torch.nan
    return replace(clips, bend=bend)


def in_double(batch: Batch) -> Batch:
    controls = Condition(*(x.double() if x.is_floating_point() else x for x in batch.controls))
    bend, weight = batch.bend.double(), batch.bend_weight.double()
    log_mel = batch.log_mel.double()
    return Batch(log_mel, controls, batch.weight.double(), bend, weight, log_mel)
