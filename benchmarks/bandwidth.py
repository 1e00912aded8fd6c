"""Is what toots have above 11 kHz what real brass has there?

    python benchmarks/bandwidth.py [--recordings MANIFEST] [--bandwidth FILE]
        [--only levels toots control time cost]

levels   Recordings at 44.1 kHz are brought down to 22,050 Hz and extended again, so that only the
         extension is judged: energy of 11-14, 14-17, 17-20 and 11-20 kHz against the whole, in dB,
         of the recording; and by how much ours is off, mean and mean absolute value over the
         recordings. Beside it: nothing at all (the resampled wave), and a constant tilt, each band
         at the distance from 8-10 kHz that it has in the notes of the font that training hears.
         Then the share of tone around 12.5, 15.5 and 18.5 kHz. Held-out notes of the font go with
         the recordings, which come from a CSV file with the columns path, label, midi (or empty),
         sample_rate and source; of a source and kind at most 60 are taken. The shipped extension
         was designed with these in view, though it did not learn from them; --fresh takes others,
         from between them, and --seed other notes.
toots    Toots of the kind, pitch, duration, brightness and loudness of these recordings, against
         them.
control  f0, duration, brightness and loudness of toots at 22,050 Hz and at 44,100 Hz, measured at
         their own rate, and at 22,050 Hz, for which the controls are defined: a centroid has more
         to lie between where there is more.
time     What the extension adds to the time of a toot.
cost     Examples per second of training a vocoder at 22,050 Hz (1024 / 256) and at 44,100 Hz (2048
         / 512), with the same number of frames: what a separate model for 44,100 Hz would add to
         the training of that part.

With --figures FOLDER, spectrograms of recordings beside ours are drawn there.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from shared import interleaved, parser_of, started
from torch import Tensor
from tqdm import tqdm

import tootlearn
from tootlearn import rng
from tootlearn.controls import Controls, midi_to_hz
from tootlearn.data.sound_font import PROGRAMS, find_font, open_font, play
from tootlearn.data.sounds import note_is_held_out
from tootlearn.data.synthesis import natural_controls
from tootlearn.dsp import measures
from tootlearn.dsp.audio import load_audio, resample
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.evaluation.control import ControlAccuracy
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models import model_file
from tootlearn.models.bandwidth import Bandwidth, tone_share
from tootlearn.models.vocoder import Vocoder
from tootlearn.training.config import VocoderTrainConfig
from tootlearn.training.train_vocoder import VocoderObjective

RATE = 44100
TONES = (12.5e3, 15.5e3, 18.5e3)  # Hz
BANDS = ((11e3, 14e3), (14e3, 17e3), (17e3, 20e3), (11e3, 20e3))  # Hz
PARTS = ("levels", "toots", "control", "time", "cost")
MOST = 60  # recordings of a source and kind
BRASS = ("trumpet", "muted_trumpet", "trombone", "tuba", "french_horn", "brass_section")


@dataclass(frozen=True)
class Recording:
    """A real sound at 44,100 Hz, (N,), of known kind, and its pitch in Hz."""

    name: str
    source: str
    kind: str
    pitch: float
    wave: Tensor


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--recordings",
        type=Path,
        help="a CSV file that lists them; without it, the font's notes alone",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="take recordings from between those, where there are more",
    )
    parser.add_argument("--model", type=Path, help="the shipped one by default")
    parser.add_argument("--bandwidth", type=Path, help="the shipped one by default")
    parser.add_argument("--font", type=Path, help="the installed one by default")
    parser.add_argument(
        "--notes", type=int, default=120, help="held-out notes of the font (default 120)"
    )
    parser.add_argument(
        "--count", type=int, default=240, help="toots whose control is measured (default 240)"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--figures", type=Path, help="a folder for spectrograms")
    parser.add_argument("--seed", type=int, default=5000)
    options = started(parser)
    extension, _ = model_file.load_bandwidth(options.bandwidth)
    generator = tootlearn.load(options.model)
    generator.bandwidth = extension
    font = options.font or find_font()
    real = (
        list(notes(font, options.notes, options.seed))
        if {"levels", "toots"} & set(options.only)
        else []
    )
    if options.recordings and real:
        real += recordings(options.recordings, options.fresh)
    if "levels" in options.only:
        tilt = fitted_tilt(font, options.seed + 1)
        show_levels(extension, real, tilt)
        show_tone(extension, real)
    if "toots" in options.only:
        show_toots(generator, real, options.seed)
    if "control" in options.only:
        show_control(generator, options.count, options.seed)
    if "time" in options.only:
        show_time(generator)
    if "cost" in options.only:
        show_cost()
    if options.figures:
        draw(extension, real, options.figures)


# Real sounds


def notes(font: Path, count: int, seed: int, held_out: bool = True) -> Iterator[Recording]:
    """Notes of the font's brass at semitones that training holds out, or at those that it hears."""
    player = open_font(font, RATE, bright=True)
    names, made, i = tuple(PROGRAMS), 0, 0
    while made < count:
        u = rng.uniform(rng.child(seed, i), 1, 3)
        kind, midi = names[i % len(names)], float(round(40 + 40 * u[0]))
        i += 1
        if (kind == "tuba" and midi > 58) or note_is_held_out(PROGRAMS[kind], midi) != held_out:
            continue
        made += 1
        wave = play(
            player, PROGRAMS[kind], midi, int(24 + 104 * u[1]), 0.2 + 0.6 * float(u[2]), RATE
        )
        yield Recording(f"{kind} {midi:g}", "font", kind, float(midi_to_hz(midi)), wave)


