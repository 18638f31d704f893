"""`spectrain predict` and `spectrain dynamics` for linear models."""

import json
import math

import numpy as np
import pytest

from spectrain.answers.linear import dynamics, predict
from spectrain.theory.linear.algorithm import Algorithm
from spectrain.theory.linear.loss_curves import loss_curves
from spectrain.theory.linear.problem import LinearProblem
from spectrain.theory.linear.static import ridge_losses

PROBLEM = {
    "spectrum": [0.5, 1.0, 0.1],
    "multiplicity": [50, 10, 200],
    "target": [2.0, 1.0, 0.5],
    "samples": 300,
    "features": 400,
    "noise": 0.1,
}
RUN = PROBLEM | {"algorithm": "sgd", "learning_rate": 0.1, "batch_size": 4, "times": [10, 0, 500]}


def document(answer):
    """Strict JSON, read back."""
    return json.loads(answer.json, parse_constant=pytest.fail)


def problem(**changed):
    return LinearProblem(
        [0.5, 1.0, 0.1],
        [2.0, 1.0, 0.5],
        [50, 10, 200],
        **{"samples": 300.0, "features": 400.0, "noise": 0.1, **changed},
    )


def test_dynamics_prints_the_curves_and_their_split():
    found = document(dynamics(RUN))
    curves = loss_curves(problem(), Algorithm("sgd", 0.1, 4), [10, 0, 500])
    assert found["times"] == [10, 0, 500]
    np.testing.assert_array_equal(found["train"], curves.train)
    np.testing.assert_array_equal(found["test"], curves.test)
    assert list(found["parts"]) == [
        "bias",
        "finite_width",
        "finite_samples",
        "label_noise",
        "sgd_noise",
    ]
    total = sum(np.array(part["test"]) for part in found["parts"].values())
    np.testing.assert_allclose(total, found["test"], rtol=1e-12)
    assert found["critical_learning_rate"] == curves.critical_learning_rate
    assert 0 < found["error"] < 1e-10
    assert "without 1/2" in found["conventions"]
    assert "without 1/2" in dynamics(RUN).text


@pytest.mark.parametrize("name", ["flow", "gd", "sgd", "one-pass", "shuffled"])
def test_every_algorithm_answers(name):
    asked = dict(RUN, algorithm=name, weight_decay=0.01)
    if name in ("flow", "gd"):
        del asked["batch_size"]
    if name == "flow":
        del asked["learning_rate"]
    if name == "one-pass":
        asked["samples"] = None
    found = document(dynamics(asked))
    assert (found["critical_learning_rate"] is None) == (name == "flow")
    assert ("approximation" in found) == (name == "shuffled")
    assert np.isfinite(found["train"] + found["test"]).all()


def test_missing_is_infinite_and_a_schedule_is_read():
    asked = {key: RUN[key] for key in ("spectrum", "target", "times", "learning_rate")}
    asked |= {"algorithm": "one-pass", "batch_size": 2, "schedule": [[5, 0.5], [100, 0]]}
    found = document(dynamics(asked))
    same = document(dynamics(asked | {"samples": None, "features": None, "noise": 0}))
    assert found == same
    algorithm = Algorithm("one-pass", 0.1, 2, schedule=((5, 0.5), (100, 0.0)))
    curves = loss_curves(LinearProblem([0.5, 1, 0.1], [2, 1, 0.5]), algorithm, [10, 0, 500])
    np.testing.assert_array_equal(found["test"], curves.test)


def test_predict_prints_losses_and_the_hessian():
    found = document(predict(PROBLEM | {"ridge": 0.01}))
    limit = ridge_losses(problem(), 0.01)
    assert found["train"] == limit.train
    assert found["test"] == limit.test
    assert found["kappa"] == [limit.kappa1, limit.kappa2]
    hessian = found["hessian"]
    assert hessian["bulk"]["atom_at_zero"] == pytest.approx(1 - 260 / 400)
    assert all(lower > 0 for lower, _ in hessian["bulk"]["edges"])
    assert hessian["outliers"] == []
    assert found["error"] < 1e-10


