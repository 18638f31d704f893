"""How far a single problem of finite size is from its deterministic equivalent."""

from __future__ import annotations

import math

import numpy as np

from ..spectrum import FloatArray
from .equivalents import OnePoint, TwoPoint
from .problem import LinearProblem
from .renormalisation import Renormalisation

__all__ = ["finite_size"]


def finite_size(problem: LinearProblem, ridges: FloatArray) -> FloatArray:
    """1 / (P (1 - gamma1)) + 1 / (N (1 - gamma2)),  at each ridge lam >= 0, (L,).

    The order of the relative correction to a loss: the theory is the leading order in 1/P and 1/N.
    For isotropic regression without ridge the mean loss of the label noise is exactly
    sig2 D / (P - D - 1), which this makes sig2 D / (P - D) (1 + 1 / (P - D)). It grows where N is
    near P, or P near D, at little ridge. Training acts like the ridge 1 / (sum of the steps eta).
    """
    law = Renormalisation.of(problem)
    kappa = law.solve(np.asarray(ridges, dtype=np.float64))
    points = OnePoint(problem, kappa)
    pair = TwoPoint(problem, kappa**2, lambda name: points.sum(name, 2))
    total = np.zeros(len(kappa))
    for count, gamma in ((problem.samples, pair.gamma1), (problem.features, pair.gamma2)):
        if math.isfinite(count):
            total += 1 / (count * np.maximum(1 - np.real(gamma), 1e-300))
    return np.minimum(total, math.inf)
