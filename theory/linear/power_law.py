"""Covariances and targets that are powers of the rank, in merged bins.

    s_k = k^-b,   a_k = k^-a,   k = 1, ..., D

The first eigenvalues are kept one by one; the others are merged into bins of equal width in log k,
each with its number, its mean eigenvalue and its sum of squared coefficients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ...models.arguments import require_fields, require_least
from ..spectrum import FloatArray
from .problem import LinearProblem

__all__ = ["PowerLaw", "merged"]

_SINGLE = 32  # eigenvalues kept one by one


@dataclass(frozen=True)
class PowerLaw:
    """The law of the eigenvalues and of the target.

    Attributes:
        exponent: b > 0 of the eigenvalues; 2 alpha in arXiv 2405.15074.
        target_exponent: a of the squared coefficients; 2 beta there.
        dimension: D >= 1, up to 10^7 and beyond.
        bins: how many the spectrum is merged into, if D is larger.

    Raises:
        ValueError: naming the attribute that is out of its range.
    """

    exponent: float = field(metadata={"unit": "1"})
    target_exponent: float = field(metadata={"unit": "1"})
    dimension: int = field(metadata={"unit": "inputs"})
    bins: int = field(default=400, metadata={"unit": "1"})

    def __post_init__(self) -> None:
        require_fields(self)
        if not (math.isfinite(self.exponent) and self.exponent > 0):
            raise ValueError(f"exponent: expected a positive number, got {self.exponent}")
        if not math.isfinite(self.target_exponent):
            raise ValueError(f"target_exponent: expected a number, got {self.target_exponent}")
        require_least("dimension", self.dimension, 1)
        if self.bins < 2 * _SINGLE:
            raise ValueError(f"bins: expected at least {2 * _SINGLE}, got {self.bins}")

    def problem(
        self, samples: float = math.inf, features: float = math.inf, noise: float = 0.0
    ) -> LinearProblem:
        """The regression with this spectrum and target."""
        starts = self._starts()
        count = np.diff(starts)
        s = _sums(starts, self.exponent) / count
        a = _sums(starts, self.target_exponent)
        return LinearProblem(s, a, count, noise=noise, samples=samples, features=features)

    def _starts(self) -> FloatArray:
        """First rank of each bin, and D + 1."""
        if self.dimension <= self.bins:
            return np.arange(1, self.dimension + 2.0)
        rest = np.geomspace(_SINGLE + 1, self.dimension + 1, self.bins - _SINGLE + 1)
        return np.unique(np.concatenate([np.arange(1, _SINGLE + 1.0), np.round(rest)]))


def _sums(starts: FloatArray, power: float) -> FloatArray:
    """sum of k^-power over each bin, by the midpoint rule with its first correction."""
    low, high = starts[:-1] - 0.5, starts[1:] - 0.5
    if power == 1:
        whole = np.log(high / low)
    else:
        whole = (high ** (1 - power) - low ** (1 - power)) / (1 - power)
    # Euler and Maclaurin: - (f'(high) - f'(low)) / 24 with f' = -power k^(-power-1).
    whole += power / 24 * (high ** (-power - 1) - low ** (-power - 1))
    single = starts[1:] - starts[:-1] == 1
    return np.where(single, starts[:-1] ** -power, whole)


def merged(problem: LinearProblem, bins: int) -> LinearProblem:
    """The same problem with neighbouring eigenvalues merged into bins of equal width in log s.

    Each bin keeps its sums of m, m s, a and m s'. The largest eigenvalues, and zeros, stay alone.

    Raises:
        ValueError: if there are fewer than two bins, or the test covariance is not diagonal.
    """
    require_least("bins", bins, 2)
    if problem.target_overlap is not None:
        raise ValueError("target_overlap: expected none, since bins mix the directions")
    if len(problem.spectrum) <= bins:
        return problem
    order = np.argsort(-problem.spectrum, kind="stable")
    s, m, a, tested = (
        values[order]
        for values in (
            problem.spectrum,
            problem.multiplicity,
            problem.target,
            problem.test_spectrum,
        )
    )
    alone = bins // 4
    positive = s > 0
    logs = np.log(np.where(positive, s, 1.0))
    low, high = float(logs[positive].min()), float(logs[alone])
    place = np.floor((high - logs) / max(high - low, 1e-300) * (bins - alone) * (1 - 1e-12))
    labels = np.where(np.arange(len(s)) < alone, np.arange(len(s)), alone + place)
    labels = np.where(positive, labels, bins)
    _, group = np.unique(labels, return_inverse=True)

    def collect(values: FloatArray) -> FloatArray:
        return np.bincount(group, values).astype(np.float64)

    count = collect(m)
    return LinearProblem(
        collect(m * s) / count,
        collect(a),
        count,
        test_spectrum=collect(m * tested) / count,
        noise=problem.noise,
        samples=problem.samples,
        features=problem.features,
    )
