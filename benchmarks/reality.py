"""Synthetic toots beside recorded ones: does what was learned of the synthesiser hold for
recordings?

    python benchmarks/reality.py FOLDER [--part tuning]

FOLDER holds recordings and a manifest.csv with the columns path, label and midi. They are split by
source: the recipes were made by the tuning part, the reporting part is what counts. A source is a
session (the first number of an UrbanSound8K name), a note of an instrument (all its takes and
channels), or a file. The sources of a kind take turns, in the order of their names; but a library
of takes reports as a whole where other notes of its kind are there to tune by, and a kind with
fewer than four sources only tunes.

Prints how well a classifier that was trained on synthetic toots alone names the recordings, and
medians of measures.
"""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from shared import parser_of, started
from torch import Tensor

from tootlearn import rng
from tootlearn.controls import ONSET_SAMPLES, midi_to_hz
from tootlearn.data import folder, synthesis
from tootlearn.data.clips import Clips, synthesise
from tootlearn.data.folder import Recording
from tootlearn.data.recipes import KINDS
from tootlearn.dsp import audio, measures
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.models import classifier
from tootlearn.training.train_classifier import noise_texture, train_classifier

RATE = synthesis.SAMPLE_RATE
# what the classifier tells apart
NAMED = ("car_horn", "tuba", "trombone", "french_horn", "trumpet")
MEASURES = ("attack ms", "centroid Hz", "octaves", "HNR dB", "vibrato ct")
TAKE = r"[a-g][b#]?\d(?=_)"  # of a library: the note, then how it was played
TAKES = 6  # of a note that are heard


def source(recording: Recording) -> str:
    """What belongs together, by the name of the file."""
    name = recording.path.stem
    known = re.match(r"\d+(?=-\d+-\d+-\d+$)", name) or re.match(TAKE, name)
    return known[0] if known else re.sub(r"_[LR]$", "", name)


