"""The matrix K(lam) whose zeros are the outliers: equation (2) of docs/theory.md.

With P = T^(-1), M = (P + D)^(-1), C = M_hv the mixed and V = M_vv the inner curvature of a sample:

    K(lam) + lam I = E [ A (x) z z^T      (P M C) (x) z  ]        A = P - P M P = D (I + T D)^(-1).
                       [ its transpose    V - C^T M C    ]

Without parameters v only the first block is there.
"""

from __future__ import annotations

import numpy as np

from ..spectrum import FloatArray
from .law import CurvatureLaw
from .matrix_equation import packing

__all__ = ["OutlierMatrix"]


class OutlierMatrix:
    """K for one law, (m r + q, m r + q), the block's directions outermost, then v."""

    def __init__(self, law: CurvatureLaw) -> None:
        self._weights, self._span, self._rows = law.weights, law.span, law.rows
        self._full = packing(law.rows)[1]
        upper, self._full_span = packing(law.span)
        self._moments = np.ascontiguousarray(law.moments[:, upper[0], upper[1]])
        self._mean_moment = (law.weights @ self._moments)[self._full_span]
        self._joint, self._means = law.joint, law.means
        if law.joint is not None:
            self._inner = np.tensordot(law.weights, law.joint.inner, 1)
        self._lift = np.eye(law.span)

    def value(self, p: FloatArray, lam: float, inverses: FloatArray) -> FloatArray:
        """K(lam).

        Args:
            p: P (m, m) at lam.
            lam: the point.
            inverses: upper triangle of M at the nodes, (m (m+1) / 2, N).
        """
        lifted = _kron(p, self._lift)
        k = _kron(p, self._mean_moment) - lifted @ self._spread(inverses) @ lifted
        if self._joint is not None:
            solved = self._solved(inverses)
            mixed = _kron(p, self._lift) @ self._mixed(solved)
            cross = self._joint.cross
            inner = self._inner - np.einsum(
                "n,nai,naj->ij", self._weights, cross, solved, optimize=True
            )
            k = np.block([[k, mixed], [mixed.T, (inner + inner.T) / 2]])
        return k - lam * np.eye(len(k))

    def rate(self, w: FloatArray, p: FloatArray, dp: FloatArray, inverses: FloatArray) -> float:
        """w^T K'(lam) w <= -|w|^2 for a vector w (m r + q,), where P changes by dP/dlam = dp.

        As M changes by -M dP M, it is E[(J w)^T dP (J w)] - |w|^2, with
        J w = (W - M P W) z + M C w_v, W the part of w for the directions as rows (m, r).
        """
        size = self._rows * self._span
        rows, inner = w[:size].reshape(self._rows, self._span), w[size:]
        stack = np.ascontiguousarray(np.moveaxis(inverses[self._full], -1, 0))
        turned = np.eye(self._rows) - stack @ p
        form = np.swapaxes(turned, 1, 2) @ (dp @ turned)
        # E[(W z)_a (W z)_b] at the nodes, of which the moments are an upper triangle.
        upper = packing(self._span)[0]
        pairs = rows[:, None, upper[0]] * rows[None, :, upper[1]]
        pairs = (pairs + np.swapaxes(pairs, 0, 1)) / np.where(upper[0] == upper[1], 2.0, 1.0)
        seconds = self._moments @ pairs.reshape(self._rows**2, -1).T
        values = (form.reshape(len(form), -1) * seconds).sum(1)
        if self._joint is not None:
            assert self._means is not None
            constant = np.einsum("nab,nb->na", stack, self._joint.cross @ inner)
            moved = constant @ dp
            values += np.einsum("na,na->n", moved, constant)
            linear = turned @ rows
            values += 2 * np.einsum("na,nar,nr->n", moved, linear, self._means)
        return float(self._weights @ values - w @ w)

    def _solved(self, inverses: FloatArray) -> FloatArray:
        """M C at the nodes, (N, m, q)."""
        assert self._joint is not None
        solved: FloatArray = np.einsum("ijn,njq->niq", inverses[self._full], self._joint.cross)
        return solved

    def _mixed(self, columns: FloatArray) -> FloatArray:
        """E[X (x) z] for X (N, m, q) at the nodes, (m r, q)."""
        assert self._means is not None
        mean = np.einsum("n,niq,nr->irq", self._weights, columns, self._means, optimize=True)
        mixed: FloatArray = mean.reshape(self._rows * self._span, -1)
        return mixed

    def _spread(self, packed: FloatArray) -> FloatArray:
        """E[X (x) z z^T] for symmetric X at the nodes, given as upper triangles."""
        size = self._rows * self._span
        pairs = (packed * self._weights) @ self._moments
        full = pairs[self._full[:, None, :, None], self._full_span[None, :, None, :]]
        spread: FloatArray = full.reshape(size, size)
        return spread


def _kron(left: FloatArray, right: FloatArray) -> FloatArray:
    """The Kronecker product of two matrices; of small ones several times as fast as NumPy's."""
    product: FloatArray = left[:, None, :, None] * right[None, :, None, :]
    return product.reshape(len(left) * len(right), left.shape[1] * right.shape[1])
