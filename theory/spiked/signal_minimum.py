"""State evolution of message passing, and the minimum that it, and late descent, end in."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ...models.arguments import require_arguments, require_whole
from ..spectrum import FloatArray
from .covariance import Covariance

__all__ = ["Minimum", "signal_minimum", "state_evolution"]

_ITERATIONS = 1_000_000
_CONVERGED = 1e-15


@dataclass(frozen=True)
class Minimum:
    """A minimum of the energy on the sphere.

    Attributes:
        overlap: m.
        multiplier: mu.
        energy: H/N.
    """

    overlap: float = field(metadata={"unit": "1"})
    multiplier: float = field(metadata={"unit": "energy per squared coordinate"})
    energy: float = field(metadata={"unit": "energy per coordinate"})


def state_evolution(covariance: Covariance, overlap: float, iterations: int) -> FloatArray:
    """m <- Q'(m) / (Q'(m)^2 + Q'(1))^(1/2), of maximum-likelihood approximate message passing.

    Args:
        covariance: Q.
        overlap: m before the first iteration.
        iterations: how many.

    Returns:
        (iterations + 1,), the start first.

    Raises:
        ValueError: if the overlap is not from -1 to 1.
    """
    require_arguments(state_evolution, locals())
    require_whole("iterations", iterations, 0)
    if not -1 <= overlap <= 1:
        raise ValueError(f"overlap: expected a number from -1 to 1, got {overlap}")
    path = np.empty(iterations + 1)
    path[0] = overlap
    for t in range(iterations):
        path[t + 1] = _next(covariance, float(path[t]))
    return path


def signal_minimum(covariance: Covariance) -> Minimum | None:
    """mu = 1/chi + sigma^2 chi,  e = -Q(m) - Q'(1) chi,  chi^2 = (1 - m^2) / Q'(1).

    m is where state evolution ends from m = 1. None if that is 0: no minimum knows the signal. The
    complexity of minima vanishes there (see `complexity`), and descent that finds it ends there.
    """
    m = 1.0
    for _ in range(_ITERATIONS):
        before, m = m, _next(covariance, m)
        if abs(m - before) <= _CONVERGED:
            break
    if m < math.sqrt(_CONVERGED):
        return None
    chi = math.sqrt((1 - m * m) / covariance.slope(1.0))
    if chi * covariance.sigma >= 1:  # mu falls again beyond: it would be a saddle
        return None
    return Minimum(
        m,
        1 / chi + covariance.curvature(1.0) * chi,
        -covariance.value(m) - covariance.slope(1.0) * chi,
    )


def _next(covariance: Covariance, m: float) -> float:
    slope = covariance.slope(m)
    return slope / math.hypot(slope, math.sqrt(covariance.slope(1.0)))
