"""What `spectrain predict` prints for phase retrieval."""

import json

import pytest

from spectrain.answers.dispatch import answer
from spectrain.theory.phase_retrieval import threshold_states

ASKED = {
    "system": "phase-retrieval",
    "loss": "normalised",
    "offset": 1,
    "samples_per_dimension": 2,
    "overlap": 0,
}
QUARTIC = {"system": "phase-retrieval", "loss": "quartic", "samples_per_dimension": 3.0}


def document(content):
    return json.loads(answer("predict", content).json)


def test_a_random_start_of_the_normalised_loss():
    found = document(ASKED)
    assert found.keys() == {"multiplier", "edges", "outliers", "critical", "error"}
    assert found["multiplier"] == pytest.approx(-1.62271817, abs=1e-8)
    assert found["edges"] == [pytest.approx(-2.056910, abs=1e-6), None]
    (outlier,) = found["outliers"]
    assert outlier["value"] < found["edges"][0]
    assert 0 < outlier["overlap"] < 1
    assert found["critical"] == pytest.approx({"random": 1.134854, "threshold": 7.093962}, abs=1e-5)
    assert 0 <= found["error"] < 1e-6


def test_the_quartic_has_no_edges_and_says_why_there_is_no_transition():
    found = document({**QUARTIC, "overlap": 0.5})
    assert found["multiplier"] == pytest.approx(-1.5)
    assert found["edges"] == [None, None]
    assert found["outliers"] == []
    assert found["critical"]["random"] is None
    assert "no lower edge" in found["critical_reasons"]["random"]
    assert found["critical"]["threshold"] == pytest.approx(13.80253, abs=1e-5)
    assert document({**QUARTIC, "overlap": 0.5, "offset": None}) == found


def test_a_transition_that_is_not_found_stops_nothing_else(monkeypatch):
    def unsolved(loss):
        raise ArithmeticError("not solved")

    monkeypatch.setattr(threshold_states, "threshold_critical", unsolved)
    found = document({**ASKED, "samples_per_dimension": 1.0})
    assert found["outliers"] == []
    assert found["critical"]["threshold"] is None
    assert found["critical_reasons"] == {"threshold": "not solved"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "cubic"}, 'loss: expected one of "normalised", "quartic", got "cubic"'),
        ({"offset": 0}, "offset: expected a positive number, got 0"),
        ({"loss": "quartic"}, "offset: expected none, since it belongs to normalised, got 1"),
        ({"samples_per_dimension": -1}, "samples_per_dimension: expected a positive number"),
        ({"overlap": 1}, "overlap: expected a number above -1 and below 1, got 1"),
        ({"overlap": None}, "overlap: expected a finite number, got null"),
        ({"alpha": 2}, "alpha: expected a key among loss, offset"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        answer("predict", {**ASKED, **change})


@pytest.mark.parametrize("key", ["loss", "offset", "samples_per_dimension", "overlap"])
def test_a_missing_key_is_named(key):
    with pytest.raises(ValueError, match=f"{key}: expected a value, got none"):
        answer("predict", {name: value for name, value in ASKED.items() if name != key})


def test_there_is_no_dynamics():
    with pytest.raises(ValueError, match="system: expected one that has an answer to dynamics"):
        answer("dynamics", ASKED)
