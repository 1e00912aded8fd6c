"""What each loss of a drawing buys: default generator and autoencoder without them, with each, and
with all.

    python benchmarks/losses.py [--losses audible multi_scale embedding] [--seeds 1 2 3] [--out F]
    python benchmarks/losses.py --losses envelope difference onset --balance
    python benchmarks/losses.py --tune --steps 150 --batch 32 --count 90
    python benchmarks/losses.py --cost [--batch 64]

A loss counts for both drawings, the generator's and the autoencoder's. With --balance its weight is
its share of the gradient, beside 1 of the squared error's. Every run learns from the same synthetic
clips; seeds decide initial weights, batches and noise. On held-out (kind, semitone) groups, of
which N sounds are made, the tables show mean and standard deviation over the seeds of

* the squared error of standardised log-mels;
* LSD (dB) and MR of the sound after phase reconstruction, against the original sound;
* KAD between the sound and original ones, by embeddings of a classifier that is not that of the
  embedding loss: other toots, other seed. Held-out sounds are halved at random; no sound meets its
  own counterpart (see `brass.py`). "drawn" are toots whose residual comes from the prior, as
  `tootlearn generate` makes them;
* the error of f0 and the rank correlation of the brightness with the control, on toots of the
  generator.

Then the difference from the baseline of the same seed. A star marks what is better with every seed,
and by more than twice the standard deviation of the difference. The weights of the perceptual
losses were chosen by --tune, on a seed that is none of the others: of each the weight with the
least LSD, MR and KAD, as the geometric mean of all six over the baseline's. The weights of the
others were not tuned. --cost shows how much longer a step takes with each loss.

A run's figures are appended to --out as it ends; runs that are there already are not repeated.
"""

import functools
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from shared import halved, interleaved, one_machine, parser_of, place
from torch import Tensor
from tqdm import tqdm

from tootlearn import rng
from tootlearn.data import synthesis
from tootlearn.data.clips import Clips, synthesise
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.evaluation import metrics
from tootlearn.evaluation.control import control_table
from tootlearn.generation import toot_generator
from tootlearn.models import classifier
from tootlearn.models.config import ClassifierConfig
from tootlearn.training import config as presets
from tootlearn.training import train_classifier
from tootlearn.training.batches import Batch
from tootlearn.training.config import DRAWING_LOSSES, TrainConfig
from tootlearn.training.objective import Objective
from tootlearn.training.train import build, train

WEIGHTS = {"audible": 0.1, "multi_scale": 0.3, "embedding": 0.5}
WEIGHTS |= {
    "convergence": 0.2,
    "stft": 0.1,
}
PERCEPTUAL = ("audible", "multi_scale", "embedding")
CANDIDATES = {"audible": (0.03, 0.1, 0.3), "multi_scale": (0.03, 0.1, 0.3), "embedding": (0.5, 2.0)}
CPU = torch.device("cpu")
SHARE = 0.3  # of each loss, where the squared error has 1
TUNING_SEED, JUDGE_SEED = 100, 9000
SPLITS = 20  # halvings behind a KAD
GENERATOR = ("error", "LSD", "MR", "KAD", "KAD drawn", "f0 (cents)", "brightness")
AUTOENCODER = ("error", "LSD", "MR", "KAD")
MORE_IS_BETTER = ("brightness",)