def recordings(manifest: Path, fresh: bool = False) -> Iterator[Recording]:
    """Recordings at 44,100 Hz or more, of 60 ms or more, the same number of every source and kind
    at most.

    Fresh ones lie between the others.
    """
    groups = defaultdict(list)
    with manifest.open(newline="", encoding="utf8") as file:
        for row in csv.DictReader(file):
            if int(row["sample_rate"]) >= RATE:
                groups[row["source"], row["label"]].append(row)
    for (source, label), rows in groups.items():
        places = np.linspace(0, len(rows) - 1, min(MOST, len(rows))).round().astype(int)
        between = [(a + b) // 2 for a, b in zip(places[:-1], places[1:], strict=True) if b - a > 2]
        for i in between if fresh else places:
            wave, _ = load_audio(manifest.parent / rows[i]["path"], RATE)
            wave = wave[: 2 * RATE]
            if len(wave) < 0.06 * RATE:
                continue
            if rows[i]["midi"]:
                pitch = float(midi_to_hz(float(rows[i]["midi"])))
            else:
                pitch = float(measures.median_f0(resample(wave, RATE, RATE // 2), RATE // 2))
            yield Recording(rows[i]["path"], source, label, pitch, faded(wave))


def faded(wave: Tensor) -> Tensor:
    """A wave whose first and last 10 ms are faded: raw samples begin and end in the midst of a
    sound, with a click.
    """
    ramp = torch.linspace(0, 1, RATE // 100)
    wave = wave.clone()
    wave[: len(ramp)] *= ramp
    wave[-len(ramp) :] *= ramp.flip(0)
    return wave


def bands(wave: Tensor) -> np.ndarray:
    """Energy of each of `BANDS` and of 8 to 10 kHz against the whole, dB, at 44,100 Hz: -140 where
    there is none.
    """
    power = torch.fft.rfft(wave.double()).abs().square()
    hz = torch.arange(len(power)) * (RATE / len(wave))
    parts = [
        power[(hz >= low) & (hz < high)].sum() / power.sum() for low, high in (*BANDS, (8e3, 10e3))
    ]
    return np.array([10 * math.log10(float(part) + 1e-14) for part in parts])


def fitted_tilt(font: Path, seed: int) -> np.ndarray:
    """Distance in dB of each band from 8 to 10 kHz, the mean over notes that training hears."""
    return np.mean(
        [bands(note.wave)[:-1] - bands(note.wave)[-1] for note in notes(font, 300, seed, False)], 0
    )


# What is printed


def extended(extension: Bandwidth, recording: Recording) -> tuple[Tensor, Tensor]:
    """A recording that went through 22,050 Hz, with and without its high band."""
    low = resample(recording.wave, RATE, RATE // 2)
    known = math.isfinite(recording.pitch)
    note = torch.full((8, 1), math.log2(recording.pitch)) if known else None
    count = len(recording.wave)
    return extension.extend(low, note)[:count], resample(low, RATE // 2, RATE)[:count]


def show_levels(extension: Bandwidth, real: list[Recording], tilt: np.ndarray) -> None:
    names = [f"{low / 1000:g}-{high / 1000:g} kHz" for low, high in BANDS]
    print(f"\n{'level of bands, dB':60}{'N':>4}" + "".join(f"{name:>18}" for name in names))
    groups = defaultdict(list)
    for recording in tqdm(real, desc="levels", leave=False, disable=None):
        ours, plain = (bands(wave)[:-1] for wave in extended(extension, recording))
        true = bands(recording.wave)
        row = {
            "real": true[:-1],
            "extended": ours,
            "constant tilt": true[-1] + tilt,
            "nothing": plain,
        }
        kind = "brass" if recording.kind in BRASS else "other"
        for group in (
            (recording.source, recording.kind),
            (recording.source, f"all {kind}"),
            ("all", f"all {kind}"),
        ):
            groups[group].append(row)
    groups = {
        g: rows
        for g, rows in groups.items()
        if g[1][:4] != "all " or g[0] == "all" or _kinds(groups, g[0]) > 1
    }
    for (source, kind), rows in sorted(groups.items()):
        for name in rows[0]:
            values = np.array([row[name] for row in rows])
            if name == "real":
                cells = [f"{mean:.1f}" for mean in values.mean(0)]
            else:
                off = values - np.array([row["real"] for row in rows])
                cells = [
                    f"{mean:+.1f} ({size:.1f})"
                    for mean, size in zip(off.mean(0), np.abs(off).mean(0), strict=True)
                ]
            title = f"{source[:30]}, {kind}, {name}"
            print(f"{title:60}{len(rows):4}" + "".join(f"{cell:>18}" for cell in cells))


def show_tone(extension: Bandwidth, real: list[Recording]) -> None:
    print(f"\n{'share of tone':60}{'N':>4}" + "".join(f"{hz / 1000:>14g} kHz" for hz in TONES))
    groups = defaultdict(list)
    for recording in tqdm(real, desc="tone", leave=False, disable=None):
        pair = torch.stack([recording.wave, extended(extension, recording)[0]])
        loud = extension.stft(pair[:1]).abs().square().sum(1)
        share = tone_share(pair, RATE, TONES, loud.shape[1])
        groups[recording.source, recording.kind].append((share * loud[:, None]).sum(2) / loud.sum())
    for (source, kind), rows in sorted(groups.items()):
        true, ours = torch.stack(rows).unbind(1)
        cells = [f"{mean:18.2f}" for mean in true.mean(0)]
        print(f"{f'{source[:30]}, {kind}, real':60}{len(rows):4}" + "".join(cells))
        cells = [
            f"{mean:+.2f} ({size:.2f})"
            for mean, size in zip((ours - true).mean(0), (ours - true).abs().mean(0), strict=True)
        ]
        print(
            f"{f'{source[:30]}, {kind}, extended':60}{len(rows):4}"
            + "".join(f"{cell:>18}" for cell in cells)
        )


def _kinds(groups: dict[tuple[str, str], list[dict[str, np.ndarray]]], source: str) -> int:
    return sum(group[0] == source and not group[1].startswith("all ") for group in groups)


def show_toots(generator: TootGenerator, real: list[Recording], seed: int) -> None:
    names = [f"{low / 1000:g}-{high / 1000:g} kHz" for low, high in (*BANDS, (8e3, 10e3))]
    print(f"\n{'toots like recordings, dB':60}{'N':>4}" + "".join(f"{name:>18}" for name in names))
    groups = defaultdict(list)
    for i, recording in enumerate(tqdm(real, desc="toots", leave=False, disable=None)):
        if recording.kind not in generator.kinds or not math.isfinite(recording.pitch):
            continue
        kind = generator.model.kinds[generator.kinds.index(recording.kind)]
        low = resample(recording.wave, RATE, RATE // 2)
        found = measures.measure(low, RATE // 2)
        octaves = float(measures.brightness_octaves(found.centroid, recording.pitch))
        controls = Controls(
            np.array([generator.kinds.index(recording.kind)]),
            np.array([recording.pitch]).clip(*kind.pitch),
            np.array([float(found.duration)]).clip(*kind.duration),
            np.array([float(kind.brightness(octaves))]).clip(0, 1),
            np.array([-14.0]),
        )
        own = rng.child(seed, i)
        residual = generator.residual(controls, own)
        wide, narrow = (
            bands(torch.from_numpy(one.render(controls, residual, own, sample_rate=RATE)))
            for one in (generator, without(generator))
        )
        true = bands(recording.wave)
        groups[recording.source, recording.kind].append((true, wide, narrow))
    for (source, kind), rows in sorted(groups.items()):
        values = np.array(rows)
        for name, column in zip(
            ("real", "generated", "generated, narrow"), values.swapaxes(0, 1), strict=True
        ):
            title = f"{source[:30]}, {kind}, {name}"
            print(f"{title:60}{len(rows):4}" + "".join(f"{mean:18.1f}" for mean in column.mean(0)))


def without(generator: TootGenerator) -> TootGenerator:
    """The same generator, but for the high band."""
    return TootGenerator(
        generator.model, generator.description, generator.device, generator.vocoder
    )


def show_control(generator: TootGenerator, count: int, seed: int) -> None:
    kinds = generator.model.kinds
    asked = natural_controls(kinds, count, seed)
    columns = ("f0 (cents)", "within 50", "time (ms)", "brightness", "loudness")
    print(f"\n{'control':36}" + "".join(f"{name:>12}" for name in columns) + f"{'N':>6}")
    ways = {
        "toots at 22050 Hz": (generator, RATE // 2, RATE // 2),
        "at 44100 Hz, without a high band": (without(generator), RATE, RATE),
        "at 44100 Hz": (generator, RATE, RATE),
        "at 44100 Hz, measured at 22050 Hz": (generator, RATE, RATE // 2),
    }
    for name, (one, made, rate) in ways.items():
        rows = []
        for i in tqdm(range(count), desc="control", leave=False, disable=None):
            own, row = rng.child(seed, i), asked[i : i + 1]
            kind, pitch = kinds[int(row.kind[0])], float(row.pitch[0])
            toot = torch.from_numpy(one.render(row, one.residual(row, own), own, sample_rate=made))
            wave = torch.nn.functional.pad(resample(toot, made, rate), (rate // 40, rate // 40))
            found = measures.measure(wave, rate)
            steady = wave[: len(wave) // 5] if kind.slide else wave
            f0 = measures.chord_f0(steady, rate, kind.intervals, pitch)
            octaves = float(measures.brightness_octaves(found.centroid, pitch))
            rows.append(
                (float(f0), float(found.duration), kind.brightness(octaves), float(found.loudness))
            )
        o = ControlAccuracy.of(asked, Controls(asked.kind, *np.array(rows, dtype=np.float64).T))
        cells = f"{o.f0_median:12.2f}{o.f0_within_50:12.1%}{o.duration_median:12.2f}"
        cells += f"{o.brightness_rank:12.4f}{o.loudness_rank:12.4f}{o.count:6}"
        print(f"{name:36}" + cells)


def show_time(generator: TootGenerator) -> None:
    narrow = without(generator)

    def toot(rate: int | None, wide: bool) -> object:
        return (generator if wide else narrow).generate(
            "trumpet", "A4", 1.0, 0.5, -14, seed=1, sample_rate=rate
        )

    calls = {
        "22050 Hz": lambda: toot(None, True),
        "44100 Hz, narrow": lambda: toot(RATE, False),
        "44100 Hz": lambda: toot(RATE, True),
        "48000 Hz, narrow": lambda: toot(48000, False),
        "48000 Hz": lambda: toot(48000, True),
    }
    print("\ntime of a toot, median")
    for name, seconds in interleaved(calls, 10.0).items():
        print(f"  {name:20}{1000 * seconds:8.1f} ms")


def show_cost() -> None:
    print("\nexamples a second of a vocoder's training, steps of 8 pieces of 24 frames")
    front_ends = {
        "22050 Hz, 1024 / 256 / 128": FrontEndConfig(),
        "44100 Hz, 2048 / 512 / 128": FrontEndConfig(RATE, 2048, 512, 128, 0.0, RATE / 2),
    }
    steps = {}
    for name, front_end in front_ends.items():
        config = VocoderTrainConfig(front_end=front_end)
        with torch.random.fork_rng(devices=[]):
            vocoder = Vocoder(front_end, config.vocoder).train()
            waves = torch.randn(8, config.frames * front_end.hop) * 0.1
        steps[name] = lambda vocoder=vocoder, waves=waves, config=config: step_of(
            vocoder, waves, config
        )
    for name, seconds in interleaved(steps, 10.0).items():
        print(f"  {name:30}{8 / seconds:8.1f}")


def step_of(vocoder: Vocoder, waves: Tensor, config: VocoderTrainConfig) -> None:
    """One step of training, but for the optimiser."""
    vocoder.zero_grad(set_to_none=True)
    VocoderObjective(vocoder, config.log_weight, config.peak_weight)(waves, 0)[0].backward()


def draw(extension: Bandwidth, real: list[Recording], folder: Path) -> None:
    """Spectrograms of some recordings, real and extended, side by side."""
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    seen: dict[tuple[str, str], int] = defaultdict(int)
    for recording in real:
        seen[recording.source, recording.kind] += 1
        if seen[recording.source, recording.kind] > 2:
            continue
        figure, axes = plt.subplots(1, 2, figsize=(12, 5), sharey=True)
        waves = {"real": recording.wave, "extended": extended(extension, recording)[0]}
        for axis, (title, wave) in zip(axes, waves.items(), strict=True):
            window = torch.hann_window(2048)
            magnitude = torch.stft(
                wave[: 2 * RATE], 2048, 256, window=window, return_complex=True
            ).abs()
            decibel = 20 * (magnitude / magnitude.max() + 1e-7).log10()
            extent = (0, len(wave) / RATE, 0, RATE / 2000)
            axis.imshow(
                decibel,
                origin="lower",
                aspect="auto",
                vmin=-100,
                vmax=-20,
                extent=extent,
                cmap="magma",
            )
            axis.set_title(f"{recording.name}, {title}")
        figure.savefig(folder / f"{recording.name.replace('/', '_').replace(' ', '_')}.png", dpi=60)
        plt.close(figure)


if __name__ == "__main__":
    main()
