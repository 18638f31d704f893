"""Quantities of three axes and more are drawn as matrices wherever matrices are."""

import json
from dataclasses import replace

import numpy as np
import pytest

from spectrain.figures.catalogue import drawings_of_run
from spectrain.probes.records.record import Geometry, Record
from spectrain.probes.records.record_file import RECORDS, RecordFile, Run, load
from spectrain.theory.quantity import Quantity
from spectrain.views.figures.matrix_maps import matrix_maps, matrix_quantities
from spectrain.views.plugin.messages import moment
from spectrain.views.plugin.run_index import RunIndex
from spectrain.views.report import report
from spectrain.views.slices import SLICES, in_matrices, slices

AXES = (("first", "second"), ("a", "b", "c"), ("u", "v", "w", "x"))
VALUES = np.arange(24.0).reshape(2, 3, 4)


def cube(shift=0.0):
    return Quantity("heads", VALUES + shift, "volt", AXES, errors=np.full((2, 3, 4), 0.5))


def record(step=0):
    return Record(
        step,
        float(step),
        measured=Geometry((Quantity.number("loss", 0.5, "loss"), cube())),
        predicted=Geometry((cube(1.0),)),
    )


def test_a_slice_has_the_numbers_of_its_place():
    one, other = slices(cube())
    assert (one.name, other.name) == ("heads, first", "heads, second")
    assert one.axes == other.axes == AXES[1:]
    np.testing.assert_array_equal(other.values, VALUES[1])
    np.testing.assert_array_equal(other.errors, np.full((3, 4), 0.5))
    assert other.band is None
    assert other.unit == "volt"


def test_of_many_slices_the_first_are_shown_each_under_all_its_places():
    axes = (("i", "j"), tuple("klmn"), ("p", "q"), ("r",))
    deep = Quantity("deep", np.arange(16.0).reshape(2, 4, 2, 1), "1", axes)
    found = slices(deep)
    assert [each.name for each in found] == [
        "deep, i·k", "deep, i·l", "deep, i·m", "deep, i·n", "deep, j·k", "deep, j·l",
    ]  # fmt: skip
    assert len(found) == SLICES
    np.testing.assert_array_equal(found[4].values, [[8], [9]])


def test_what_has_up_to_two_axes_stays_as_it_is():
    flat = replace(record(), measured=Geometry(slices(cube())), predicted=None)
    assert in_matrices(flat) is flat


def test_each_slice_has_a_map_beside_the_predicted_one():
    run = (record(0), record(1))
    assert matrix_quantities(run) == ("heads, first", "heads, second")
    figure = matrix_maps(run)
    titles = [axes.get_title().split("\n")[0] for axes in figure.axes]
    assert titles == [
        f"Heads, {entry}, {what}, epochs = 1"
        for entry in ("first", "second")
        for what in ("measured", "predicted", "difference")
    ]
    np.testing.assert_allclose(figure.axes[4].images[0].get_array(), VALUES[1] + 1)


@pytest.fixture
def folder(tmp_path):
    file = RecordFile(tmp_path / RECORDS)
    for step in range(2):
        file.write(record(step))
    file.close()
    return tmp_path


def test_figures_report_and_tab_show_them(folder):
    run = load(folder)
    assert "matrix-maps" in drawings_of_run(run)
    assert "Matrices" in report(Run({}, run.records), "cube")
    answer = json.loads(RunIndex(folder / RECORDS).history("", "", 0, 0))
    assert {name: each["axes"] for name, each in answer["quantities"].items()} == {
        "loss": 0, "heads, first": 2, "heads, second": 2,
    }  # fmt: skip
    shown = {each["name"]: each for each in moment(run.records[1], "", "")["quantities"]}
    assert shown["heads, second"]["measured"]["values"] == VALUES[1].tolist()
    assert shown["heads, second"]["predicted"]["values"] == (VALUES[1] + 1).tolist()
    assert shown["heads, second"]["axes"] == [list(axis) for axis in AXES[1:]]
