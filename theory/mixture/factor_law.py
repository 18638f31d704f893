"""The law of the curvature factor D of one sample, jointly with the sample's place in the span."""

from __future__ import annotations

import numpy as np

from ...models.heads import Head, sample_losses
from ..bulk.law import CurvatureLaw, JointCurvature
from ..spectrum import FloatArray
from .factors import FactorRange, Matrix, factor_range, factor_values, merged
from .quadrature import Quadrature
from .statistics import Statistics

__all__ = [
    "FactorLaw",
]

_NOISE = 1e-13


class FactorLaw:
    """Laws of D for every block and matrix of one head at one Gram matrix; factors computed once.

    Args:
        head: the head; hashable, since what it does far out is computed once for all.
        statistics: Gram matrix and v.
        nodes: quadrature for the mixture.
        aspect_ratio: phi = n / d.
    """

    def __init__(
        self, head: Head, statistics: Statistics, nodes: Quadrature, aspect_ratio: float
    ) -> None:
        self.head = head
        self.statistics = statistics
        self.nodes = nodes
        self.aspect_ratio = aspect_ratio
        self._factors: dict[tuple[Matrix, bool], FloatArray] = {}

    def factors(self, matrix: Matrix, joint: bool = False) -> FloatArray:
        """M at the nodes: D for all directions (N, C, C), or with v (N, C + q, C + q)."""
        if (matrix, joint) not in self._factors:
            self._factors[matrix, joint] = factor_values(
                self.head,
                matrix,
                self.nodes.preactivations,
                self.statistics.parameters,
                self.nodes.labels,
                joint,
            )
        return self._factors[matrix, joint]

    def loss(self) -> float:
        """E[ell]."""
        nodes = self.nodes
        losses = sample_losses(
            self.head, nodes.preactivations, self.statistics.parameters, nodes.labels
        )
        return float(nodes.weights @ losses)

    def law(
        self, matrix: Matrix, rows: tuple[int, ...], with_parameters: bool = False
    ) -> CurvatureLaw:
        """The law of one block.

        Args:
            matrix: which matrix.
            rows: directions in the block. Directions of the block that M never sees, whatever
                the sample, are projected out: m is less than their number by one for all the
                directions of a shift-invariant head, and where directions x_a coincide.
            with_parameters: whether v belongs to the block.
        """
        joint = with_parameters and self.head.parameters > 0
        reach = self._range(matrix, rows, joint)
        every, c = self.factors(matrix, joint), self.head.directions
        block = np.ix_(range(len(self.nodes.weights)), rows, rows)
        factors = reach.lifted(every[block])
        own: FloatArray = factors[:, :, 0]
        if factors.shape[1] > 1:
            own = np.linalg.eigvalsh(factors).astype(np.float64)
        infimum = _unless_noise(min(reach.infimum, float(own.min())), own)
        if matrix == "information" and factors.shape[1] > 1:
            infimum = 0.0  # of matrices g g^T, whatever their eigenvalues' rounding errors
        return CurvatureLaw(
            weights=self.nodes.weights,
            factors=factors,
            moments=self.nodes.second_moments,
            supremum=_unless_noise(max(reach.supremum, float(own.max())), own),
            infimum=infimum,
            extremes=reach.extremes,
            aspect_ratio=self.aspect_ratio,
            snr=self.nodes.law.snr,
            parts=self._parts(reach, own),
            means=self.nodes.means,
            free=self.nodes.means.shape[1] - self.nodes.active.shape[1],
            joint=JointCurvature(
                cross=np.einsum("ai,naq->niq", reach.lift, every[:, rows, c:]),
                inner=every[:, c:, c:],
            )
            if joint
            else None,
        )

    def _parts(self, reach: FactorRange, own: FloatArray) -> tuple[tuple[float, float], ...]:
        """The support of D for m = 1: the reach of each label, and of the nodes that have it."""
        if not reach.intervals:
            return ()
        labels = np.unique(self.nodes.law.labels)
        intervals = []
        for label, (low, high) in zip(labels, reach.intervals, strict=True):
            there = own[self.nodes.labels == label]
            low, high = min(low, float(there.min())), max(high, float(there.max()))
            intervals.append((_unless_noise(low, own), _unless_noise(high, own)))
        return merged(intervals)

    def _range(self, matrix: Matrix, rows: tuple[int, ...], joint: bool) -> FactorRange:
        projection = self.nodes.projection
        full = self.head.directions - self.head.shift_invariant
        if projection.active == full:  # then h reaches everything, whatever the Gram matrix
            frame = np.eye(self.head.directions)
        else:
            frame = np.linalg.qr(projection.to_preactivations.T)[0].T
        labels = tuple(np.unique(self.nodes.law.labels).tolist())
        parameters = self.statistics.parameters
        return factor_range(self.head, matrix, rows, frame, parameters, labels, joint)


def _unless_noise(bound: float, values: FloatArray) -> float:
    """Exactly 0 instead of a bound that rounding errors alone keep from it."""
    return 0.0 if abs(bound) < _NOISE * np.abs(values).max() else bound
