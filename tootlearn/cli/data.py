"""The command `tootlearn data`, about recordings before training. It stands apart from `cli` for
its length.
"""

from __future__ import annotations

import sys
from pathlib import Path

from jsonargparse import ArgumentParser

from tootlearn.cli.arguments import fail
from tootlearn.errors import nearest


def data(parser: ArgumentParser, words: list[str]) -> None:
    """`tootlearn data shard`: write recordings as shards."""
    if words and words[0] not in ("shard", "-h", "--help"):
        fail(
            f"there is no command data {words[0]!r}: {nearest(words[0], ['shard'])}there is: data shard"
        )
    parser.add_argument("action", type=str, help="shard: write the toots in recordings as shards")
    parser.add_argument(
        "input", type=str, nargs="+", help="folders of recordings, manifests or public data sets"
    )
    parser.add_argument("--out", type=str, default="shards", help="a new folder (default shards)")
    parser.add_argument("--size", type=float, default=32.0, help="MB of a shard (default 32)")
    parser.add_argument(
        "--format", type=str, default="wav", help="wav; or flac: less space, slower to read"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    a = parser.parse_args(words)

    from tootlearn.data import shard_writer, shards

    problems: list[str] = []
    report = shard_writer.write(
        a.input, Path(a.out), a.size, a.seed, problems, progress=True, form=a.format
    )
    for problem in problems:
        print(problem, file=sys.stderr)
    count = len(shards.read_index(a.out).paths)
    print(
        f"{report.clips} toots from {report.files} files are in {count} shard(s): tootlearn train --data {a.out}"
    )
    print("with --stream true they are read while training, and need not fit into memory")
