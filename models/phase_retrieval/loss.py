"""Losses of one measurement, with their derivatives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..arguments import require_fields

if TYPE_CHECKING:  # the theory and its figures do without
    from torch import Tensor

__all__ = ["PhaseLoss"]

Numbers = TypeVar("Numbers", NDArray[np.float64], "Tensor")


@dataclass(frozen=True)
class PhaseLoss:
    """l(z) = (z^2 - y)^2 / (4 (a + y)),  or (z^2 - y)^2 / 4 without an offset,  y = z*^2.

    With an offset l'' > -1 whatever z and y are. Without one it has no lower bound, and the Hessian
    at a position that does not know the signal no lower edge (arXiv 2006.06997).

    Attributes:
        offset: a > 0; None for the plain quartic.

    Raises:
        ValueError: if the offset is not positive.
    """

    offset: float | None = 1.0

    def __post_init__(self) -> None:
        require_fields(self)
        if self.offset is not None and not (math.isfinite(self.offset) and self.offset > 0):
            raise ValueError(f"offset: expected a positive number or None, got {self.offset}")

    def value(self, z: Numbers, y: Numbers) -> Numbers:
        """l(z), in the shape of z and y."""
        return self._normalised((z * z - y) ** 2 / 4, y)

    def slope(self, z: Numbers, y: Numbers) -> Numbers:
        """l'(z) = z (z^2 - y) / (a + y)."""
        return self._normalised(z * (z * z - y), y)

    def curvature(self, z: Numbers, y: Numbers) -> Numbers:
        """l''(z) = (3 z^2 - y) / (a + y)."""
        return self._normalised(3 * z * z - y, y)

    def _normalised(self, numerator: Numbers, y: Numbers) -> Numbers:
        return numerator if self.offset is None else numerator / (self.offset + y)