class HeldOut(NamedTuple):
    """The sounds to measure on, and who judges them."""

    clips: Clips
    waves: Tensor  # (B, N), the originals
    judge: classifier.Classifier


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--clips", type=int, default=2400)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--count", type=int, default=120, help="N: held-out sounds that are made (default 120)"
    )
    parser.add_argument(
        "--losses",
        nargs="+",
        choices=WEIGHTS,
        default=PERCEPTUAL,
        metavar="LOSS",
        help=", ".join(WEIGHTS),
    )
    parser.add_argument(
        "--balance", action="store_true", help="weights are shares of the gradient, 0.3 each"
    )
    parser.add_argument("--tune", action="store_true", help="try weights, on a seed of its own")
    parser.add_argument("--cost", action="store_true", help="only time a step with each loss")
    parser.add_argument(
        "--out", type=Path, default=Path("losses.jsonl"), help="figures of each run (losses.jsonl)"
    )
    options = parser.parse_args()
    machine = one_machine(options.threads)
    changes = {
        "steps": options.steps,
        "clips": options.clips,
        "batch": options.batch,
        "check_every": options.steps,
    }
    changes |= {"balance": True} if options.balance else {}
    config = presets.preset("synthetic", **changes)
    if options.cost:
        print(machine)
        return cost(config)
    seeds = [TUNING_SEED] if options.tune else options.seeds
    variants: dict[str, dict[str, float]] = {"baseline": {}}
    if options.tune:
        variants |= {
            f"{name} {w:g}": {name: w} for name, tried in CANDIDATES.items() for w in tried
        }
    else:
        chosen = {name: SHARE if options.balance else WEIGHTS[name] for name in options.losses}
        variants |= {name: {name: weight} for name, weight in chosen.items()} | {"all": chosen}

    # it is the same in every run
    train_classifier.listener = functools.cache(train_classifier.listener)
    # a table of runs that are done needs no sound
    prepared = functools.cache(lambda: sounds(config, options.count))
    lines = options.out.read_text("utf8").splitlines() if options.out.exists() else []
    done = {
        json.dumps(row["run"], sort_keys=True): row["figures"] for row in map(json.loads, lines)
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    for seed in seeds:
        for name, weights in variants.items():
            of = {"seed": seed, "weights": weights, "count": options.count} | changes
            key = json.dumps(of, sort_keys=True)
            if key not in done:
                done[key] = figures(
                    replace(config, seed=seed, weights=of_both(weights)), *prepared()
                )
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"run": of, "figures": done[key]}) + "\n")
            found[name].append(done[key])
    print(machine)
    print(
        f"{options.steps} steps at batch {options.batch} on {options.clips} clips, held-out "
        "ones included; ",
        end="",
    )
    print(
        f"N = {options.count} held-out sounds, seeds {', '.join(map(str, seeds))}; weights "
        f"{variants}"
    )
    show("generator", GENERATOR, found)
    show("autoencoder", AUTOENCODER, found)


