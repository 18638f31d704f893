"""Constants of the literature, and the minimum found in three ways."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from spectrain.theory.spiked.complexity import _potential, complexity, largest_complexity
from spectrain.theory.spiked.covariance import Covariance
from spectrain.theory.spiked.lines import lines, threshold
from spectrain.theory.spiked.signal_minimum import signal_minimum, state_evolution

SIGNALS = [(0.3, 1.0), (0.5, None), (None, 0.1), (0.7, 4.0), (0.5, 2.0, 4)]


def test_lines_at_delta_p_4():
    """.6443 < .7321 < .8284 < 1 of arXiv 1907.08226 and 1902.00139; 2/3 for order 4."""
    found = lines(4.0)
    assert found.trivialisation == pytest.approx(0.644306, abs=5e-7)
    assert found.gradient_flow == pytest.approx(3**0.5 - 1, rel=1e-12)
    assert found.maximum_likelihood_amp == pytest.approx(2 * 2**0.5 - 2, rel=1e-12)
    assert found.bayes_amp == 1.0
    assert lines(3.0, 4).gradient_flow == pytest.approx((-3 + 45**0.5) / 6)


@pytest.mark.parametrize("order", [3, 4, 6])
@pytest.mark.parametrize("noise", [1e-3, 0.5, 30.0, 1e6])
def test_each_line_solves_its_condition(noise, order):
    found = lines(noise, order)
    flow = Covariance(found.gradient_flow, noise, order)
    assert flow.curvature(0.0) == pytest.approx(flow.sigma)
    amp = Covariance(found.maximum_likelihood_amp, noise, order)
    assert amp.curvature(0.0) == pytest.approx(amp.slope(1.0) ** 0.5)
    trivial = Covariance(found.trivialisation, noise, order)
    assert largest_complexity(trivial, 0.0) == pytest.approx(0, abs=1e-9)
    assert found.trivialisation <= found.gradient_flow < found.maximum_likelihood_amp < 1


def test_without_a_tensor_every_line_is_the_transition_of_the_spiked_matrix():
    found = lines(None)
    assert (found.trivialisation, found.gradient_flow) == (1.0, 1.0)
    assert (found.maximum_likelihood_amp, found.bayes_amp) == (1.0, 1.0)
    near = lines(1e9)
    assert near.trivialisation == pytest.approx(1, abs=1e-6)


def test_threshold_of_the_pure_tensor():
    """p = 3 at Delta_p = 2/3, so that Q = q^3/2: mu = 2 sqrt(3), e = -2/sqrt(3)."""
    found = threshold(Covariance(None, 2 / 3))
    assert found.multiplier == pytest.approx(2 * math.sqrt(3), rel=1e-14)
    assert found.energy == pytest.approx(-2 / math.sqrt(3), rel=1e-14)


def test_threshold_of_the_matrix_is_its_ground_state():
    found = threshold(Covariance(0.5, None))
    assert found.energy == pytest.approx(-found.multiplier / 2)


@pytest.mark.parametrize("noises", SIGNALS)
def test_the_complexity_of_the_signal_minimum_is_zero_and_largest(noises):
    covariance = Covariance(*noises)
    minimum = signal_minimum(covariance)
    m, mu, e = minimum.overlap, minimum.multiplier, minimum.energy
    assert complexity(covariance, m, mu) == pytest.approx(0, abs=1e-12)
    assert complexity(covariance, m, mu, e) == pytest.approx(0, abs=1e-12)
    assert largest_complexity(covariance, m) == pytest.approx(0, abs=1e-12)
    assert state_evolution(covariance, m, 50)[-1] == pytest.approx(m)


def test_the_minimum_of_the_spiked_matrix_is_its_top_eigenvector():
    """m^2 = 1 - Delta, mu = 1/Delta + 1, e = -mu/2 for Delta < 1; none above."""
    minimum = signal_minimum(Covariance(0.4, None))
    assert minimum.overlap**2 == pytest.approx(0.6)
    assert minimum.multiplier == pytest.approx(3.5)
    assert minimum.energy == pytest.approx(-1.75)
    assert signal_minimum(Covariance(1.5, None)) is None
    assert signal_minimum(Covariance(None, 2 / 3)) is None


def test_state_evolution_without_signal_stays_without():
    assert (state_evolution(Covariance(0.3, 1.0), 0.0, 5) == 0).all()
    with pytest.raises(ValueError, match="overlap: expected a number from -1 to 1, got 2"):
        state_evolution(Covariance(0.3, 1.0), 2, 5)


@pytest.mark.parametrize("t", [2.0, 2.3, 5.0])
def test_logarithmic_potential_of_the_semicircle(t):
    def integrand(y):
        return math.sqrt(4 - y * y) / (2 * math.pi) * math.log(t - y) if y < t else 0.0

    assert _potential(t) == pytest.approx(quad(integrand, -2, 2)[0], abs=1e-8)


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.7])
def test_sigma_of_m_and_mu_is_the_largest_over_the_energy(overlap):
    covariance = Covariance(0.7, 4.0)
    mu = 2.1 * covariance.sigma
    best = minimize_scalar(lambda e: -complexity(covariance, overlap, mu, e), (-2.0, 0.0))
    assert complexity(covariance, overlap, mu) == pytest.approx(-best.fun, abs=1e-12)
    over_mu = np.linspace(2, 4, 2001) * covariance.sigma
    best = max(complexity(covariance, overlap, float(mu)) for mu in over_mu)
    assert largest_complexity(covariance, overlap) == pytest.approx(best, abs=1e-6)
    assert largest_complexity(covariance, overlap) >= best


def test_where_there_are_no_minima():
    mixed, pure = Covariance(0.7, 4.0), Covariance(None, 0.5)
    assert complexity(mixed, 0.2, 1.99 * mixed.sigma) == -math.inf
    mu = 2.2 * pure.sigma
    assert complexity(pure, 0.2, mu, -mu / 3) == complexity(pure, 0.2, mu)
    assert complexity(pure, 0.2, mu, -mu / 3 + 0.01) == -math.inf


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 3.0), "overlap: expected a number above -1 and below 1, got 1.0"),
        ((0.0, math.nan), "multiplier: expected a finite number, got nan"),
        ((0.0, 3.0, math.inf), "energy: expected a finite number, got inf"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        complexity(Covariance(0.7, 4.0), *arguments)
    with pytest.raises(ValueError, match="tensor_noise: expected a positive number or None"):
        lines(-1.0)
