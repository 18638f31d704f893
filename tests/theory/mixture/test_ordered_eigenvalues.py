"""Eigenvalues one by one at d = 1000: N(lam) = j - 1/2 against the mean of several samples.

The rank j counts from the end of the bulk, outliers aside. At a square-root edge e, in the unit
u = (e - e_1/2) / 1.77, the limit's j-th eigenvalue has the mean e - a_j u with a_1, a_2, ... the
mean places of the Airy_1 points, and the counting function says e - (3 pi (j - 1/2) / 2)^(2/3) u.
Their difference is the Tracy-Widom shift, 0.56 u for j = 1, and it is added to the prediction.

Every eigenvalue is within 1.5 % of its prediction. The first three at each end, where single
samples make a difference, most at a thin edge, may be off by three standard errors more.
"""

import math

import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal

from spectrain.models.heads import LogisticHead
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics

DIMENSION, DRAWS = 1000, {1: 8, 2: 4}  # by the number of directions
AIRY_POINTS = 3
BOUND = 0.015
STANDARD_ERRORS = 3.0
AWAY_FROM_ZERO = 0.1  # of the bulk's largest eigenvalue: what lies closer to zero is not compared
CASES = [
    ("softmax", (0,), False),
    ("softmax", (0, 1), False),
    ("logistic", (0,), False),
    ("xor", (0,), False),
    ("xor", (0, 1), True),
]


@pytest.fixture(scope="module")
def airy_shifts():
    """(3 pi (j - 1/2) / 2)^(2/3) - a_j for the first points, from tridiagonal GOE matrices.

    Of an N x N matrix (Dumitriu and Edelman, math-ph/0206043) the first corner of many times
    N^(1/3) rows decides the largest eigenvalues; in units of (2 N^(1/3))^(-1/2) they are the
    Airy_1 points.
    """
    rng, size, corner, draws = np.random.default_rng(0), 10_000, 250, 2000
    points = np.empty((draws, AIRY_POINTS))
    for draw in range(draws):
        diagonal = rng.standard_normal(corner)
        off = np.sqrt(rng.chisquare(size - 1.0 - np.arange(corner - 1)) / 2)
        top = eigh_tridiagonal(
            diagonal,
            off,
            eigvals_only=True,
            select="i",
            select_range=(corner - AIRY_POINTS, corner - 1),
        )[::-1]
        points[draw] = (top - math.sqrt(2 * size)) * math.sqrt(2) * size ** (1 / 6)
    counted = (1.5 * math.pi * (np.arange(AIRY_POINTS) + 0.5)) ** (2 / 3)
    return points.mean(0) + counted


def logistic(problem):
    vectors = np.array([[0.5, 0.3, 0, 0.2], [1, 0, 0, 0], [-0.5, 0.8, 0, 0], [0, 0, 0.9, 0]])
    law = MixtureLaw(np.array([0.4, 0.35, 0.25]), np.array([1, 0, 0]), 4.0)
    return problem(LogisticHead(), Statistics(vectors @ vectors.T), law, 3.0)


@pytest.mark.slow
def test_the_first_airy_point_is_tracy_widoms(airy_shifts):
    """Its mean is -1.2065; 2000 draws know it to three standard errors 3 x 1.27 / 2000^(1/2)."""
    assert airy_shifts[0] == pytest.approx((3 * math.pi / 4) ** (2 / 3) - 1.2065, abs=0.085)
    assert (np.diff(airy_shifts) < 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("matrix", ["hessian", "information"])
@pytest.mark.parametrize(("name", "rows", "full"), CASES)
def test_each_ordered_eigenvalue(softmax, xor, problem, airy_shifts, name, rows, full, matrix):
    at = {"softmax": softmax, "xor": xor, "logistic": lambda: logistic(problem)}[name]()
    theory = at.theory(DIMENSION)
    spectrum = theory.spectrum(matrix, rows, name, 0, full)
    upper, lower = spectrum.bulk.upper, spectrum.bulk.lower
    above = sum(o.value > upper.detection for o in spectrum.top)
    below = sum(o.value < lower.detection for o in spectrum.bottom)
    size = spectrum.size
    inner = size - above - below
    places = np.unique(np.geomspace(1, inner // 2, 40).round().astype(int))
    ranks = np.concatenate([above + places, size - below + 1 - places])
    shifts = np.zeros((2, len(places)))
    first = places <= AIRY_POINTS
    for side, edge in enumerate((upper, lower)):
        if edge.kind == "square-root":
            unit = (edge.value - edge.finite_size) / (3 * math.pi / 4) ** (2 / 3)
            shifts[side, first] = unit * airy_shifts[places[first] - 1]
    predicted = theory.eigenvalues(matrix, rows, ranks.tolist(), full) + shifts.reshape(-1)
    draws = DRAWS[len(rows)]
    samples = np.array(
        [
            np.linalg.eigvalsh(at.dense(matrix, rows, DIMENSION, seed, full))[-ranks]
            for seed in range(draws)
        ]
    )
    measured, error = samples.mean(0), samples.std(0, ddof=1) / draws**0.5
    allowed = BOUND * abs(predicted) + np.tile(STANDARD_ERRORS * first, 2) * error
    far = abs(predicted) > AWAY_FROM_ZERO * max(abs(upper.finite_size), abs(lower.finite_size))
    assert far.sum() > 20
    assert (abs(measured - predicted) < allowed)[far].all()
