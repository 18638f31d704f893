"""The equation of the bulk for blocks of m >= 2 directions, and its derivative."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .curvature_law import CurvatureLaw

__all__ = ["Evaluation", "MatrixEquation", "symmetric_inverse"]

AnyArray = NDArray[Any]
IndexArray = NDArray[np.intp]


@dataclass(frozen=True)
class Evaluation:
    """The left side of the equation at one P.

    Attributes:
        value: F(P), (m, m).
        derivative: X -> E[D M X M D] - X / phi as a matrix (m*m, m*m), row-major.
        inverses: upper triangle of M = (P + D)^(-1) at the nodes, (m (m+1) / 2, N).
        mean: E[M], (m, m).
        pivots: (m, N) of the elimination of P + D; their signs are those of its eigenvalues.
    """

    value: AnyArray
    derivative: AnyArray
    inverses: AnyArray
    mean: AnyArray
    pivots: AnyArray


class MatrixEquation:
    """F(P) = lam snr I,  F(P) = E[D (P + D)^(-1) P] - P / phi,  P = T^(-1) = phi snr S^(-1).

    This is equation (1) of docs/theory.md in the inverse of the resolvent, where it is nearly
    linear far from the bulk and nothing diverges at an atom at zero. The same code serves real P
    (outside the bulk, negative definite) and complex P (inside, with negative definite imaginary
    part); in both, P + D needs no pivoting, and its pivots certify the branch.
    """

    def __init__(self, law: CurvatureLaw) -> None:
        self.m, self.phi, self.snr = law.rows, law.aspect_ratio, law.snr
        self.weights, self.span = law.weights, law.span
        self._upper, self._full = _packing(self.m)
        span, self._full_span = _packing(self.span)
        self._moments = np.ascontiguousarray(law.moments[:, span[0], span[1]])
        self._mean_moment = (law.weights @ self._moments)[self._full_span]
        self._factors = np.ascontiguousarray(law.factors[:, self._upper[0], self._upper[1]].T)

    def evaluate(self, p: AnyArray) -> Evaluation:
        """F and its derivative at a symmetric P (m, m)."""
        inverses, pivots = symmetric_inverse(p[self._upper][:, None] + self._factors)
        weighted = inverses * self.weights
        mean = weighted.sum(1)[self._full]
        # D M = I - P M, so every expectation needs E[M] and E[M (x) M] alone.
        identity = np.eye(self.m)
        pairs = (weighted @ inverses.T)[self._full[:, None, :, None], self._full[None, :, None, :]]
        second = pairs.reshape(self.m**2, self.m**2)
        tilt = p @ mean
        derivative = (
            (1 - 1 / self.phi) * np.eye(self.m**2)
            - np.kron(tilt, identity)
            - np.kron(identity, tilt)
            + np.kron(p, p) @ second
        )
        value = (1 - 1 / self.phi) * p - tilt @ p
        return Evaluation(value, derivative, inverses, mean, pivots)

    def spread(self, p: AnyArray, at: Evaluation) -> AnyArray:
        """E[A (x) z z^T] with A = D M P, (m r, m r), the block's directions outermost."""
        lifted = np.kron(p, np.eye(self.span))
        return np.kron(p, self._mean_moment) - lifted @ self._spread(at.inverses) @ lifted

    def moved_spread(self, p: AnyArray, at: Evaluation, dp: AnyArray) -> AnyArray:
        """The change E[D M dP M D (x) z z^T] of `spread` as P moves by dP, (m r, m r)."""
        stack = at.inverses[self._full]
        moved = np.einsum("ijn,jk,kln->iln", stack, dp, stack, optimize=True)[self._upper]
        lifted = np.kron(p, np.eye(self.span))
        half = np.kron(dp, np.eye(self.span)) @ self._spread(at.inverses) @ lifted
        change = np.kron(dp, self._mean_moment) - half - half.T
        return change + lifted @ self._spread(moved) @ lifted

    def _spread(self, packed: AnyArray) -> AnyArray:
        """E[X (x) z z^T] for symmetric X at the nodes, given as upper triangles."""
        size = self.m * self.span
        pairs = (packed * self.weights) @ self._moments
        full = pairs[self._full[:, None, :, None], self._full_span[None, :, None, :]]
        return full.reshape(size, size)


def _packing(size: int) -> tuple[tuple[IndexArray, IndexArray], IndexArray]:
    """Indices of an upper triangle, row by row, and where each entry (size, size) is in it."""
    upper = np.triu_indices(size)
    full = np.zeros((size, size), dtype=np.intp)
    full[upper] = np.arange(len(upper[0]))
    return upper, np.maximum(full, full.T)


def symmetric_inverse(packed: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Inverses of symmetric matrices by the sweep operator, without pivoting.

    Args:
        packed: (m (m+1) / 2, N) upper triangles row by row.

    Returns:
        The inverses in the same form, and the pivots (m, N).
    """
    m = int((2 * len(packed)) ** 0.5)
    place = {}
    for position, (i, j) in enumerate(combinations_with_replacement(range(m), 2)):
        place[i, j] = place[j, i] = position
    # One contiguous row an entry: every operation stays in the cache.
    a = list(packed)
    pivots = np.empty((m, packed.shape[1]), dtype=packed.dtype)
    for k in range(m):
        pivots[k] = a[place[k, k]]
        reciprocal = 1 / pivots[k]
        others = [i for i in range(m) if i != k]
        scaled = {i: a[place[i, k]] * reciprocal for i in others}
        for i in others:
            for j in others:
                if i <= j:
                    a[place[i, j]] = a[place[i, j]] - scaled[i] * a[place[j, k]]
        for i in others:
            a[place[i, k]] = scaled[i]
        a[place[k, k]] = -reciprocal
    return -np.array(a), pivots
