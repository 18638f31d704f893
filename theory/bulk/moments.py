"""Moments of the bulk, from the power series of its equation.

With S = -sum_k M_k lam^(-k-1), M_0 = I, and A = D (I + T D)^(-1) = sum_k A_k lam^(-k) at a node,
equation (1) of docs/theory.md gives order by order

    A_0 = D,   A_k = 1/(phi snr) sum_(j<k) A_(k-1-j) M_j D   at a node,
    M_k = 1/snr sum_(j<k) E[A_(k-1-j)] M_j,

and tr M_k / m is the k-th moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..spectrum import FloatArray
from .law import CurvatureLaw

__all__ = ["Moments", "law_moments"]


@dataclass(frozen=True)
class Moments:
    """Moments of a spectral law.

    Attributes:
        values: lim tr H^k / N for k = 1, ..., P and N eigenvalues, (P,).
        errors: estimated numerical error of each, (P,).
    """

    values: FloatArray = field(metadata={"unit": "curvature to the power k"})
    errors: FloatArray = field(metadata={"unit": "curvature to the power k"})


def law_moments(law: CurvatureLaw, count: int) -> FloatArray:
    """tr M_k / m for k = 1, ..., count, (count,)."""
    noise = 1 / (law.aspect_ratio * law.snr)
    moments: list[FloatArray] = [np.eye(law.rows)]
    at_nodes: list[FloatArray] = [law.factors]
    means: list[FloatArray] = []
    for order in range(count):
        if order > 0:
            pull = np.zeros_like(law.factors)
            for j in range(order):
                pull += at_nodes[order - 1 - j] @ moments[j]
            at_nodes.append(noise * pull @ law.factors)
        means.append(np.tensordot(law.weights, at_nodes[order], 1))
        total = np.zeros_like(moments[0])
        for j in range(order + 1):
            total += means[order - j] @ moments[j] / law.snr
        moments.append((total + total.T) / 2)
    return np.array([np.trace(moment) / law.rows for moment in moments[1:]])
