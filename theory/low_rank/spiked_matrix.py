"""A symmetric noise matrix with a few directions that stand out of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ..spectrum import FloatArray
from .problem import LowRankProblem

__all__ = [
    "NoisyOutlier",
    "edge_from_loss",
    "finite_size_edge",
    "initial_outliers",
    "outlier_overlap",
    "outlier_value",
]

# Mean of the largest eigenvalue of a Gaussian matrix below its edge, in sigma n^(-2/3): the mean
# of the Tracy-Widom law (beta = 1).
_TRACY_WIDOM_MEAN = 1.2065


@dataclass(frozen=True)
class NoisyOutlier:
    """An eigenvalue of A*A(Z) beyond the bulk.

    Attributes:
        value: nu = theta + sigma^2 / theta.
        overlap: squared, of its eigenvector with the direction it belongs to.
    """

    value: float = field(metadata={"unit": "that of the matrix"})
    overlap: float = field(metadata={"unit": "1, between 0 and 1"})


def outlier_value(theta: FloatArray, sigma: FloatArray | float) -> FloatArray:
    """nu = theta + sigma^2/theta for theta > sigma, else the edge 2 sigma; of any shape.

    The transition is that of Baik, Ben Arous and Péché; Benaych-Georges and Nadakuditi, arXiv
    0910.2120, theorem 2.1.
    """
    strong = np.maximum(theta, sigma)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = strong + np.where(strong > 0, np.square(sigma) / strong, 0.0)
    return np.asarray(value)


def outlier_overlap(theta: FloatArray, sigma: FloatArray | float) -> FloatArray:
    """cos^2 = 1 - sigma^2/theta^2 for theta > sigma, else 0; of any shape."""
    strong = np.maximum(theta, sigma)
    with np.errstate(divide="ignore", invalid="ignore"):
        overlap = np.where(strong > 0, 1 - np.square(sigma / strong), 0.0)
    return np.asarray(overlap)


def initial_outliers(problem: LowRankProblem) -> tuple[NoisyOutlier, ...]:
    """Of A*A(Z) = Z + noise, by falling value; chi = 1, a drawn operator has chi2_m / m instead.

    Args:
        problem: Z and the operator.
    """
    sigma, lam = problem.noise(problem.norm**2, problem.size), problem.strengths
    rows = zip(lam, outlier_value(lam, sigma), outlier_overlap(lam, sigma), strict=True)
    return tuple(
        NoisyOutlier(float(value), float(overlap))
        for theta, value, overlap in rows
        if theta > sigma
    )


def edge_from_loss(problem: LowRankProblem, loss: float) -> float:
    """2 sigma = 2 (2 f n / m)^(1/2), thinned: the bulk of A*A(R) is known from f alone.

    Args:
        problem: sizes and the operator.
        loss: f = |A(R)|^2 / 4.
    """
    return 2 * problem.noise(4 * loss, problem.size)


def finite_size_edge(edge: float, size: int) -> float:
    """2 sigma (1 - .603 n^(-2/3)), the mean of the largest eigenvalue of the noise alone."""
    return edge * (1 - _TRACY_WIDOM_MEAN / 2 / math.cbrt(size) ** 2)
