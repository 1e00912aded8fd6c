"""What each option buys: the default, and what differs from it in one thing.

    python benchmarks/ablation.py [--steps 1000] [--seeds 1 2 3] [--out ablation.jsonl]
    python benchmarks/ablation.py --part generator
    python benchmarks/ablation.py --quick
    python benchmarks/ablation.py --table ablation.jsonl --json ablation.json

Two sets: synthetic toots of all kinds, and notes of recorded brass instruments from a sound font.
Every run takes the same number of steps; seeds decide initial weights and batches. Conclusions hold
for that budget: what learns slowly looks worse than it is. On held-out (kind, semitone) groups:

* error: mean squared error of standardised log-mels, weighted as in training;
* LSD: of the log-mels, in dB;
* MR: multi-resolution STFT distance between the sound after phase reconstruction and what the same
  chain makes of the true log-mel;
* KAD: kernel distance between the embeddings of these sounds and of the true ones, in halves (see
  `brass.py`), with its floor (true against true); the classifier that embeds has its own seed;
* examples per second on one core, with everything that training does.

The generator has columns of its own, of toots that it plays for the controls of held-out clips: see
`ablation_generator.py`.

PCA of equal size, the nearest training clip and the mean need no training. A run's figures are
appended to --out as it ends; runs that are there already are not repeated. --quick is one seed, 100
steps and the synthetic set (8 minutes of one core). The learning rate is 2e-3, twice the default's:
short runs need it.
"""

import argparse
import functools
import json
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import ablation_generator
import numpy as np
import torch
from shared import halved, one_machine, parser_of
from torch import Tensor

from tootlearn.data.clips import Clips
from tootlearn.dsp.config import WINDOW_SAMPLES
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.dsp.normalization import Normalizer
from tootlearn.dsp.phase import ridge_integration
from tootlearn.evaluation.metrics import compare
from tootlearn.evaluation.reconstruction import nearest_clips, pca
from tootlearn.generation import toot_generator
from tootlearn.losses.log_mel import frame_weights, squared_error
from tootlearn.models import classifier
from tootlearn.models.config import AutoencoderConfig, ClassifierConfig
from tootlearn.models.vocoder import Vocoder
from tootlearn.training import config as presets
from tootlearn.training import dataset
from tootlearn.training.config import TrainConfig
from tootlearn.training.train import train
from tootlearn.training.train_classifier import listener

JUDGE_SEED = 9000
SPLITS = 20  # halvings behind a KAD
COLUMNS = ("error", "LSD", "MR", "KAD", "parameters", "examples / s")
SETS: dict[str, dict[str, Any]] = {
    "synthetic": {"clips": 4800, "sampled": 0},
    "font notes": {
        "clips": 0,
        "sampled": 2400,
        "bright": 0.0,
        "kinds": ("trumpet", "trombone", "tuba", "french_horn"),
    },
}
# What differs from the default. `baseline` differs in everything.
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "without principal components": {"linear": False},
    "without residual blocks": {"residual": 0},
    "without dilation": {"dilated": False},
    "with self-attention": {"attention": 4},
    "attention pooling": {"pooling": "attention"},
    "mean over time": {"pooling": "mean"},
    "ReLU": {"activation": "relu"},
    "LeakyReLU": {"activation": "leaky_relu"},
    "GELU": {"activation": "gelu"},
    "Snake": {"activation": "snake"},
    "batch norm": {"norm": "batch"},
    "no norm": {"norm": "none"},
    "dropout .1": {"dropout": 0.1},
    "transposed convolution": {"upsampling": "transposed"},
    "nearest + convolution": {"upsampling": "nearest"},
    "variational": {"variational": True},
    "16 numbers": {"latent": 16},
    "128 numbers": {"latent": 128},
    "baseline": asdict(AutoencoderConfig()),
}
WITHOUT_TRAINING = {
    "PCA": 64,
    "PCA, 16 numbers": 16,
    "PCA, 128 numbers": 128,
    "nearest clip": 0,
    "mean": 0,
}


class Data(NamedTuple):
    """A set, ready to be judged on."""

    config: TrainConfig
    clips: Clips
    sounds: int  # N of MR and KAD
    judge: classifier.Classifier
    chain: "Chain"
    true: Tensor  # (N, WINDOW_SAMPLES): the first N held-out clips through the chain


