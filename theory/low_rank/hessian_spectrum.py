"""The Hessian between and at the saddles, as the spectrum of a finite matrix."""

from __future__ import annotations

import math

import numpy as np

from ..bulk.detection import square_root_detection_edge
from ..matrix_kind import HESSIAN
from ..spectrum import Bulk, Edge, Eigenpair, Spectrum
from .hessian import minimum_edges
from .problem import LowRankProblem
from .residual import residual
from .spiked_matrix import outlier_value

__all__ = ["hessian_spectrum"]

_HALF_EIGENVALUE = (3 * math.pi / 4) ** (2 / 3)


def hessian_spectrum(
    problem: LowRankProblem, factors: int, strengths: np.ndarray, noise: float, block: str
) -> Spectrum:
    """-A*A(R) on the q - j free columns: outliers -nu_k, each q - j times, beyond -2 sigma.

    Direction k counts as learned from s_k = lam_k / 2 on; j is their number. The bulk reaches up
    to the largest eigenvalue of the learned directions, 2 sigma without any; once all are learned
    it is that of the minimum, with its zeros as the atom.

    Args:
        problem: Z and the operator.
        factors: q.
        strengths: s_k, (r,).
        noise: |U U^T| off the directions of Z.
        block: its name.
    """
    size = problem.size * factors
    waiting = strengths < problem.strengths / 2
    free = factors - (problem.rank - int(waiting.sum()))
    learned = problem.strengths[~waiting]
    if not waiting.any():
        lower, upper = minimum_edges(problem)
        atom = 1 - problem.degrees_of_freedom(problem.rank) / size
        bulk = Bulk(_edge(lower, math.nan, size), _edge(upper, math.nan, size), max(0.0, atom))
        return Spectrum(HESSIAN.name, block, size, (), (), bulk)
    found = residual(problem, strengths[None], np.array([noise]))
    sigma, theta = float(found.sigma[0]), found.theta[0]
    strong = waiting & (theta > sigma)
    values = np.sort(-np.repeat(outlier_value(theta[strong], sigma), free))
    bottom = tuple(Eigenpair(float(value), math.nan) for value in values)
    upper = 2 * sigma
    if len(learned):
        own = LowRankProblem(
            problem.size, tuple(learned.tolist()), problem.measurements, problem.operator
        )
        upper = max(upper, minimum_edges(own)[1])
    lower_edge = _edge(-2 * sigma, sigma, problem.size)
    return Spectrum(
        HESSIAN.name, block, size, (), bottom, Bulk(lower_edge, _edge(upper, math.nan, size))
    )


def _edge(value: float, sigma: float, size: int) -> Edge:
    """A square-root edge; of the semicircle's lower end if sigma is known."""
    if math.isnan(sigma):
        return Edge(value, "square-root", math.nan, math.nan, math.nan)
    half = value + sigma * _HALF_EIGENVALUE / size ** (2 / 3)
    detection = square_root_detection_edge(value, half, 0.0)
    return Edge(value, "square-root", half, detection, math.nan)
