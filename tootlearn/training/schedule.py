"""The learning rate over the course of a training, which every network here has had."""

from __future__ import annotations

import math


def learning_rate(highest: float, step: int, steps: int, warmup: int) -> float:
    """Of a step, the first of which is 0: a linear start, times a cosine that reaches zero after
    the last.

    (Cosine: Loshchilov and Hutter 2017; start: Goyal et al. 2017.)
    """
    rise = min(1.0, (step + 1) / warmup)
    return highest * rise * 0.5 * (1 + math.cos(math.pi * step / steps))
