"""The multi-resolution STFT distance as a loss of networks that draw log-mels: through a
differentiable inverse.

Such a network makes no wave. Its drawing has one once the mel bands are inverted and a phase is put
in. The phase is the target's: ridge integration of the target's own magnitude, without a gradient.
So the wave is a smooth function of the drawing, and two equal drawings have equal waves. What is
judged is what the bands and the overlap of the frames make of a drawing; the phase is not judged.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tootlearn import rng
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.phase import ridge_phase
from tootlearn.dsp.stft import Stft
from tootlearn.losses.log_mel import HIGHEST

CLIPS, FRAMES = 4, 64  # that are made to sound in a step: the dearest of the losses
UPDATES = 5  # of the mel inversion
RESOLUTIONS = ((2048, 512), (1024, 256), (512, 128))  # n_fft, hop
FLOOR = 1e-3  # of magnitudes
_TINY = 1e-7  # a magnitude that is heard by nobody and has a phase


def multi_resolution(estimate: Tensor, reference: Tensor) -> Tensor:
    """Multi-resolution STFT distance between waves (Yamamoto et al. 2020).

    Linear spectral convergence plus the mean absolute difference of natural-log magnitudes,
    averaged over STFTs of 2048 / 512, 1024 / 256 and 512 / 128 samples. Both terms have a floor
    at a magnitude of 1e-3 in each bin, so value and gradient are finite for silence too.

    Args:
        estimate: wave (..., N).
        reference: wave (..., N).

    Returns:
        (...), 0 or more; 0 for equal waves.
    """
    total = reference.new_zeros(reference.shape[:-1])
    for n_fft, hop in RESOLUTIONS:
        stft = Stft(n_fft, hop).to(reference)
        a, b = stft.magnitude(estimate), stft.magnitude(reference)
        least = FLOOR * math.sqrt(b.shape[-2] * b.shape[-1])
        error = torch.linalg.vector_norm(a - b, dim=(-2, -1))
        size = torch.linalg.vector_norm(b, dim=(-2, -1)).clamp_min(least)
        logs = a.clamp_min(FLOOR).log() - b.clamp_min(FLOOR).log()
        total = total + error / size + logs.abs().mean((-2, -1))
    return total / len(RESOLUTIONS)


class MultiResolutionSTFTLoss(nn.Module):
    """The loss "stft": `multi_resolution` between what a drawing and its target sound like.

    A piece of the first few clips of a batch is made to sound, another one in each step: all of it
    would cost more than the networks do. `benchmarks/losses.py --cost` times it.

    Args:
        front_end: what the log-mels are made with.

    Example:
        >>> x = torch.zeros(8, 128, 176)
        >>> MultiResolutionSTFTLoss(FrontEndConfig())(x, x, seed=0, step=0)
        tensor(0.)
    """

    def __init__(self, front_end: FrontEndConfig) -> None:
        super().__init__()
        self.front_end = FrontEnd(front_end)

    def forward(self, drawn: Tensor, target: Tensor, seed: int, step: int) -> Tensor:
        """Log-mels (B, M, T) and the seed and number of a step -> a scalar."""
        last = max(0, target.shape[2] - FRAMES)
        start = int(rng.words(seed, rng.at_step(rng.Stream.LOSS_PIECE, step), 1)[0]) % (last + 1)
        drawn, target = (
            x[:CLIPS, :, start : start + FRAMES].to(target.dtype) for x in (drawn, target)
        )
        with torch.autocast(target.device.type, enabled=False):  # an FFT needs all its bits
            return multi_resolution(*self.waves(drawn, target)).mean()

    def waves(self, drawn: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """What both (B, M, T) sound like with the phase of the target, (B, (T - 1) hop) each."""
        stft = self.front_end.stft
        with torch.no_grad():
            magnitude = self.front_end.magnitude(target, UPDATES).transpose(1, 2)
            audible = magnitude.clamp_min(_TINY)
            phase = ridge_phase(audible, stft) / audible  # (B, T, F), on the unit circle
        painted = self.front_end.magnitude(drawn.clamp_max(HIGHEST), UPDATES).transpose(1, 2)
        return stft.synthesize(painted * phase), stft.synthesize(magnitude * phase)
