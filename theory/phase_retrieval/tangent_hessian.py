"""The Hessian on the sphere: lower edge of the bulk, and the outlier that sees the signal.

    H = (1/n) sum_i D_i a_i a_i^T - E[l'(z) z],   D = l''(z),   n = alpha N,  tangent space at w
    lambda(g) = 1/(alpha g) + E[D / (1 - D g)],   g = lim (1/n) tr (lambda - H)^(-1) < 0
    edge      = max lambda(g)  over  1/inf D < g < 0
    outlier   = lambda(g) where lambda(g) = E[s^2 D / (1 - D g)],   s of `JointLaw`
    overlap^2 = 1 / (1 - (d/dg) E[s^2 D / (1 - D g)] / lambda'(g))

with -E[l'(z) z] added to edge and outlier (docs/phase-retrieval.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.optimize import brentq

from ...models.phase_retrieval.loss import PhaseLoss
from ..spectrum import FloatArray
from .joint_law import ORDER, JointLaw, gaussian_law

__all__ = ["Outlier", "TangentHessian", "random_position"]

_INSIDE = 1e-13  # relative distance from a pole
_FAR = 1e9  # stands for infinity, in units of 1 / E|D|
_NEAREST = 1e-12  # to 0


@dataclass(frozen=True)
class Outlier:
    """An eigenvalue below the bulk.

    Attributes:
        value: with the multiplier.
        overlap: squared, with the signal's direction in the tangent space.
    """

    value: float = field(metadata={"unit": "loss per squared parameter"})
    overlap: float = field(metadata={"unit": "1, between 0 and 1"})


class TangentHessian:
    """Edge and outlier at a joint law of (z, z*).

    Args:
        law: of the projections.
        loss: l.
        samples_per_dimension: alpha = n/N.
        infimum: of D; -inf for none. By default the lowest at a node.

    Raises:
        ValueError: if alpha is not positive.
    """

    def __init__(
        self,
        law: JointLaw,
        loss: PhaseLoss,
        samples_per_dimension: float,
        infimum: float | None = None,
    ) -> None:
        if not (math.isfinite(samples_per_dimension) and samples_per_dimension > 0):
            raise ValueError(
                f"samples_per_dimension: expected a positive number, got {samples_per_dimension}"
            )
        self.law, self.loss, self.samples_per_dimension = law, loss, samples_per_dimension
        squares = law.target**2
        self.factors: FloatArray = loss.curvature(law.z, squares)
        self.multiplier = -law.mean(loss.slope(law.z, squares) * law.z)
        self.infimum = float(self.factors.min()) if infimum is None else infimum
        self._signal = law.signal**2

    @cached_property
    def edge_parameter(self) -> float | None:
        """g at the lower edge: where lambda'(g) = 0, or 1/inf D; None if there is no edge."""
        if self.infimum == -math.inf:
            return None
        # Without negative curvature the bulk may end in an atom at zero, where g is -inf.
        far = -_FAR / self._size
        lowest = (1 - _INSIDE) / self.infimum if self.infimum < 0 else far
        return _root(lambda g: g * g * self._slope(g), lowest) or lowest

    @cached_property
    def lower_edge(self) -> float:
        """Lower edge of the bulk, with the multiplier; -inf if there is none."""
        g = self.edge_parameter
        return -math.inf if g is None else self.position(g) + self.multiplier

    @cached_property
    def outliers(self) -> tuple[Outlier, ...]:
        """Those below the bulk: one, or none."""
        edge = self.edge_parameter
        if edge is None:
            return ()
        g = _root(lambda g: g * (self._pull(g) - self.position(g)), edge)
        if g is None:
            return ()
        pulled = self._pulled(g) ** 2
        ratio = self.law.mean(self._signal * pulled) / self._slope(g)
        overlap = 1 / (1 - ratio) if ratio < 0 else 0.0  # at the threshold itself
        return (Outlier(self.position(g) + self.multiplier, overlap),)

    def position(self, g: float) -> float:
        """lambda(g), without the multiplier."""
        return 1 / (self.samples_per_dimension * g) + self.law.mean(self._pulled(g))

    def _slope(self, g: float) -> float:
        """lambda'(g), times g^2 times alpha it grows with g."""
        return -1 / (self.samples_per_dimension * g**2) + self.law.mean(self._pulled(g) ** 2)

    def _pull(self, g: float) -> float:
        return self.law.mean(self._signal * self._pulled(g))

    def _pulled(self, g: float) -> FloatArray:
        pulled: FloatArray = self.factors / (1 - self.factors * g)
        return pulled

    @cached_property
    def _size(self) -> float:
        return self.law.mean(np.abs(self.factors))


def random_position(
    overlap: float, loss: PhaseLoss, samples_per_dimension: float, order: int = ORDER
) -> TangentHessian:
    """At a position of that overlap that does not know the measurements.

    Args:
        overlap: m, between -1 and 1.
        loss: l.
        samples_per_dimension: alpha.
        order: nodes of a panel of the quadrature.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """
    scale = 1.0 if loss.offset is None else math.sqrt(loss.offset)
    infimum = -math.inf if loss.offset is None else -1.0
    law = gaussian_law(overlap, scale, order)
    return TangentHessian(law, loss, samples_per_dimension, infimum)


def _root(value: Callable[[float], float], lowest: float) -> float | None:
    """Where a function that is negative towards 0 changes its sign, once, from ``lowest`` < 0 on.

    None if it is negative at ``lowest`` too.
    """
    if value(lowest) <= 0:
        return None
    highest = lowest
    while value(highest) > 0:
        highest /= 2
        if highest > lowest * _NEAREST:
            raise ArithmeticError(f"no change of sign was found from g = {lowest:.6g} on")
    return float(brentq(value, 2 * highest, highest, xtol=1e-300, rtol=1e-14))
