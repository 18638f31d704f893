import numpy as np
import pytest

from spectrain.models.heads import FunctionHead, SoftmaxHead
from spectrain.theory.mixture.drift import Drift
from spectrain.theory.mixture.dynamics import EffectiveDynamics
from spectrain.theory.mixture.fixed_points import find_fixed_point
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.sgd import SGD
from spectrain.theory.mixture.statistics import Statistics


def test_least_squares_has_one_that_is_known():
    """m = l^2/(l^2 + 1/snr + kappa), and q from a linear equation; the rates are those of both."""
    snr, length, c, ridge = 2.0, 1.3, 0.7, 0.2
    law = MixtureLaw(np.array([1.0]), np.array([1]), snr)
    head = FunctionHead(lambda h, v, y: (h[0] - y) ** 2 / 2, directions=1)
    start = Statistics(np.array([[0.5, 0.1], [0.1, length**2]]))
    found = find_fixed_point(Drift(head, law, SGD(c, ridge=ridge), start), start)
    m = length**2 / (length**2 + 1 / snr + ridge)
    rate = 2 / snr + 2 * ridge - c / snr**2
    q = (2 * (m - m * m) + c / snr * (m * m - 2 * m + 1)) / rate
    assert found.outcome == "stable"
    assert found.statistics.gram[0, 1] == pytest.approx(m, abs=1e-7)
    assert found.statistics.gram[0, 0] == pytest.approx(q, abs=1e-7)
    np.testing.assert_allclose(
        found.rates, sorted([-rate, -(length**2) - 1 / snr - ridge], reverse=True), atol=1e-6
    )
    # Beyond c = 2 snr (1 + kappa snr) the length grows without end: its fixed point is unphysical.
    unstable = Drift(head, law, SGD(7.0, ridge=ridge), start)
    assert find_fixed_point(unstable, start).outcome == "not found"


def test_a_path_ends_at_a_stable_one(softmax):
    problem = softmax()
    path = EffectiveDynamics(problem.head, problem.law, SGD(0.5, ridge=0.2), problem.statistics)
    found = find_fixed_point(path.drift, path.at(5.0))
    assert found.outcome == "stable"
    # The slowest rate is that of the common shift, which only the ridge sees.
    assert found.rates[0].real == pytest.approx(-0.2, abs=1e-6)
    np.testing.assert_allclose(path.at(100.0).gram, found.statistics.gram, atol=1e-4)


def test_without_ridge_the_common_shift_is_conserved(softmax):
    problem = softmax()
    drift = Drift(problem.head, problem.law, SGD(0.5), problem.statistics)
    found = find_fixed_point(drift, problem.statistics)
    assert found.outcome == "neutral"
    # Sum of the x_a: its length and its products with three means. The length is conserved
    # whatever it is multiplied with, so that nothing else is neutral.
    assert (abs(found.rates) < 1e-6).sum() == 4
    before, after = problem.statistics.gram, found.statistics.gram
    np.testing.assert_allclose(after[:3].sum(0)[3:], before[:3].sum(0)[3:], atol=1e-7)
    assert after[:3, :3].sum() == pytest.approx(before[:3, :3].sum(), abs=1e-7)


def test_the_origin_of_a_network_is_a_saddle(xor):
    """Small weights, fixed second layer: gradient flow pauses near a saddle, and leaves it."""
    problem = xor(x_scale=0.05)
    drift = Drift(problem.head, problem.law, SGD(1e-6, ridge=0.05), problem.statistics)
    found = find_fixed_point(drift, problem.statistics)
    assert found.outcome == "unstable"
    assert found.rates[0].real > 0.1
    # Collinear means: only rows of x.mu in their span can vary.
    assert len(found.rates) == 3 + 2 * 2
    smallest = np.linalg.eigvalsh(found.statistics.gram)[0]
    assert smallest > -1e-9


def test_a_start_of_another_size_is_refused():
    law = MixtureLaw(np.array([0.5, 0.5]), np.array([0, 1]), 2.0)
    drift = Drift(SoftmaxHead(2), law, SGD(1.0), Statistics(np.eye(4)))
    with pytest.raises(ValueError, match="start: expected"):
        find_fixed_point(drift, Statistics(np.eye(5)))
