"""Three-term recurrence coefficients of point masses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .spectrum import FloatArray

__all__ = ["PointMasses", "lanczos", "recurrence"]


@dataclass(frozen=True)
class PointMasses:
    """A law on finitely many points.

    Attributes:
        points: (N,).
        masses: (N,) positive, summing to 1.
    """

    points: FloatArray
    masses: FloatArray

    def joined(self, points: Sequence[float], share: float) -> PointMasses:
        """This law with probability 1 - share, and the given points with equal parts of it."""
        if not points or share <= 0:
            return self
        return PointMasses(
            np.append(self.points, points),
            np.append((1 - share) * self.masses, np.full(len(points), share / len(points))),
        )


def recurrence(law: PointMasses, count: int) -> tuple[FloatArray, FloatArray]:
    """alpha (count,) and beta (count - 1,) by Lanczos's algorithm from the roots of the masses.

    Raises:
        ValueError: if the law has fewer points.
    """
    if not 1 <= count <= len(law.points):
        raise ValueError(f"count: expected 1 to {len(law.points)}, got {count}")
    diagonal, off_diagonal, _ = lanczos(law, count)
    return diagonal, off_diagonal


def lanczos(law: PointMasses, count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """alpha (K,), beta (K - 1,), and p_k at the points times the roots of the masses, (K, N).

    K is ``count``, or less where to rounding errors the law has fewer points.
    """
    size = min(count, len(law.points))
    basis = np.zeros((size, len(law.points)))
    diagonal, off_diagonal = np.zeros(size), np.zeros(size - 1)
    smallest = 10 * np.finfo(float).eps * float(np.abs(law.points).max())
    vector, length = np.sqrt(law.masses), float(np.sqrt(law.masses.sum()))
    for k in range(size):
        basis[k] = vector / length
        vector = law.points * basis[k]
        diagonal[k] = basis[k] @ vector
        for _ in range(2):  # twice is enough to be orthogonal to rounding errors
            vector = vector - basis[: k + 1].T @ (basis[: k + 1] @ vector)
        length = float(np.linalg.norm(vector))
        if k == size - 1 or length <= smallest:
            break
        off_diagonal[k] = length
    return diagonal[: k + 1], off_diagonal[:k], basis[: k + 1]
