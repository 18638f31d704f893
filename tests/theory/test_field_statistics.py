"""Statistics whose fields are what is recorded of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from spectrain.theory.field_statistics import FieldStatistics
from spectrain.theory.quantity import Quantity


@dataclass(frozen=True)
class Position(FieldStatistics):
    overlap: float = field(metadata={"unit": "1"})
    strengths: np.ndarray = field(metadata={"unit": "squared parameter"})
    law: object = field(default=None, metadata={"unit": "none"})


def test_every_field_with_a_unit_is_a_quantity_under_its_name():
    overlap, strengths = Position(0.5, np.array([3.0, 1.0]), object()).quantities()
    assert (overlap.name, overlap.unit, overlap.axes) == ("overlap", "1", ())
    assert (strengths.name, strengths.unit) == ("strengths", "squared parameter")
    assert strengths.axes == (("1", "2"),)
    assert (float(overlap.values), strengths.values.tolist()) == (0.5, [3.0, 1.0])


def test_what_is_restored_is_equal_but_for_what_is_not_recorded():
    before = Position(-0.25, np.array([2.0, 0.5]), object())
    others = (Quantity.number("loss", 1.0, "loss"),)
    after = Position.restored((*others, *before.quantities()))
    assert type(after.overlap) is float
    assert after.overlap == before.overlap
    assert after.strengths.tolist() == before.strengths.tolist()
    assert after.law is None


def test_a_quantity_that_is_lacking_is_named():
    with pytest.raises(KeyError, match="strengths"):
        Position.restored([Quantity.number("overlap", 0.5, "1")])
