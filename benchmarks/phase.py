"""How good and how fast the way back from a spectrogram to sound is, beside librosa and torchaudio.

    python benchmarks/phase.py
    python benchmarks/phase.py --recordings "tuba=sounds/tuba/*.flac" "car_horns=sounds/car_horn/*"

For each set of sounds, tables of the phase alone, from the true magnitude, and of the way from mel
bands: 128, the front end of the package, and 80, with a vocoder if `--vocoder80` names one (from
`tootlearn train-vocoder --front_end.mels 80`). Sets: synthetic toots; white noise, of which mel
bands tell next to nothing; notes of a sound font at semitones that the vocoder did not learn from;
and recordings. Each clip is cut to 1.28 s. SC, LSD, mel L1 and MR are medians over the clips; f0 is
the median of the absolute change in cents among clips that have an f0 (in steps of 5), with the
share of them within 20 cents. Speeds are those of one clip at a time, the methods in turn, in units
of librosa's.
"""

import glob
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from shared import interleaved, parser_of, started
from torch import Tensor

from tootlearn.data import sounds, synthesis
from tootlearn.data.recipes import KINDS
from tootlearn.data.sound_font import PROGRAMS, find_font, open_font, play
from tootlearn.dsp import measures
from tootlearn.dsp.audio import load_audio
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.phase import fast_griffin_lim, ridge_integration
from tootlearn.errors import InputError
from tootlearn.evaluation.metrics import compare
from tootlearn.models import model_file
from tootlearn.models.vocoder import Vocoder

RATE, SAMPLES = 22050, 28160  # 1.28 s, 110 hops of 256
SEED = 4
LIBROSA = "librosa 32"
Method = Callable[[Tensor], Tensor]  # wave (N,) -> wave (N,): through a spectrogram and back


def toots(count: int) -> list[Tensor]:
    """Synthetic toots of all kinds."""
    return list(synthesis.toots(tuple(KINDS), count, 12345)[0][:, :SAMPLES])


