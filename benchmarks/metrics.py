"""Can the metrics be trusted: does each follow a known degradation, and which are they blind to?

    python benchmarks/metrics.py [FOLDER] [--clips 20] [--set 96] [--values] [--json FILE]

Clean sounds are synthetic toots, or the recordings of FOLDER: one with a sub-folder for each kind,
or with a manifest.csv; a seeded choice, the kinds in turn. Each is made worse by
`tootlearn.evaluation.degradations`, at five levels.

Printed is Spearman's rank correlation of a metric with the level, from mild to severe. For
distances between two waves and for measures of one (their loss against the clean one) it is the
median over the clips. A metric that stays the same over all levels has 0; one that cannot be
measured any more (no pitch is left) counts as worst; a clip whose clean sound cannot be measured
(too short to have a jitter, no pitch) does not count, and the number that do is printed. For
distances between sets it is the median over 20 halvings of the set: one half is degraded, the other
is the reference. Embeddings are those of the project's own classifier, trained on synthetic toots.

Below .9 is a blind spot, marked with *. With --values, what the metrics read at the mildest and at
the severest level.
"""

import contextlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from shared import parser_of, started
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from tootlearn import rng
from tootlearn.controls import ONSET_SAMPLES
from tootlearn.data import folder, synthesis
from tootlearn.data.clips import synthesise
from tootlearn.data.recipes import KINDS
from tootlearn.dsp import audio, jitter, loudness, measures
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.mel import Mel
from tootlearn.dsp.stft import Stft
from tootlearn.errors import InputError
from tootlearn.evaluation import metrics, set_metrics
from tootlearn.evaluation.degradations import DEGRADATIONS
from tootlearn.files import atomic_write
from tootlearn.models import classifier
from tootlearn.training.train_classifier import train_classifier

RATE = synthesis.SAMPLE_RATE
GOOD = 0.9
HALVINGS = 20
Table = dict[str, dict[str, dict[str, float]]]  # metric, degradation, what was found
SETS: dict[str, Callable[[Tensor, Tensor], float]] = {
    "KAD": set_metrics.kernel_distance,
    "FAD": set_metrics.frechet_distance,
    "density, lost": lambda a, b: -set_metrics.density(a, b),
    "coverage, lost": lambda a, b: -set_metrics.coverage(a, b),
    "nearest distance": lambda a, b: float(set_metrics.nearest_distance(a, b).median()),
}


def synthetic(count: int, seed: int) -> list[tuple[Tensor, float]]:
    """Toots of all kinds in turn, and their pitch in Hz (nan for those without one steady f0)."""
    waves, labels = synthesis.toots(tuple(KINDS), count, seed)
    steady = [kind.steady for kind in KINDS.values()]
    pitch = [p if steady[k] else math.nan for k, p in zip(labels.kind, labels.pitch, strict=True)]
    return [
        (wave[: int(wave.abs().gt(0).nonzero()[-1]) + ONSET_SAMPLES], p)
        for wave, p in zip(waves, pitch, strict=True)
    ]


def recorded(path: Path, count: int, seed: int) -> list[tuple[Tensor, float]]:
    """The first toot of some recordings of a folder, its kinds in turn, and their pitch: as told,
    or by pyin.
    """
    manifest, problems = path / "manifest.csv", list[str]()
    listed = (
        folder.read_manifest(manifest, problems)
        if manifest.is_file()
        else folder.list_folder(path, problems)
    )
    order = np.argsort(rng.words(seed, 1, len(listed)), kind="stable")
    by_kind: dict[str, list[folder.Recording]] = {}
    for i in order:
        by_kind.setdefault(listed[i].label, []).append(listed[i])
    turns = [
        own[turn]
        for turn in range(len(listed))
        for _, own in sorted(by_kind.items())
        if turn < len(own)
    ]
    found = []
    for recording in turns:
        if len(found) == count:
            break
        if toots := folder.pieces(audio.load_audio(recording.path, RATE)[0], RATE):
            wave = functional.pad(toots[0], (ONSET_SAMPLES, ONSET_SAMPLES))
            told = recording.pitch > 0
            found.append(
                (
                    wave,
                    recording.pitch
                    if told
                    else float(measures.median_f0(wave, RATE, 40.0, 2000.0)),
                )
            )
    return found


