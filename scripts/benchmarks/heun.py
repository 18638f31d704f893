"""The flow's integro-differential equations by Heun's scheme: slow, and independent of the law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spectrain.theory.spiked.covariance import Covariance

__all__ = ["HeunPath", "heun"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class HeunPath:
    """At the end of the flow: m, mu, e, C(t, 0)."""

    overlap: float
    multiplier: float
    energy: float
    correlation: float


def heun(
    covariance: Covariance, overlap: float, time: float, steps: int, temperature: float = 0.0
) -> HeunPath:
    """Integrate the equations for C, R and m (arXiv 1902.00139) with errors of order h^2.

    Integrals over the past are trapezoidal, empty ones 0; R(t, t) = 1.
    """
    q, h = covariance, time / steps
    C, R, m = np.eye(steps + 1), np.eye(steps + 1), np.zeros(steps + 1)
    m[0] = overlap

    def slopes(t: int) -> tuple[FloatArray, FloatArray, float, float, float]:
        """d/dt of C(t, s), R(t, s), s <= t, and of m; mu; e."""
        c, r = C[t, : t + 1], R[t, : t + 1]
        ends = np.ones(t + 1)
        ends[0] = ends[-1] = 0.5
        ends = h * ends if t else np.zeros(1)
        first, second = q.slope(c), q.curvature(c)
        own = float((ends * r) @ first)
        multiplier = q.slope(m[t]) * m[t] + own + float((ends * r * second) @ c)
        friction = multiplier + temperature
        # int_0^s R(s, u) Q'(C(t, u)) du for every s: half of both ends taken off the full sum.
        past = h * (R[: t + 1, : t + 1] @ first - R[: t + 1, 0] * first[0] / 2 - first / 2)
        past[0] = 0.0
        w = ends * r * second
        dC = -friction * c + q.slope(m[t]) * m[: t + 1] + w @ C[: t + 1, : t + 1] + past
        # int_s^t R(t, u) Q''(C(t, u)) R(u, s) du, likewise.
        full = h * r * second
        dR = full @ R[: t + 1, : t + 1] - full / 2 - full[-1] * r / 2
        dR[-1] = 0.0
        dm = -friction * m[t] + q.slope(m[t]) + float(w @ m[: t + 1])
        return dC, dR - friction * r, dm, multiplier, -q.value(m[t]) - own

    for t in range(steps):
        before = slopes(t)
        rows = slice(0, t + 1)
        for part, (now, table) in enumerate(((before[0], C), (before[1], R))):
            table[t + 1, rows] = table[t, rows] + h * now
            if part == 0:
                C[rows, t + 1] = C[t + 1, rows]
        m[t + 1] = m[t] + h * before[2]
        after = slopes(t + 1)
        C[t + 1, rows] = C[t, rows] + h / 2 * (before[0] + after[0][:-1])
        C[rows, t + 1] = C[t + 1, rows]
        R[t + 1, rows] = R[t, rows] + h / 2 * (before[1] + after[1][:-1])
        m[t + 1] = m[t] + h / 2 * (before[2] + after[2])
    _, _, _, multiplier, energy = slopes(steps)
    return HeunPath(float(m[-1]), multiplier, energy, float(C[-1, 0]))
