"""What the theory of low-rank reconstruction is asked about."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from ...models.arguments import require_fields, require_least
from ..spectrum import FloatArray

__all__ = ["LowRankProblem", "Operator"]

Operator = Literal["gaussian", "structured"]


@dataclass(frozen=True)
class LowRankProblem:
    """Z = V diag(lam) V^T of size n and rank r, seen through m measurements.

    Attributes:
        size: n.
        eigenvalues: lam, positive, (r,); kept in falling order.
        measurements: m.
        operator: "gaussian", or "structured" (orthonormal rows).

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    size: int = field(metadata={"unit": "1"})
    eigenvalues: tuple[float, ...] = field(metadata={"unit": "1"})
    measurements: int = field(metadata={"unit": "1"})
    operator: Operator = field(default="gaussian", metadata={"unit": "none"})

    def __post_init__(self) -> None:
        require_fields(self)
        require_least("size", self.size, 2)
        if not 1 <= len(self.eigenvalues) < self.size:
            raise ValueError(
                f"eigenvalues: expected 1 to {self.size - 1} of them, got {len(self.eigenvalues)}"
            )
        for value in self.eigenvalues:
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"eigenvalues: expected positive numbers, got {value}")
        require_least("measurements", self.measurements, 1)
        if self.operator not in get_args(Operator):
            raise ValueError(
                f"operator: expected 'gaussian' or 'structured', got {self.operator!r}"
            )
        if self.operator == "structured" and self.measurements > self.coordinates:
            raise ValueError(
                f"measurements: expected at most the {self.coordinates} coordinates of a "
                f"symmetric matrix for a structured operator, got {self.measurements}"
            )
        object.__setattr__(self, "eigenvalues", tuple(sorted(self.eigenvalues, reverse=True)))

    @property
    def rank(self) -> int:
        """r."""
        return len(self.eigenvalues)

    @property
    def strengths(self) -> FloatArray:
        """lam, (r,), falling."""
        return np.array(self.eigenvalues)

    @property
    def norm(self) -> float:
        """|Z|."""
        return float(np.linalg.norm(self.strengths))

    @property
    def coordinates(self) -> int:
        """p = n (n + 1) / 2, of a symmetric matrix."""
        return self.size * (self.size + 1) // 2

    def degrees_of_freedom(self, rank: int) -> int:
        """d_j = n j - j (j - 1) / 2, of matrices of rank j."""
        return self.size * rank - rank * (rank - 1) // 2

    @property
    def thinning(self) -> float:
        """1 - m/p for rows that are orthonormal, 1 for Gaussian ones: what is left of sigma^2."""
        structured = self.operator == "structured"
        return 1 - self.measurements / self.coordinates if structured else 1.0

    def kept(self, rank: int) -> float:
        """kappa_j = 1 - d_j/m, of a residual that is regressed on d_j degrees of freedom."""
        return max(0.0, 1 - self.degrees_of_freedom(rank) / self.measurements)

    def noise(self, square: float, size: float) -> float:
        """sigma = |R| (size / (2 m))^(1/2), thinned: of A*A(R) in so many dimensions.

        Args:
            square: |R|^2.
            size: of the space that the noise is looked at in, n or less.
        """
        return math.sqrt(self.thinning * square * size / (2 * self.measurements))
