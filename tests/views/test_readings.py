import math
from dataclasses import replace

import numpy as np
import pytest

from spectrain.probes.records.record import Failure, Geometry, Record, Transition
from spectrain.theory.matrix_kind import HESSIAN, INFORMATION, MatrixKind
from spectrain.theory.spectrum import Eigenpair, Spectrum
from spectrain.views.readings import (
    blocks,
    clock,
    describe,
    lacks_spectrum,
    landmarks,
    matrices,
    relative_difference,
    units,
)


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


def test_only_outliers_that_come_or_go_have_numbers():
    place = "Hessian, a, right of the bulk"
    met = Transition("hessian", "a", "top", "merges", 4, 6)
    assert describe(met) == f"{place}: two outliers merge"
    gone = Transition("hessian", "a", "top", "disappears", 2, 1)
    assert describe(gone) == f"{place}: an outlier disappears (2 -> 1 predicted)"


def test_relative_differences_keep_their_sign_and_are_relative_to_the_size():
    assert relative_difference(-1.2, -1.0) == pytest.approx(-0.2)
    assert relative_difference(1.1, 1.0) == pytest.approx(0.1)
    assert math.isnan(relative_difference(1.0, 0.0))
    assert math.isnan(relative_difference(1.0, math.nan))


def test_a_failure_is_that_of_its_spectrum_or_of_all():
    spectrum = Spectrum("hessian", "a", 1, (), ())
    found = Geometry(spectra=(spectrum,))
    alone = Record(0, measured=found, failures=(Failure("spectra", "boom", "hessian", "b"),))
    assert lacks_spectrum(alone, "hessian", "b")
    assert not lacks_spectrum(alone, "hessian", "a")
    assert not lacks_spectrum(alone, "information", "b")
    whole = Record(0, failures=(Failure("loss", "boom"),))
    assert lacks_spectrum(whole, "hessian", "a")


def test_units_are_said_once_where_they_are_the_same():
    other = MatrixKind("other", "Other", "O", "volt")
    assert units([HESSIAN]) == "loss per squared parameter"
    assert units([HESSIAN, replace(other, unit=HESSIAN.unit)]) == "loss per squared parameter"
    assert units([HESSIAN, INFORMATION, other]) == (
        "Hessian: loss per squared parameter; "
        "Information matrix: squared loss per squared parameter; Other: volt"
    )
    record = Record(0, matrices=(other,))
    assert matrices([record]) == (other,)
    met = Transition("other", "a", "top", "merges", 4, 6)
    assert describe(met, record.matrices).startswith("Other, a")
