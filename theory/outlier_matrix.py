"""The matrix K(lam) whose zeros are the outliers: equation (2) of docs/theory.md.

With P = T^(-1), M = (P + D)^(-1), C = M_hv the mixed and V = M_vv the inner curvature of a sample:

    K(lam) + lam I = E [ A (x) z z^T      (P M C) (x) z  ]        A = P - P M P = D (I + T D)^(-1).
                       [ its transpose    V - C^T M C    ]

Without parameters v only the first block is there.
"""

from __future__ import annotations

import numpy as np

from .curvature_law import CurvatureLaw
from .matrix_equation import packing
from .spectrum import FloatArray

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
        lifted = np.kron(p, self._lift)
        k = np.kron(p, self._mean_moment) - lifted @ self._spread(inverses) @ lifted
        if self._joint is not None:
            solved = self._solved(inverses)
            mixed = np.kron(p, self._lift) @ self._mixed(solved)
            cross = self._joint.cross
            inner = self._inner - np.einsum(
                "n,nai,naj->ij", self._weights, cross, solved, optimize=True
            )
            k = np.block([[k, mixed], [mixed.T, (inner + inner.T) / 2]])
        return k - lam * np.eye(len(k))

    def slope(self, p: FloatArray, dp: FloatArray, inverses: FloatArray) -> FloatArray:
        """K'(lam) <= -I, where P changes by dP/dlam = dp (m, m).

        As M changes by -M dP M, the change of the mean is E[J^T dP J], J = (D M (x) z^T, M C).
        """
        stack = inverses[self._full]
        moved = np.einsum("ijn,jk,kln->iln", stack, dp, stack, optimize=True)
        lifted, turned = np.kron(p, self._lift), np.kron(dp, self._lift)
        half = turned @ self._spread(inverses) @ lifted
        upper = packing(self._rows)[0]
        k = np.kron(dp, self._mean_moment) - half - half.T
        k = k + lifted @ self._spread(moved[upper]) @ lifted
        if self._joint is not None:
            solved = self._solved(inverses)
            dragged = np.einsum("ijn,jk,nkq->niq", stack, dp, solved, optimize=True)
            mixed = turned @ self._mixed(solved) - lifted @ self._mixed(dragged)
            inner = np.einsum("n,nai,ab,nbj->ij", self._weights, solved, dp, solved, optimize=True)
            k = np.block([[k, mixed], [mixed.T, (inner + inner.T) / 2]])
        slope: FloatArray = k - np.eye(len(k))
        return slope

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
