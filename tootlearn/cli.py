"""The command `tootlearn`: a thin caller of the package."""

from __future__ import annotations

import time

_STARTED = time.perf_counter()

import argparse  # noqa: E402
import csv  # noqa: E402
import difflib  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import re  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from dataclasses import asdict, fields  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import NoReturn  # noqa: E402

from jsonargparse import ArgumentParser, Namespace  # noqa: E402

from tootlearn import __version__  # noqa: E402
from tootlearn.audio import InputError, load, resample, save, write_whole  # noqa: E402


class _Parser(ArgumentParser):
    """A parser whose errors are one line, and name the nearest flag to one that does not exist."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        unknown = (
            re.findall(r"(?<![\w-])--[\w.-]+", message) if "nrecognized" in message or "not expected" in message else []
        )
        if unknown:
            near = difflib.get_close_matches(unknown[0].split("=")[0], _flags(self), n=1, cutoff=0.4)
            message = f"unknown flag {unknown[0]}" + (f": did you mean {near[0]}?" if near else "")
        wrong = re.search(r'Parser key "([\w.]+)".*Given value: (.*)', message, re.DOTALL)
        if wrong:
            message = f"--{wrong[1]}: cannot use {wrong[2].strip()}: see tootlearn COMMAND --help for what it takes"
        sys.stderr.write(f"tootlearn: error: {' '.join(message.split())}\n")
        raise SystemExit(2)


def _flags(parser: argparse.ArgumentParser) -> list[str]:
    found: list[str] = []
    for action in parser._actions:
        found += action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            found += [flag for sub in set(action.choices.values()) for flag in _flags(sub)]
    return found


def _parser(preset: str) -> ArgumentParser:
    from tootlearn import training
    from tootlearn.training import TrainConfig

    parser = _Parser(
        prog="tootlearn", description="Toots from a neural network: generate, train, evaluate.", version=__version__
    )
    commands = parser.add_subcommands(dest="command")

    sub = _Parser(description="Make toots: WAV files, a list of them and a picture.")
    sub.add_argument("--kind", type=str | None, help="which kind; without it, all in turn")
    sub.add_argument("--pitch", type=str | None, help="Hz (440), note (A4, Bb3) or MIDI (midi:69); without it, drawn")
    sub.add_argument("--duration", type=float | None, help="s")
    sub.add_argument("--brightness", type=float | None, help="0 (dark) to 1 (bright)")
    sub.add_argument("--loudness", type=float | None, help="dBFS, -36 to -6")
    sub.add_argument("--count", type=int, default=8, help="how many")
    sub.add_argument("--seed", type=int, default=0, help="the same seed gives the same toots")
    sub.add_argument("--out", type=Path, default=Path("toots"), help="folder")
    sub.add_argument("--sample_rate", "--sample-rate", type=int | None, help="Hz; the model's own without it")
    sub.add_argument("--texture", type=float, default=1.0, help="how much of the learned randomness is put in, 0 to 1")
    _model_and_device(sub)
    commands.add_subcommand("generate", sub)

    sub = _Parser(description="Train a model on toots of the synthesiser.")
    sub.add_argument("--preset", type=str, default="default", help="what to start from: default or baseline")
    sub.add_argument("--out", type=Path | None, help="folder of the run; runs/PRESET without it")
    sub.add_argument("--resume", action="store_true", help="go on from the checkpoint in the folder")
    sub.add_argument("--device", type=str, default="auto", help="cpu, cuda, mps or auto")
    sub.add_class_arguments(TrainConfig)
    sub.set_defaults(asdict(training.preset(preset)))
    commands.add_subcommand("train", sub)

    sub = _Parser(description="Encode a recording and decode it again.")
    sub.add_argument("input", type=Path, help="WAV, FLAC, Ogg or MP3")
    sub.add_argument("output", type=Path, help="what to write; the suffix is the format")
    _model_and_device(sub)
    commands.add_subcommand("reconstruct", sub)

    sub = _Parser(description="Measure control and reconstruction, beside what can be had without a network.")
    sub.add_argument("--count", type=int, default=120, help="toots for the control table")
    sub.add_argument("--seed", type=int, default=1000, help="of their controls")
    sub.add_argument("--json", type=Path | None, help="also write the figures there")
    sub.add_argument("--only", type=str | None, help="control, swap or reconstruction")
    _model_and_device(sub)
    commands.add_subcommand("evaluate", sub)

    sub = _Parser(description="What a model file holds.")
    sub.add_argument("model", type=Path | None, nargs="?", help="a model file; the shipped one without it")
    commands.add_subcommand("info", sub)

    commands.add_subcommand("doctor", _Parser(description="Check this installation, and say how to mend it."))
    return parser


def _model_and_device(parser: ArgumentParser) -> None:
    parser.add_argument("--model", type=Path | None, help="a model file; the shipped one without it")
    parser.add_argument("--device", type=str, default="cpu", help="cpu, cuda, mps or auto")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit status 0, 2 for what the user can mend, 130 for Ctrl-C."""
    from tootlearn.training import Stopped

    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        asked = re.search(r"--preset[ =](\S+)", " ".join(words))
        parser = _parser(asked[1] if asked else "default")
        parsed = parser.parse_args(words)
        {
            "generate": _generate,
            "train": _train,
            "reconstruct": _reconstruct,
            "evaluate": _evaluate,
            "info": _info,
            "doctor": _doctor,
        }[parsed.command](parsed[parsed.command])
    except InputError as error:
        sys.stderr.write(f"tootlearn: error: {error}\n")
        raise SystemExit(2) from None
    except OSError as error:
        sys.stderr.write(f"tootlearn: error: {error.filename or ''}: {error.strerror or error}\n")
        raise SystemExit(2) from None
    except Stopped as stopped:
        sys.stderr.write(f"tootlearn: {stopped}\n")
        raise SystemExit(130) from None
    except KeyboardInterrupt:
        sys.stderr.write("tootlearn: interrupted\n")
        raise SystemExit(130) from None


