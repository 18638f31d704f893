import math

import numpy as np
import pytest

from spectrain.theory.sign_changes import entry, positives, scan, sign_changes


def found(indicator, low, high, points=9, tolerance=1e-9):
    return sign_changes(indicator, scan(indicator, low, high, points), tolerance)


def test_a_missing_entry_counts_as_negative():
    assert entry(np.array([2.0]), 0) == 2
    assert entry(np.array([2.0]), 1) == -1
    assert positives(np.array([2.0, 0.0, -1.0])) == 1


def test_every_zero_of_a_sine_is_found_with_its_counts():
    changes = found(lambda s: np.array([math.sin(s)]), 1.0, 20.0)
    places = math.pi * np.arange(1, 7)
    np.testing.assert_allclose([c.place for c in changes], places, rtol=1e-9)
    assert [(c.before, c.after) for c in changes] == [(1, 0), (0, 1)] * 3
    for change, place in zip(changes, places, strict=True):
        assert change.low < place < change.high
        assert change.high - change.low < 1e-9 * place + 1e-11 * 19


@pytest.mark.parametrize("width", [0.3, 1e-2, 1e-4])
def test_a_close_pair_between_two_places_is_found(width):
    changes = found(lambda s: np.array([(width / 2) ** 2 - (s - 0.61) ** 2]), 0.0, 1.0, points=5)
    expected = [0.61 - width / 2, 0.61 + width / 2]
    np.testing.assert_allclose([c.place for c in changes], expected, rtol=1e-8)


def test_what_comes_close_without_touching_is_no_change():
    assert found(lambda s: np.array([-1e-6 - (s - 0.61) ** 2]), 0.0, 1.0) == []


def test_entries_that_change_together_make_one_change():
    (change,) = found(lambda s: np.array([s, s * (1 + 1e-13), s - 1e-13, -1.0]), -1.0, 2.0)
    assert (change.before, change.after) == (0, 3)
    assert abs(change.place) < 1e-11 * 3


def test_entries_that_change_nearly_together_are_told_apart():
    changes = found(lambda s: np.array([s - 1, s - 1 - 1e-7]), 0.0, 3.0)
    assert [(c.before, c.after) for c in changes] == [(0, 1), (1, 2)]
    np.testing.assert_allclose([c.place for c in changes], [1, 1 + 1e-7], rtol=1e-9)


def test_a_jump_is_bracketed():
    """As where the bulk loses its end and with it every outlier."""
    (change,) = found(lambda s: np.array([0.4, 0.1]) if s < math.e else np.zeros(0), 0.0, 9.0)
    assert (change.before, change.after) == (2, 0)
    assert change.low < math.e <= change.high
    assert change.high - change.low < 1e-9 * math.e + 1e-11 * 9


def test_a_zero_at_a_place_of_the_scan_is_found_once():
    for place in scan(lambda s: np.array([s]), -1.0, 1.0, 5)[1:-1]:
        changes = found(lambda s, place=place: np.array([s - place]), -1.0, 1.0, points=5)
        assert [c.place for c in changes] == [pytest.approx(place, abs=1e-9)]
