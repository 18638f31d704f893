import math
from dataclasses import replace

import numpy as np
import pytest

from spectrain.probes.records.outliers import (
    estimate,
    is_clear,
    is_outlier,
    last_inside,
    outlier_count,
)
from spectrain.theory.spectrum import Bulk, Edge, Eigenpair, Spectrum

BULK = Bulk(
    Edge(1.0, "square-root", 1.1, 0.9, 0.0),
    Edge(2.0, "square-root", 1.9, 2.1, 0.0),
)


def test_estimate_of_several_draws_is_their_mean_and_its_standard_error():
    draws = np.array([1.0, 2.0, 3.0, 6.0])
    value, error = estimate(Eigenpair(1.0, 0.0, sampling_error=0.5, draws=draws))
    assert value == pytest.approx(3.0)
    # Sum of squares 4 + 1 + 0 + 9 = 14; variance 14/3; standard error sqrt(14/3/4).
    assert error == pytest.approx(math.sqrt(14 / 12))


def test_estimate_of_one_draw_is_the_value_with_its_sampling_error():
    assert estimate(Eigenpair(1.0, 0.0, sampling_error=0.5, draws=np.array([1.0]))) == (1.0, 0.5)


def test_estimate_leaves_out_draws_that_failed():
    draws = np.array([1.0, 3.0, math.nan])
    assert estimate(Eigenpair(1.0, 0.0, draws=draws)) == (2.0, 1.0)


@pytest.mark.parametrize(
    ("value", "side", "expected"),
    [
        (2.11, "top", True),
        (2.05, "top", False),
        (0.89, "bottom", True),
        (0.95, "bottom", False),
        (math.nan, "top", False),
        (math.nan, "bottom", False),
    ],
)
def test_an_outlier_lies_beyond_the_detection_edge(value, side, expected):
    assert is_outlier(Eigenpair(value, 0.0), BULK, side) is expected
    assert not is_outlier(Eigenpair(value, 0.0), None, side)


def test_zeros_of_the_atom_are_no_outliers_below_the_bulk():
    zero, half = Eigenpair(1e-7, 0.0), Eigenpair(0.5, 0.0)
    assert is_outlier(zero, BULK, "bottom")
    assert not is_outlier(zero, replace(BULK, atom=0.5), "bottom")
    assert is_outlier(half, replace(BULK, atom=0.5), "bottom")


def test_zeros_are_no_outliers_below_a_bulk_that_begins_at_zero():
    hard = replace(BULK, lower=Edge(-0.0, "hard", 1e-9, -0.0, 0.0))
    assert not is_outlier(Eigenpair(-2.5e-8, 0.0), hard, "bottom")
    assert is_outlier(Eigenpair(-0.5, 0.0), hard, "bottom")


def test_outlier_count_counts_each_side():
    top = tuple(Eigenpair(value, 0.0) for value in (5.0, 3.0, 2.05, 1.9))
    spectrum = Spectrum("hessian", "all", 10, top, (Eigenpair(-1.0, 0.0),))
    assert outlier_count(spectrum, BULK, "top") == 2
    assert outlier_count(spectrum, BULK, "bottom") == 1
    assert outlier_count(None, BULK, "top") == 0


def test_of_several_draws_the_mean_decides_what_is_an_outlier():
    first_beyond = Eigenpair(2.2, 0.0, draws=np.array([2.2, 1.8, 1.9]))
    first_inside = Eigenpair(2.0, 0.0, draws=np.array([2.0, 2.3, 2.3]))
    assert not is_outlier(first_beyond, BULK, "top")
    assert is_outlier(first_inside, BULK, "top")


def test_a_predicted_outlier_is_clear_beyond_the_detection_edge():
    assert is_clear(Eigenpair(2.2, 0.0), BULK, "top")
    assert not is_clear(Eigenpair(2.05, 0.0), BULK, "top")
    assert is_clear(Eigenpair(0.8, 0.0), BULK, "bottom")
    assert not is_clear(Eigenpair(2.2, 0.0), None, "top")


def test_the_last_eigenvalue_inside_is_the_first_that_is_no_outlier():
    top = tuple(Eigenpair(value, 0.0) for value in (5.0, 2.05, 1.9))
    spectrum = Spectrum("hessian", "all", 10, top, ())
    assert last_inside(spectrum, BULK, "top") == 2.05
    assert math.isnan(last_inside(spectrum, BULK, "bottom"))
    assert math.isnan(last_inside(None, BULK, "top"))
