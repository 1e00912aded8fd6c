"""A small network that classifies toots by kind, and whose embedding tells how far apart toots are.

It evaluates generators and is not a part of one. It is trained on toots in all sorts of noise,
rooms and microphones, so that what it learns about a kind holds for recordings too. It does not
depend on what says nothing about the kind: loudness (each clip is taken relative to its own peak,
down to a level above the front end's floor), and the position of the toot in the window (it has
convolutions, and statistics over the frames that sound).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tootlearn.dsp.config import FrontEndConfig
from tootlearn.models.config import ClassifierConfig

RANGE = 6.0  # nats (52 dB) below the peak of a clip: anything lower is silence
_SOUNDING = 3.5  # nats (30 dB): frames whose loudest band is this close to the peak count
_ENVELOPES = (1, 5, 9, 17)  # widths of the envelopes, in pairs of bands; 1 is the spectrum itself


def _block(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv1d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm1d(outputs), nn.ReLU())


class Classifier(nn.Module):
    """Log-mel (B, M, T) -> logits (B, K) of the kinds.

    A convolution over bands and frames; mean and standard deviation of its output over the sounding
    frames, and the mean spectrum; envelopes of these, as maxima over neighbouring bands, which show
    resonances whatever the pitch; and three convolutions over the bands.

    Args:
        front_end: how the log-mels are made.
        kinds: K names, in the order of the logits.
        config: its size.
    """

    def __init__(
        self, front_end: FrontEndConfig, kinds: tuple[str, ...], config: ClassifierConfig
    ) -> None:
        super().__init__()
        self.front_end, self.kinds = front_end, kinds
        w = config.width
        glance = nn.Conv2d(1, w, (5, 7), 2, padding=(2, 3), bias=False)
        self.look = nn.Sequential(glance, nn.BatchNorm2d(w), nn.ReLU())
        seen = len(_ENVELOPES) * (2 * w + 1)
        self.body = nn.Sequential(
            _block(seen, 4 * w, 5, 1), _block(4 * w, 4 * w, 5, 2), _block(4 * w, 4 * w, 5, 2)
        )
        self.squeeze = nn.Linear(4 * w * -(-front_end.mels // 8), config.embedding)
        self.norm = nn.BatchNorm1d(config.embedding)
        self.dropout = nn.Dropout(config.dropout)
        self.name = nn.Linear(config.embedding, len(kinds))

    def forward(self, log_mel: Tensor) -> Tensor:
        logits: Tensor = self.name(self.dropout(self.embed(log_mel)))
        return logits

    def embed(self, log_mel: Tensor) -> Tensor:
        """Log-mel (B, M, T) -> embedding (B, E), to be compared by Euclidean distance;
        differentiable.
        """
        return self.features(log_mel)[-1]

    def features(self, log_mel: Tensor) -> tuple[Tensor, ...]:
        """The outputs of the layers for log-mels (B, M, T), as `perceptual.feature_error` needs
        them; differentiable.

        Returns:
            Of the first convolution (B, C, M / 2, T / 2); of those over the bands (B, 4 C, M / 2),
            (B, 4 C, M / 4) and (B, 4 C, M / 8), sizes rounded up; the embedding (B, E).
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
        envelopes = torch.cat(
            [F.max_pool1d(shown, width, 1, width // 2) for width in _ENVELOPES], 1
        )
        layers = [h]
        for block in self.body:
            envelopes = block(envelopes)
            layers.append(envelopes)
        return *layers, self.norm(self.squeeze(envelopes.flatten(1)))

    @torch.inference_mode()
    def names(self, log_mel: Tensor) -> list[str]:
        """The most likely kind of each of the log-mels (B, M, T), of any float type and any B."""
        return [
            self.kinds[i]
            for part in log_mel.split(64)
            for i in self(part.float()).argmax(1).tolist()
        ]

    @torch.inference_mode()
    def embeddings(self, log_mel: Tensor) -> Tensor:
        """The embeddings (B, E) of log-mels (B, M, T), of any float type and any B."""
        return torch.cat([self.embed(part.float()) for part in log_mel.split(64)])


def relative(log_mel: Tensor) -> Tensor:
    """Log-mel (B, M, T) -> level relative to the clip's peak: 1 at the peak, 0 at `RANGE` and more
    below it. A silent clip is 1 everywhere.
    """
    peak = log_mel.amax((1, 2), keepdim=True)
    return ((log_mel - peak) / RANGE + 1).clamp_min(0)
