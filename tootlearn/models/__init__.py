"""The networks, and the file that a trained model is kept in.

A `toot_model.TootModel` holds a generator, an autoencoder or both. The `generator` maps controls
and a residual latent to a log-mel, through the conditional `decoder` and with the `prior` of the
residual; the `autoencoder` reconstructs, through the `encoder` and the plain `decoder`, with
principal components (`pca`) beside them. `layers` and `harmonic_comb` are their building blocks.
Beside them work the `vocoder` (log-mel to magnitude), the `bandwidth` extension (22,050 to 44,100
Hz) and the `classifier` (log-mel to kind). `config` holds the settings of all of them; it does
without torch, so that a command's help text need not wait for it.

Entry points: `model_file.load_model` and `save_model`, `export.to_onnx` and `to_web`,
`device.to_device`. May import `controls`, `dsp`, `files`, `errors` and `rng`, but not `data`, nor
anything that trains, generates or evaluates.
"""
