"""A toot in blocks: the first is ready long before the last is made.

The decoder draws a whole toot in a few milliseconds. What takes time is turning its log-mel into
sound, and each step of that looks only a few frames ahead:

    mel -> magnitude     vocoder: some frames to both sides; mel inversion: none
    ridge integration    one frame ahead, for the slope
    Griffin-Lim          each round, and the overlap-add: as far as a window reaches

So a block is computed from its own frames and those within reach, and equals that part of the whole
toot.

`generate` measures the level, the onset and the end on the whole wave. A stream does not have the
wave yet, so it takes them from the log-mel. A toot that would exceed full scale is turned down
from there on. A stream has the model's sample rate: `bandwidth` extends only whole toots. Otherwise
it is what `generate` gives, except that notes so low that they need a longer window get fewer
rounds of Griffin-Lim, whose reach grows with the window.
"""

from __future__ import annotations

import itertools
import math
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tootlearn.controls import ONSET_SAMPLES, Controls
from tootlearn.dsp import phase
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError
from tootlearn.generation import harmonics, toot_generator
from tootlearn.generation.toot_generator import PEAK, TootGenerator
from tootlearn.models.decoder import Drawing

FRAMES = 8  # of a block, by default
# rounds of Griffin-Lim where more than four windows overlap, by how many do; other counts have none
_FEW = {8: 1}
_FADE = 0.005  # s
_SPARSE = 4  # frames from one reading of the level to the next; or half a window, if that is more
_QUIET = 1e-6  # of the energy of the loudest frame, 60 dB below it: where a toot ends


def stream(
    generator: TootGenerator,
    controls: Controls,
    residual: Tensor,
    seed: int = 0,
    texture: float = 1.0,
    frames: int = FRAMES,
) -> Iterator[NDArray[np.float32]]:
    """One toot in blocks, each made on demand.

    Args:
        generator: what draws it.
        controls, residual, seed, texture: as for `TootGenerator.render`.
        frames: of a block. It changes samples by no more than rounding. Large blocks need less
            computation in all; small ones are ready sooner.

    Yields:
        Waves, shape (N,), float32, at the generator's sample rate; together the toot. N is
        ``frames`` hops, less in the first and the last.

    Raises:
        InputError: no frames, or as `TootGenerator.render`.

    Example:
        >>> import tootlearn
        >>> g = tootlearn.load()
        >>> controls = g.controls("trumpet", duration=0.5, seed=7)
        >>> blocks = stream(g, controls, g.residual(controls, seed=7), seed=7)
        >>> len(next(blocks)) <= FRAMES * 256
        True
    """
    if frames < 1:
        raise InputError(f"a block has 1 frame or more, not {frames}")
    return _blocks(generator, controls, residual, seed, texture, frames)


@torch.inference_mode()
def _blocks(
    generator: TootGenerator,
    controls: Controls,
    residual: Tensor,
    seed: int,
    texture: float,
    frames: int,
) -> Iterator[NDArray[np.float32]]:
    sound = _Sound(generator, *generator.draw(controls, residual, seed, texture))
    hop, fade = sound.stft.hop, round(_FADE * generator.sample_rate)
    gain = sound.gain(float(controls.loudness[0]), float(controls.duration[0]))
    last = sound.last()
    parts = (
        gain * sound.wave(first, min(first + frames, last)) for first in range(0, last, frames)
    )
    for block in _faded(_limited(parts, hop), ONSET_SAMPLES - fade, last * hop, fade):
        yield np.asarray(block.cpu().numpy(), dtype=np.float32)


def _limited(parts: Iterable[Tensor], hop: int) -> Iterator[Tensor]:
    """Waves of whole hops, a hop later, turned down where they would exceed `PEAK`.

    The gain falls during the hop before the one that is too loud, and does not rise again.
    """
    held, loudest = torch.zeros(0), torch.zeros(1)
    share = torch.arange(hop) / hop
    for part in itertools.chain(parts, [torch.zeros(hop)]):
        pieces = torch.cat([held.to(part.device), part]).view(-1, hop)
        reached = torch.cat([loudest.to(part.device), pieces.abs().amax(1)]).cummax(0).values
        # (hops, 1): from the hop's first sample on
        limit = PEAK / reached[1:, None].clamp_min(PEAK)
        yield (pieces[:-1] * torch.lerp(limit[:-1], limit[1:], share.to(part.device))).flatten()
        held, loudest = pieces[-1], reached[-1:]


def _faded(parts: Iterable[Tensor], start: int, stop: int, fade: int) -> Iterator[Tensor]:
    """Samples ``start`` to ``stop`` of consecutive waves, with fades of ``fade`` samples."""
    done = 0
    for part in parts:
        place = torch.arange(done, done + len(part), device=part.device)
        ramp = (torch.minimum(place - start, stop - 1 - place) / fade).clamp(0, 1)
        inside = (part * ramp)[max(start - done, 0) : max(stop - done, 0)]
        done += len(part)
        if len(inside):
            yield inside


