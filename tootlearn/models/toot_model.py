"""The model of a file: front end, normalizer, generator and autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tootlearn.controls import Kind
from tootlearn.dsp.config import WINDOW_SAMPLES, FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.normalization import Normalizer
from tootlearn.models.autoencoder import Autoencoder
from tootlearn.models.config import AutoencoderConfig
from tootlearn.models.config import GeneratorConfig as GeneratorConfig
from tootlearn.models.generator import Generator as Generator


class TootModel(nn.Module):
    """The content of a model file: front end, normalizer, and a generator, an autoencoder or both.

    Args:
        front_end: how its log-mels are made.
        normalizer: the statistics of its training data.
        kinds: the kinds that it can generate.
        generator, autoencoder: their configs, or None.

    Raises:
        InputError: if the number of frames in the window does not suit a config.
    """

    def __init__(
        self,
        front_end: FrontEndConfig,
        normalizer: Normalizer,
        kinds: Sequence[Kind],
        generator: GeneratorConfig | None = None,
        autoencoder: AutoencoderConfig | None = None,
    ) -> None:
        super().__init__()
        self.front_end = FrontEnd(front_end)
        self.frames = self.front_end.frames(WINDOW_SAMPLES)
        self.normalizer = normalizer
        self.kinds = tuple(kinds)
        self.generator = Generator(generator, front_end, self.frames, kinds) if generator else None
        self.autoencoder = (
            Autoencoder(autoencoder, front_end.mels, self.frames) if autoencoder else None
        )
