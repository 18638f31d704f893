import math

import numpy as np
import pytest

from spectrain.probes.records.record import Geometry, Record
from spectrain.probes.records.version1 import quantities
from spectrain.theory.spectrum import Bulk, Density, Edge, Eigenpair, Spectrum
from spectrain.views.comparisons import (
    bulk_distances,
    comparisons,
    count_agreements,
    counts_agree,
    quantity_comparisons,
)
from spectrain.views.table import format_table


def density(cumulative):
    zeros = np.zeros(3)
    return Density(np.array([0.0, 1.0, 2.0]), zeros, zeros, np.array(cumulative), zeros)


def record(step, top, predicted_top, gram=0.0, bottom=0.5):
    bulk = Bulk(Edge(0.1, "square-root", 0.2, 0.0, 0.0), Edge(2.0, "square-root", 1.9, 2.2, 0.0))
    measured = Spectrum(
        "hessian",
        "class 0",
        10,
        tuple(
            Eigenpair(value, 0.0, 0.8, sampling_error=0.1, draws=np.array([value])) for value in top
        ),
        (Eigenpair(bottom, 0.0),),
        density=density([0.0, 0.5, 0.9]),
    )
    predicted = Spectrum(
        "hessian",
        "class 0",
        10,
        tuple(Eigenpair(value, 0.0, 0.7) for value in predicted_top),
        (),
        bulk,
        density([0.0, 0.4, 0.95]),
    )
    return Record(
        step,
        time=step / 10,
        measured=Geometry(quantities(gram=np.array([[1.0, gram], [gram, 1.0]])), (measured,)),
        predicted=Geometry(spectra=(predicted,)),
        forecast=Geometry(quantities(gram=np.eye(2))),
    )


RUN = (
    record(0, [4.4, 2.3, 1.0], [4.0, 2.1], gram=0.03),  # one predicted is not clear
    record(10, [3.0, 1.0], [3.2], gram=-0.05),  # agrees
    record(20, [3.0, 2.5], [3.0], gram=0.02),  # one measured too many
)


def test_every_outlier_is_compared_with_the_prediction_of_its_rank():
    rows = comparisons(RUN)
    assert [(row.time, row.side, row.rank) for row in rows] == [
        (0.0, "top", 1),
        (0.0, "top", 2),
        (1.0, "top", 1),
        (2.0, "top", 1),
        (2.0, "top", 2),
    ]
    first = rows[0]
    assert (first.measured, first.error, first.draws, first.predicted) == (4.4, 0.1, 1, 4.0)
    assert first.difference == pytest.approx(0.1)
    assert (first.measured_overlap, first.predicted_overlap) == (0.8, 0.7)
    assert [row.clear for row in rows] == [True, False, True, True, False]
    assert [row.verdict for row in rows] == [
        "clear",
        "undecided",
        "clear",
        "clear",
        "not predicted",
    ]
    assert rows[2].difference == pytest.approx(-0.2 / 3.2)
    assert math.isnan(rows[4].predicted)
    assert rows[4].measured == 2.5


def test_negative_outliers_differ_relative_to_their_size():
    run = record(0, [1.0], [], bottom=-1.2)
    spectrum = run.predicted.spectra[0]
    object.__setattr__(spectrum, "bottom", (Eigenpair(-1.0, 0.0),))
    (row,) = comparisons((run,))
    assert (row.side, row.rank, row.clear) == ("bottom", 1, True)
    assert row.difference == pytest.approx(-0.2)


def test_a_predicted_outlier_that_was_not_measured_is_kept():
    (row,) = comparisons((record(0, [], [3.0]),))
    assert math.isnan(row.measured)
    assert row.draws == 0
    assert row.verdict == "not measured"


def test_of_a_quantity_the_worst_number_is_compared():
    rows = quantity_comparisons(RUN)
    assert [(row.step, row.quantity, row.against) for row in rows] == [
        (step, "gram", "forecast") for step in (0, 10, 20)
    ]
    assert [row.worst.difference for row in rows] == pytest.approx([0.03, -0.05, 0.02])
    assert {row.worst.any.name for row in rows} == {"gram/0.1"}
    assert all(math.isnan(row.worst.deviation) for row in rows)


def test_counts_are_compared_only_where_every_prediction_is_clear():
    (row,) = count_agreements(RUN)
    assert (row.agreeing, row.decided, row.probings) == (1, 2, 3)


def test_bulk_distance_is_the_largest_gap_of_the_cumulative_laws():
    (row,) = bulk_distances(RUN)
    assert row.mean == pytest.approx(0.1)
    assert row.largest == pytest.approx(0.1)


def test_of_outliers_that_were_not_all_measured_no_count_is_decided():
    """Two eigenvalues were asked for, and three outliers are predicted."""
    (two,) = record(0, [4.0, 3.0], [4.0, 3.0, 2.5]).measured.spectra
    (three,) = record(0, [], [4.0, 3.0, 2.5]).predicted.spectra
    (one,) = record(0, [], [4.0]).predicted.spectra
    assert counts_agree(two, three, "top") is None
    assert counts_agree(two, one, "top") is False
    inside = record(0, [4.0, 1.0], []).measured.spectra[0]
    assert counts_agree(inside, three, "top") is False


def test_without_a_detection_edge_no_count_is_decided():
    spectrum = Spectrum("hessian", "all", 10, (), ())
    assert counts_agree(spectrum, spectrum, "top") is None


def test_an_outlier_that_was_not_measured_is_told():
    assert "not measured" in format_table((record(0, [], [3.0]),))


def test_text_holds_the_numbers_and_the_verdicts():
    text = format_table(RUN)
    for word in ("4.400", "4.000", "+10.0%", "0.80", "0.70", "clear", "undecided", "not predicted"):
        assert word in text
    assert "1 of 2" in text
    line = next(line for line in text.splitlines() if line.endswith("(largest)"))
    assert line.split() == [
        *("1", "Gram,", "0·1", "forecast", "-0.05000", "0.000", "-0.05", "–", "–"),
        *("squared", "parameter", "(largest)"),
    ]
    assert "0.1000" in text


def test_table_takes_any_records(any_records):
    text = format_table(any_records)
    assert text
    assert "nan" not in text
    if any(record.predicted for record in any_records):
        assert "Outliers" in text
    failures = sum(bool(record.failure) for record in any_records)
    assert (f"{failures} of {len(any_records)} probings are incomplete" in text) == (failures > 0)
