import math
from dataclasses import replace

import numpy as np
import pytest

from spectrain.probes.record import Geometry, Record
from spectrain.theory.spectrum import Bulk, Edge, Eigenpair, Spectrum
from spectrain.views.readings import blocks, clock, estimate, is_outlier, landmarks, outlier_count

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
    assert is_outlier(value, BULK, side) is expected
    assert not is_outlier(value, None, side)


def test_zeros_of_the_atom_are_no_outliers_below_the_bulk():
    assert is_outlier(1e-7, BULK, "bottom")
    assert not is_outlier(1e-7, replace(BULK, atom=0.5), "bottom")
    assert is_outlier(0.5, replace(BULK, atom=0.5), "bottom")


def test_zeros_are_no_outliers_below_a_bulk_that_begins_at_zero():
    hard = replace(BULK, lower=Edge(-0.0, "hard", 1e-9, -0.0, 0.0))
    assert not is_outlier(-2.5e-8, hard, "bottom")
    assert is_outlier(-0.5, hard, "bottom")


def test_outlier_count_counts_each_side():
    top = tuple(Eigenpair(value, 0.0) for value in (5.0, 3.0, 2.05, 1.9))
    spectrum = Spectrum("hessian", "all", 10, top, (Eigenpair(-1.0, 0.0),))
    assert outlier_count(spectrum, BULK, "top") == 2
    assert outlier_count(spectrum, BULK, "bottom") == 1
    assert outlier_count(None, BULK, "top") == 0


def test_clock_falls_back_from_time_to_epochs_to_steps():
    assert clock([Record(5, 1.0, 0.1)])[0] == [0.1]
    assert clock([Record(5, 1.0, 0.1), Record(6, 2.0)])[1] == "epochs"
    assert clock([Record(5, 1.0), Record(6)])[0].tolist() == [5.0, 6.0]


def drawn(step, count):
    pair = Eigenpair(1.0, 0.0, draws=np.ones(count))
    return Record(step, measured=Geometry(spectra=(Spectrum("hessian", "a", 1, (pair,), ()),)))


def test_landmarks_are_first_middle_and_last():
    assert [r.step for r in landmarks([Record(step) for step in range(7)])] == [0, 3, 6]
    assert [r.step for r in landmarks([Record(0), Record(1)])] == [0, 1]
    assert landmarks([]) == ()


def test_landmark_in_the_middle_is_where_several_samples_were_drawn():
    counts = [4, 1, 1, 1, 4, 1, 1, 4]
    shown = landmarks([drawn(step, count) for step, count in enumerate(counts)])
    assert [record.step for record in shown] == [0, 4, 7]


def test_blocks_come_in_order_of_appearance(records):
    assert blocks(records) == ("class 0", "class 1", "class 2")
    assert blocks(()) == ()
