"""How fast waves become log-mels: ours beside librosa, torchaudio, nnAudio and torch.stft with a
matrix product.

Every peer makes the same log-mels (22,050 Hz, 1024 / 256, 128 Slaney bands, power 1, natural log
floored at 1e-5) of the same clips; how far each is from librosa is printed. The peers take turns,
so that a busy machine slows all of them; medians and ratios count. librosa's `melspectrogram` makes
its filterbank again in each call; "kept bank" does not.

    python benchmarks/front_end.py --seconds 60
"""

import argparse
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version

import numpy as np
import torch
from shared import interleaved, one_machine, parser_of
from torch import Tensor

from tootlearn.dsp.front_end import FrontEnd

RATE, N_FFT, HOP, MELS, FLOOR = 22050, 1024, 256, 128, 1e-5
SAMPLES = 28_160  # 1.28 s: 110 frames
LIBRARIES = ["librosa", "torchaudio", "nnAudio"]
Peer = Callable[[Tensor], Tensor]


def clips(batch: int) -> Tensor:
    """Decaying noise (B, N): no part of it is silent, none is at full scale."""
    noise = torch.randn(batch, SAMPLES, generator=torch.Generator().manual_seed(0))
    return 0.1 * noise * torch.exp(-torch.arange(SAMPLES) / RATE)


def ours() -> Peer:
    return FrontEnd().forward


def librosa_batch() -> Peer:
    import librosa

    def features(waves: Tensor) -> Tensor:
        mel = librosa.feature.melspectrogram(
            y=waves.numpy(), sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=MELS, power=1.0
        )
        return torch.from_numpy(np.log(np.maximum(mel, FLOOR)))

    return features


def librosa_loop() -> Peer:
    one = librosa_batch()
    return lambda waves: torch.stack([one(wave) for wave in waves])


def librosa_kept_bank() -> Peer:
    import librosa

    bank = librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=MELS)

    def features(wave: Tensor) -> Tensor:
        magnitude = np.abs(librosa.stft(wave.numpy(), n_fft=N_FFT, hop_length=HOP))
        return torch.from_numpy(np.log(np.maximum(bank @ magnitude, FLOOR)))

    return lambda waves: torch.stack([features(wave) for wave in waves])


def torchaudio_transform() -> Peer:
    import torchaudio

    transform = torchaudio.transforms.MelSpectrogram(
        RATE,
        N_FFT,
        hop_length=HOP,
        n_mels=MELS,
        power=1.0,
        pad_mode="constant",
        norm="slaney",
        mel_scale="slaney",
    )
    return lambda waves: transform(waves).clamp_min(FLOOR).log()


def nnaudio_transform() -> Peer:
    from nnAudio.features.mel import MelSpectrogram

    transform = MelSpectrogram(
        sr=RATE,
        n_fft=N_FFT,
        hop_length=HOP,
        n_mels=MELS,
        power=1.0,
        pad_mode="constant",
        verbose=False,
    )
    return lambda waves: transform(waves).clamp_min(FLOOR).log()


def torch_matmul() -> Peer:
    bank, window = FrontEnd().mel.bank, torch.hann_window(N_FFT)

    def features(waves: Tensor) -> Tensor:
        spectrum = torch.stft(
            waves, N_FFT, HOP, window=window, pad_mode="constant", return_complex=True
        )
        return (bank @ spectrum.abs()).clamp_min(FLOOR).log()

    return features


PEERS: dict[str, Callable[[], Peer]] = {
    "librosa, loop": librosa_loop,
    "librosa, kept bank, loop": librosa_kept_bank,
    "librosa, batch": librosa_batch,
    "torchaudio": torchaudio_transform,
    "nnAudio": nnaudio_transform,
    "torch.stft + matmul": torch_matmul,
    "tootlearn": ours,
}


def extra_memory(name: str, batch: int) -> float:
    """MiB by which one call raises the peak of a fresh process, beyond its input and its result;
    nan but on Linux.
    """
    call = [sys.executable, os.path.abspath(__file__), "--memory-of", name, "--batch", str(batch)]
    answer = subprocess.run(call, capture_output=True, text=True)
    return float(answer.stdout) if answer.returncode == 0 else float("nan")


def memory_mib(field: str) -> float:
    """A line of Linux's /proc/self/status: VmRSS, memory in use now, or VmHWM, its peak."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 2**10


def print_extra_memory(name: str, batch: int) -> None:
    peer = PEERS[name]()
    peer(clips(1))
    waves = clips(batch)
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")  # forget the peak so far
    before = memory_mib("VmRSS")
    result = peer(waves)
    print(max(0.0, memory_mib("VmHWM") - before - result.numel() * 4 / 2**20))


def installed_peers() -> dict[str, Peer]:
    missing = set()
    for library in LIBRARIES:
        try:
            importlib.import_module(library)
        except ImportError as error:
            missing.add(library)
            print(f"{library} is left out: {error}")
    return {name: make() for name, make in PEERS.items() if name.split(",")[0] not in missing}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--seconds", type=float, default=30, help="of measuring, over all batch sizes (default 30)"
    )
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[1, 64], help="clips at a time (default 1 64)"
    )
    parser.add_argument("--memory-of", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    machine = one_machine(options.threads)
    if options.memory_of:
        return print_extra_memory(options.memory_of, options.batch)

    print(machine)
    peers = installed_peers()
    print(
        ", ".join(
            f"{name} {version(name)}"
            for name in LIBRARIES
            if any(p.startswith(name) for p in peers)
        )
    )
    print(f"log-mels of clips of {SAMPLES / RATE:.2f} s; speed: librosa's loop = 1")
    with torch.no_grad():
        reference = peers.get("librosa, loop", peers["tootlearn"])(clips(4))
        for batch in options.batches:
            waves = clips(batch)
            calls = {name: partial(peer, waves) for name, peer in peers.items()}
            medians = interleaved(calls, options.seconds / len(options.batches))
            unit = medians.get("librosa, loop", medians["tootlearn"])
            print(
                f"\n{f'batch {batch}':24} {'ms':>8} {'speed':>7} {'ours is':>8} "
                f"{'extra MiB':>10} {'off by':>8}"
            )
            for name, median in medians.items():
                frames = FrontEnd().frames(SAMPLES)
                off = (
                    (peers[name](clips(4))[..., :frames].exp() - reference[..., :frames].exp())
                    .abs()
                    .max()
                )
                print(
                    f"{name:24} {1e3 * median:8.2f} {unit / median:7.2f} "
                    f"{median / medians['tootlearn']:7.2f}x"
                    f" {extra_memory(name, batch):10.1f} {float(off / reference.exp().max()):8.0e}"
                )


if __name__ == "__main__":
    main()