def _generate(a: Namespace) -> None:
    import torch
    from tqdm import tqdm

    from tootlearn import generation, rng
    from tootlearn.figures import contact_sheet

    if a.count < 1:
        raise InputError(f"--count is 1 or more, not {a.count}")
    if not 0 <= a.texture <= 1:
        raise InputError(f"--texture is 0 to 1, not {a.texture:g}")
    if a.sample_rate is not None and not 8000 <= a.sample_rate <= 192000:
        raise InputError(f"--sample-rate is 8000 to 192000 Hz, not {a.sample_rate}")
    generator = generation.load(a.model, a.device)
    rate = a.sample_rate or generator.sample_rate
    asked = []
    for i in range(a.count):  # everything is checked before anything is written
        seed = rng.child(generation.checked_seed(a.seed), i)
        kind = a.kind or (generator.kinds[i % len(generator.kinds)] if a.pitch is None else None)
        asked.append((seed, generator.controls(kind, a.pitch, a.duration, a.brightness, a.loudness, seed)))
    a.out.mkdir(parents=True, exist_ok=True)
    rows, waves, titles = [], [], []
    for i, (seed, controls) in enumerate(tqdm(asked, desc="toots", unit="", leave=False)):
        wave = generator.render(controls, generator.residual(controls, seed), seed, a.texture)
        wave = resample(torch.from_numpy(wave), generator.sample_rate, rate).numpy()
        name = generator.kinds[int(controls.kind[0])]
        path = a.out / f"{i:03d}_{name}.wav"
        save(path, wave, rate)
        values = [
            float(column[0]) for column in (controls.pitch, controls.duration, controls.brightness, controls.loudness)
        ]
        rows.append([path.name, name, *(f"{v:.4g}" for v in values), seed])
        waves.append(wave)
        titles.append(f"{name}  {values[0]:.0f} Hz  {values[1]:.2f} s")
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(
        [["file", "kind", "pitch_hz", "duration_s", "brightness", "loudness_dbfs", "seed"], *rows]
    )
    write_whole(a.out / "toots.csv", table.getvalue().encode())
    shown = min(len(waves), 24)
    contact_sheet(a.out / "contact_sheet.png", waves[:shown], titles[:shown], rate)
    took = time.perf_counter() - _STARTED
    print(f"{len(waves)} toots, toots.csv and contact_sheet.png are in {a.out}, {took:.1f} s after the start")


def _train(a: Namespace) -> None:
    from tootlearn import training
    from tootlearn.autoencoder import AutoencoderConfig, GeneratorConfig
    from tootlearn.data.clips import synthesise
    from tootlearn.data.recipes import KINDS
    from tootlearn.front_end import FrontEnd, FrontEndConfig

    values = {f.name: a[f.name] for f in fields(training.TrainConfig)}
    for name, part in (
        ("generator", GeneratorConfig),
        ("autoencoder", AutoencoderConfig),
        ("front_end", FrontEndConfig),
    ):
        values[name] = None if values[name] is None else part(**vars(values[name]))
    config = training.TrainConfig(**values)
    unknown = [kind for kind in config.kinds if kind not in KINDS]
    if unknown:
        raise InputError(f"there is no recipe for {unknown[0]!r}: there are {', '.join(KINDS)}")
    out = a.out or Path("runs") / a.preset
    training.check_run(out, a.resume)
    clips = synthesise(config.kinds, config.clips, config.seed, FrontEnd(config.front_end))
    training.train(config, clips, out, a.resume, a.device)
    print(f"the model is {out / 'model.safetensors'}: tootlearn generate --model {out / 'model.safetensors'}")


def _reconstruct(a: Namespace) -> None:
    from tootlearn import generation

    generator = generation.load(a.model, a.device)
    wave, _ = load(a.input, generator.sample_rate)
    save(a.output, generator.reconstruct(wave), generator.sample_rate)
    print(
        f"{a.output}: {len(wave) / generator.sample_rate:.2f} s through {generator.latent} numbers a window of 2.04 s"
    )


def _evaluate(a: Namespace) -> None:
    from tootlearn import evaluation, generation

    generator = generation.load(a.model, a.device)
    report = evaluation.report(generator, a.count, a.seed, a.only)
    print(evaluation.as_text(report))
    if a.json:
        write_whole(a.json, (json.dumps(report, indent=1) + "\n").encode())


def _info(a: Namespace) -> None:
    from tootlearn import generation

    print(generation.summary(generation.load(a.model)))


def _doctor(a: Namespace) -> None:
    from tootlearn.doctor import examine

    healthy = True
    for finding in examine():
        healthy &= finding.fine or finding.optional
        print(f"{'ok  ' if finding.fine else 'note' if finding.optional else 'BAD '}  {finding.what}")
    if not healthy:
        raise SystemExit(1)
