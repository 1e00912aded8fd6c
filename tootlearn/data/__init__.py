"""Where sound comes from: synthesis, sound fonts and recordings, as clips to train on.

`clips.Clips` holds log-mels with their controls, and the split into training and held-out clips.
Its sources: `synthesis` makes toots from the physics in `acoustics` and the kinds in `recipes`;
`sampled` plays notes of a `sound_font`; `folder` reads recordings, `public` reads data sets;
`shards` stores toots for training sets that do not fit into memory (`shard_writer`,
`shard_stream`). `augmentation` varies recordings by the settings in `config`, `augmenter` does so
during training. `sounds` collects sounds without labels, and `cleaning` reduces noise in files.

Entry points: `synthesis.toots`, `clips.synthesise`, `clips.from_waves`, `folder.read_folder`,
`public.read_public_set`, `sampled.clips`, `shard_writer.write_shards`, `shard_stream.pool`. May
import `controls`, `dsp`, `files`, `errors` and `rng`, but not `models`, nor anything that trains or
generates.
"""
