"""What training minimises: functions of what a network drew and of what it should have drawn.

* `log_mel`: the plain losses, band by band, and the weights of frames; start with `squared_error`.
* `perceptual`: losses that follow hearing: `audible_error`, `multi_scale_error`, `feature_error`.
* `multi_resolution_stft`: the distance of waves, and the loss that turns log-mels into waves first.

`training.objective` adds them up; `training.config.WEIGHTS` and the presets set their weights. May
import `models` and what lies below it.
"""

from tootlearn.losses.log_mel import (
    bend_error,
    divergence,
    frame_weights,
    mel_convergence,
    squared_error,
)

__all__ = [
    "bend_error",
    "divergence",
    "frame_weights",
    "mel_convergence",
    "squared_error",
]