class _Sound:
    """The way from the log-mel (M, T) of a toot to its wave, block by block."""

    def __init__(self, generator: TootGenerator, log_mel: Tensor, drawing: Drawing) -> None:
        self.log_mel, self.drawing = log_mel, drawing
        self.front_end = generator.resolving(drawing)
        front_end = generator.model.front_end
        self.vocoder = generator.vocoder if self.front_end is front_end else None
        self.wider = self.front_end.config.n_fft / front_end.config.n_fft
        self.stft: Stft = self.front_end.stft
        overlap = self.stft.n_fft // self.stft.hop
        self.rounds = toot_generator.PHASE_ITERATIONS if overlap <= 4 else _FEW.get(overlap, 0)
        # frames that a block's samples depend on, to each side
        self.reach = self.rounds * (overlap - 1) + overlap // 2
        means = log_mel.exp() / front_end.mel.bank.sum(1)[:, None]
        self.loudest = self.wider * means.max()
        frames = log_mel.shape[1]
        self.magnitude = log_mel.new_zeros(frames, self.stft.bins)
        # the magnitude with the phases of its ridges
        self.spectrum = torch.zeros_like(self.magnitude, dtype=torch.complex64)
        self.known = self.ridged = 0  # how many frames of magnitude and spectrum are done
        self.turns: Tensor | None = None  # phases of the last frame that is done

    def gain(self, loudness: float, duration: float) -> float:
        """The gain that gives it a loudness in dBFS: from the energy of the log-mel over the
        duration in s.
        """
        n_fft, hop = self.stft.n_fft, self.stft.hop
        step = max(_SPARSE, n_fft // hop // 2)
        frames = slice(0, self.last(), step)
        magnitude = harmonics.expected(
            self.log_mel, self.drawing, self.front_end, self.wider, frames
        )
        energy = (
            float(magnitude.square().sum())
            * 2
            * hop
            * step
            / (n_fft * float(self.stft.window.square().sum()))
        )
        level = 10 * math.log10(energy / duration / self.front_end.config.sample_rate)
        return 10 ** ((loudness - level) / 20)

    def last(self) -> int:
        """The first frame that is 60 dB below the loudest, as are all after it."""
        energy = self.log_mel.exp().square().sum(0)
        after = int((energy >= _QUIET * energy.max()).nonzero()[-1]) + 1
        return min(after + self.stft.n_fft // self.stft.hop // 2, len(self.magnitude))

    def wave(self, first: int, last: int) -> Tensor:
        """The samples of these frames; call it for one block after another."""
        low, high = max(first - self.reach, 0), min(last + self.reach, len(self.magnitude))
        self._ridge(high)
        hop, samples = self.stft.hop, (high - low) * self.stft.hop
        rows = slice(low, high)
        spectrum = phase.iterate(
            self.spectrum[None, rows],
            self.magnitude[None, rows],
            self.stft,
            self.rounds,
            samples,
            phase.MOMENTUM,
        )
        return self.stft.synthesize(spectrum, samples)[0, (first - low) * hop : (last - low) * hop]

    def _ridge(self, last: int) -> None:
        """Integrate the phase up to a frame."""
        first = self.ridged
        if last <= first:
            return
        low, high = max(first - 1, 0), min(last + 1, len(self.magnitude))
        self._restore(high)
        magnitude = self.magnitude[None, low:high]
        turns = phase.ridge_turns(magnitude, self.stft, loudest=self.loudest, before=self.turns)
        new = slice(first - low, last - low)
        self.spectrum[first:last] = phase.with_turns(magnitude[:, new], turns[:, new], self.stft)[0]
        self.turns, self.ridged = turns[:, new.stop - 1], last

    def _restore(self, last: int) -> None:
        """Compute the magnitude up to a frame, or a little further."""
        while self.known < last:
            first = self.known
            if self.vocoder:
                end, low = last, max(first - self.vocoder.reach, 0)
                seen = self.log_mel[None, :, low : end + self.vocoder.reach]
                restored = self.vocoder(seen, self.log_mel.max())[0, :, first - low : end - low]
            else:  # always FRAMES at a time: how a matrix product rounds depends on its size
                end = min(first + FRAMES, len(self.magnitude))
                restored = harmonics.magnitude(
                    self.log_mel, self.drawing, self.front_end, self.wider, slice(first, end)
                )
            self.magnitude[first:end], self.known = restored.T, end


def to_file(
    path: str | os.PathLike[str], blocks: Iterable[NDArray[np.float32]], sample_rate: int
) -> int:
    """Write blocks to a 16-bit WAV or FLAC file as they arrive. The file appears when it is
    complete.

    Args:
        path: where to; the suffix says the format. The folder must exist.
        blocks: waves (N,) in [-1, 1].
        sample_rate: Hz.

    Returns:
        How many samples were written.

    Raises:
        InputError: another suffix, or a file that cannot be written.
    """
    import soundfile

    path = Path(path)
    kind = path.suffix[1:].upper()
    if kind not in ("WAV", "FLAC"):
        raise InputError(f"{path}: blocks are written as .wav or .flac, not as {path.suffix!r}")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    samples = 0
    try:
        with soundfile.SoundFile(part, "w", sample_rate, 1, "PCM_16", format=kind) as file:
            for block in blocks:
                file.write(np.clip(np.round(block * 32768), -32768, 32767).astype(np.int16))
                samples += len(block)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{path} could not be written ({error}): check the folder and the disk"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return samples


class Reader:
    """Reads blocks of any length in pieces of a given length, as a sound card's callback needs.

    Args:
        blocks: waves (N,).
    """

    def __init__(self, blocks: Iterable[NDArray[np.float32]]) -> None:
        self._blocks = iter(blocks)
        self._held = np.zeros(0, dtype=np.float32)

    def read(self, samples: int) -> NDArray[np.float32]:
        """The next ``samples`` samples, or those that are left: shape (samples,) or less, (0,) at
        the end.
        """
        parts, count = [self._held], len(self._held)
        while count < samples and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            count += len(block)
        together = np.concatenate(parts)
        self._held = together[samples:]
        return together[:samples]
