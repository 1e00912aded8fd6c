"""A few recordings of one source: fine-tuning against training from scratch, and what is forgotten.

    python benchmarks/fine_tuning.py MANIFEST --label tuba --source NAME [--name war_tuba]
        [--clips 30] [--model FILE]

MANIFEST is a CSV of recordings (see `tootlearn.data.folder`), of which those with this label, and
this text in their source, are taken. They are split by what `Clips.split` does; --clips of the
learned ones, spread evenly, are learned under --name (a new kind, unless the model knows it), all
held-out ones are held out. Printed are

* LSD (dB of mels) on the held-out ones: drawn from controls and residual by the generator, and
  reconstructed by the autoencoder; trained from scratch (preset own), fine-tuned (preset
  fine_tune), and before (as the mean of all kinds);
* control figures of the old kinds before and after (see `tootlearn evaluate --only control`).
"""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from shared import parser_of, started

from tootlearn.data import folder
from tootlearn.data.clips import Clips
from tootlearn.data.recipes import KINDS
from tootlearn.evaluation.control import control_table
from tootlearn.evaluation.report import report_text
from tootlearn.generation import toot_generator
from tootlearn.losses.log_mel import frame_weights
from tootlearn.models import model_file
from tootlearn.models.toot_model import TootModel
from tootlearn.training import config as presets
from tootlearn.training import fine_tuning
from tootlearn.training.batches import Batch
from tootlearn.training.train import train


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--label", required=True)
    parser.add_argument("--source", default="", help="text in the source of what is taken")
    parser.add_argument(
        "--name", default="own_horn", help="kind that the recordings become (default own_horn)"
    )
    parser.add_argument(
        "--clips", type=int, default=30, help="recordings to learn from (default 30)"
    )
    parser.add_argument(
        "--count", type=int, default=240, help="toots of the control tables (default 240)"
    )
    parser.add_argument(
        "--model", default="default", help="what is fine-tuned; the shipped model by default"
    )
    options = started(parser)

    base = model_file.load_model(options.model)[0]
    found = [r for r in folder.read_manifest(options.manifest, []) if r.label == options.label]
    found = [replace(r, label=options.name) for r in found if options.source in r.source]
    clips, report = folder.read_recordings(
        found, base.front_end, [*base.kinds, *KINDS.values()], []
    )
    learn, held_out = clips.split()
    learn = learn[
        np.linspace(0, len(learn) - 1, min(options.clips, len(learn))).round().astype(int)
    ]
    own = Clips.concatenate([learn, held_out])
    print(
        f"{report.files} files; {len(learn)} clips to learn from, N = {len(held_out)} held "
        f"out; kind {options.name}"
    )

    scratch = presets.preset("own")
    config = fine_tuning.adapted(
        replace(presets.preset("fine_tune"), start_from=options.model), base
    )
    mixed = fine_tuning.rehearsed(own, fine_tuning.replay(base, config.replay, config.seed))
    with tempfile.TemporaryDirectory() as runs:
        models = {
            f"from scratch, {scratch.steps} steps": train(scratch, own, Path(runs) / "scratch"),
            f"fine-tuned, {config.steps} steps": train(config, mixed, Path(runs) / "tuned"),
            "before": fine_tuning.extended(base, mixed.kinds).eval(),
        }
        tuned = toot_generator.load(Path(runs) / "tuned" / "model.safetensors")
    print(f"{'held-out LSD (dB)':32}{'generator':>12}{'autoencoder':>12}")
    for name, model in models.items():
        print(f"{name:32}" + "".join(f"{value:12.2f}" for value in distances(model, held_out)))
    before = control_table(
        toot_generator.load(None if options.model == "default" else options.model), options.count
    )
    tuned.model.kinds = base.kinds  # the tables are of the old kinds
    after = control_table(tuned, options.count)
    for word, table in (("before", before), ("after", after)):
        rows = {
            kind: {who: asdict(o) for who, o in row.items()}
            for kind, row in table.items()
            if kind == "all"
        }
        print(f"\n{word}\n{report_text({'control': rows})}")


@torch.inference_mode()
def distances(model: TootModel, clips: Clips) -> tuple[float, float]:
    """Log-spectral distance of mels in dB, of what the generator draws and of what the autoencoder
    reconstructs.
    """
    place = {kind.name: i for i, kind in enumerate(model.kinds)}
    kind = np.array([place[clips.kinds[k].name] for k in clips.controls.kind])
    clips = replace(clips, controls=replace(clips.controls, kind=kind), kinds=model.kinds)
    batch = Batch.of(clips, model.front_end.config, torch.device("cpu"))
    log_mel = batch.log_mel.float()
    drawn = model.generator.decode(
        batch.controls, model.generator.encode(log_mel, batch.controls)[0]
    ).log_mel
    again = model.normalizer.inverse(model.autoencoder(model.normalizer(log_mel)))
    config = model.front_end.config
    duration = torch.as_tensor(clips.controls.duration, dtype=torch.float32)
    weight = frame_weights(duration, log_mel.shape[2], config.hop, config.sample_rate)
    lsd = [
        ((x - log_mel) * 20 / np.log(10)).square().mean(1).sqrt().mul(weight).mean()
        for x in (drawn, again)
    ]
    return float(lsd[0]), float(lsd[1])


if __name__ == "__main__":
    main()
