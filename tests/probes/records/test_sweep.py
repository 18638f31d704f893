import numpy as np
import pytest

from spectrain.probes.records.record import Record
from spectrain.probes.records.sweep import CountMap, Sweep


def test_a_sweep_has_one_record_a_value():
    with pytest.raises(ValueError, match="values: expected one for each of 1 records"):
        Sweep("snr", np.array([1.0, 2.0]), (Record(0),))


def test_values_of_a_sweep_increase():
    with pytest.raises(ValueError, match="values: expected increasing numbers"):
        Sweep("snr", np.array([2.0, 1.0]), (Record(0), Record(0)))


def test_counts_have_the_shape_of_the_grid():
    counts = np.zeros((2, 3), np.int64)
    CountMap("snr", np.arange(3.0), "phi", np.arange(2.0), counts)
    with pytest.raises(ValueError, match=r"counts: expected shape \(3, 2\), got \(2, 3\)"):
        CountMap("snr", np.arange(2.0), "phi", np.arange(3.0), counts)
