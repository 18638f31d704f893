"""Numbers as columns: parts of one shape share what their numbers are."""

from dataclasses import replace

import numpy as np

from spectrain.probes.records.columns import columns
from spectrain.probes.records.numbers import numbers
from spectrain.probes.records.record import Geometry, Record
from spectrain.theory.direction import Direction
from spectrain.theory.quantity import Quantity
from spectrain.theory.spectrum import Eigenpair, Spectrum

REFERENCE = (Direction("x0", "x", True), Direction("mu0", "m", False))


def record(value, draws=1, names=("x0", "mu0")):
    pairs = tuple(
        Eigenpair(
            value - rank, 0.1, 0.2, np.array([0.3, 0.4]), 0.5, np.arange(float(draws)), 0.6
        )
        for rank in range(2)
    )  # fmt: skip
    matrix = np.array([[1.0, 2.0], [2.0, value]])
    gram = Quantity("gram", matrix, "squared parameter", (names, names), symmetric=True)
    geometry = Geometry((gram,), (Spectrum("hessian", "all", 9, pairs, pairs[:1]),))
    return Record(0, reference=REFERENCE, measured=geometry)


def headings(one):
    return [each.heading for each in columns(one)]


def test_records_of_one_shape_share_their_headings():
    first = headings(record(1.0))
    assert headings(record(2.0)) == first
    assert headings(replace(record(2.0), reference=tuple(map(replace, REFERENCE)))) == first
    assert headings(record(1.0, draws=3))[1] is not first[1]
    assert headings(record(1.0, names=("a", "b")))[0] is not first[0]
    assert headings(replace(record(1.0), reference=REFERENCE[::-1]))[1] is not first[1]


def test_every_number_stands_under_its_name():
    found = {number.name: number for number in numbers(record(7.0, draws=3))}
    assert [name for name in found if name.startswith("gram")] == [
        "gram/x0.x0", "gram/x0.mu0", "gram/mu0.mu0",
    ]  # fmt: skip
    assert found["gram/mu0.mu0"].value == 7.0
    assert [name for name in found if name.endswith("mu0.mu0") and found[name].is_fixed]
    assert not found["gram/x0.mu0"].is_fixed
    assert (found["top_2"].value, found["top_2"].error) == (6.0, 0.1)
    assert found["top_2"].standard_error == 0.5
    assert np.isnan(found["overlap_top_2"].standard_error)
    assert found["alignment_top_1/mu0"].value == 0.4
    assert found["alignment_top_1/mu0"].along == REFERENCE[1]
    assert found["top_1/draw_3"].value == 2.0
    assert found["parameter_overlap_bottom_1"].value == 0.6
    assert all(len(each.values) == len(each.heading.entries) for each in columns(record(7.0)))
