import math

import numpy as np
import pytest

from spectrain.theory.bulk.detection import counted_detection_edge, square_root_detection_edge
from spectrain.theory.bulk.exterior import exterior
from spectrain.theory.bulk.interior import interior
from spectrain.theory.bulk.law import CurvatureLaw
from spectrain.theory.bulk.thin_detection import thin_detection_edge


def largest_eigenvalues(problem, matrix, dimension, draws, skip):
    """The largest eigenvalue of each draw that is not one of the outliers."""
    return np.array(
        [
            np.linalg.eigvalsh(problem.dense(matrix, (0,), dimension, seed))[-1 - skip]
            for seed in range(draws)
        ]
    )


def test_a_square_root_edge_without_noise_is_tracy_widoms():
    """The 99 % point lies 1.14 (e - e_1/2) beyond the edge, on both sides."""
    step = 2.0234 / (3 * math.pi / 4) ** (2 / 3)
    assert square_root_detection_edge(2.0, 1.9, 0.0) == pytest.approx(2 + 0.1 * step)
    assert square_root_detection_edge(-2.0, -1.9, 0.0) == pytest.approx(-2 - 0.1 * step)
    assert step == pytest.approx(1.14, abs=0.005)


def test_half_an_eigenvalue_beyond_the_marchenko_pastur_edge():
    """N = 1/2 at e - 1.77 s d^(-2/3), s = (1 + phi^(-1/2))^(4/3) phi^(-1/2) (Johnstone 2001)."""
    phi, d = 4.0, 100_000
    one = np.ones((1, 1, 1))
    law = CurvatureLaw(np.ones(1), one, np.zeros((1, 0, 0)), 1.0, 0.0, one, phi, 1.0)
    edge = (1 + phi**-0.5) ** 2
    n = phi * d
    # Johnstone's scale of the largest eigenvalue of X^T X, divided by n.
    s = (n**0.5 + d**0.5) * (n**-0.5 + d**-0.5) ** (1 / 3) / n
    half = interior(law, (1 - phi**-0.5) ** 2, edge).quantile(0.5 / d)
    assert (edge - half) / s == pytest.approx((3 * math.pi / 4) ** (2 / 3), rel=2e-3)


@pytest.mark.parametrize("matrix", ["hessian", "information"])
def test_few_bulk_eigenvalues_lie_beyond_the_detection_edge(xor, softmax, matrix):
    """At most 1 % by design: with 100 draws more than 5 have a chance below 1 in 1000."""
    d, draws = 120, 100
    problem = softmax(x_scale=0.8)
    spectrum = problem.theory(d).spectrum(matrix, (0,), "block", density_points=0)
    skip = sum(o.value > spectrum.bulk.upper.detection for o in spectrum.top)
    largest = largest_eigenvalues(problem, matrix, d, draws, skip)
    assert (largest > spectrum.bulk.upper.detection).sum() <= 5
    # A typical place of the last bulk eigenvalue, not a bound.
    assert 0.05 < (largest > spectrum.bulk.upper.finite_size).mean() < 0.999


def test_thin_edges_of_a_two_layer_network(xor):
    d, draws = 120, 100
    problem = xor()
    spectrum = problem.theory(d).spectrum("information", (0,), "block", density_points=0)
    edge = spectrum.bulk.upper
    assert edge.kind == "thin"
    assert edge.finite_size < edge.detection < edge.value
    skip = sum(o.value > edge.detection for o in spectrum.top)
    largest = largest_eigenvalues(problem, "information", d, draws, skip)
    assert (largest > edge.detection).sum() <= 5


def test_counting_agrees_with_the_law_of_the_largest_factor(xor):
    """The two detection edges agree to a third of their distance from the finite-size edge."""
    d = 300
    theory = xor().theory(d)
    law = theory.law("information", (0,))
    right = exterior(law)
    inside = interior(law, -exterior(law.mirrored).edge, right.edge)
    thin, counted = thin_detection_edge(law, d), counted_detection_edge(inside.quantile, d)
    assert counted == pytest.approx(thin, abs=(thin - inside.quantile(0.5 / d)) / 3)