def notes(count: int) -> list[Tensor]:
    """Notes of the brass of a sound font at semitones that the vocoder did not learn from."""
    player, draw = open_font(find_font(), RATE), random.Random(SEED)
    waves: list[Tensor] = []
    while len(waves) < count:
        program = tuple(PROGRAMS.values())[len(waves) % len(PROGRAMS)]
        low, high = (28, 56) if program == PROGRAMS["tuba"] else (36, 80)
        midi = draw.uniform(low, high)
        if sounds.note_is_held_out(program, midi):
            wave = play(player, program, midi, draw.randint(40, 127), 1.0, RATE)[:SAMPLES]
            waves.append(0.7 * wave[: len(wave) // 256 * 256] / wave.abs().max())
    return waves


def recordings(pattern: str, count: int) -> list[Tensor]:
    """Up to ``count`` clips of the files of a pattern, by a fixed draw."""
    names = sorted(glob.glob(pattern))
    random.Random(SEED).shuffle(names)
    waves = []
    for name in names:
        wave = load_audio(name, RATE)[0][:SAMPLES]
        wave = wave[: len(wave) // 256 * 256]
        if len(wave) >= SAMPLES // 4 and float(wave.abs().max()) > 1e-3:
            waves.append(wave)
        if len(waves) == count:
            break
    return waves


def phase_methods(front_end: FrontEnd) -> dict[str, Method]:
    """From the true magnitude."""
    import librosa
    import torchaudio

    stft = front_end.stft
    peer = torchaudio.transforms.GriffinLim(1024, n_iter=32, hop_length=256, power=1.0)

    def by_librosa(wave: Tensor) -> Tensor:
        magnitude = stft.magnitude(wave).numpy()
        return torch.from_numpy(
            librosa.griffinlim(magnitude, n_iter=32, hop_length=256, random_state=1)
        )

    def ridges(iterations: int) -> Method:
        return lambda wave: ridge_integration(
            stft.magnitude(wave), stft, iterations=iterations, length=len(wave)
        )

    return {
        LIBROSA: by_librosa,
        "torchaudio 32": lambda wave: peer(stft.magnitude(wave)),
        "fast Griffin-Lim 32": lambda wave: fast_griffin_lim(
            stft.magnitude(wave), stft, iterations=32
        ),
        **{f"ridges + {n}": ridges(n) for n in (0, 2, 4, 8, 16)},
    }


def mel_methods(front_end: FrontEnd, vocoder: Vocoder | None) -> dict[str, Method]:
    """From mel bands."""
    import librosa
    import torchaudio

    stft, mel, mels = front_end.stft, front_end.mel, front_end.config.mels
    inverse = torchaudio.transforms.InverseMelScale(
        513, mels, RATE, norm="slaney", mel_scale="slaney"
    )
    peer = torchaudio.transforms.GriffinLim(1024, n_iter=32, hop_length=256, power=1.0)

    def bands(wave: Tensor) -> Tensor:
        return mel(stft.magnitude(wave))  # type: ignore[no-any-return]

    def by_librosa(wave: Tensor) -> Tensor:
        settings = {"sr": RATE, "n_fft": 1024, "hop_length": 256, "power": 1.0, "length": len(wave)}
        return torch.from_numpy(
            librosa.feature.inverse.mel_to_audio(bands(wave).numpy(), **settings)
        )

    def with_ridges(guess: Callable[[Tensor], Tensor], iterations: int) -> Method:
        return lambda wave: ridge_integration(
            guess(bands(wave)), stft, iterations=iterations, length=len(wave)
        )

    def oracle(guess: Callable[[Tensor], Tensor]) -> Method:
        def method(wave: Tensor) -> Tensor:
            true = stft(wave)
            return stft.inverse(true.sgn() * guess(bands(wave)), len(wave))

        return method

    pseudo = torch.linalg.pinv(mel.bank.double()).float()  # what librosa starts from
    methods: dict[str, Method] = {
        LIBROSA: by_librosa,
        "torchaudio 32": lambda wave: peer(inverse(bands(wave))),
        "pseudo-inverse, ridges + 2": with_ridges(lambda x: (pseudo @ x).clamp_min(0), 2),
        "inversion, ridges + 2": with_ridges(mel.inverse, 2),
        "inversion, ridges + 8": with_ridges(mel.inverse, 8),
        "inversion, true phase": oracle(mel.inverse),
    }
    if vocoder:

        def drawn(mel_bands: Tensor) -> Tensor:
            magnitude: Tensor = vocoder(mel_bands.clamp_min(front_end.config.floor).log())
            return magnitude

        methods |= {f"vocoder, ridges + {n}": with_ridges(drawn, n) for n in (2, 4, 8)}
        methods |= {"vocoder, true phase": oracle(drawn)}
    return methods


def f0_change(back: Tensor, wave: Tensor) -> float:
    """In cents; nan where either has no f0."""
    a, b = (float(measures.median_f0(x, RATE, 30.0, 2000.0)) for x in (back, wave))
    return abs(1200 * float(np.log2(a / b))) if a > 0 and b > 0 else float("nan")


def table(
    title: str, methods: Mapping[str, Method], waves: Sequence[Tensor], seconds: float
) -> None:
    """One row a method: how far it is from the sound, and how fast."""
    medians = interleaved(
        {name: lambda m=method: m(waves[0]) for name, method in methods.items()}, seconds, rounds=3
    )
    head = f"{title} (N = {len(waves)})"
    columns = f"{'SC (dB)':>9}{'LSD (dB)':>10}{'mel L1':>8}{'MR':>7}"
    columns += f"{'f0 (cents)':>12}{'within 20':>11}{'speed':>8}"
    print(f"\n{head:40}{columns}")
    for name, method in methods.items():
        found = []
        for wave in waves:
            back = method(wave)[: len(wave)]
            back = torch.nn.functional.pad(back, (0, len(wave) - len(back)))
            found.append([*(float(d) for d in compare(back, wave)), f0_change(back, wave)])
        sc, lsd, l1, mr, f0 = np.array(found).T
        heard = f0[~np.isnan(f0)]
        tuned = (
            f"{np.median(heard):12.1f}{np.mean(heard <= 20):11.0%}"
            if len(heard)
            else f"{'-':>12}{'-':>11}"
        )
        figures = (
            f"{np.median(sc):9.1f}{np.median(lsd):10.2f}{np.median(l1):8.3f}{np.median(mr):7.3f}"
        )
        print(f"{name:40}{figures}{tuned}{medians[LIBROSA] / medians[name]:8.1f}", flush=True)


def sets(patterns: Sequence[str], count: int) -> Iterator[tuple[str, list[Tensor]]]:
    """Each set's name and waves."""
    yield "synthetic toots", toots(count)
    generator = torch.Generator().manual_seed(SEED)
    yield (
        "white noise",
        [0.1 * torch.randn(SAMPLES, generator=generator) for _ in range(min(count, 6))],
    )
    try:
        yield "held-out font notes", notes(count)
    except InputError as error:
        print(f"no notes of a sound font: {error}")
    for asked in patterns:
        name, _, pattern = asked.partition("=")
        yield name, recordings(pattern, count)


@torch.inference_mode()
def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--recordings",
        nargs="*",
        default=[],
        metavar="NAME=PATTERN",
        help="files, as a shell has them",
    )
    parser.add_argument("--vocoder", type=Path, help="for 128 mels; the shipped one without it")
    parser.add_argument("--vocoder80", type=Path, help="for 80 mels")
    parser.add_argument("--count", type=int, default=24, help="clips of a set at most (default 24)")
    parser.add_argument("--seconds", type=float, default=10, help="of timing a table (default 10)")
    options = started(parser)
    whole, fewer = FrontEnd(), FrontEnd(FrontEndConfig(mels=80))
    speaker = model_file.load_vocoder(options.vocoder, whole.config)[0]
    other = (
        model_file.load_vocoder(options.vocoder80, fewer.config)[0] if options.vocoder80 else None
    )
    for name, waves in sets(options.recordings, options.count):
        table(f"{name}: true magnitude", phase_methods(whole), waves, options.seconds)
        table(f"{name}: 80 mels", mel_methods(fewer, other), waves, options.seconds)
        table(f"{name}: 128 mels", mel_methods(whole, speaker), waves, options.seconds)


if __name__ == "__main__":
    main()
