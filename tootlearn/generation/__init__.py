"""From controls and a seed to a wave.

`toot_generator.TootGenerator` draws a log-mel with a model and turns it into sound; `load` makes
one from a model file. `harmonics` and `breath_noise` are steps from log-mel to sound, and
`streaming` takes the same steps block by block. `inversion` finds the controls of a recording, and
`variation` makes variations of a sound and morphs between two. `batch` makes many toots from a
table, `toot_files` writes a few with a contact sheet, and `playground` serves the page on which
toots are played. `place` puts toots into a street, a hall or a measured room.

Entry points: `toot_generator.load` (also `tootlearn.load`), `TootGenerator.generate`,
`streaming.stream`, `inversion.invert`, `variation.vary` and `morph`, `batch.read_spec` and
`render_batch`.
May import `models`, `data`, `losses` and what lies below them, but nothing of `training`.
"""
