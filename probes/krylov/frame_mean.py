"""Means over the columns of a random orthonormal frame, with honest standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...theory.spectrum import FloatArray

__all__ = ["Estimate", "frame_mean"]


@dataclass(frozen=True)
class Estimate:
    """A mean over random vectors.

    Attributes:
        value: float64.
        error: standard error, same shape; 0 if exact, NaN from a single vector.
        degrees: degrees of freedom of the error: vectors - 1.
    """

    value: FloatArray
    error: FloatArray
    degrees: int

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Value -+ t error, with Student's t, so that it holds the truth with probability level.

        Raises:
            ValueError: unless 0 < level < 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level: expected a number between 0 and 1, got {level}")
        from scipy.special import stdtrit  # slow to import

        reach = self.error * stdtrit(max(self.degrees, 1), (1 + level) / 2)
        return self.value - reach, self.value + reach


def frame_mean(columns: FloatArray, dimension: int) -> Estimate:
    """Mean over s orthonormal columns q_j, uniform together in a space of this dimension n.

    Var(mean) = S^2 (1/s - 1/n),  S^2 the sample variance: exact for quadratic forms q_j^T A q_j,
    whose sum over a whole orthonormal basis is the trace, so that any two of them have covariance
    -Var / (n - 1).

    Args:
        columns: (s, ...) one number, or array of numbers, from each column.
        dimension: n; with no more than s the mean is exact.
    """
    count = len(columns)
    mean = columns.mean(axis=0)
    if dimension <= count:
        error = np.zeros_like(mean)
    elif count == 1:
        error = np.full_like(mean, np.nan)
    else:
        error = columns.std(axis=0, ddof=1) * (1 / count - 1 / dimension) ** 0.5
    return Estimate(mean, error, count - 1)
