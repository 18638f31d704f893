import math
from dataclasses import replace

import numpy as np
import pytest

from spectrain.probes.records.record import Geometry, Record
from spectrain.probes.records.version1 import quantities
from spectrain.theory.spectrum import Bulk, Edge, Eigenpair, Spectrum
from spectrain.views.errors import error_names, errors


def pairs(*values):
    return tuple(Eigenpair(value, 0.0, overlap) for value, overlap in values)


def record(measured, predicted, **parts):
    bulk = Bulk(Edge(0.0, "square-root", 0.1, -0.2, 0.0), Edge(1.2, "square-root", 1.1, 1.5, 0.0))
    return Record(
        0,
        measured=Geometry(quantities(**parts), (Spectrum("hessian", "all", 9, measured, ()),)),
        predicted=Geometry(
            quantities(loss=2.0), (Spectrum("hessian", "all", 9, predicted, (), bulk),)
        ),
    )


def test_errors_in_closed_form():
    """Outliers at 4 and 2 where 5 and 1.9 are predicted; the last of the bulk at 1.3, not 1.1."""
    found = errors(
        record(pairs((4, 0.9), (2, 0.5), (1.3, 0.1)), pairs((5, 0.7), (1.9, 0.55)), loss=2.5)
    )
    assert found == pytest.approx(
        {
            "hessian/outliers": 1 / 5,
            "hessian/overlaps": 0.2,
            "hessian/edges": 0.2 / 1.0,
            "hessian/counts": 0.0,
            "loss": 0.25,
        }
    )


def test_outliers_short_of_the_detection_edge_decide_nothing():
    found = errors(record(pairs((4, 0.9), (1.3, 0.5)), pairs((4, 0.9), (1.4, 0.5))))
    assert found["hessian/outliers"] == 0
    # The lower side, without outliers, is decided.
    assert found["hessian/counts"] == 0
    assert errors(record(pairs((4, 0.9)), pairs()))["hessian/counts"] == 1


def test_the_gram_matrix_is_compared_with_its_forecast(records):
    for each in records[:2]:
        expected = np.abs(each.measured.gram - each.forecast.gram).max()
        assert errors(each)["gram"] == expected


def test_all_errors_of_a_run_with_theory(records):
    for each in records:
        found = errors(each)
        assert set(found) <= set(error_names(each))
        assert {"hessian/bulk", "information/edges", "gram", "loss"} <= set(found)
        assert 0 < found["hessian/bulk"] < 0.2


def test_what_cannot_be_compared_is_left_out(any_records):
    for each in any_records:
        assert all(math.isfinite(error) for error in errors(each).values())
    assert errors(Record(0)) == {}
    unknown = replace(Record(0), predicted=Geometry(), measured=Geometry(quantities(loss=1.0)))
    assert errors(unknown) == {}
