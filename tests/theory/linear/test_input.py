"""Bad input is named before anything is computed."""

import math

import numpy as np
import pytest

from spectrain.theory.linear.algorithm import Algorithm
from spectrain.theory.linear.loss_curves import loss_curves
from spectrain.theory.linear.problem import LinearProblem


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("spectrum", {"spectrum": [1.0, -0.1]}),
        ("spectrum", {"spectrum": []}),
        ("spectrum", {"spectrum": [0.0, 0.0]}),
        ("spectrum", {"spectrum": [1.0, math.nan]}),
        ("spectrum", {"spectrum": [[1.0], [2.0]]}),
        ("spectrum", {"spectrum": ["a", 1.0]}),
        ("target", {"target": [1.0]}),
        ("target", {"target": [1.0, -1.0]}),
        ("target", {"target": [1.0, math.inf]}),
        ("multiplicity", {"multiplicity": [1.0, 0.0]}),
        ("multiplicity", {"multiplicity": [1.0, 1.0, 1.0]}),
        ("test_spectrum", {"test_spectrum": [1.0]}),
        ("test_spectrum", {"test_spectrum": [1.0, -1.0]}),
        ("noise", {"noise": -0.1}),
        ("noise", {"noise": math.inf}),
        ("samples", {"samples": 0.0}),
        ("samples", {"samples": math.nan}),
        ("features", {"features": 0.5}),
        ("target_overlap", {"target_overlap": np.eye(3)}),
        ("target_overlap", {"target_overlap": np.eye(2), "multiplicity": [1.0, 2.0]}),
    ],
)
def test_a_bad_problem_is_named(name, changed):
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        LinearProblem(**{"spectrum": [1.0, 0.5], "target": [1.0, 1.0], **changed})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("algorithm", ("adam", 0.1)),
        ("learning_rate", ("gd",)),
        ("learning_rate", ("gd", 0.0)),
        ("learning_rate", ("gd", math.nan)),
        ("learning_rate", ("flow", 0.1)),
        ("batch_size", ("gd", 0.1, 2)),
        ("batch_size", ("flow", None, 2)),
        ("batch_size", ("sgd", 0.1)),
        ("batch_size", ("sgd", 0.1, 0)),
        ("batch_size", ("sgd", 0.1, 1.5)),
        ("weight_decay", ("gd", 0.1, None, -1.0)),
        ("schedule", ("flow", None, None, 0.0, ((1, 0.5),))),
        ("schedule", ("gd", 0.1, None, 0.0, ((1, 0.5), (1, 0.2)))),
        ("schedule", ("gd", 0.1, None, 0.0, ((1.5, 0.5),))),
        ("schedule", ("gd", 0.1, None, 0.0, ((1, -0.5),))),
        ("schedule", ("gd", 0.1, None, 0.0, ((1, 0.5, 2),))),
    ],
)
def test_a_bad_algorithm_is_named(name, arguments):
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        Algorithm(*arguments)


@pytest.mark.parametrize(
    ("name", "samples", "algorithm", "times"),
    [
        ("times", 4.0, Algorithm("flow"), []),
        ("times", 4.0, Algorithm("flow"), [-1.0]),
        ("times", 4.0, Algorithm("flow"), [math.nan]),
        ("times", 4.0, Algorithm("gd", 0.1), [1.5]),
        ("samples", 4.0, Algorithm("one-pass", 0.1, 2), [1]),
        ("samples", math.inf, Algorithm("sgd", 0.1, 2), [1]),
        ("samples", math.inf, Algorithm("shuffled", 0.1, 2), [1]),
        ("batch_size", 4.0, Algorithm("shuffled", 0.1, 5), [1]),
    ],
)
def test_what_does_not_fit_together_is_named(name, samples, algorithm, times):
    problem = LinearProblem([1.0, 0.5], [1.0, 1.0], samples=samples)
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        loss_curves(problem, algorithm, times)


def test_torchs_conventions_are_translated_in_one_place():
    found = Algorithm.of_torch("sgd", lr=0.1, batch_size=4, weight_decay=0.02)
    assert found == Algorithm("sgd", 0.2, 4, 0.01)
    assert Algorithm.of_torch("flow", lr=0.1).learning_rate is None
    with pytest.raises(ValueError, match="momentum: expected 0"):
        Algorithm.of_torch("sgd", lr=0.1, batch_size=4, momentum=0.9)
