"""Recipes: their ranges, and what is drawn from them."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from tootlearn.data.recipes import KINDS, RECIPES

NAMES = list(KINDS)
RANGES = [
    field.name
    for field in dataclasses.fields(RECIPES["trumpet"])
    if field.name not in ("formants", "centroid")
]


def test_every_kind_has_a_recipe_whose_ranges_are_ranges():
    assert list(KINDS) == list(RECIPES)
    for name, kind in KINDS.items():
        assert kind.name == name
        assert all(low <= high for low, high in (getattr(RECIPES[name], r) for r in RANGES))
        assert RECIPES[name].attack[0] > 0 and RECIPES[name].release[0] > 0
        assert (RECIPES[name].trill[1] > 0) == (kind.trill > 0)
        assert (RECIPES[name].sweep != (0, 0)) == kind.slide


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_draws_evenly_from_each_range_independently(name):
    drawn = [RECIPES[name].draw(seed) for seed in range(400)]
    wide = [r for r in RANGES if len(set(getattr(RECIPES[name], r))) == 2]
    shares = np.empty((400, len(wide)))
    for column, r in zip(shares.T, wide, strict=True):
        low, high = getattr(RECIPES[name], r)
        column[:] = [(d[r] - low) / (high - low) for d in drawn]
        assert stats.kstest(column, "uniform").pvalue > 1e-4, r
    correlation = np.corrcoef(shares.T) - np.eye(len(wide))
    assert np.abs(correlation).max() < 4.5 / math.sqrt(400)
    fixed = set(RANGES) - set(wide)
    assert all(d[r] == getattr(RECIPES[name], r)[0] for d in drawn for r in fixed)
