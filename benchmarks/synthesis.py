"""How fast the synthesiser makes waves with measured labels, all kinds in turn.

    python benchmarks/synthesis.py [--seconds 20]

Prints seconds of audio made in a second: of windows (which a model is trained on), and of the toots
in them.
"""

import argparse

from timing import interleaved, one_machine

from tootlearn.data import synthesis
from tootlearn.data.recipes import KINDS
from tootlearn.dsp.front_end import WINDOW_SAMPLES


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20, help="of measuring (default 20)")
    parser.add_argument("--threads", type=int, default=1, help="of torch and numpy (default 1)")
    parser.add_argument(
        "--each", type=int, default=20, help="toots of each kind at a time (default 20)"
    )
    options = parser.parse_args()
    print(one_machine(options.threads))
    names = list(KINDS)
    print(
        f"{'':16} {'ms a toot':>9} {'windows':>9} {'sounding':>9}  s of audio a second, labels included"
    )
    for title, kinds in ({"all kinds": names} | {name: [name] for name in names}).items():
        count = options.each * len(kinds)
        sounding = float(synthesis.toots(kinds, count, seed=0)[1].duration.sum())
        share = options.seconds / 2 / (1 if len(kinds) > 1 else len(names))
        made = interleaved({title: lambda k=kinds, n=count: synthesis.toots(k, n, seed=0)}, share)[
            title
        ]
        windows = count * WINDOW_SAMPLES / synthesis.SAMPLE_RATE
        print(f"{title:16} {1e3 * made / count:9.2f} {windows / made:9.0f} {sounding / made:9.0f}")


if __name__ == "__main__":
    main()
