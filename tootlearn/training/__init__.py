"""Training, from data to a model file. One loop trains every network.

* `loop.fit`: the loop: steps, precision, processes, log, checkpoints, resuming, signals, and a stop
  at values that are not finite.
* `train.train`, `train_vocoder.train_vocoder`, `train_bandwidth.train_bandwidth` and
  `train_classifier.train_classifier`: what differs between networks: data, model and objective.
* `objective.Objective`: the loss of generator and autoencoder, term by term. The objectives of the
  other networks are in `train_*.py`.
* `config`: all settings, and the presets: `TrainConfig`, `VocoderTrainConfig`,
  `BandwidthTrainConfig`, and `Compute` (precision, processes, and which checkpoints are kept), with
  which `compute.launch` starts.
* `dataset.gather_clips` collects the clips of a config, `loader.make_loader` makes batches of them.
* `run_log`, `checkpoint`, `provenance`, `tracking`, `runs`: what a run leaves behind.

May import `losses`, `models`, `data` and what lies below them; it does not know `generation`.
"""
