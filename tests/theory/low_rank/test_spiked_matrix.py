"""The spectrum of A*A(Z) against drawn operators, and its law in closed form."""

import math

import numpy as np
import pytest
import torch

from spectrain.theory.low_rank.problem import LowRankProblem
from spectrain.theory.low_rank.spiked_matrix import (
    edge_from_loss,
    finite_size_edge,
    initial_outliers,
    outlier_overlap,
    outlier_value,
)

LAM = (1.0, 0.7, 0.5)


@pytest.mark.parametrize(("n", "operator", "ratio"), [(80, "gaussian", 6), (150, "structured", 8)])
def test_outliers_overlaps_and_edge(case, n, operator, ratio):
    """Values within 3 standard errors of four operators, mean overlaps within .03, edge within 3 %.

    An outlier varies with chi = chi2_m / m and with one entry of the noise, sigma^2 2 / n.
    """
    values, overlaps, tops = [], [], []
    for seed in range(4):
        drawn = case(n, LAM, 3, ratio, 1e-3, seed, operator)
        found, vectors = torch.linalg.eigh(drawn.measurements.adjoint(drawn.outcomes))
        cosine = (drawn.truth.vectors.T @ vectors.flip(-1)[:, :3]).square()
        values.append(found.flip(-1)[:3].numpy())
        overlaps.append(cosine.diagonal().numpy())
        tops.append(-float(found[0]))
    problem = drawn.problem
    predicted = initial_outliers(problem)
    assert len(predicted) == 3
    expected = np.array([each.value for each in predicted])
    sigma = problem.noise(problem.norm**2, n)
    deviation = np.sqrt(2 * np.square(LAM) / problem.measurements + 2 * sigma**2 / n)
    assert (np.abs(np.mean(values, 0) - expected) < 3 * deviation / 4**0.5 + 0.01).all()
    expected = np.array([each.overlap for each in predicted])
    assert np.abs(np.mean(overlaps, 0) - expected).max() < 0.03
    assert np.mean(tops) == pytest.approx(finite_size_edge(2 * sigma, n), rel=0.03)


def test_the_edge_is_read_off_the_loss(case):
    """2 sigma (chi)^(1/2) = 2 (2 f n / m)^(1/2) at U = 0, for the operator as drawn."""
    drawn = case(40, LAM, 3, 6, 1e-3, 0)
    loss = float(drawn.outcomes.square().sum()) / 4
    chi = float(drawn.outcomes.square().sum()) / drawn.problem.norm**2
    edge = 2 * drawn.problem.noise(drawn.problem.norm**2, 40)
    assert edge_from_loss(drawn.problem, loss) == pytest.approx(edge * chi**0.5, rel=1e-12)
    assert chi == pytest.approx(1, abs=5 * (2 / drawn.problem.measurements) ** 0.5)


def test_the_transition():
    """At theta = sigma the outlier is on the edge and has no overlap; below it stays there."""
    theta = np.array([0.1, 0.5, 1.0])
    assert outlier_value(theta, 0.5) == pytest.approx([1.0, 1.0, 1.25])
    assert outlier_overlap(theta, 0.5) == pytest.approx([0.0, 0.0, 0.75])
    assert outlier_value(np.zeros(1), 0.0) == pytest.approx([0.0])
    barely = LowRankProblem(50, (1.0, 0.1), 200)
    assert [each.value for each in initial_outliers(barely)] == pytest.approx([1 + 0.12625])


def test_all_coordinates_leave_no_noise():
    p = 50 * 51 // 2
    problem = LowRankProblem(50, (1.0, 0.5), p, "structured")
    assert problem.noise(1.0, 50) == 0
    assert [each.value for each in initial_outliers(problem)] == [1.0, 0.5]
    half = LowRankProblem(50, (1.0,), p // 3, "structured")
    assert half.noise(1.0, 50) ** 2 == pytest.approx(50 / (2 * (p // 3)) * (1 - 1 / 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, (1.0,), 4), "size: expected at least 2, got 1"),
        ((4, (), 4), "eigenvalues: expected 1 to 3 of them, got 0"),
        ((4, (1.0, -1.0), 4), r"eigenvalues: expected positive numbers, got -1\.0"),
        ((4, (math.inf,), 4), "eigenvalues: expected positive numbers, got inf"),
        ((4, (1.0,), 0), "measurements: expected at least 1, got 0"),
        ((4, (1.0,), 11, "structured"), "measurements: expected at most the 10 coordinates"),
        ((4, (1.0,), 4, "sparse"), "operator: expected 'gaussian' or 'structured', got 'sparse'"),
    ],
)
def test_bad_problems_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        LowRankProblem(*arguments)