class Chain:
    """Log-mel to wave, as generation does it."""

    def __init__(self, config: TrainConfig) -> None:
        self.front_end = FrontEnd(config.front_end)
        self.vocoder: Vocoder = toot_generator.model_file.load_vocoder(None, config.front_end)[0]

    def __call__(self, log_mels: Tensor) -> Tensor:
        return torch.cat(
            [
                ridge_integration(
                    self.vocoder(x[None]), self.front_end.stft, iterations=4, length=WINDOW_SAMPLES
                )
                for x in log_mels
            ]
        )


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--part", choices=("autoencoder", "generator"), default="autoencoder")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--rows", nargs="+", help="only these")
    parser.add_argument("--count", type=int, default=60, help="N of MR and KAD (default 60)")
    parser.add_argument(
        "--quick", action="store_true", help="one seed, 100 steps, the synthetic set"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("ablation.jsonl"),
        help="figures of each run (ablation.jsonl)",
    )
    parser.add_argument("--table", type=Path, help="only show what is in this file")
    parser.add_argument(
        "--json",
        type=Path,
        help="put mean and spread in this file too, in place of the same tables",
    )
    options = parser.parse_args()
    if options.quick:
        options.steps, options.seeds, options.sets, options.count = 100, [1], ["synthetic"], 30
    if not options.table:
        print(one_machine(options.threads))
        measure(options)
    summary = summarise(options.table or options.out)
    print(as_text(summary))
    if options.json:
        tables = json.loads(options.json.read_text("utf8")) if options.json.exists() else {}
        options.json.write_text(json.dumps(tables | summary, indent=1) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> None:
    """Run what is not in the file yet, and append it."""
    lines = options.out.read_text("utf8").splitlines() if options.out.exists() else []
    done = {json.dumps(json.loads(line)["run"], sort_keys=True) for line in lines}
    generator = options.part == "generator"
    of = ablation_generator if generator else sys.modules[__name__]

    @functools.cache
    def prepared(name: str) -> Any:
        config = setting(name, options)
        return of.data(config, options.count)

    for seed in options.seeds:
        for name in options.sets:
            untrained = of.WITHOUT_TRAINING if seed == options.seeds[0] else ()
            for row in [*of.VARIANTS, *untrained]:
                run = {
                    "row": row,
                    "set": name,
                    "seed": seed,
                    "steps": options.steps,
                    "batch": options.batch,
                }
                run |= {"part": "generator"} if generator else {}
                if json.dumps(run, sort_keys=True) in done or row not in (options.rows or [row]):
                    continue
                given = prepared(name)
                found = (
                    of.trained(row, seed, given) if row in of.VARIANTS else of.untrained(row, given)
                )
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"run": run, "figures": found}) + "\n")
                print(f"{name}, seed {seed}, {row}: {found}", flush=True)


def setting(name: str, options: argparse.Namespace) -> TrainConfig:
    """What every run on a set has in common."""
    default = presets.PRESETS["default"]
    half = {"autoencoder": None} if options.part == "generator" else {"generator": None}
    steps = {
        "steps": options.steps,
        "batch": options.batch,
        "check_every": options.steps,
        "learning_rate": 2e-3,
    }
    # plain errors: what listens is in losses.py
    return replace(default, **half, **SETS[name], **steps, weights={})


def data(config: TrainConfig, count: int) -> Data:
    """Clips of a set, and what judges on them."""
    clips = dataset.gather_clips(config)
    judge = listener(config.front_end, ClassifierConfig(seed=JUDGE_SEED), seed=JUDGE_SEED)
    chain = Chain(config)
    with torch.inference_mode():
        true = chain(chosen(clips, count).log_mel.float())
    return Data(config, clips, count, judge, chain, true)


def chosen(clips: Clips, count: int) -> Clips:
    """So many of the held-out clips, evenly among them."""
    held_out = clips.split()[1]
    return held_out[np.linspace(0, len(held_out) - 1, count).round().astype(int)]


