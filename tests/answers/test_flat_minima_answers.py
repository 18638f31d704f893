"""What `spectrain predict` prints for flat minima."""

import json

import pytest

from spectrain.answers.dispatch import answer
from spectrain.theory.flat_minima.ridge import Clusters, ridge_solution

ASKED = {
    "system": "flat-minima",
    "samples_per_dimension": 2,
    "noise": 1,
    "ridge": 0.5,
    "perturbations": [2, 0, 0.5],
}


def document(content):
    return json.loads(answer("predict", content).json)


def test_a_balanced_classifier():
    found = document(ASKED)
    expected = ridge_solution(Clusters(1.0), 2.0, 0.5)
    assert found.keys() == {
        "overlap", "norm", "train_error", "test_error", "profile", "error",
    }  # fmt: skip
    assert found["overlap"] == expected.overlap
    assert found["norm"] == expected.norm
    assert found["profile"]["train_error"] == pytest.approx(expected.train_error([2, 0, 0.5]))
    assert found["profile"]["test_error"][1] == found["test_error"]
    assert found["profile"]["train_error"][1] == found["train_error"]


def test_an_unbalanced_one_has_a_bias():
    found = document({**ASKED, "fraction": 0.8})
    assert found["bias"] == pytest.approx(0.6 * (1 - found["overlap"]))
    assert document({**ASKED, "fraction": None}) == document(ASKED)


def test_no_perturbations_no_profile():
    asked = {key: value for key, value in ASKED.items() if key != "perturbations"}
    assert document(asked)["profile"] == {"train_error": [], "test_error": []}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples_per_dimension": 0}, "samples_per_dimension: expected a positive number"),
        ({"noise": "1"}, "noise: expected a positive number"),
        ({"ridge": -1}, "ridge: expected a number >= 0, got -1"),
        ({"ridge": 0, "samples_per_dimension": 1}, "ridge: expected a positive number at n = N"),
        ({"fraction": 1}, "fraction: expected a number between 0 and 1, got 1"),
        ({"perturbations": [-1]}, r"perturbations\[0\]: expected a number >= 0, got -1"),
        ({"overlap": 1}, "overlap: expected a key among"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        answer("predict", {**ASKED, **change})
