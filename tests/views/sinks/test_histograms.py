import math
from dataclasses import replace

import numpy as np
import pytest

from spectrain.probes.records.record import Geometry, Record
from spectrain.theory.spectrum import Bulk, Density, Edge, Eigenpair, Spectrum
from spectrain.views.sinks.histograms import BUCKETS, histograms


def uniform(low, high):
    points = np.linspace(low, high, 11)
    zeros = np.zeros(11)
    return Density(points, np.ones(11), zeros, np.linspace(0, 1, 11), zeros)


def record(measured, predicted=None):
    geometry = None if predicted is None else Geometry(spectra=(predicted,))
    return Record(0, measured=Geometry(spectra=(measured,)), predicted=geometry)


def edge(value, detection=math.nan, finite_size=math.nan):
    return Edge(value, "square-root", finite_size, detection, 0.0)


MEASURED = Spectrum("hessian", "all", 600, (), (), density=uniform(0, 1))


def test_buckets_are_shared_and_hold_the_eigenvalues_between_the_detection_edges(records):
    found = histograms(records[0])
    assert len(found) == 12
    for name in ("hessian/class_0/bulk", "information/class_2/bulk"):
        matrix, block = name.split("/")[0], name.split("/")[1].replace("_", " ")
        bulk = records[0].predicted.spectrum(matrix, block).bulk
        seen, expected = found[f"measured/{name}"], found[f"predicted/{name}"]
        widths = np.diff(np.concatenate((seen.edges, expected.edges)))
        step = (bulk.upper.detection - bulk.lower.detection) / BUCKETS
        assert np.isclose(widths, step).sum() >= len(widths) - 1
        for histogram in (seen, expected):
            assert histogram.counts[[0, -1]].min() > 0
            assert histogram.edges[0] >= bulk.lower.detection - 1e-12
            assert histogram.edges[-1] <= bulk.upper.detection + 1e-12
        # Three outliers of 80 eigenvalues in the Hessian, one or more in the other.
        assert 70 < seen.counts.sum() <= 80
        assert abs(seen.counts.sum() - expected.counts.sum()) < 4


def test_counts_are_differences_of_the_cumulative_law():
    predicted = replace(MEASURED, size=0, bulk=Bulk(edge(0.0, 0.0), edge(0.5, 0.6)))
    found = histograms(record(MEASURED, predicted))
    for histogram in found.values():
        np.testing.assert_allclose(histogram.edges, np.linspace(0, 0.6, BUCKETS + 1))
        np.testing.assert_allclose(histogram.counts, 6.0)
    assert set(found) == {"measured/hessian/all/bulk", "predicted/hessian/all/bulk"}


@pytest.mark.parametrize(
    ("upper", "end"),
    [
        (edge(0.5, math.nan, 0.7), 0.7),
        (edge(0.5), 0.5),
        (edge(math.inf), 1.0),  # no end: as without a prediction
    ],
)
def test_without_a_detection_edge_the_next_best_is_taken(upper, end):
    predicted = replace(MEASURED, density=None, bulk=Bulk(edge(0.0), upper))
    (found,) = histograms(record(MEASURED, predicted)).values()
    assert found.edges[-1] == pytest.approx(end)


def test_without_a_prediction_the_eigenvalues_found_one_by_one_are_left_out():
    top, bottom = (
        tuple(Eigenpair(value, 0.0) for value in values) for values in ((9.0, 0.8), (-3.0, 0.2))
    )
    (found,) = histograms(record(replace(MEASURED, top=top, bottom=bottom))).values()
    assert found.edges[[0, -1]] == pytest.approx([0.2, 0.8])
    assert found.counts.sum() == pytest.approx(360)


@pytest.mark.parametrize(
    "spectrum",
    [
        replace(MEASURED, density=None),
        replace(MEASURED, density=uniform(1, 1)),
        replace(MEASURED, density=uniform(0, math.nan)),
        replace(MEASURED, density=Density(*[np.zeros(0)] * 5)),
        replace(MEASURED, top=(Eigenpair(0.2, 0.0),), bottom=(Eigenpair(0.8, 0.0),)),
        replace(MEASURED, size=0),
    ],
)
def test_nothing_is_said_where_there_is_nothing(spectrum):
    with np.errstate(invalid="ignore", divide="ignore"):
        assert histograms(record(spectrum)) == {}


def test_any_record_will_do(any_records):
    for each in any_records:
        for histogram in histograms(each).values():
            assert len(histogram.edges) == len(histogram.counts) + 1
            assert np.isfinite(histogram.edges).all()
            assert (histogram.counts >= 0).all()
