"""The command `tootlearn`: a thin caller of the package."""
# ruff: noqa: E402 - the clock starts before the imports, whose time a user waits too

from __future__ import annotations

import time

_STARTED = time.perf_counter()

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from jsonargparse import ArgumentParser

from tootlearn.cli import bandwidth, batch, data, export, runs, variation
from tootlearn.cli.arguments import Parser, config_of, config_options, fail
from tootlearn.errors import nearest
from tootlearn.version import __version__


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: the words after `tootlearn`; None for those of this process.

    Raises:
        SystemExit: with status 2 and one line on stderr for what the user can mend, 130 for Ctrl-C,
            1 if `doctor` finds something broken, 0 after a help text.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _run(words)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except ImportError as error:
        fail(f"a package is missing or broken ({error}): `tootlearn doctor` says which")
    except OSError as error:
        fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    except ValueError as error:
        from tootlearn.errors import InputError

        if not isinstance(error, InputError):
            raise
        fail(str(error))


def _run(words: list[str]) -> None:
    # torch takes seconds to import: each command imports what it needs, and the help nothing
    commands = {
        "generate": (_generate, "Make toots: WAV files, a list of them and a picture."),
        **variation.COMMANDS,
        "batch": (batch.command, "Make a labelled set of toots from a table."),
        "train": (_train, "Train a model on synthetic toots, a sound font or your own recordings."),
        "tune": (runs.tune, "Search for better settings of training, by one process or several."),
        "runs": (runs.runs, "List and compare the runs in a folder."),
        "data": (
            data.data,
            "Write recordings, cut and labelled, as shards: tootlearn data shard IN.",
        ),
        "train-vocoder": (
            _train_vocoder,
            "Train the network that turns mel spectrograms to sound.",
        ),
        "train-bandwidth": (
            bandwidth.train,
            "Train the network that says how loud toots are above 11 kHz.",
        ),
        "reconstruct": (
            _reconstruct,
            "Encode a recording and decode it again: mono, at the model's sample rate.",
        ),
        "denoise": (
            _denoise,
            "Clean a recording, or a folder of them: noise, offset, clicks at the ends, peaks.",
        ),
        "evaluate": (
            _evaluate,
            "Measure control, likeness and reconstruction, each beside a yardstick.",
        ),
        "info": (_info, "Show what a model file holds."),
        "lab": (
            _lab,
            "Copy the book's notebooks into a folder of yours, and open JupyterLab there.",
        ),
        "book": (_book, "Show the rendered book, if it was built, on this machine."),
        "doctor": (_doctor, "Check this installation, and say how to mend it."),
        **export.COMMANDS,
    }
    names = ", ".join(commands)
    if not words:
        fail(f"give a command: {names}")
    if words[0] in ("-h", "--help"):
        print(
            "usage: tootlearn COMMAND [options]\n\nToots from a neural network: generate, train, evaluate, learn.\n"
        )
        print("\n".join(f"  {name:14} {what}" for name, (_, what) in commands.items()))
        print("\ntootlearn COMMAND --help shows its options, tootlearn --version the version.")
    elif words[0] == "--version":
        print(f"tootlearn {__version__}")
    elif words[0] in commands:
        function, what = commands[words[0]]
        function(Parser(prog=f"tootlearn {words[0]}", description=what), words[1:])
    else:
        fail(f"there is no command {words[0]!r}: {nearest(words[0], commands)}there are {names}")


def _model_and_device(parser: ArgumentParser) -> None:
    parser.add_argument("--model", type=str | None, help="a model file; the shipped one without it")
    parser.add_argument("--device", type=str, default="cpu", help="cpu, cuda, mps or auto")
    parser.add_argument(
        "--vocoder", type=str | None, help='a vocoder or "none"; else the shipped one'
    )