def recordings(path: Path) -> list[Recording]:
    """Those of the manifest of a folder, with what belongs together as their source."""
    with open(path / "manifest.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    pitch = [midi_to_hz(float(row["midi"])) if row.get("midi") else math.nan for row in rows]
    found = [
        Recording(path / row["path"], row["label"], p, "")
        for row, p in zip(rows, pitch, strict=True)
    ]
    return [replace(one, source=source(one)) for one in found]


def part_of(found: Sequence[Recording], part: str) -> list[Recording]:
    """The recordings of the part called tuning or reporting; of many takes of a note some, evenly
    over them.
    """
    chosen = []
    for label in sorted({r.label for r in found}):
        mine = [r for r in found if r.label == label]
        library = {r.source for r in mine if re.match(TAKE, r.path.stem)}
        names = sorted({r.source for r in mine} - library)
        tuning = set(names) if library or len(names) < 4 else set(names[::2])
        for name in sorted({r.source for r in mine}):
            takes = sorted((r for r in mine if r.source == name), key=lambda r: r.path.name)
            if (name in tuning) == (part == "tuning"):
                chosen += takes[:: -(-len(takes) // TAKES)]
    return chosen


def vibrato(wave: NDArray[np.float32], f0: float) -> float:
    """Standard deviation of f0 about its line in the middle of a toot, in cents, of what is slower
    than some 10 Hz.

    By the phase of the fundamental; nan for what is too short to tell.
    """
    middle = wave[len(wave) // 5 : -len(wave) // 10]
    window = np.blackman(int(RATE * max(1 / 10, 6 / f0)))
    if len(middle) < len(window) + 0.1 * RATE:
        return math.nan
    step = RATE // 200
    turning = middle * np.exp(-2j * np.pi * f0 * np.arange(len(middle)) / RATE)
    phase = np.unwrap(np.angle(np.convolve(turning, window, "valid")[::step]))
    cents = 1200 * np.log2(np.maximum(1 + np.gradient(phase) * RATE / step / (2 * np.pi * f0), 0.5))
    time = np.arange(len(cents))
    return float((cents - np.polyval(np.polyfit(time, cents, 1), time)).std())


def measured(wave: Tensor, pitch: float) -> list[float]:
    """The MEASURES of a toot; nan for those that need a pitch, where there is none.

    The attack lasts from -40 dB until the envelope is 3 dB below its median.
    """
    found = measures.measure(wave, RATE)
    start, end = float(found.onset), float(found.onset + found.duration)
    step = max(1, round(RATE * measures.ENVELOPE_STEP))
    envelope = measures.envelope(wave, RATE)[
        int(start * RATE) // step : int(end * RATE) // step + 1
    ]
    attack = 1000 * float((envelope >= 0.707 * envelope.median()).double().argmax()) * step / RATE
    centroid = float(found.centroid)
    if not pitch > 0:
        return [attack, centroid, math.nan, math.nan, math.nan]
    f0 = float(measures.tone_f0(wave, RATE, pitch, 80.0))
    ratio = float(measures.harmonic_to_noise_ratio(wave, RATE, f0))
    body = wave[int(start * RATE) : int(end * RATE)].numpy()
    return [attack, centroid, math.log2(centroid / pitch), ratio, vibrato(body, f0)]


def medians(kind: str, mine: Sequence[Recording], count: int) -> None:
    """One line for recordings and one for synthetic toots: the median of each measure, and how many
    it is of.
    """
    heard = []
    for recording in mine:
        wave, _ = audio.load_audio(recording.path, RATE)
        for piece in folder.pieces(wave, RATE)[:2]:
            framed = torch.nn.functional.pad(piece, (ONSET_SAMPLES, ONSET_SAMPLES))
            heard.append(measured(framed, recording.pitch))
    waves, labels = synthesis.toots([kind], count, seed=5)
    one_f0 = any(r.pitch > 0 for r in mine)
    made = [
        measured(w, p if one_f0 else math.nan) for w, p in zip(waves, labels.pitch, strict=True)
    ]
    for title, rows in (("recorded", heard), ("synthetic", made)):
        columns = [c[np.isfinite(c)] for c in np.array(rows).T]
        cells = [f"{np.median(c):8.4g} ({len(c):3})" if len(c) else f"{'-':>14}" for c in columns]
        print(f"{kind:14}{title:10}", *cells)


def in_the_street(clips: Clips, seed: int) -> Clips:
    """Half of the clips, of any kind, with the noise of a street: some 9 to 50 dB below their peak,
    red.
    """
    log_mel = clips.log_mel.float()
    texture = noise_texture(FrontEnd().config, seed)
    which, level, fall, place = torch.from_numpy(
        rng.uniform(seed, 9, 4 * len(clips)).reshape(4, -1)
    ).float()
    bands, frames = log_mel.shape[1:]
    start = (place * (texture.shape[1] - frames)).long().tolist()
    noise = torch.stack([texture[:, s : s + frames] for s in start])
    noise = noise - (1 + 6 * fall[:, None, None]) * torch.linspace(0, 1, bands)[:, None]
    noise = noise + log_mel.amax((1, 2), keepdim=True) - (1 + 5 * level[:, None, None])
    heard = torch.logaddexp(2 * log_mel, 2 * noise) / 2
    return replace(clips, log_mel=torch.where(which[:, None, None] < 0.5, heard, log_mel).half())


def bootstrap(right: dict[str, list[float]], rounds: int = 4000) -> NDArray[np.float64]:
    """5th and 95th percentile of the mean over kinds of the share of their sources, drawn again and
    again.
    """
    draws = np.zeros(rounds)
    for i, shares in enumerate(right.values()):
        rows = (
            (rng.uniform(1, i, rounds * len(shares)) * len(shares)).astype(int).reshape(rounds, -1)
        )
        draws += np.array(shares)[rows].mean(1) / len(right)
    return np.percentile(draws, [5, 95])


def named(judge: classifier.Classifier, real: Clips) -> None:
    """The confusion matrix and the balanced accuracy: all sources and all kinds count the same."""
    with torch.no_grad():
        answer = judge(real.log_mel.float()).argmax(1).numpy()
    truth = np.array([judge.kinds.index(real.kinds[k].name) for k in real.controls.kind])
    print(
        f"\n{'recorded':14}{'sources':>8}{'clips':>6}  named "
        + " ".join(f"{name:>12}" for name in judge.kinds)
    )
    right: dict[str, list[float]] = {}
    for k, name in enumerate(judge.kinds):
        mine = truth == k
        sources = np.array(real.source)[mine]
        right[name] = [
            float((answer[mine] == k)[sources == s].mean()) for s in sorted(set(sources))
        ]
        counts = np.bincount(answer[mine], minlength=len(judge.kinds))
        print(
            f"{name:14}{len(right[name]):8}{mine.sum():6}        "
            + " ".join(f"{n:12}" for n in counts)
        )
    share = np.mean([np.mean(r) for r in right.values()])
    low, high = bootstrap(right)
    print(
        f"balanced accuracy {share:.1%} ({low:.1%} to {high:.1%}: 90 % over sources), chance "
        f"{1 / len(right):.0%}"
    )


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=("tuning", "reporting"), default="reporting")
    parser.add_argument(
        "--clips", type=int, default=2500, help="that the classifier learns from (default 2500)"
    )
    parser.add_argument("--steps", type=int, default=400, help="of its training (default 400)")
    parser.add_argument("--augmentation", type=float, default=0.6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--toots", type=int, default=80, help="synthetic ones of a kind to measure (default 80)"
    )
    options = started(parser)
    mine = part_of(recordings(options.folder), options.part)
    print(
        f"{options.part} part: medians (of how many)\n{'':24} "
        + " ".join(f"{name:>14}" for name in MEASURES)
    )
    for kind in KINDS:
        if own := [r for r in mine if r.label == kind]:
            medians(kind, own, options.toots)
    front_end, problems = FrontEnd(), []
    clips = synthesise(NAMED, options.clips, options.seed, front_end, progress=False)
    config = classifier.ClassifierConfig(
        steps=options.steps, augmentation=options.augmentation, seed=options.seed
    )
    judge = train_classifier(in_the_street(clips, options.seed), config)
    known = tuple(KINDS[name] for name in NAMED)
    real, _ = folder.read_recordings(
        [r for r in mine if r.label in NAMED], front_end, known, problems
    )
    named(judge, real)
    print(*problems, sep="\n")


if __name__ == "__main__":
    main()
