"""The learning rate over a training."""

import math

import numpy as np
import pytest

from tootlearn.training.schedule import learning_rate


def test_the_learning_rate_rises_linearly_and_falls_by_a_cosine():
    rate = [learning_rate(2.0, step, 1000, warmup=100) for step in range(1000)]
    assert rate[0] == pytest.approx(2 / 100) and rate[49] == pytest.approx(1.0, rel=0.01)
    assert max(rate) == pytest.approx(2.0, rel=0.03) and abs(int(np.argmax(rate)) - 99) <= 1
    for step in (200, 500, 750):
        assert rate[step] == pytest.approx(1 + math.cos(math.pi * step / 1000))
    assert 0 < rate[-1] < 1e-4 and (np.diff(rate[100:]) < 0).all()
    assert learning_rate(0.5, 0, 1, warmup=1) == 0.5