def _generate(parser: ArgumentParser, words: list[str]) -> None:
    parser.add_argument(
        "--kind", type=str | None, help="which kind; without it, all in turn that can do the rest"
    )
    parser.add_argument(
        "--pitch", type=str | None, help="Hz (440), note (A4, Bb3) or MIDI (midi:69); else drawn"
    )
    parser.add_argument("--duration", type=float | None, help="s; without it, drawn")
    parser.add_argument(
        "--brightness", type=float | None, help="0 (dark) to 1 (bright); without it, drawn"
    )
    parser.add_argument("--loudness", type=float | None, help="dBFS, -36 to -6; without it, drawn")
    parser.add_argument("--count", type=int, default=8, help="how many")
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same toots, whatever the count"
    )
    parser.add_argument("--out", type=str, default="toots", help="folder")
    parser.add_argument(
        "--sample_rate", "--sample-rate", type=int | None, help="Hz; without it, the model's own"
    )
    parser.add_argument(
        "--texture", type=float, default=1.0, help="how much learned randomness is put in, 0 to 1"
    )
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="how far toots stray, 0 to 3; 0: not at all"
    )
    parser.add_argument(
        "--envelope",
        type=str | None,
        help="levels in dB from beginning to end, such as 0,-6,-12,-3",
    )
    parser.add_argument(
        "--denoise", action="store_true", help="filter each toot as if it were a noisy recording"
    )
    _model_and_device(parser)
    parser.add_argument(
        "--bandwidth",
        type=str | None,
        help='what is above 11 kHz: a file or "none"; else the shipped one',
    )
    a = parser.parse_args(words)

    from tqdm import tqdm

    from tootlearn import rng
    from tootlearn.dsp import envelope
    from tootlearn.errors import InputError, check_range
    from tootlearn.generation import toot_files, toot_generator
    from tootlearn.generation.toot_files import Toot

    out = Path(a.out)
    if a.count < 1:
        raise InputError(f"--count is 1 or more, not {a.count}")
    toot_files.check_folder(out)
    check_range("--texture", a.texture, 0, 1, "")
    drawn = None if a.envelope is None else envelope.parse(a.envelope)
    generator = toot_generator.load(a.model, a.device, a.vocoder, a.bandwidth)
    rate = generator.sample_rate if a.sample_rate is None else a.sample_rate
    check_range("--sample-rate", rate, *toot_generator.SAMPLE_RATES, " Hz")
    kinds = [a.kind] if a.kind else generator.kinds_with(a.pitch, a.duration)
    asked = []
    for i in range(a.count):  # everything is checked before anything is written
        seed = rng.child(toot_generator.checked_seed(a.seed), i)
        kind = kinds[i % len(kinds)]
        controls = generator.controls(kind, a.pitch, a.duration, a.brightness, a.loudness, seed)
        asked.append((seed, controls, generator.residual(controls, seed, a.temperature)))

    def made() -> Iterator[Toot]:
        for seed, controls, residual in tqdm(
            asked, desc="toots", unit="", leave=False, disable=None
        ):
            wave = generator.render(controls, residual, seed, a.texture, rate, a.denoise, drawn)
            yield Toot(wave, generator.kinds[int(controls.kind[0])], controls, seed)

    toot_files.write(out, made(), rate)
    took = time.perf_counter() - _STARTED
    count = f"{a.count} toot{'s' if a.count > 1 else ''}"
    print(f"{count}, toots.csv and contact_sheet.png are in {out}, {took:.1f} s after the start")


