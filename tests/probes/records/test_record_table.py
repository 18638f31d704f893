import math
from dataclasses import replace

import numpy as np

from spectrain.probes.records.record import Failure, Geometry, Record
from spectrain.probes.records.record_file import Run
from spectrain.probes.records.record_table import Row, record_table, rows
from spectrain.probes.records.track import Followed, Track
from spectrain.probes.records.version1 import direction, quantities
from spectrain.theory.matrix_kind import MatrixKind
from spectrain.theory.quantity import Quantity
from spectrain.theory.spectrum import Bulk, Edge, Eigenpair, Gap, Spectrum

PAIR = Eigenpair(2.0, 1e-3, 0.5, np.array([0.1, 0.4]), 0.25, np.array([2.0, 2.5]))
EDGE = Edge(1.0, "square-root", 0.9, 1.2, 1e-9)
OUTLIER = Eigenpair(1.9, 1e-8, 0.55, np.array([0.2, 0.35]), 0.3)
GRAM = np.array([[1.0, 0.25], [0.25, 4.0]])


def named(**fields):
    return tuple(
        replace(each, axes=(("x0", "mu0"),) * 2) if each.name == "gram" else each
        for each in quantities(**fields)
    )


RECORD = Record(
    step=40,
    epoch=2.0,
    time=0.5,
    reference=(direction("x0"), direction("mu0")),
    measured=Geometry(
        named(gram=GRAM, loss=0.7, loss_error=0.01),
        (Spectrum("hessian", "größe 1", 9, (PAIR,), ()),),
    ),
    predicted=Geometry(
        named(loss=0.69, loss_error=1e-7),
        (
            Spectrum(
                "hessian",
                "größe 1",
                9,
                (OUTLIER, OUTLIER),
                (),
                Bulk(EDGE, EDGE, 0.25, (Gap(EDGE, EDGE),)),
            ),
        ),
    ),
    forecast=Geometry(
        named(gram=GRAM + 0.1, gram_band=np.array([[0.01, math.nan], [math.nan, 0.02]]))
    ),
)


def row(kind, quantity, matrix="", block="", record=RECORD):
    (found,) = (
        row
        for row in rows(record)
        if (row.kind, row.quantity, row.matrix, row.block) == (kind, quantity, matrix, block)
    )
    return found


def test_a_measured_eigenvalue_has_residual_and_standard_error():
    found = row("measured", "top_1", "hessian", "größe 1")
    assert (found.step, found.epoch, found.time) == (40, 2.0, 0.5)
    assert (found.value, found.error, found.standard_error) == (2.0, 1e-3, 0.25)
    assert math.isnan(found.band_lower)
    assert found.unit == "loss per squared parameter"
    assert row("measured", "top_1/draw_2", "hessian", "größe 1").value == 2.5
    assert row("measured", "alignment_top_1/mu0", "hessian", "größe 1").value == 0.4


def test_a_predicted_one_has_the_band_of_the_measurement_or_its_own():
    first, second = (row("predicted", f"top_{rank}", "hessian", "größe 1") for rank in (1, 2))
    assert (first.value, first.error, first.standard_error) == (1.9, 1e-8, 0.3)
    assert (first.band_lower, first.band_upper) == (1.9 - 2 * 0.25, 1.9 + 2 * 0.25)
    assert (second.band_lower, second.band_upper) == (1.9 - 2 * 0.3, 1.9 + 2 * 0.3)


def test_a_forecast_entry_has_the_band_of_a_run():
    entry = row("forecast", "gram/mu0.mu0")
    assert (entry.value, entry.standard_error, entry.band_upper) == (4.1, 0.02, 4.1 + 2 * 0.02)
    assert math.isnan(row("forecast", "gram/x0.mu0").band_upper)


def test_units_are_those_of_the_matrix():
    spectra = (Spectrum("information", "a", 9, (PAIR,), ()), Spectrum("other", "a", 9, (PAIR,), ()))
    record = Record(
        0,
        matrices=(MatrixKind("other", "Other", "O", "1"),),
        measured=Geometry(spectra=spectra),
    )
    found = row("measured", "top_1", "information", "a", record)
    assert found.unit == "squared loss per squared parameter"
    assert row("measured", "top_1", "other", "a", record).unit == "1"


def test_any_quantity_has_rows():
    vector = Quantity("strength", np.array([1.0, 2.0]), "1", (("v0", "v1"),), np.array([0.1, 0.2]))
    number = Quantity("rho", np.array(3.0), "volt", band=np.array(0.5))
    record = Record(0, measured=Geometry((vector, number)), forecast=Geometry((number,)))
    assert row("measured", "strength/v1", record=record).standard_error == 0.2
    assert row("measured", "rho", record=record).unit == "volt"
    assert row("forecast", "rho", record=record).band_lower == 2.0


def test_the_bulk_has_its_edges_and_gaps():
    place = "hessian", "größe 1"
    assert row("predicted", "upper_edge", *place).value == 0.9
    assert row("predicted", "upper_edge/limit", *place).error == 1e-9
    assert row("predicted", "lower_edge/detection", *place).value == 1.2
    assert row("predicted", "gap_1/lower_edge/limit", *place).value == 1.0
    assert row("predicted", "atom", *place).value == 0.25


def test_loss_has_a_standard_error_if_measured_and_a_numerical_one_if_predicted():
    measured, predicted = row("measured", "loss"), row("predicted", "loss")
    assert (measured.standard_error, math.isnan(measured.error)) == (0.01, True)
    assert (predicted.error, math.isnan(predicted.standard_error)) == (1e-7, True)
    assert predicted.band_lower == 0.69 - 2 * 0.01


def test_tracks_have_rows():
    one = np.array([0.5])
    followed = Followed(np.array([3]), one, one, one)
    none = Followed(np.zeros(0, np.int64), *(np.zeros(0),) * 3)
    record = replace(RECORD, tracks=(Track("hessian", "größe 1", followed, none, 0.8),))
    assert row("measured", "branch_top_1", "hessian", "größe 1", record).value == 3
    assert row("measured", "stability", "hessian", "größe 1", record).value == 0.8


def test_what_is_not_known_has_no_row():
    assert not any(found.quantity == "accuracy" for found in rows(RECORD))
    assert not any(math.isnan(found.value) for found in rows(RECORD))
    assert list(rows(Record(0, failures=(Failure("", "boom"),)))) == []


def test_each_quantity_has_one_row_a_step():
    keys = [(one.kind, one.matrix, one.block, one.quantity) for one in rows(RECORD)]
    assert len(set(keys)) == len(keys)


def test_the_table_holds_the_rows_as_columns_of_one_type():
    table = Run({}, (RECORD, replace(RECORD, step=41))).table()
    expected = [*rows(RECORD), *rows(replace(RECORD, step=41))]
    assert tuple(table) == tuple(Row.__dataclass_fields__)
    assert table["step"].dtype == np.int64
    assert table["value"].dtype == np.float64
    assert table["block"].dtype.kind == "O"
    assert all(one is table["block"][0] for one in table["block"] if one == table["block"][0])
    for name, column in table.items():
        np.testing.assert_array_equal(column, [getattr(one, name) for one in expected])


def test_the_table_of_nothing_has_all_columns():
    table = record_table(())
    assert {len(column) for column in table.values()} == {0}
    assert table["value"].dtype == np.float64
