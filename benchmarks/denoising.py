"""Noise reduction: ours beside noisereduce and scipy's Wiener filter, on toots and on recordings,
in noise.

    python benchmarks/denoising.py [FOLDER] [--count 30]

Set 1 is synthetic: toots of all twelve kinds in turn, in windows of 2.04 s, each with 0.1 s of
silence before and silence after it. Set 2, if a folder is given, are recordings in it and below,
spread evenly over their sorted names: their first 2.04 s at 22,050 Hz, as they are, with the noise
that they have themselves; what is shorter than 0.2 s is left out. White noise and pink noise (1 / f
from 20 Hz on) are added at a signal-to-noise ratio over the whole clip. The methods take turns on
each clip.

Printed is the gain in SI-SDR (scale-invariant signal-to-distortion ratio, Le Roux et al. 2019) in
dB, the mean over the clips; SI-SDR itself for the clean clip, median and least; and the time.
"blind" sees the mix alone, "noise given" also a second of other noise from the same source, and
"true spectrum" is our Wiener rule with the spectrum of the very noise: a limit. Then, what a
reconstruction from the log-mel (the shipped model's chain, without a network in between) has from
the filter: distances to the original, with it and without. Then, what share of the energy of a 440
Hz tone is left that is held through 2 s, 29 dB above the noise; what is left of noise alone, as a
whole and in cells of the STFT that stick out (within 20 dB of its mean: "birdies", musical noise);
and what becomes of clean toots that are cut where they begin and end, so that no quiet is left in
the clip.

The constants of `tootlearn.dsp.denoising` were set on six of the kinds (every other one) with other
seeds, the second window after a look at a dozen recordings of a tuba, and at earlier tables of this
script. So set 1 is held out; recordings of that tuba are not.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from shared import one_machine, parser_of
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

import tootlearn
from tootlearn import rng
from tootlearn.data import synthesis
from tootlearn.data.folder import SUFFIXES
from tootlearn.dsp import audio, denoising
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError
from tootlearn.evaluation import metrics

RATE, RATIOS, COLOURS = 22050, (0, 5, 10, 20), ("white", "pink")
Method = Callable[[Tensor, Tensor], Tensor]  # of the mix and of other noise from the same source


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="of recordings, for a second set")
    parser.add_argument("--count", type=int, default=30, help="clips of a set (default 30)")
    parser.add_argument("--seed", type=int, default=5000)
    options = parser.parse_args()
    print(f"{one_machine(options.threads)}, scipy {version('scipy')}")
    toots, controls = synthesis.toots(list(synthesis.KINDS), options.count, options.seed)
    sets = {f"{options.count} synthetic toots": list(toots)}
    if options.folder:
        clips = recordings(options.folder, options.count)
        sets[f"{len(clips)} recordings of {options.folder.name}"] = clips
    known = methods()
    with torch.inference_mode():
        for name, clips in sets.items():
            print(f"\n{name}: gain in SI-SDR (dB)")
            table(known, clips, options.seed)
            after_reconstruction(clips)
        held_tone(known, options.seed)
        noise_alone(known, options.seed)
        without_quiet(known, toots, controls.kind)


def methods() -> dict[str, Method]:
    """Each method of one clip (N,), by its name; noisereduce only where it is installed."""
    from scipy import signal

    known: dict[str, Method] = {
        "tootlearn Wiener, blind": lambda mix, _: denoising.denoise(mix, RATE),
        "tootlearn log-amplitude, blind": lambda mix, _: denoising.denoise(
            mix, RATE, rule="log_amplitude"
        ),
        "tootlearn Wiener, noise given": lambda mix, noise: denoising.denoise(mix, RATE, noise),
        "tootlearn log-amplitude, noise given": lambda mix, noise: denoising.denoise(
            mix, RATE, noise, "log_amplitude"
        ),
    }
    try:
        import noisereduce

        print(f"noisereduce {version('noisereduce')}")

        def reduced(mix: Tensor, **how: object) -> Tensor:
            return torch.from_numpy(
                np.asarray(noisereduce.reduce_noise(mix.numpy(), RATE, **how), dtype=np.float32)
            )

        known["noisereduce default, blind"] = lambda mix, _: reduced(mix)
        known["noisereduce stationary, blind"] = lambda mix, _: reduced(mix, stationary=True)
        known["noisereduce, noise given"] = lambda mix, noise: reduced(
            mix, stationary=True, y_noise=noise.numpy()
        )
    except ImportError as error:
        print(f"noisereduce is left out: {error}")

    def wiener(mix: Tensor, _: Tensor) -> Tensor:
        with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 in silence
            return torch.from_numpy(np.nan_to_num(signal.wiener(mix.double().numpy()))).float()

    known["scipy.signal.wiener, blind"] = wiener
    return known


def recordings(folder: Path, count: int) -> list[Tensor]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{folder} holds no recordings")
    clips = [audio.load_audio(path, RATE)[0][:WINDOW_SAMPLES] for path in files]
    clips = [clip for clip in clips if len(clip) > RATE // 5 and bool(clip.any())]
    return [clips[i * len(clips) // count] for i in range(count)] if len(clips) > count else clips


def coloured(samples: int, colour: str, seed: int) -> Tensor:
    """Noise (samples,) of unit power."""
    noise = torch.from_numpy(rng.normal(seed, COLOURS.index(colour), samples))
    if colour == "pink":
        hertz = torch.fft.rfftfreq(samples, 1 / RATE)
        noise = torch.fft.irfft(
            torch.fft.rfft(noise) * torch.where(hertz < 20, 0, hertz.clamp_min(20).rsqrt()), samples
        )
    return (noise / noise.square().mean().sqrt()).float()


def si_sdr(estimate: Tensor, clean: Tensor) -> float:
    """In dB; 140 at most, where only rounding is left; -inf for silence."""
    if not estimate.any():
        return -float("inf")
    clean, estimate = clean.double(), estimate.double()
    target = clean * (estimate @ clean) / (clean @ clean)
    return 10 * float(
        (
            (target @ target)
            / (estimate - target).square().sum().clamp_min(1e-14 * (target @ target))
        ).log10()
    )


def table(known: dict[str, Method], clips: list[Tensor], seed: int) -> None:
    gains, spent, cleaned = defaultdict(list), defaultdict(list), defaultdict(list)
    for i, clean in enumerate(tqdm(clips, desc="clips", leave=False, disable=None)):
        level = clean.square().mean().sqrt()
        for colour in COLOURS:
            noise = level * coloured(len(clean) + RATE, colour, rng.child(seed, i))
            for ratio in RATIOS:
                scaled = noise * 10 ** (-ratio / 20)
                mix, other = clean + scaled[: len(clean)], scaled[len(clean) :]
                for name, method in known.items():
                    start = time.perf_counter()
                    estimate = method(mix, other)
                    spent[name].append(1e3 * (time.perf_counter() - start))
                    gains[name, colour, ratio].append(si_sdr(estimate, clean) - ratio)
                true = denoising.denoise(mix, RATE, scaled[: len(clean)])
                gains["limit: Wiener, true spectrum", colour, ratio].append(
                    si_sdr(true, clean) - ratio
                )
        quiet = 1e-3 * other
        for name, method in known.items():
            if "given" not in name:
                cleaned[name].append(si_sdr(method(clean, quiet), clean))
    head = "".join(f"{f'{colour} {ratio}':>10}" for colour in COLOURS for ratio in RATIOS)
    print(f"{'':38}{head}   clean (least)   ms a clip")
    for name in (*known, "limit: Wiener, true spectrum"):
        cells = "".join(
            f"{np.mean(gains[name, colour, ratio]):10.1f}" for colour in COLOURS for ratio in RATIOS
        )
        clean = (
            f"{np.median(cleaned[name]):8.0f} ({min(cleaned[name]):.0f})" if cleaned[name] else ""
        )
        print(
            f"{name:38}{cells}   {clean:13}"
            + (f"   {np.median(spent[name]):6.0f}" if spent[name] else "")
        )


def held_tone(known: dict[str, Method], seed: int) -> None:
    print("\na 440 Hz tone held through 2 s, noise 29 dB below: energy kept (%)")
    tone = (
        0.3
        * torch.sin(2 * torch.pi * 440 * torch.arange(2 * RATE, dtype=torch.float64) / RATE).float()
    )
    noise = tone.square().mean().sqrt() * 10 ** (-29 / 20) * coloured(3 * RATE, "white", seed)
    for name, method in known.items():
        estimate = method(tone + noise[: len(tone)], noise[len(tone) :])
        print(f"{name:38}{100 * float((estimate @ tone / tone.square().sum()) ** 2):10.1f}")


def noise_alone(known: dict[str, Method], seed: int) -> None:
    print(
        f"\n{'2 s of noise alone: what is left':38}   white (dB)  birdies (%)   pink (dB)  "
        "birdies (%)"
    )
    stft = Stft(1024, 256)
    clips = [coloured(3 * RATE, colour, seed + 1) for colour in COLOURS]
    for name, method in known.items():
        cells = ""
        for noise in clips:
            left = method(noise[: 2 * RATE], noise[2 * RATE :])
            mean = stft.magnitude(noise[: 2 * RATE]).square().mean(-1, keepdim=True).sqrt()
            birdies = (stft.magnitude(left) > 0.1 * mean).float().mean()
            level = 20 * float((left.norm() / noise[: 2 * RATE].norm()).log10())
            cells += f"{level:12.1f}{100 * float(birdies):13.3f}"
        print(f"{name:38}{cells}")


def without_quiet(known: dict[str, Method], toots: Tensor, kind: np.ndarray) -> None:
    """Clean toots with no quiet around them: breath that goes on from end to end is steady noise,
    and taken for it.
    """
    print("\nclean toots cut where they begin and end: SI-SDR (dB), median by kind")
    names = list(synthesis.KINDS)
    cut = [audio.trim(toot, RATE, -40) for toot in toots]
    blind = [name for name in known if "blind" in name and "scipy" not in name]
    print(f"{'':16}" + "".join(f"{name.removesuffix(', blind'):>28}" for name in blind))
    for k, kind_name in enumerate(names):
        own = [clip for clip, of in zip(cut, kind, strict=True) if of == k]
        if own:
            cells = [
                np.median([si_sdr(known[name](clip, clip), clip) for clip in own]) for name in blind
            ]
            print(f"{kind_name:16}" + "".join(f"{cell:28.0f}" for cell in cells))


def after_reconstruction(clips: list[Tensor]) -> None:
    generator = tootlearn.load()
    front_end = generator.model.front_end
    whole = torch.stack([functional.pad(clip, (0, WINDOW_SAMPLES - len(clip))) for clip in clips])
    again = torch.stack([generator.to_wave(log_mel) for log_mel in front_end(whole)])
    filtered = denoising.denoise(again, RATE)
    print(f"\n{'after a reconstruction from the log-mel':38}    mel L1   MR distance")
    for name, waves in (("as it is", again), ("tootlearn Wiener, blind", filtered)):
        found = metrics.compare(waves, whole, RATE)
        print(
            f"{name:38}{float(found.mel_l1.mean()):10.3f}"
            f"{float(found.multi_resolution.mean()):14.3f}"
        )


if __name__ == "__main__":
    main()