def _train(parser: ArgumentParser, words: list[str]) -> None:
    from tootlearn.models import model_file
    from tootlearn.training import dataset, fine_tuning, tracking
    from tootlearn.training import train as training
    from tootlearn.training.compute import RunConfig
    from tootlearn.training.config import PRESETS

    config_options(parser, words)
    parser.add_class_arguments(RunConfig)
    parser.add_argument(
        "--track", type=str, nargs="+", default=[], help="also write to tensorboard, mlflow or both"
    )
    parser.add_argument("--out", type=str | None, help="folder of the run; runs/PRESET without it")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint in the folder"
    )
    parser.add_argument("--device", type=str, default="auto", help="cpu, cuda, mps or auto")
    a = parser.parse_args(words)

    config = config_of(a)
    out = Path(a.out or Path("runs") / (Path(str(a.config[-1])).stem if a.config else a.preset))
    training.check_run(out, a.resume)
    tracking.check(a.track)
    how = RunConfig(**{f.name: a[f.name] for f in fields(RunConfig)})
    # before the clips are gathered: other processes begin at the beginning
    fabric = how.launch(a.device)
    base = model_file.load_model(config.start_from)[0] if config.start_from else None
    config = fine_tuning.adapted(config, base, PRESETS[a.preset]) if base else config
    problems: list[str] = []
    clips = dataset.gather(config, base, problems)
    for problem in problems if fabric.is_global_zero else ():
        print(problem, file=sys.stderr)
    fabric.print(dataset.describe(config, clips))
    try:
        with tracking.tracked(a.track if fabric.is_global_zero else (), out, config) as on_check:
            training.train(config, clips, out, a.resume, a.device, True, how, on_check)
    except training.Stopped as stopped:
        fail(str(stopped), 130)
    fabric.print(
        f"the model is {out / 'model.safetensors'}: tootlearn generate --model {out / 'model.safetensors'}"
    )


def _train_vocoder(parser: ArgumentParser, words: list[str]) -> None:
    from tootlearn.dsp.front_end import FrontEndConfig
    from tootlearn.models.vocoder import VocoderConfig
    from tootlearn.training import train as training
    from tootlearn.training import train_vocoder as vocoder_training
    from tootlearn.training.train_vocoder import VocoderTrainConfig

    parser.add_argument(
        "--data",
        type=str,
        nargs="+",
        default=[],
        help="folders of recordings to learn from as well",
    )
    parser.add_argument("--out", type=str, default="runs/vocoder", help="folder of the run")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint in the folder"
    )
    parser.add_argument("--device", type=str, default="auto", help="cpu, cuda, mps or auto")
    parser.add_class_arguments(VocoderTrainConfig, skip={"data"})
    a = parser.parse_args(words)

    values = {f.name: a[f.name] for f in fields(VocoderTrainConfig)} | {"data": tuple(a.data)}
    parts = {
        "front_end": FrontEndConfig(**vars(a.front_end)),
        "vocoder": VocoderConfig(**vars(a.vocoder)),
    }
    config = VocoderTrainConfig(**values | parts)
    out = Path(a.out)
    training.check_run(out, a.resume, "vocoder.safetensors")
    problems: list[str] = []
    heard = vocoder_training.gather(config, problems)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(vocoder_training.describe(config, heard))
    try:
        vocoder_training.train_vocoder(config, heard, out, a.resume, a.device)
    except training.Stopped as stopped:
        fail(str(stopped), 130)
    print(
        f"the vocoder is {out / 'vocoder.safetensors'}: tootlearn generate --vocoder {out / 'vocoder.safetensors'}"
    )


def _reconstruct(parser: ArgumentParser, words: list[str]) -> None:
    parser.add_argument("input", type=str, help="WAV, FLAC, Ogg or MP3")
    parser.add_argument("output", type=str, help="what to write; the suffix is the format")
    _model_and_device(parser)
    a = parser.parse_args(words)

    from tootlearn.dsp.audio import load, save
    from tootlearn.generation import toot_generator

    generator = toot_generator.load(a.model, a.device, a.vocoder)
    wave, rate = load(a.input, generator.sample_rate)
    save(a.output, generator.reconstruct(wave), rate)
    print(
        f"{a.output}: {len(wave) / rate:.2f} s through {generator.latent} numbers a window of 2.04 s"
    )


