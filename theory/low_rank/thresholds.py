"""How many measurements are needed, for what."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize_scalar

from ..spectrum import FloatArray
from .problem import LowRankProblem

__all__ = ["Thresholds", "thresholds", "trace_minimisation"]

_COUNT = {"unit": "measurements"}


@dataclass(frozen=True)
class Thresholds:
    """Numbers of measurements from which on something holds.

    Attributes:
        degrees_of_freedom: d_r: Z is isolated among matrices of its rank.
        unique: d_r + (n - r)(n - r + 1) / 4: Z is the only positive matrix with these outcomes, so
            that every start finds it.
        trace_minimisation: the statistical dimension at which the smallest trace finds it.
        bbp: n |lam|^2 / (2 lam_k^2): direction k stands out of A*A(Z) (arXiv 0910.2120).
    """

    degrees_of_freedom: float = field(metadata=_COUNT)
    unique: float = field(metadata=_COUNT)
    trace_minimisation: float = field(metadata=_COUNT)
    bbp: tuple[float, ...] = field(metadata=_COUNT)


def thresholds(problem: LowRankProblem) -> Thresholds:
    """Of Z and the kind of operator; its number of measurements does not matter.

    Args:
        problem: Z and the operator.
    """
    n, r = problem.size, problem.rank
    free = problem.degrees_of_freedom(r)
    dense = n * problem.norm**2 / (2 * np.square(problem.strengths))
    inverse = 1 / dense + (1 / problem.coordinates if problem.operator == "structured" else 0.0)
    return Thresholds(
        float(free),
        free + (n - r) * (n - r + 1) / 4,
        trace_minimisation(n, r),
        tuple((1 / inverse).tolist()),
    )


def trace_minimisation(size: int, rank: int) -> float:
    """min over tau of r (r + 1) / 2 + r tau^2 + r (n - r) + (n - r) E (x - tau)_+^2.

    x is of the semicircle of variance (n - r) / 2: the statistical dimension of the descent cone
    of the trace at a positive matrix (Amelunxen, Lotz, McCoy, Tropp, arXiv 1303.6672).

    Args:
        size: n.
        rank: r.
    """
    rest = size - rank
    edge = 2 * math.sqrt(rest / 2)

    def dimension(tau: float) -> float:
        tail = rest * _excess_square(tau / edge) * edge**2
        return rank * (rank + 1) / 2 + rank * tau**2 + rank * rest + tail

    found = minimize_scalar(
        dimension, bounds=(0.0, edge), method="bounded", options={"xatol": 1e-9}
    )
    return float(found.fun)


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def _excess_square(tau: float) -> float:
    """E (x - tau)_+^2 for x of the semicircle on [-1, 1], by x = cos(phi)."""
    end = math.acos(min(1.0, tau))
    phi: FloatArray = (_NODES + 1) * end / 2
    density = 2 / math.pi * np.sin(phi) ** 2
    return float((_WEIGHTS * (np.cos(phi) - tau) ** 2 * density).sum() * end / 2)
