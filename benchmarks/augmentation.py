"""What each augmentation buys on a small set of recordings: held-out LSD with it against without, over seeds.

    python benchmarks/augmentation.py MANIFEST [--steps 200] [--batch 16] [--seeds 1 2 3] [--most 40] [--out FILE.jsonl]

MANIFEST is a CSV of recordings (see `tootlearn.data.folder`). At most --most of each label, spread evenly over it, are
taken. Recordings with a pitch are grouped by label and semitone, others by the first part of the file name up to "-"
(in UrbanSound8K: the recording that a clip was cut from). Whole groups are held out, so no held-out recording has a
twin, or a variant, among those that are learned.

Every run trains the preset "own", generator and autoencoder, for --steps. Seeds decide initial weights, batches, noise
and variants. Shown is the LSD of held-out log-mels in dB: drawn by the generator from controls and residual, and
reconstructed by the autoencoder; mean and standard deviation over the seeds, and the change from no augmentation at the
same seed, in percent. What is held out is halved by groups: "together" uses those that make the mean of both LSDs
better on the first half, and all figures are of the second.

A run's figures are appended to --out as it ends; runs that are there already are not repeated. --json writes the table.
"""

import argparse
import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from fine_tuning import distances
from timing import one_machine

from tootlearn import presets, training
from tootlearn.audio import write_whole
from tootlearn.data import folder
from tootlearn.data.augmentation import Augmentation
from tootlearn.data.clips import Clips
from tootlearn.data.folder import Recording
from tootlearn.data.recipes import KINDS
from tootlearn.front_end import FrontEnd

STRENGTHS = {
    "gain": 6.0,
    "shift": 0.005,
    "pitch": 100.0,
    "tilt": 3.0,
    "room": 0.3,
    "stretch": 0.15,
    "mix": 0.3,
    "noise": 0.03,
    "time_mask": 0.15,
    "band_mask": 0.15,
}
PATHS = ("generator", "autoencoder")
FEWEST = 6  # recordings of a label: fewer are no set


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--most", type=int, default=40, help="recordings of a label (default 40)")
    parser.add_argument("--out", type=Path, default=Path("augmentation.jsonl"), help="figures of each run")
    parser.add_argument("--json", type=Path, help="also write the table there")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    machine = one_machine(options.threads)
    budget = {"steps": options.steps, "batch": options.batch}
    config = presets.preset("own", **budget, check_every=options.steps, warmup=max(1, min(100, options.steps // 4)))

    recordings = grouped(folder.read_manifest(options.manifest, []), options.most)
    clips, _ = folder.read_recordings(recordings, FrontEnd(), list(KINDS.values()), [], progress=True, keep=True)
    learn, held_out = clips.split()
    halves = halved(held_out)
    counts = {"learned": len(learn), "first half": len(halves[0]), "second half": len(halves[1])}
    print(f"{machine}\n{options.steps} steps at batch {options.batch}; clips: {counts}; kinds: {len(clips.kinds)}")

    lines = options.out.read_text("utf8").splitlines() if options.out.exists() else []
    done = {json.dumps(row["run"], sort_keys=True): row["figures"] for row in map(json.loads, lines)}

    def figures(strengths: dict[str, float], seed: int) -> dict[str, list[float]]:
        of = {"seed": seed, "strengths": strengths, "most": options.most} | budget
        key = json.dumps(of, sort_keys=True)
        if key not in done:
            run = replace(config, seed=seed, augmentation=Augmentation(**strengths))
            with tempfile.TemporaryDirectory() as out:
                model = training.train(run, clips, Path(out) / "run", progress=False)
            measured = [distances(model, part) for part in (*halves, learn)]
            done[key] = {path: [row[i] for row in measured] for i, path in enumerate(PATHS)}
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"run": of, "figures": done[key]}) + "\n")
            print(f"  {seed} {strengths or 'none'}: {done[key]}", flush=True)
        return done[key]

    names: dict[str, dict[str, float]] = {"none": {}} | {name: {name: value} for name, value in STRENGTHS.items()}
    found = {name: [figures(strengths, seed) for seed in options.seeds] for name, strengths in names.items()}
    helping = [name for name in STRENGTHS if change(found[name], found["none"], 0, PATHS) < 0]
    together = {name: STRENGTHS[name] for name in helping}
    found["together"] = [figures(together, seed) for seed in options.seeds]
    table = {name: row(runs, found["none"]) for name, runs in found.items()}
    show(table)
    print(f"together: {', '.join(helping)}")
    if options.json:
        told = {"machine": machine, "budget": budget, "clips": counts, "seeds": options.seeds, "together": helping}
        whole = told | {"strengths": STRENGTHS, "table": table}
        write_whole(options.json, (json.dumps(whole, indent=1) + "\n").encode())


def grouped(recordings: list[Recording], most: int) -> list[Recording]:
    """At most so many of each label, spread evenly, whose sources are the groups that are split."""
    chosen = []
    for label in sorted({r.label for r in recordings}):
        mine = [r for r in recordings if r.label == label]
        places = np.linspace(0, len(mine) - 1, min(most, len(mine))).round().astype(int)
        chosen += [mine[i] for i in places] if len(mine) >= FEWEST else []
    return [replace(r, source=group(r)) for r in chosen]


def group(recording: Recording) -> str:
    if math.isfinite(recording.pitch):
        return f"{recording.label}-{round(12 * math.log2(recording.pitch))}"
    return f"{recording.label}-{recording.path.stem.split('-')[0]}"


def halved(held_out: Clips) -> tuple[Clips, Clips]:
    """Two halves with about as many clips, whose groups are apart."""
    sources = np.array(held_out.source, dtype=object)
    first: set[str] = set()
    for source in sorted(set(sources), key=lambda s: -np.sum(sources == s)):
        if np.isin(sources, [*first, source]).sum() <= len(sources) / 2:
            first.add(source)
    chosen = np.array([source in first for source in sources])
    return held_out[chosen], held_out[~chosen]


def change(runs: list[dict[str, list[float]]], plain: list[dict[str, list[float]]], part: int, paths) -> float:
    """Of the LSD, against no augmentation, in percent: mean over seeds and paths."""
    return float(
        np.mean([100 * (a[path][part] / b[path][part] - 1) for a, b in zip(runs, plain, strict=True) for path in paths])
    )


def row(runs: list[dict[str, list[float]]], plain: list[dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of the LSD on the second half, the change, and how much of it the worst seed has."""
    figures = {}
    for path in PATHS:
        lsd = [run[path][1] for run in runs]
        changes = [100 * (a[path][1] / b[path][1] - 1) for a, b in zip(runs, plain, strict=True)]
        figures[path] = {
            "lsd": float(np.mean(lsd)),
            "std": float(np.std(lsd, ddof=1)) if len(lsd) > 1 else 0.0,
            "change": float(np.mean(changes)),
            "worst": float(np.max(changes)),
            "learned": float(np.mean([run[path][2] for run in runs])),
        }
    return figures


def show(table: dict[str, dict[str, dict[str, float]]]) -> None:
    for path in PATHS:
        print(f"\n{path:14}{'held-out LSD (dB)':>20}{'change (%)':>12}{'worst seed':>12}{'learned LSD':>14}")
        for name, figures in table.items():
            f = figures[path]
            lsd = f"{f['lsd']:.2f} +- {f['std']:.2f}"
            print(f"{name:14}{lsd:>20}{f['change']:>12.1f}{f['worst']:>12.1f}{f['learned']:>14.2f}")


if __name__ == "__main__":
    main()
