"""A training run that takes a moment: what the tests of training share."""

from pathlib import Path

from tootlearn.data import shard_writer, synthesis
from tootlearn.data.clips import Clips, synthesise
from tootlearn.dsp import audio
from tootlearn.dsp.front_end import FrontEnd, FrontEndConfig
from tootlearn.models.autoencoder import AutoencoderConfig
from tootlearn.models.generator import GeneratorConfig
from tootlearn.training.config import TrainConfig

# With all that has a state: batch statistics, noise in the latent, a prior.
CONFIG = TrainConfig(
    generator=GeneratorConfig(residual=2, width=8, blocks=1, encoder_widths=(8, 8)),
    autoencoder=AutoencoderConfig(
        latent=4, encoder_widths=(8, 8), decoder_start=8, decoder_widths=(8, 8)
    ),
    front_end=FrontEndConfig(hop=512, mels=16),
    kinds=("trumpet", "car_horn"),
    clips=40,
    steps=12,
    batch=8,
    warmup=3,
    check_every=5,
)


def clips_of(config: TrainConfig) -> Clips:
    """The synthetic clips that a config asks for."""
    return synthesise(
        config.kinds, config.clips, config.seed, FrontEnd(config.front_end), progress=False
    )


def write_shards(out: Path, count: int = 48, sources: int = 12, megabytes: float = 0.3) -> Path:
    """A folder of shards of synthetic toots of the kinds of `CONFIG`, each with its own pitch, as
    if recorded.
    """
    waves, controls = synthesis.toots(CONFIG.kinds, count, 0, 0)
    (out / "wavs").mkdir(parents=True)
    rows = ["path,label,pitch,source"]
    for i, wave in enumerate(waves):
        audio.save_audio(out / "wavs" / f"{i}.wav", wave, synthesis.SAMPLE_RATE)
        rows.append(
            f"{i}.wav,{CONFIG.kinds[controls.kind[i]]},{controls.pitch[i]},session {i % sources}"
        )
    (out / "wavs" / "manifest.csv").write_text("\n".join(rows))
    shard_writer.write([out / "wavs"], out / "shards", megabytes)
    return out / "shards"
