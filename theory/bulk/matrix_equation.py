"""The equation of the bulk for blocks of m >= 2 directions, and its derivative."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .law import CurvatureLaw

__all__ = ["Evaluation", "MatrixEquation", "packing", "symmetric_inverse"]

AnyArray = NDArray[Any]
IndexArray = NDArray[np.intp]


@dataclass(frozen=True)
class Evaluation:
    """The left side of the equation at one P, or at L of them at once.

    Attributes:
        value: F(P), (..., m, m).
        derivative: X -> E[D M X M D] - X / phi as a matrix (..., m*m, m*m), row-major.
        inverses: upper triangle of M = (P + D)^(-1) at the nodes, (m (m+1) / 2, ..., N).
        mean: E[M], (..., m, m).
        pivots: (m, ..., N) of the elimination of P + D; their signs are those of its eigenvalues.
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
    (outside the bulk) and complex P (inside, with negative definite imaginary part); in both,
    P + D needs no pivoting, and the signs of its pivots certify the branch.
    """

    def __init__(self, law: CurvatureLaw) -> None:
        self.m, self.phi, self.snr = law.rows, law.aspect_ratio, law.snr
        self.weights = law.weights
        self._upper, self._full = packing(self.m)
        self._factors = np.ascontiguousarray(law.factors[:, self._upper[0], self._upper[1]].T)

    def evaluate(self, p: AnyArray) -> Evaluation:
        """F and its derivative at symmetric P (..., m, m)."""
        m, lead = self.m, p.shape[:-2]
        packed = np.moveaxis(p[..., self._upper[0], self._upper[1]], -1, 0)
        factors = self._factors.reshape(-1, *(1,) * len(lead), self._factors.shape[1])
        inverses, pivots = symmetric_inverse(packed[..., None] + factors)
        weighted = inverses * self.weights
        mean = np.moveaxis(weighted.sum(-1), 0, -1)[..., self._full]
        # D M = I - P M, so every expectation needs E[M] and E[M (x) M] alone.
        pairs = np.moveaxis(weighted, 0, -2) @ np.moveaxis(inverses, 0, -1)
        second = pairs[..., self._full[:, None, :, None], self._full[None, :, None, :]]
        tilt = p @ mean
        derivative = (
            (1 - 1 / self.phi) * np.eye(m * m)
            - _kron(tilt, np.eye(m))
            - _kron(np.eye(m), tilt)
            + _kron(p, p) @ second.reshape(*lead, m * m, m * m)
        )
        value = (1 - 1 / self.phi) * p - tilt @ p
        return Evaluation(value, derivative, inverses, mean, pivots)


def _kron(a: AnyArray, b: AnyArray) -> AnyArray:
    """Kronecker product of matrices (..., m, m)."""
    product = a[..., :, None, :, None] * b[..., None, :, None, :]
    m = a.shape[-1] * b.shape[-1]
    return product.reshape(*product.shape[:-4], m, m)


def packing(size: int) -> tuple[tuple[IndexArray, IndexArray], IndexArray]:
    """Indices of an upper triangle, row by row, and where each entry (size, size) is in it."""
    upper = np.triu_indices(size)
    full = np.zeros((size, size), dtype=np.intp)
    full[upper] = np.arange(len(upper[0]))
    return upper, np.maximum(full, full.T)


def symmetric_inverse(packed: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Inverses of symmetric matrices by the sweep operator, without pivoting.

    Args:
        packed: (m (m+1) / 2, ...) upper triangles row by row; overwritten.

    Returns:
        The inverses in the same form and place, and the pivots (m, ...).
    """
    m = int((2 * len(packed)) ** 0.5)
    place = {}
    for position, (i, j) in enumerate(combinations_with_replacement(range(m), 2)):
        place[i, j] = place[j, i] = position
    # One contiguous row an entry, in its place: every operation stays in the cache, and memory that
    # is asked for anew each time would take longer than the arithmetic.
    pivots, scaled = np.empty((2, m, *packed.shape[1:]), dtype=packed.dtype)
    product = np.empty_like(packed[0, ...])
    a = [packed[position, ...] for position in range(len(packed))]
    for k in range(m):
        own = a[place[k, k]]
        pivots[k] = own
        np.divide(1, own, out=own)
        others = [i for i in range(m) if i != k]
        for i in others:
            np.multiply(a[place[i, k]], own, out=scaled[i, ...])
        for i in others:
            for j in others:
                if i <= j:
                    np.multiply(scaled[i], a[place[j, k]], out=product)
                    a[place[i, j]] -= product
        for i in others:
            a[place[i, k]][...] = scaled[i]
        np.negative(own, out=own)
    return np.negative(packed, out=packed), pivots
