"""What A*A sees of a residual R = Z - U U^T, from how far each direction is learned."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..spectrum import FloatArray
from .problem import LowRankProblem
from .spiked_matrix import outlier_value

__all__ = ["Residual", "residual"]

_MATRIX = {"unit": "that of the matrix"}


@dataclass(frozen=True)
class Residual:
    """R and A*A(R) at each of some points.

    Attributes:
        kept: kappa, (points,).
        sigma: of the noise of A*A(R), (points,).
        theta: kappa (lam_k - s_k), the directions in it, (points, r).
        rho: largest eigenvalue of A*A(R), (points,).
        error: |R| / |Z|, (points,).
        loss: f, (points,).
    """

    kept: FloatArray = field(metadata={"unit": "1, between 0 and 1"})
    sigma: FloatArray = field(metadata=_MATRIX)
    theta: FloatArray = field(metadata=_MATRIX)
    rho: FloatArray = field(metadata=_MATRIX)
    error: FloatArray = field(metadata={"unit": "1"})
    loss: FloatArray = field(metadata={"unit": "loss"})


def residual(problem: LowRankProblem, strengths: FloatArray, noise: FloatArray) -> Residual:
    """kappa = 1 - d/m, d and the number of learned directions between their values at saddles.

    What is not learned, of square x = sum (lam_k - s_k)^2 + noise^2, is regressed on the d
    degrees of freedom of what is: |A(R)|^2 = kappa x, while |R|^2 = x / kappa.

    Args:
        problem: Z and the operator.
        strengths: s_k, (points, r).
        noise: |U U^T| off the directions of Z, (points,).
    """
    lam, ranks = problem.strengths, range(problem.rank + 1)
    share = np.clip(strengths / lam, 0, 1)
    free = np.diff([float(problem.degrees_of_freedom(j)) for j in ranks])
    kept = np.maximum(0.0, 1 - share @ free / problem.measurements)
    left = lam * (1 - share)
    square = np.square(left).sum(1) + np.square(noise)
    size = problem.size - share.sum(1)
    scale = problem.thinning / (2 * problem.measurements)
    sigma = np.sqrt(scale * kept * square * size)
    theta = kept[:, None] * left
    rho = outlier_value(theta, sigma[:, None]).max(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(kept > 0, np.sqrt(square / kept) / problem.norm, np.nan)
    return Residual(kept, sigma, theta, rho, error, kept * square / 4)
