"""What tests compare with one process: gradients, a loss curve and an evaluation, of as many as
asked for.

python tests/training/two_processes.py PROCESSES FOLDER [SHARDS]

With shards, the toots that each process learns from in the first epoch, and a loss curve.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file

from tests.training.uneven import CONFIG, in_double
from tootlearn.data.clips import synthesise
from tootlearn.data.shard_stream import ShardStream
from tootlearn.data.shards import Sample
from tootlearn.dsp.front_end import FrontEnd
from tootlearn.training import dataset
from tootlearn.training.batches import Batch, batch_rows, shares
from tootlearn.training.compute import launch
from tootlearn.training.config import Compute
from tootlearn.training.objective import Objective
from tootlearn.training.train import build, evaluate, train

# The losses that training has without being asked. At the default learning rate rounding grows to
# 2e-3 in these steps, between two and four parts of one process as between processes; at this one
# it stays below 1e-5.
CURVE = replace(CONFIG, steps=50, batch=7, check_every=5, warmup=5, learning_rate=3e-4, weights={})


def main(processes: int, out: Path) -> None:
    compute = Compute(devices=processes, accumulate=2)
    fabric = launch(compute, "cpu")
    clips = synthesise(CONFIG.kinds, CONFIG.clips, 0, FrontEnd(CONFIG.front_end), progress=False)
    learn, held_out = clips.split()

    model = build(CONFIG, learn).double()
    objective = fabric.setup(Objective(model, CONFIG).double())
    batch = in_double(Batch.of(learn, CONFIG.front_end, fabric.device))[
        batch_rows(CONFIG.seed, CONFIG.batch, 0, len(learn))
    ]
    own = shares(CONFIG.batch, fabric.world_size, 2)[fabric.global_rank]
    for first, end in own:
        with fabric.no_backward_sync(objective, enabled=(first, end) != own[-1]):
            loss, _ = objective(batch.part(first, end), 0)
            fabric.backward(loss * ((end - first) / CONFIG.batch * fabric.world_size))
    model.float()
    odd = held_out[: len(held_out) - 1 + len(held_out) % 2]
    found = evaluate(model, odd, fabric)
    if fabric.is_global_zero:
        save_file(
            {name: p.grad for name, p in model.named_parameters()}, out / "gradients.safetensors"
        )
        (out / "held_out.json").write_text(json.dumps([len(odd), found]))
    train(CURVE, clips, out / "run", progress=False, compute=compute)


def stream(processes: int, out: Path, folder: Path) -> None:
    compute = Compute(devices=processes)
    rank = launch(compute, "cpu").global_rank
    config = replace(CURVE, kinds=(), clips=0, data=(str(folder),), stream=True, steps=12)
    pool = dataset.gather_clips(config, progress=False)
    names, original = [], ShardStream.toot

    def toot(found: ShardStream, place: int) -> Sample | None:
        toot = original(found, place)
        names.extend([toot.name] if toot and place < found.count else [])
        return toot

    ShardStream.toot = toot
    try:
        train(config, pool, out / "run", progress=False, compute=compute)
    finally:
        ShardStream.toot = original
    (out / f"{rank}.json").write_text(json.dumps(names))


if __name__ == "__main__":
    if len(sys.argv) > 3:
        stream(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]), Path(sys.argv[2]))
