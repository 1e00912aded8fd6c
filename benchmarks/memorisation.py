"""Does a model that learned from a folder of recordings copy them, and are its toots as various as
they are?

    python benchmarks/memorisation.py MANIFEST [--labels tuba trumpet ...] [--clips 200]
        [--model FILE]

MANIFEST is a CSV of recordings (see `tootlearn.data.folder`), of which those with these labels are
taken. They are split by what `Clips.split` does. A model is trained on the learned ones (preset
own) unless one is given that was. It then plays toots for controls that learned clips have, and for
those of held-out recordings. Distances are between log-mels relative to their peaks, averaged over
some bands and frames, as `tootlearn evaluate` has them. Printed are

* new: the least, the fifth percentile and the median distance of a toot from the nearest learned
  clip, over the median distance between two learned clips of a kind, and how many are nearer than a
  tenth of it. A copy has 0, and none should be nearer. Beside it the same for held-out recordings,
  and for each learned clip and the nearest other one: where notes were recorded more than once,
  these are near too;
* variety: the mean distance between two toots of a kind over that between two learned clips of it,
  kind by kind and over all, and the same for held-out recordings. It should be 0.7 or more.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from shared import parser_of, started
from torch import Tensor

from tootlearn.data import folder
from tootlearn.data.clips import Clips
from tootlearn.data.recipes import KINDS
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.evaluation.kind_accuracy import generated_log_mels
from tootlearn.evaluation.set_distances import clip_controls, coarse_log_mels
from tootlearn.evaluation.set_metrics import nearest_distance
from tootlearn.generation import toot_generator
from tootlearn.training import config as presets
from tootlearn.training.train import train


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument(
        "--labels", nargs="+", help="of the recordings to take; all of them without it"
    )
    parser.add_argument(
        "--clips", type=int, default=200, help="recordings to learn from, at most (default 200)"
    )
    parser.add_argument("--count", type=int, default=120, help="toots (default 120)")
    parser.add_argument(
        "--model", type=Path, help="trained on these recordings before; else one is trained now"
    )
    parser.add_argument("--seed", type=int, default=1000)
    options = started(parser)

    config = replace(presets.preset("own"), autoencoder=None)
    found = [
        r
        for r in folder.read_manifest(options.manifest, [])
        if r.label in (options.labels or [r.label])
    ]
    clips, report = folder.read_recordings(
        found, FrontEnd(config.front_end), tuple(KINDS.values()), []
    )
    learn, held_out = clips.split()
    learn = evenly(learn, options.clips)
    print(f"{report.files} files; {len(learn)} clips to learn from, {len(held_out)} held out")
    with tempfile.TemporaryDirectory() as runs:
        if not options.model:
            train(config, Clips.concatenate([learn, held_out]), Path(runs) / "run")
        toots = toot_generator.load(options.model or Path(runs) / "run" / "model.safetensors")

    asked = {
        name: clip_controls(evenly(part, options.count).controls, part.kinds, toots.model.kinds)
        for name, part in (("learned", learn), ("held-out", held_out))
    }
    made = {
        name: coarse_log_mels(generated_log_mels(toots, controls, options.seed))
        for name, controls in asked.items()
    }
    names = np.array([toots.model.kinds[k].name for k in asked["learned"].kind])
    real, others = coarse_log_mels(learn.log_mel), coarse_log_mels(held_out.log_mel)
    own, their = (
        np.array([part.kinds[k].name for k in part.controls.kind]) for part in (learn, held_out)
    )
    unit = float(
        np.median(
            np.concatenate([apart(real[torch.from_numpy(own == name)]) for name in np.unique(own)])
        )
    )
    nearest = {
        f"toots, {name} controls": nearest_distance(some, real) for name, some in made.items()
    }
    nearest["held-out recordings"] = nearest_distance(others, real)
    nearest["learned, from another"] = torch.cdist(real, real).fill_diagonal_(torch.inf).amin(1)
    print(
        f"\n{'nearest learned clip':26}{'least':>8}{'5 %':>8}{'median':>8}{'below .1':>10}{'N':>6}"
    )
    for title, distance in nearest.items():
        near = (distance / unit).numpy()
        least, few, median, close = (
            near.min(),
            np.percentile(near, 5),
            np.median(near),
            np.mean(near < 0.1),
        )
        print(f"{title:26}{least:8.2f}{few:8.2f}{median:8.2f}{close:10.0%}{len(near):6}")
    print(f"\n{'variety within a kind':24}{'toots':>8}{'N':>6}{'held out':>10}{'N':>6}")
    shares = []
    for name in np.unique(own):
        usual = apart(real[torch.from_numpy(own == name)]).mean()
        cells = []
        for some, kinds, width in ((made["learned"], names, 8), (others, their, 10)):
            mine = some[torch.from_numpy(kinds == name)]
            cells.append(
                (apart(mine).mean() / usual if len(mine) > 1 else np.nan, len(mine), width)
            )
        shares.append(cells[0][0])
        print(
            f"{name:24}" + "".join(f"{value:{width}.2f}{count:6}" for value, count, width in cells)
        )
    print(f"{'mean over kinds':24}{np.nanmean(shares):8.2f}")


def evenly(clips: Clips, count: int) -> Clips:
    """So many clips at most, evenly among all."""
    return clips[np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int)]


def apart(x: Tensor) -> np.ndarray:
    """Distances between all pairs of rows (N, E): (N (N - 1) / 2,)."""
    return torch.pdist(x).numpy()


if __name__ == "__main__":
    main()