def _denoise(parser: ArgumentParser, words: list[str]) -> None:
    parser.add_argument(
        "input", type=str, help="WAV, FLAC, Ogg or MP3, or a folder of them, with its sub-folders"
    )
    parser.add_argument(
        "output", type=str, help="what to write: a file for a file, a folder for a folder"
    )
    parser.add_argument(
        "--noise",
        type=str | None,
        help="a recording of the noise alone; else found where it is quiet",
    )
    a = parser.parse_args(words)

    from tootlearn.data.cleaning import clean_file, clean_folder
    from tootlearn.dsp.audio import load

    if a.noise:
        load(a.noise)  # a bad one is no fault of the recordings
    source, target = Path(a.input), Path(a.output)
    if source.is_dir():
        problems: list[str] = []
        done, count = clean_folder(source, target, a.noise, problems)
        for problem in problems:
            print(problem, file=sys.stderr)
        print(
            f"{done} of {count} recordings of {source} are in {target}, cleaned: mono, at their own sample rates"
        )
    else:
        clean_file(source, target, a.noise)
        print(f"{target} is {source}, cleaned: mono, at its own sample rate")


def _evaluate(parser: ArgumentParser, words: list[str]) -> None:
    parser.add_argument("--count", type=int, default=120, help="toots for each table")
    parser.add_argument("--seed", type=int, default=1000, help="of their controls")
    parser.add_argument("--json", type=str | None, help="also write the figures there")
    parser.add_argument("--figure", type=str | None, help="also draw them there, as PNG")
    parser.add_argument(
        "--only", type=str | None, help="control, swap, kind, set or reconstruction"
    )
    parser.add_argument(
        "--data", type=str, nargs="+", default=[], help="what recordings it was trained on, if any"
    )
    parser.add_argument(
        "--font", type=str | None, help="what sound font it was trained on; found without it"
    )
    _model_and_device(parser)
    a = parser.parse_args(words)

    from tootlearn.evaluation import report as evaluation
    from tootlearn.files import atomic_write
    from tootlearn.generation import toot_generator

    report = evaluation.report(
        toot_generator.load(a.model, a.device, a.vocoder), a.count, a.seed, a.only, a.data, a.font
    )
    print(evaluation.as_text(report))
    if a.json:
        atomic_write(Path(a.json), (json.dumps(report, indent=1) + "\n").encode())
    if a.figure:
        from tootlearn.figures import evaluation_sheet

        evaluation_sheet(a.figure, report)


def _info(parser: ArgumentParser, words: list[str]) -> None:
    parser.add_argument(
        "model", type=str | None, nargs="?", help="a model file; the shipped one without it"
    )
    a = parser.parse_args(words)

    from tootlearn.generation import toot_generator
    from tootlearn.models import model_file

    generator = toot_generator.load(a.model)
    print(model_file.summary(generator.model, generator.description))


def _lab(parser: ArgumentParser, words: list[str]) -> None:
    parser.add_argument("folder", type=str, nargs="?", default="tootlearn-book", help="where to")
    parser.add_argument(
        "--fresh", action="store_true", help="write the notebooks anew; yours are moved to NAME.bak"
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="start JupyterLab and print its address"
    )
    parser.add_argument("--no-open", action="store_true", help="only copy")
    a = parser.parse_args(words)

    from tootlearn.teaching import notebooks

    folder = Path(a.folder)
    done = notebooks.copy_notebooks(folder, a.fresh)
    print(f"{len(done.new)} files are new in {folder}, {len(done.same)} were there")
    if done.kept:
        print(
            f"left as they are, since they differ from what ships: {', '.join(done.kept)} (--fresh writes them anew)"
        )
    if done.aside:
        print(f"yours are beside them as .bak: {', '.join(done.aside)}")
    if not a.no_open:
        notebooks.open_lab(folder, not a.no_browser)


def _book(parser: ArgumentParser, words: list[str]) -> None:
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--no-browser", action="store_true", help="only serve, and print the address"
    )
    a = parser.parse_args(words)

    from tootlearn.teaching import notebooks

    notebooks.serve(notebooks.site(), a.port, not a.no_browser)


def _doctor(parser: ArgumentParser, words: list[str]) -> None:
    parser.parse_args(words)

    from tootlearn.cli import doctor

    doctor.main()