def of_both(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights of losses for what the generator and for what the autoencoder draws."""
    return {
        f"{drawing}_{name}": w
        for drawing in ("generation", "reconstruction")
        for name, w in weights.items()
    }


def cost(config: TrainConfig) -> None:
    """How long a step takes with each loss for both networks, and with all of them."""
    clips = synthesise(config.kinds, config.batch, 0, FrontEnd(config.front_end), progress=False)
    batch, model = (
        Batch.of(clips, config.front_end, CPU)[torch.arange(config.batch)],
        build(config, clips).train(),
    )
    brief = functools.partial(train_classifier.listener, config=ClassifierConfig(steps=2), clips=48)
    train_classifier.listener = functools.cache(brief)  # as slow as a trained one
    variants = (
        {"squared error": {}}
        | {name: {name: weight} for name, weight in WEIGHTS.items()}
        | {"all": WEIGHTS}
    )
    judges = {name: replace(config, weights=of_both(weights)) for name, weights in variants.items()}

    def step(objective: Objective) -> None:
        model.zero_grad()
        objective(batch, 0)[0].backward()

    made = {
        name: functools.partial(step, Objective.of(model, judge, CPU))
        for name, judge in judges.items()
    }
    medians = interleaved(made, seconds=0, rounds=5)
    print(f"\n{f'a step, batch {config.batch}':22}{'ms':>8}{'times':>8}")
    for name, median in medians.items():
        print(f"{name:22}{1e3 * median:8.0f}{median / medians['squared error']:8.2f}")


def sounds(config: TrainConfig, count: int) -> tuple[Clips, HeldOut]:
    """All clips, and ``count`` of those held out with their waves and a judge."""
    clips = synthesise(config.kinds, config.clips, config.seed, FrontEnd(config.front_end))
    # synthetic ones are not split by source
    numbered = replace(clips, source=tuple(map(str, range(len(clips)))))
    rest = numbered.split()[1]
    if len(rest) < count:
        raise SystemExit(
            f"only {len(rest)} of {len(clips)} clips are held out: give a --count of at most that"
        )
    rest = rest[np.linspace(0, len(rest) - 1, count).round().astype(int)]
    waves = [synthesis.toots(config.kinds, 1, config.seed, int(i))[0][0] for i in rest.source]
    judge = train_classifier.listener(
        config.front_end, ClassifierConfig(seed=JUDGE_SEED), seed=JUDGE_SEED
    )
    return clips, HeldOut(rest, torch.stack(waves), judge)


def figures(config: TrainConfig, clips: Clips, held_out: HeldOut) -> dict[str, float]:
    """Train, and measure: {"generator" or "autoencoder", a space, the column: figure}."""
    with tempfile.TemporaryDirectory() as folder:
        train(config, clips, Path(folder) / "run")
        generator = toot_generator.load(Path(folder) / "run" / "model.safetensors")
    model, count = generator.model, len(held_out.clips)
    assert model.generator is not None and model.autoencoder is not None
    errors = generator.description["provenance"]["held_out"]
    batch = Batch.of(held_out.clips, config.front_end, CPU)
    made = {
        name: torch.zeros(count, WINDOW_SAMPLES) for name in ("generator", "autoencoder", "drawn")
    }
    for i in tqdm(range(count), desc="sounds", leave=False, disable=None):
        one, row, own = (
            batch[torch.tensor([i])],
            held_out.clips.controls[i : i + 1],
            rng.child(JUDGE_SEED, i),
        )
        with torch.inference_mode():
            residual = model.generator.encode(one.log_mel, one.controls)[0]
            drawing = model.generator.decode(one.controls, residual)
            x = model.autoencoder(model.normalizer(one.log_mel))
            made["generator"][i] = generator.drawn_to_wave(drawing.log_mel[0], drawing)
            made["autoencoder"][i] = generator.to_wave(model.normalizer.inverse(x)[0])
        row = replace(row, brightness=row.brightness.clip(0, 1))
        wave = torch.from_numpy(generator.render(row, generator.residual(row, own), own))
        place(made["drawn"][i], wave)
    real = held_out.judge.embeddings(model.front_end(held_out.waves))
    found = {}
    for name, waves in made.items():
        kad = halved(held_out.judge.embeddings(model.front_end(waves)), real, SPLITS, JUDGE_SEED)[0]
        if name == "drawn":
            found["generator KAD drawn"] = kad
            continue
        found[f"{name} error"] = errors["generation" if name == "generator" else "reconstruction"]
        distances = metrics.compare(waves, held_out.waves)
        found[f"{name} LSD"] = float(distances.log_spectral_distance.mean())
        found[f"{name} MR"] = float(distances.multi_resolution.mean())
        found[f"{name} KAD"] = kad
    obeyed = control_table(generator, 60, pyin=False)["all"]["generated"]
    return found | {
        "generator f0 (cents)": obeyed.f0_median,
        "generator brightness": obeyed.brightness_rank,
    }


def show(half: str, columns: tuple[str, ...], found: Mapping[str, list[dict[str, float]]]) -> None:
    """Mean and spread of each variant, then of its difference from the baseline, seed by seed."""
    print(f"\n{half:22}" + "".join(f"{column:>20}" for column in columns))
    values = {
        name: np.array([[run[f"{half} {c}"] for c in columns] for run in runs])
        for name, runs in found.items()
    }
    for name, of in values.items():
        cells = [cell(column) for column in of.T]
        print(f"{name:22}" + "".join(f"{c:>20}" for c in cells))
    print("less the baseline's")
    for name, of in list(values.items())[1:]:
        cells = []
        for column, difference in zip(columns, (of - values["baseline"]).T, strict=True):
            gain = difference if column in MORE_IS_BETTER else -difference
            star = len(gain) > 1 and min(gain) > 0 and np.mean(gain) > 2 * np.std(gain, ddof=1)
            cells.append(("*" if star else "") + cell(difference, "+"))
        print(f"{name:22}" + "".join(f"{c:>20}" for c in cells))


def cell(values: np.ndarray, sign: str = "") -> str:
    spread = f" +- {np.std(values, ddof=1):.2g}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.4g}{spread}"


if __name__ == "__main__":
    assert set(WEIGHTS) == set(DRAWING_LOSSES)
    main()