def trained(row: str, seed: int, given: Data) -> dict[str, float]:
    """The figures of a variant, once it is trained."""
    assert given.config.autoencoder is not None
    variant = replace(given.config.autoencoder, **VARIANTS[row])
    config = replace(given.config, autoencoder=variant, seed=seed)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        model = train(config, given.clips, Path(folder) / "run", progress=False)
    seconds = time.process_time() - started
    network = model.autoencoder
    assert network is not None

    def decode(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.cat([network(part) for part in x.split(128)])

    size = sum(p.numel() for p in network.state_dict().values())
    speed = config.steps * config.batch / seconds
    return figures(given, model.normalizer, decode) | {"parameters": size, "examples / s": speed}


def untrained(row: str, given: Data) -> dict[str, float]:
    """The figures of what needs no training."""
    learn = given.clips.split()[0]
    duration = torch.as_tensor(learn.controls.duration, dtype=torch.float32)
    front_end = given.config.front_end
    weight = frame_weights(duration, learn.log_mel.shape[2], front_end.hop, front_end.sample_rate)
    normalizer = Normalizer.fit(learn.log_mel.float(), weight)
    train_x = normalizer(learn.log_mel.float())

    def decode(x: Tensor) -> Tensor:
        if WITHOUT_TRAINING[row]:
            return pca(train_x, x, WITHOUT_TRAINING[row])
        return nearest_clips(train_x, x) if row == "nearest clip" else train_x.mean(0).expand_as(x)

    numbers = 2 * WITHOUT_TRAINING[row] * train_x[0].numel()
    return figures(given, normalizer, decode) | {"parameters": numbers}


def figures(given: Data, normalizer: Normalizer, decode: Any) -> dict[str, float]:
    """Error, LSD, MR and KAD of what ``decode`` makes of standardised log-mels."""
    held_out, front_end = given.clips.split()[1], given.config.front_end
    x = normalizer(held_out.log_mel.float())
    y = decode(x)
    duration = torch.as_tensor(held_out.controls.duration, dtype=torch.float32)
    weight = frame_weights(duration, x.shape[2], front_end.hop, front_end.sample_rate)
    decibel = (y - x) * normalizer.std * (20 / np.log(10))
    few = chosen(given.clips, given.sounds)
    with torch.inference_mode():
        waves = given.chain(normalizer.inverse(decode(normalizer(few.log_mel.float()))))
        made, true = (given.judge.embeddings(given.chain.front_end(w)) for w in (waves, given.true))
    return {
        "error": float(squared_error(y, x, weight)),
        "LSD": float((decibel.square().mean(1).sqrt() * weight).mean()),
        "MR": float(compare(waves, given.true).multi_resolution.mean()),
        "KAD": halved(made, true, SPLITS, JUDGE_SEED)[0],
        "KAD floor": halved(true, true, SPLITS, JUDGE_SEED)[0],
        "N": len(x),
        "N sounds": given.sounds,
    }


def summarise(path: Path) -> dict[str, Any]:
    """Mean, spread and number of seeds of every figure, by set, steps and row."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for line in path.read_text("utf8").splitlines():
        run, values = (json.loads(line)[k] for k in ("run", "figures"))
        which = f"{run['set']}, generator" if run.get("part") else run["set"]
        table = found.setdefault(f"{which}, {run['steps']} steps of {run['batch']}", {})
        table.setdefault(run["row"], []).append(values)

    def of(runs: list[dict[str, float]]) -> dict[str, Any]:
        columns = {key: [run[key] for run in runs] for key in runs[0]}
        spread = {
            key: float(np.std(v, ddof=1)) if len(v) > 1 else None for key, v in columns.items()
        }
        return {
            key: {"mean": float(np.mean(v)), "std": spread[key]} for key, v in columns.items()
        } | {"seeds": len(runs)}

    return {name: {row: of(runs) for row, runs in table.items()} for name, table in found.items()}


def as_text(summary: dict[str, Any]) -> str:
    """The tables, one line a row."""
    lines = []
    for name, table in summary.items():
        first = next(iter(table.values()))
        lines += [
            "",
            f"{name}; N = {first['N']['mean']:.0f}, of sounds {first['N sounds']['mean']:.0f}; ",
        ]
        lines[-1] += f"KAD floor {first['KAD floor']['mean']:.3f}"
        columns = ablation_generator.COLUMNS if "generator" in name else COLUMNS
        lines += [f"{'':30}" + "".join(f"{column:>18}" for column in (*columns, "seeds"))]
        for row, values in table.items():
            cells = [cell(values.get(column)) for column in columns] + [str(values["seeds"])]
            lines += [f"{row:30}" + "".join(f"{c:>18}" for c in cells)]
    return "\n".join(lines)


def cell(value: dict[str, float | None] | None) -> str:
    if value is None:
        return ""
    return f"{value['mean']:.4g}" + (f" ± {value['std']:.2g}" if value["std"] else "")


if __name__ == "__main__":
    main()
