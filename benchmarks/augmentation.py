"""What each augmentation buys on a small set of recordings: held-out LSD with it against without,
over seeds.

    python benchmarks/augmentation.py MANIFEST [--path autoencoder] [--steps 100] [--seeds 1 2 3]
    [--most 40]

MANIFEST is a CSV of recordings (see `tootlearn.data.folder`). At most --most of each label, spread
evenly over it, are taken. Recordings with a pitch are grouped by label and semitone, others by the
first part of the file name up to "-" (in UrbanSound8K: the recording that a clip was cut from).
Whole groups are held out, so no held-out recording has a twin, or a variant, among those that are
learned.

Every run trains one network of the preset "own", the autoencoder or the generator, for --steps.
Seeds decide initial weights, batches, noise and variants. Shown is the LSD of held-out log-mels in
dB, of what the network draws from its latent (and the generator from controls): mean and standard
deviation over the seeds, the change from no augmentation at the same seed in percent, that of the
worst seed, and the LSD on what was learned. What is held out is halved by groups: "together" takes
those that are better on average on the first half, and all figures are of the second.

A run's figures are appended to --out as it ends; runs that are there already are not repeated.
--json writes the table of the path into a file, beside the other path's.
"""

import hashlib
import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from shared import one_machine, parser_of

from tootlearn.data import folder
from tootlearn.data.clips import Clips
from tootlearn.data.config import Augmentation
from tootlearn.data.folder import Recording
from tootlearn.data.recipes import KINDS
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.files import atomic_write
from tootlearn.models.toot_model import TootModel
from tootlearn.training import config as presets
from tootlearn.training.batches import Batch
from tootlearn.training.train import train

STRENGTHS = {
    "gain": 6.0,
    "shift": 0.01,
    "pitch": 300.0,
    "tilt": 4.0,
    "room": 0.3,
    "stretch": 0.3,
    "mix": 0.5,
    "noise": 0.03,
    "time_mask": 0.15,
    "band_mask": 0.15,
}
FEWEST = 6  # recordings of a label: fewer are no set


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--path", choices=("autoencoder", "generator"), default="autoencoder")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--most", type=int, default=40, help="recordings of a label (default 40)")
    parser.add_argument(
        "--out", type=Path, default=Path("augmentation.jsonl"), help="figures of each run"
    )
    parser.add_argument("--json", type=Path, help="also write the table there")
    options = parser.parse_args()
    machine = one_machine(options.threads)
    budget = {"steps": options.steps, "batch": options.batch}
    config = presets.preset(
        "own", **budget, check_every=options.steps, warmup=max(1, min(100, options.steps // 4))
    )
    config = replace(
        config, **{"generator" if options.path == "autoencoder" else "autoencoder": None}
    )

    recordings = grouped(folder.read_manifest(options.manifest, []), options.most)
    clips, _ = folder.read_recordings(
        recordings, FrontEnd(), list(KINDS.values()), [], progress=True, keep=True
    )
    which = hashlib.sha256(
        "\n".join(f"{r.label} {r.path.name}" for r in recordings).encode()
    ).hexdigest()[:12]
    learn, held_out = clips.split()
    halves = halved(held_out)
    counts = {"learned": len(learn), "first half": len(halves[0]), "second half": len(halves[1])}
    print(
        f"{machine}\n{options.path}, {options.steps} steps at batch {options.batch}; clips: "
        f"{counts}",
        flush=True,
    )

    lines = options.out.read_text("utf8").splitlines() if options.out.exists() else []
    done = {
        json.dumps(row["run"], sort_keys=True): row["figures"] for row in map(json.loads, lines)
    }

    def figures(strengths: dict[str, float], seed: int) -> list[float]:
        of = {
            "set": which,
            "path": options.path,
            "seed": seed,
            "strengths": strengths,
            "most": options.most,
        } | budget
        key = json.dumps(of, sort_keys=True)
        if key not in done:
            run = replace(config, seed=seed, augmentation=Augmentation(**strengths))
            with tempfile.TemporaryDirectory() as out:
                model = train(run, clips, Path(out) / "run", progress=False)
            done[key] = [distance(model, part) for part in (*halves, learn)]
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"run": of, "figures": done[key]}) + "\n")
            print(f"  {seed} {strengths or 'none'}: {done[key]}", flush=True)
        return done[key]

    names: dict[str, dict[str, float]] = {"none": {}} | {
        name: {name: value} for name, value in STRENGTHS.items()
    }
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    for seed in options.seeds:
        for name, strengths in names.items():
            found[name].append(figures(strengths, seed))
    first = {name: np.array(runs)[:, 0] for name, runs in found.items()}
    helping = [name for name in STRENGTHS if np.mean(first[name] / first["none"]) < 1]
    found["together"] = [
        figures({name: STRENGTHS[name] for name in helping}, seed) for seed in options.seeds
    ]
    table = {name: row(np.array(runs), np.array(found["none"])) for name, runs in found.items()}
    show(table)
    print(f"together: {', '.join(helping)}")
    if options.json:
        told = {
            "machine": machine,
            "budget": budget,
            "clips": counts,
            "seeds": options.seeds,
            "together": helping,
        }
        whole = json.loads(options.json.read_text("utf8")) if options.json.exists() else {}
        whole[options.path] = told | {"strengths": STRENGTHS, "table": table}
        atomic_write(options.json, (json.dumps(whole, indent=1) + "\n").encode())


@torch.inference_mode()
def distance(model: TootModel, clips: Clips) -> float:
    """LSD of mels in dB of what the generator, or else the autoencoder, draws from its latent."""
    batch = Batch.of(clips, model.front_end.config, torch.device("cpu"))
    log_mel = batch.log_mel.float()
    if model.generator:
        drawn = model.generator.decode(
            batch.controls, model.generator.encode(log_mel, batch.controls)[0]
        ).log_mel
    else:
        drawn = model.normalizer.inverse(model.autoencoder(model.normalizer(log_mel)))
    decibel = (drawn - log_mel) * (20 / math.log(10))
    return float((decibel.square().mean(1).sqrt() * batch.weight).mean())


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
    for source in sorted(set(sources), key=lambda s: (-np.sum(sources == s), s)):
        if np.isin(sources, [*first, source]).sum() <= len(sources) / 2:
            first.add(source)
    chosen = np.array([source in first for source in sources])
    return held_out[chosen], held_out[~chosen]


def row(runs: NDArray[np.float64], plain: NDArray[np.float64]) -> dict[str, float]:
    """Of runs (seeds, 3): first half, second half, learned; and of those without augmentation."""
    changes = 100 * (runs[:, 1] / plain[:, 1] - 1)
    return {
        "lsd": float(runs[:, 1].mean()),
        "std": float(runs[:, 1].std(ddof=1)) if len(runs) > 1 else 0.0,
        "change": float(changes.mean()),
        "worst": float(changes.max()),
        "learned": float(runs[:, 2].mean()),
    }


def show(table: dict[str, dict[str, float]]) -> None:
    print(
        f"{'':12}{'held-out LSD (dB)':>20}{'change (%)':>12}{'worst seed':>12}{'learned LSD':>14}"
    )
    for name, f in table.items():
        lsd = f"{f['lsd']:.2f} +- {f['std']:.2f}"
        print(f"{name:12}{lsd:>20}{f['change']:>12.1f}{f['worst']:>12.1f}{f['learned']:>14.2f}")


if __name__ == "__main__":
    main()
