"""The learning rate at which training stops converging."""

import math

import numpy as np
import pytest

from spectrain.theory.linear.algorithm import Algorithm
from spectrain.theory.linear.hessian import HessianLaw
from spectrain.theory.linear.loss_curves import loss_curves
from spectrain.theory.linear.problem import LinearProblem
from spectrain.theory.linear.stability import critical_learning_rate


def power_law(samples=150.0, features=math.inf):
    k = np.arange(1, 201.0)
    s = k**-1.1
    return LinearProblem(s / s.sum(), k**-0.4, noise=0.05, samples=samples, features=features)


def test_the_flow_always_converges():
    assert critical_learning_rate(power_law(), Algorithm("flow")) is None


def test_gradient_descent_is_stable_up_to_two_over_the_largest_eigenvalue():
    problem = power_law(features=120.0)
    edge = HessianLaw(problem).bulk().upper.value
    assert critical_learning_rate(problem, Algorithm("gd", 1.0)) == pytest.approx(2 / edge)
    decayed = critical_learning_rate(problem, Algorithm("gd", 1.0, weight_decay=0.1))
    assert decayed == pytest.approx(2 / (edge + 0.1))


def test_isotropic_one_pass_is_known():
    """E |D|^2 is multiplied by 1 - 2 eta + eta^2 (1 + (d+1)/B) a step."""
    d, batch = 30.0, 4
    problem = LinearProblem([1.0], [1.0], [d])
    found = critical_learning_rate(problem, Algorithm("one-pass", 0.1, batch))
    assert found == pytest.approx(2 / (1 + (d + 1) / batch), rel=1e-10)


@pytest.mark.parametrize("batch", [1, 4, 64, 4096])
@pytest.mark.parametrize("features", [math.inf, 100.0])
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_the_predicted_loss_turns_at_the_critical_rate(batch, features, decay):
    problem = power_law(features=features)
    rate = critical_learning_rate(problem, Algorithm("sgd", 1.0, batch, decay))
    below, above = (
        loss_curves(problem, Algorithm("sgd", share * rate, batch, decay), [3000, 6000]).train
        for share in (0.98, 1.02)
    )
    assert below[1] < below[0] * (1 + 1e-6)
    assert above[1] > above[0]


@pytest.mark.parametrize("rate", [1e6, 1e100])
@pytest.mark.parametrize(("name", "batch"), [("gd", None), ("sgd", 2), ("shuffled", 2)])
def test_any_rate_beyond_the_threshold_has_the_growing_curve(name, batch, rate):
    """As powers of it: after one step, and two of descent, losses are those of rate 1e4 scaled."""
    problem = power_law(features=100.0)
    for step in (1, 2) if rate < 1e75 else (1,):
        found, expected = (
            loss_curves(problem, Algorithm(name, eta, batch), [step]).test[0] / eta ** (2 * step)
            for eta in (rate, 1e4)
        )
        assert found == pytest.approx(expected, rel=1e-2)
    with pytest.raises(ValueError, match="learning_rate: expected a loss that stays within"):
        loss_curves(problem, Algorithm(name, 1e200, batch), [1])


def test_beyond_the_threshold_the_answer_grows_until_the_numbers_end():
    problem = power_law()
    found = loss_curves(problem, Algorithm("gd", 20.0), [0, 10, 50])
    assert np.isfinite(found.test).all()
    assert found.test[2] > found.test[1] > found.test[0]
    with pytest.raises(ValueError, match=r"learning_rate: expected a loss that stays within"):
        loss_curves(problem, Algorithm("gd", 20.0), [100_000])
    with pytest.raises(ValueError, match="learning_rate"):
        loss_curves(problem, Algorithm("sgd", 20.0, 1), [100_000])
    with pytest.raises(ValueError, match="learning_rate"):
        loss_curves(problem, Algorithm("shuffled", 20.0, 1), [2_000])
