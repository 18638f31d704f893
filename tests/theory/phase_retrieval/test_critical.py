"""Numbers of samples per dimension at which the signal is seen."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from spectrain.models.phase_retrieval.loss import PhaseLoss
from spectrain.theory.phase_retrieval.random_start import random_critical
from spectrain.theory.phase_retrieval.tangent_hessian import random_position
from spectrain.theory.phase_retrieval.threshold_states import threshold_critical


@pytest.mark.parametrize(("offset", "alpha"), [(0.1, 2.166681), (1, 1.134854), (10, 6.079196)])
def test_of_a_random_start(offset, alpha):
    found = random_critical(PhaseLoss(offset))
    assert found.samples_per_dimension == pytest.approx(alpha, abs=1e-5)
    assert found.error < 1e-8


def test_the_discontinuous_transition_in_closed_form():
    """alpha = 1 / (2 E[1 / (a + 3 z^2)]), z ~ N(0, 1), where the edge is at g = -1."""
    mean = quad(lambda z: math.exp(-z * z / 2) / (10 + 3 * z * z), -12, 12)[0]
    found = random_critical(PhaseLoss(10.0))
    assert not found.continuous
    assert found.samples_per_dimension == pytest.approx(
        math.sqrt(2 * math.pi) / (2 * mean), rel=1e-9
    )


def test_where_the_transition_turns_discontinuous():
    assert random_critical(PhaseLoss(1.108)).continuous
    assert not random_critical(PhaseLoss(1.11)).continuous


@pytest.mark.parametrize("offset", [1.0, 10.0])
def test_the_outlier_is_there_above_and_not_below(offset):
    loss = PhaseLoss(offset)
    critical = random_critical(loss).samples_per_dimension
    assert random_position(0.0, loss, 0.999 * critical).outliers == ()
    (above,) = random_position(0.0, loss, 1.001 * critical).outliers
    assert 0 < above.overlap < 1


@pytest.mark.parametrize(
    ("offset", "alpha"), [(None, 13.80253), (0.1, 5.103257), (1.0, 7.093962), (10.0, 10.856483)]
)
def test_of_threshold_states(offset, alpha):
    found = threshold_critical(PhaseLoss(offset))
    assert found.samples_per_dimension == pytest.approx(alpha, abs=1e-5)
    assert found.error < 1e-5


@pytest.mark.slow
def test_the_conditions_of_threshold_states_by_another_quadrature():
    """Over the cavity field h, z by bisection, against nodes in z."""
    loss, point = PhaseLoss(1.0), threshold_critical(PhaseLoss(1.0))
    chi, y, alpha = point.susceptibility, point.breaking, point.samples_per_dimension
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    h, h_weights = np.polynomial.legendre.leggauss(400)
    h, h_weights = 4 * (h + 1), 4 * h_weights
    squares = (points**2)[:, None]
    low, high = np.zeros((60, 400)), np.full((60, 400), 20.0)
    for _ in range(60):  # chi < 1: h grows with z
        middle = (low + high) / 2
        under = middle + chi * loss.slope(middle, squares) < h
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    slope, d = loss.slope(low, squares), loss.curvature(low, squares)
    mass = h_weights * np.exp(-(h**2) / 2 - y * (loss.value(low, squares) + chi * slope**2 / 2))
    mass *= (weights / math.sqrt(2 * math.pi) / mass.sum(1))[:, None]
    assert alpha * (mass * slope**2).sum() * chi * (chi + y) == pytest.approx(1, abs=1e-4)
    assert alpha * chi**2 * (mass * (d / (1 + chi * d)) ** 2).sum() == pytest.approx(1, abs=1e-4)
    pull = (mass * (squares - 1) * d / (1 + chi * d)).sum()
    assert 1 + chi * alpha * pull == pytest.approx(0, abs=1e-4)


def test_the_quartic_has_none_at_a_random_start():
    with pytest.raises(ValueError, match="it has no lower edge"):
        random_critical(PhaseLoss(None))
