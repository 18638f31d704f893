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


KEYS = ("spectrum", "target", "test_spectrum", "multiplicity", "noise", "ridge", "spikes")


def is_told(values):
    """Whether every number is there: what is not finite is null in a document."""
    if isinstance(values, dict):
        return all(map(is_told, values.values()))
    return all(map(is_told, values)) if isinstance(values, list) else values is not None


def outcome(ask, content):
    """The key that is refused, or whether all losses are told."""
    try:
        found = document(ask(content))
    except ValueError as error:
        return str(error).split(": expected")[0]
    return is_told([found[name] for name in ("train", "test", "error")])


@pytest.mark.parametrize("size", [1e300, 1e-300, 1e80, 1e-80])
def test_numbers_far_from_one_are_named_or_answered(size):
    """By their own key, alone and in all entries; never a number that is not there."""
    small = RUN | {"times": [0, 10]}
    flow = small | {"algorithm": "flow", "learning_rate": None, "batch_size": None}
    for key in KEYS:
        if key in ("ridge", "spikes"):
            assert outcome(predict, PROBLEM | {key: [size] if key == "spikes" else size}) in (
                key,
                True,
            )
            continue
        for given in (size,) if key == "noise" else ([size, 1.0, 1.0], [size] * 3):
            assert outcome(predict, PROBLEM | {key: given}) in (key, True)
            assert outcome(dynamics, flow | {key: given}) in (key, True)
            assert outcome(dynamics, small | {key: given}) in (key, "learning_rate", True)


@pytest.mark.parametrize("scale", [1e50, 1e-50])
@pytest.mark.parametrize("counts", [(300, 400), (None, 400), (300, None)])
def test_losses_do_not_depend_on_the_unit_of_eigenvalues(scale, counts):
    """s -> c s, a -> a / c, eta -> eta / c: the same losses, kappa and edges times c."""
    own = PROBLEM | {"samples": counts[0], "features": counts[1]}
    other = own | {
        "spectrum": [scale * s for s in own["spectrum"]],
        "target": [a / scale for a in own["target"]],
    }
    found, again = (document(predict(each)) for each in (own, other))
    for name in ("train", "test"):
        assert again[name] == pytest.approx(found[name], rel=1e-9, abs=1e-12)
    assert again["kappa"] == pytest.approx([scale * kappa for kappa in found["kappa"]], rel=1e-9)
    edges, others = (np.array(each["hessian"]["bulk"]["edges"]) for each in (found, again))
    assert others == pytest.approx(scale * edges, rel=1e-6)
    if counts[0] is None:
        return
    run = {"algorithm": "gd", "times": [0, 10, 1000]}
    one = document(dynamics(own | run | {"learning_rate": 0.3}))
    two = document(dynamics(other | run | {"learning_rate": 0.3 / scale}))
    for name in ("train", "test"):
        assert two[name] == pytest.approx(one[name], rel=1e-8, abs=1e-12)
    assert two["critical_learning_rate"] * scale == pytest.approx(one["critical_learning_rate"])
