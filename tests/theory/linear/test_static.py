"""Ridge regression: closed forms, the best ridge, the best time."""

import math

import numpy as np
import pytest

from spectrain.theory.linear.algorithm import Algorithm
from spectrain.theory.linear.loss_curves import loss_curves
from spectrain.theory.linear.problem import LinearProblem
from spectrain.theory.linear.static import early_stopping, optimal_ridge, ridge_losses


@pytest.mark.parametrize(("d", "p"), [(100.0, 250.0), (100.0, 40.0)])
def test_isotropic_ridgeless_regression_is_known(d, p):
    """Hastie et al., arXiv 1903.08560, theorem 1; |w*|^2 = 3, noise 0.5."""
    problem = LinearProblem([1.0], [3.0], [d], noise=0.5, samples=p)
    found = ridge_losses(problem)
    gamma = d / p
    if gamma < 1:
        assert found.test == pytest.approx(0.5 * gamma / (1 - gamma))
        assert found.train == pytest.approx(0.5 * (1 - gamma))
    else:
        assert found.test == pytest.approx(3 * (1 - 1 / gamma) + 0.5 / (gamma - 1))
        assert found.train == 0


def test_the_best_isotropic_ridge_is_the_noise_to_signal_ratio():
    """lam = sig2 D / (P |w*|^2) in units where H = X^T X / P."""
    problem = LinearProblem([1.0], [3.0], [100.0], noise=0.5, samples=40.0)
    assert optimal_ridge(problem) == pytest.approx(0.5 * 100 / (40 * 3), rel=1e-4)


def test_no_ridge_is_best_without_noise_and_with_all_samples_needed():
    problem = LinearProblem([1.0], [3.0], [100.0], samples=200.0)
    assert optimal_ridge(problem) == 0


def test_generalised_cross_validation_is_exact():
    k = np.arange(1, 201.0)
    problem = LinearProblem(k**-1.2, k**-0.4, noise=0.3, samples=150.0, features=120.0)
    for ridge in (1e-6, 1e-3, 1e-1):
        found = ridge_losses(problem, ridge)
        assert found.train == pytest.approx((ridge / found.kappa1) ** 2 * (found.test + 0.3))
        flow = loss_curves(problem, Algorithm("flow", weight_decay=ridge), [1e3 / ridge])
        assert flow.test[0] == pytest.approx(found.test, rel=1e-9)
        assert flow.train[0] == pytest.approx(found.train, rel=1e-9)


def test_early_stopping_is_the_minimum_along_the_flow():
    k = np.arange(1, 201.0)
    problem = LinearProblem(k**-1.2, k**-0.4, noise=0.3, samples=150.0)
    best = early_stopping(problem)
    around = loss_curves(problem, Algorithm("flow"), best.time * np.array([0.8, 1.0, 1.25])).test
    assert around[1] == pytest.approx(best.test, rel=1e-9)
    assert around[0] > around[1] < around[2]
    quiet = early_stopping(LinearProblem(k**-1.2, k**-0.4, samples=math.inf))
    assert math.isinf(quiet.time)


def test_interpolation_is_refused_without_ridge_and_flagged_with_little():
    problem = LinearProblem([1.0], [1.0], [100.0], noise=0.1, samples=100.0)
    with pytest.raises(ValueError, match="ridge: expected a positive number"):
        ridge_losses(problem)
    near = LinearProblem([1.0], [1.0], [100.0], noise=0.1, samples=104.0)
    assert ridge_losses(near).finite_size == pytest.approx(1 / 4)
    assert ridge_losses(near, 0.5).finite_size < 0.03


@pytest.mark.parametrize("ridge", [-1.0, math.nan, math.inf])
def test_a_bad_ridge_is_named(ridge):
    with pytest.raises(ValueError, match="ridge: expected"):
        ridge_losses(LinearProblem([1.0], [1.0], samples=3.0), ridge)
