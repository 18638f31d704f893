"""Sobol points: those of SciPy, bit for bit, and what makes them a good rule."""

import numpy as np
import pytest
from scipy.stats import qmc

from spectrain.theory.mixture.sobol import sobol


@pytest.mark.parametrize("dimensions", [1, 2, 3, 7, 14, 20, 21])
@pytest.mark.parametrize("log2_size", [0, 1, 8, 11])
def test_points_are_those_of_scipy(dimensions, log2_size):
    theirs = qmc.Sobol(dimensions, rng=np.random.default_rng(3)).random_base2(log2_size)
    assert np.array_equal(sobol(dimensions, log2_size, 3), theirs)


@pytest.mark.parametrize("seed", range(3))
def test_each_of_as_many_intervals_holds_one_point(seed):
    """A net: of 2^m points one lies in each interval of length 2^-m, along every axis."""
    points = sobol(20, 8, seed)
    assert (np.sort((points * 256).astype(int), axis=0) == np.arange(256)[:, None]).all()
