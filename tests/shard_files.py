"""Shards for tests, and access to what is inside them."""

import io
import tarfile
from pathlib import Path

from tests.small import CONFIG
from tootlearn.data import shard_writer, synthesis
from tootlearn.dsp import audio

RATE = synthesis.SAMPLE_RATE
COUNT = 36  # recordings in the fixture `recordings`


def write_shards(out: Path, count: int = 48, sources: int = 12, megabytes: float = 0.3) -> Path:
    """A folder of shards of synthetic toots of the kinds of `CONFIG`, each with its own pitch, as
    if recorded.
    """
    waves, controls = synthesis.toots(CONFIG.kinds, count, 0, 0)
    (out / "wavs").mkdir(parents=True)
    rows = ["path,label,pitch,source"]
    for i, wave in enumerate(waves):
        audio.save_audio(out / "wavs" / f"{i}.wav", wave, RATE)
        rows.append(
            f"{i}.wav,{CONFIG.kinds[controls.kind[i]]},{controls.pitch[i]},session {i % sources}"
        )
    (out / "wavs" / "manifest.csv").write_text("\n".join(rows))
    shard_writer.write_shards([out / "wavs"], out / "shards", megabytes)
    return out / "shards"


def members(shard: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    """The files of a shard and their contents, in order."""
    with tarfile.open(shard) as tar:
        return [(member, tar.extractfile(member).read()) for member in tar.getmembers()]


def rewrite(shard: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    """Replace the files of a shard."""
    with tarfile.open(shard, "w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