def test_spikes_are_outliers_beyond_their_threshold_and_inputs_of_the_losses():
    found = document(predict(PROBLEM | {"spikes": [0.7, 5.0, 8.0]}))
    values = [each["value"] for each in found["hessian"]["outliers"]]
    assert len(values) == 2
    assert values[0] > 8 > values[1] > 5
    assert all(0.9 < each["overlap"] < 1 for each in found["hessian"]["outliers"])
    more = LinearProblem(
        [0.5, 1.0, 0.1, 0.7, 5.0, 8.0],
        [2.0, 1.0, 0.5, 0, 0, 0],
        [50, 10, 200, 1, 1, 1],
        samples=300.0,
        features=400.0,
        noise=0.1,
    )
    assert found["test"] == ridge_losses(more).test


def test_without_samples_and_features_there_is_no_hessian_of_chance():
    found = document(predict({"spectrum": [1.0], "target": [1.0], "noise": 0.2}))
    assert found["hessian"] is None
    assert found["test"] == 0
    assert found["train"] == pytest.approx(0.2)


def test_a_test_spectrum_is_what_is_tested_on():
    shifted = document(predict(PROBLEM | {"test_spectrum": [1.0, 0.2, 0.3], "ridge": 0.1}))
    other = problem(test_spectrum=[1.0, 0.2, 0.3])
    assert shifted["test"] == ridge_losses(other, 0.1).test


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("spectrum", {"spectrum": [1.0, -0.5, 1.0]}),
        ("spectrum", {"spectrum": []}),
        ("spectrum", {"spectrum": [0.0, 0.0, 0.0]}),
        ("spectrum", {"spectrum": [1.0, math.nan, 1.0]}),
        ("target", {"target": [1.0]}),
        ("multiplicity", {"multiplicity": [1, 2]}),
        ("multiplicity", {"multiplicity": [1, 0, 2]}),
        ("test_spectrum", {"test_spectrum": [1.0]}),
        ("samples", {"samples": 0}),
        ("samples", {"samples": 1.5}),
        ("features", {"features": -3}),
        ("noise", {"noise": -1}),
        ("momentum", {"momentum": 0.9}),
        ("algorithm", {"algorithm": "adam"}),
        ("learning_rate", {"learning_rate": 0}),
        ("learning_rate", {"learning_rate": None}),
        ("learning_rate", {"algorithm": "flow", "batch_size": None}),
        ("batch_size", {"batch_size": 0}),
        ("batch_size", {"algorithm": "gd"}),
        ("batch_size", {"algorithm": "shuffled", "batch_size": 301}),
        ("samples", {"algorithm": "one-pass"}),
        ("samples", {"samples": None}),
        ("weight_decay", {"weight_decay": -1}),
        ("schedule", {"schedule": [[5, 1], [5, 2]]}),
        ("schedule", {"schedule": [[0.5, 1]]}),
        ("times", {"times": []}),
        ("times", {"times": [1.5]}),
        ("times", {"times": [-1]}),
        ("learning_rate", {"learning_rate": 50.0, "times": [10_000]}),
    ],
)
def test_bad_dynamics_is_refused_by_key(key, changed):
    with pytest.raises(ValueError, match=rf"^{key}(\[\d\])*: expected"):
        dynamics(RUN | changed)


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("ridge", {"ridge": -0.1}),
        ("ridge", {"samples": 260, "ridge": 0}),
        ("spikes", {"spikes": [0]}),
        ("momentum", {"momentum": 0.9}),
    ],
)
def test_bad_predictions_are_refused_by_key(key, changed):
    with pytest.raises(ValueError, match=rf"^{key}(\[\d\])*: expected"):
        predict(PROBLEM | changed)


def test_one_specification_may_serve_both_commands():
    both = RUN | {"ridge": 0.1, "spikes": [5.0]}
    assert document(dynamics(both)) == document(dynamics(RUN))
    assert document(predict(both)) == document(predict(PROBLEM | {"ridge": 0.1, "spikes": [5.0]}))


def test_growth_beyond_the_threshold_is_an_answer():
    found = document(dynamics(RUN | {"learning_rate": 1.0, "times": [0, 20, 60]}))
    assert found["critical_learning_rate"] < 1
    assert found["test"][2] > found["test"][1] > found["test"][0]
