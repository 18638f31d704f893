"""A polynomial of an operator that is largest at the eigenvalues nearest to a value."""

from __future__ import annotations

import math

from torch import Tensor

from .derived import Derived
from .operator import CurvatureOperator

__all__ = ["Folded"]

# How much the filter lifts the value above everything outside the gap, and its longest recurrence.
_LIFT = 100.0
_LONGEST = 200


class Folded(Derived):
    """q(H) = T_m(z) / T_m(z_0),  z = (R^2 + g^2 - 2 (H - v)^2) / (R^2 - g^2),  z_0 at H = v.

    A Chebyshev polynomial of the folded spectrum (H - v)^2: below 1 / T_m(z_0) in size where
    g <= |lambda - v| <= R, and growing towards 1 as lambda comes closer than g. Its largest
    eigenvalues are those of the eigenvalues of H nearest to v, in the same order. The degree is
    such that T_m(z_0) is about 100, but not more than 2 * 200.

    Args:
        original: H.
        value: v.
        gap: g, above 0.
        radius: R, at least the distance of every eigenvalue from v, and above g.
    """

    def __init__(
        self, original: CurvatureOperator, value: float, gap: float, radius: float
    ) -> None:
        super().__init__(original)
        self._value = value
        width = radius**2 - gap**2
        centre = (radius**2 + gap**2) / width
        self._centre, self._slope = centre, 2 / width
        length = math.ceil(math.acosh(_LIFT) / math.acosh(centre))
        self._length = min(max(1, length), _LONGEST)
        self._lifted = math.cosh(self._length * math.acosh(centre))

    @property
    def degree(self) -> int:
        """Products with H in one of q(H)."""
        return 2 * self._length

    def matmul(self, panel: Tensor) -> Tensor:
        """q(H) V, by the three-term recurrence."""
        before, current = panel, self._folded(panel)
        for _ in range(self._length - 1):
            before, current = current, 2 * self._folded(current) - before
        return current / self._lifted

    def _folded(self, panel: Tensor) -> Tensor:
        """Z V."""
        once = self.original @ panel - self._value * panel
        twice = self.original @ once - self._value * once
        return self._centre * panel - self._slope * twice