def pairwise(estimate: Tensor, clean: Tensor, pitch: float) -> dict[str, float]:
    """What each metric of two waves reads: more is worse. Measures of one wave count their loss."""
    known = pitch > 0
    four = metrics.compare(estimate, clean, RATE)
    stft, mel = Stft(1024, 256), Mel(RATE, 1024, 128)
    f0 = metrics.f0_error(
        estimate, clean, RATE, *((pitch / 1.5, 1.5 * pitch) if known else (40.0, 2000.0))
    )
    held = jitter.jitter(estimate, RATE, pitch)
    ratio = (
        measures.harmonic_to_noise_ratio(estimate, RATE, pitch) if known else torch.tensor(math.nan)
    )
    loud = [loudness.integrated_loudness(wave, RATE) for wave in (estimate, clean)]
    found = {
        "spectral convergence": four.spectral_convergence,
        "log-spectral distance": four.log_spectral_distance,
        "mel L1": four.mel_l1,
        "multi-resolution": four.multi_resolution,
        "mel-cepstral distortion": metrics.mel_cepstral_distortion(
            mel(stft.magnitude(estimate)), mel(stft.magnitude(clean))
        ),
        "f0 error, cents": f0.cents,
        "voicing error": f0.voicing,
        "envelope error, dB": metrics.envelope_error(estimate, clean, RATE),
        "onset error, ms": metrics.onset_error(estimate, clean, RATE),
        "loudness error, LU": (loud[0] - loud[1]).abs(),
        "harmonic to noise, lost dB": -ratio,
        "f0 jitter, cents": held.f0,
        "level jitter, dB": held.level,
    }
    with contextlib.suppress(InputError):  # it is an extra
        found["zimtohrli"] = metrics.zimtohrli(estimate, clean, RATE)
    return {name: float(value) for name, value in found.items()}


def followed(values: list[float]) -> float:
    """Rank correlation of a metric with the level: 0 where it stays the same; what cannot be
    measured is worst.
    """
    found = metrics.rank_correlation(
        torch.tensor(values).nan_to_num(math.inf, math.inf, -math.inf), torch.arange(len(values))
    )
    return 0.0 if math.isnan(found) else found


def table_of_clips(sounds: list[tuple[Tensor, float]], seed: int) -> Table:
    """{metric: {degradation: its rank correlation, how many clips have one, and medians at both
    ends}}.
    """
    found: dict[str, dict[str, list[list[float]]]] = {}
    for i, (clean, pitch) in enumerate(tqdm(sounds, desc="clips", leave=False, disable=None)):
        itself = pairwise(clean, clean, pitch)
        for name, (apply, levels, _) in DEGRADATIONS.items():
            ladder = [
                pairwise(apply(clean, level, RATE, rng.child(seed, i)), clean, pitch)
                for level in levels
            ]
            for metric, value in itself.items():
                ladders = found.setdefault(metric, {}).setdefault(name, [])
                if not math.isnan(value):
                    ladders.append([step[metric] for step in ladder])
    return {
        metric: {name: summary(ladders) for name, ladders in row.items()}
        for metric, row in found.items()
    }


def summary(ladders: list[list[float]]) -> dict[str, float]:
    """Of the readings of a metric (clips, levels); nan where there are none."""
    ends = [
        sorted(ladder[end] for ladder in ladders if not math.isnan(ladder[end])) for end in (0, -1)
    ]
    mildest, severest = (float(np.median(values)) if values else math.nan for values in ends)
    rank = float(np.median([followed(values) for values in ladders])) if ladders else math.nan
    return {"rank": rank, "count": len(ladders), "mildest": mildest, "severest": severest}


