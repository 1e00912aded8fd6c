"""`tootlearn data shard`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import Namespace

from tootlearn.cli.options import add_out, add_seed
from tootlearn.cli.parser import Parser, warn

HELP = "Write recordings, cut and labelled, as shards: tootlearn data shard IN."


def add_arguments(parser: Parser) -> None:
    """Add the subcommand and its options."""
    shard = Parser(description="Write the toots in recordings as shards.")
    actions = parser.add_subcommands(
        dest="action", title="actions", description=None, metavar="ACTION"
    )
    actions.add_subcommand("shard", shard, help="write the toots in recordings as shards")
    shard.prog = f"{parser.prog} shard"
    shard.add_argument(
        "input", type=str, nargs="+", help="folders of recordings, manifests or public data sets"
    )
    add_out(shard, "shards", "a new folder")
    shard.add_argument("--size", type=float, default=32.0, help="MB of a shard")
    shard.add_argument(
        "--format", type=str, default="wav", help="wav, or flac: less space, slower to read"
    )
    add_seed(shard, "of the order of the toots")


def run(args: Namespace) -> None:
    """Write the shards."""
    from tootlearn.data import shard_writer, shards

    args = args.shard
    problems: list[str] = []
    report = shard_writer.write_shards(
        args.input, Path(args.out), args.size, args.seed, problems, progress=True, form=args.format
    )
    warn(problems)
    count = len(shards.read_index(args.out).paths)
    print(
        f"{report.clips} toots from {report.files} files are in {count} shard(s): "
        f"tootlearn train --data {args.out}"
    )
    print("with --stream they are read while training, and need not fit into memory")
