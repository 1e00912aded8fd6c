"""FiLM or concatenation: how should the controls reach the decoder?

    python benchmarks/conditioning.py [--steps 600] [--seeds 0 1 2]

Trains the default generator both ways for the same number of steps, and prints held-out error, parameters and control.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from timing import one_machine

import tootlearn
from tootlearn import presets, training
from tootlearn.data.clips import synthesise
from tootlearn.evaluation import control_table
from tootlearn.front_end import FrontEnd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--clips", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(one_machine(options.threads))
    changes = {"steps": options.steps, "clips": options.clips, "check_every": options.steps}
    default = presets.preset("default", autoencoder=None, **changes)
    assert default.generator is not None
    clips = synthesise(default.kinds, default.clips, default.seed, FrontEnd(default.front_end))
    header = ("M parameters", "held-out", "f0 (cents)", "time (ms)", "brightness", "loudness")
    print(f"{'conditioning, seed':24}" + "".join(f"{h:>14}" for h in header))
    for seed in options.seeds:
        for conditioning in ("film", "concat"):
            config = replace(default, generator=replace(default.generator, conditioning=conditioning), seed=seed)
            with tempfile.TemporaryDirectory() as folder:
                model = training.train(config, clips, Path(folder) / "run", progress=False)
                generator = tootlearn.load(Path(folder) / "run" / "model.safetensors")
            assert model.generator is not None
            size = sum(p.numel() for p in model.generator.parameters()) / 1e6
            held_out = generator.description["provenance"]["held_out"]["generation"]
            o = control_table(generator, 60, pyin=False)["all"]["generated"]
            figures = (size, held_out, o.f0_median, o.duration_median, o.brightness_rank, o.loudness_rank)
            print(f"{f'{conditioning}, {seed}':24}" + "".join(f"{f:14.4g}" for f in figures), flush=True)


if __name__ == "__main__":
    main()
