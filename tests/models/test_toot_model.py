"""The model of a file: its parts, and the frames that they need."""

import pytest
import torch

from tootlearn.data.recipes import KINDS
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.models.config import AutoencoderConfig, GeneratorConfig
from tootlearn.models.toot_model import TootModel

SMALL = FrontEndConfig(hop=512, mels=24)  # 88 frames
TINY = GeneratorConfig(residual=3, width=16, blocks=1, encoder_widths=(8, 8))
FOUR = list(KINDS.values())[:4]


@pytest.mark.parametrize("parts", [{"generator"}, {"autoencoder"}, {"generator", "autoencoder"}])
def test_a_model_holds_a_generator_an_autoencoder_or_both(parts):
    normalizer = Normalizer(torch.zeros(24, 1), torch.ones(24, 1))
    model = TootModel(
        SMALL,
        normalizer,
        FOUR,
        TINY if "generator" in parts else None,
        AutoencoderConfig() if "autoencoder" in parts else None,
    )
    assert model.frames == 88 and model.kinds == tuple(FOUR)
    assert {p for p in ("generator", "autoencoder") if getattr(model, p) is not None} == parts
    assert {name.split(".")[0] for name in model.state_dict()} == parts | {
        "normalizer"
    }  # no table, window or filterbank


def test_a_front_end_whose_frames_do_not_fit_is_named():
    front_end = FrontEndConfig(n_fft=1000, hop=250, mels=24)
    normalizer = Normalizer(torch.zeros(24, 1), torch.ones(24, 1))
    for parts in ({"generator": GeneratorConfig()}, {"autoencoder": AutoencoderConfig()}):
        with pytest.raises(InputError, match="multiple of [48] frames, not 181"):
            TootModel(front_end, normalizer, FOUR, **parts)