def table_of_sets(
    sounds: list[tuple[Tensor, float]], judge: classifier.Classifier, seed: int
) -> Table:
    """The same of distances between sets; "floor" is what the clean half reads."""

    def embedded(waves: list[Tensor]) -> Tensor:
        windows = torch.stack(
            [
                functional.pad(wave[:WINDOW_SAMPLES], (0, max(0, WINDOW_SAMPLES - len(wave))))
                for wave in waves
            ]
        )
        with torch.inference_mode():
            return torch.cat([judge.embed(FrontEnd()(part)) for part in windows.split(32)])

    clean = embedded([wave for wave, _ in sounds])
    half = len(sounds) // 2
    orders = [
        torch.from_numpy(np.argsort(rng.words(seed, i, len(sounds)), kind="stable"))
        for i in range(HALVINGS)
    ]
    table: Table = {metric: {} for metric in SETS}
    for name, (apply, levels, _) in DEGRADATIONS.items():
        worse = [
            embedded([apply(w, level, RATE, rng.child(seed, i)) for i, (w, _) in enumerate(sounds)])
            for level in levels
        ]
        for metric, distance in SETS.items():
            ladders = [
                [distance(e[o[half : 2 * half]], clean[o[:half]]) for e in (clean, *worse)]
                for o in orders
            ]
            floor, *_, severest = np.mean(ladders, 0).tolist()
            rank = float(np.median([followed(values[1:]) for values in ladders]))
            mildest = float(np.mean(ladders, 0)[1])
            table[metric][name] = {
                "rank": rank,
                "count": half,
                "floor": floor,
                "mildest": mildest,
                "severest": severest,
            }
    return table


def show(title: str, table: Table, cell: Callable[[dict[str, float]], str], width: int) -> None:
    print(f"\n{title:28}" + "".join(f"{name:>{width}}" for name in DEGRADATIONS) + f"{'N':>6}")
    for metric, row in table.items():
        cells = "".join(f"{cell(found):>{width}}" for found in row.values())
        print(f"{metric:28}{cells}{min(int(found['count']) for found in row.values()):6}")


def rank(found: dict[str, float]) -> str:
    return f"{found['rank']:.2f}" + (" " if found["rank"] > GOOD - 1e-6 else "*")


def ends(found: dict[str, float]) -> str:
    return f"{found['mildest']:.3g} to {found['severest']:.3g}"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "folder", type=Path, nargs="?", help="of recordings; synthetic toots without it"
    )
    parser.add_argument(
        "--clips", type=int, default=20, help="for distances between waves (default 20)"
    )
    parser.add_argument(
        "--set",
        type=int,
        default=96,
        help="for distances between sets (default 96; 0 leaves them out)",
    )
    parser.add_argument(
        "--steps", type=int, default=300, help="of the classifier's training (default 300)"
    )
    parser.add_argument(
        "--values", action="store_true", help="also print what the metrics read at both ends"
    )
    parser.add_argument("--json", type=Path, help="also write the tables there")
    parser.add_argument("--seed", type=int, default=11)
    options = started(parser)
    for name, degradation in DEGRADATIONS.items():
        print(
            f"{name:10} {', '.join(f'{level:g}' for level in degradation.levels)} "
            f"{degradation.unit}"
        )
    most = max(options.clips, options.set)
    sounds = (
        recorded(options.folder, most, options.seed)
        if options.folder
        else synthetic(most, options.seed)
    )
    tables = {"waves": table_of_clips(sounds[: options.clips], options.seed)}
    if options.set:
        clips = synthesise(tuple(KINDS), 1200, options.seed, FrontEnd(), progress=False)
        judge = train_classifier(clips, classifier.ClassifierConfig(steps=options.steps))
        tables["sets"] = table_of_sets(sounds[: options.set], judge, options.seed)
    for name, table in tables.items():
        show(f"rank correlation, {name}", table, rank, 12)
    for name, table in tables.items() if options.values else ():
        show(f"mildest to severest, {name}", table, ends, 22)
    if options.set:
        print(
            "floors: "
            + ", ".join(
                f"{name} {row['noise']['floor']:.3g}" for name, row in tables["sets"].items()
            )
        )
    if options.json:
        atomic_write(options.json, (json.dumps(tables, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
