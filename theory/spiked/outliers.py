"""Outliers of the Hessian along a descent, and those of a point that does not know the noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ..spectrum import FloatArray
from .covariance import Covariance
from .descent_law import DescentLaw
from .rightmost import real_eigenpairs_beyond

__all__ = ["Outlier", "independent_outliers", "trajectory_outliers"]


@dataclass(frozen=True)
class Outlier:
    """An eigenvalue below the bulk of the Hessian on the sphere's tangent space.

    Attributes:
        value: mu - (w + sigma^2 / w).
        overlap: squared, of the unit eigenvector with x*/N^(1/2).
        weight: w > sigma, the strength of the direction that the noise is up against.
        error: estimated numerical error of ``value``; rounding is not counted.
        spread: standard deviation of N^(1/2) ``value`` over the noise, at the multiplier that comes
            with it; NaN if unknown.
    """

    value: float = field(metadata={"unit": "energy per squared coordinate"})
    overlap: float = field(metadata={"unit": "1, between 0 and 1"})
    weight: float = field(metadata={"unit": "energy per squared coordinate"})
    error: float = field(default=0.0, metadata={"unit": "energy per squared coordinate"})
    spread: float = field(default=math.nan, metadata={"unit": "energy per squared coordinate"})


def independent_outliers(
    covariance: Covariance, overlap: float, multiplier: float
) -> tuple[Outlier, ...]:
    """mu - (theta + sigma^2/theta) if theta = Q''(m) (1 - m^2) > sigma, at x independent of noise.

    Its overlap is (1 - m^2)(1 - sigma^2/theta^2). The weight is theta. Over the noise it is normal,
    at given mu, with variance 2 sigma^2 (1 - sigma^2/theta^2) / N (arXiv 0706.0136). Along a
    descent this is the naive answer, since x has seen the noise: see `trajectory_outliers`.

    Args:
        covariance: Q.
        overlap: m.
        multiplier: mu.
    """
    sigma, free = covariance.sigma, 1 - overlap**2
    theta = covariance.curvature(overlap) * free
    if theta <= sigma:
        return ()
    value = multiplier - (theta + sigma**2 / theta)
    clear = 1 - (sigma / theta) ** 2
    return (Outlier(value, free * clear, theta, spread=sigma * math.sqrt(2 * clear)),)


def trajectory_outliers(law: DescentLaw) -> tuple[Outlier, ...]:
    """mu - (w + sigma^2 / w) for every real eigenvalue w > sigma of the memory's matrix.

    Conditioned on the descent, the Hessian at x_t is noise of variance sigma^2 and a deterministic
    part that has the past points for its range. An eigenvector y with G = 1 / w has Y_u = y.x_u/N,
    the responses r_u to past forces, and the overlap y* = y.x*/N with

        w Y_u = sum_v R(u, v) f_v + sum_s a_s C(s, u) + Q''(m) y* m_u + k C_u
        w r_u = sum_s a_s R(s, u) + k R_u
        w y*  = sum_s a_s m_s + Q''(m) y* + k m
        f_v   = Q''(C_v) Y_v,    a_s = r_s Q''(C_s) + R_s Q'''(C_s) Y_s
        k     = -(sum_v R_v f_v + sum_s a_s C_s + Q''(m) y* m)

    in which C_u = x_t.x_u/N and k keeps y on the tangent space (docs/spiked.md). Lowest value
    first. Temperature zero only.

    Raises:
        ValueError: if the law is that of a Langevin dynamics.
        ArithmeticError: if the eigenvalues are not found.
    """
    if law.temperature > 0:
        raise ValueError(
            f"temperature: expected 0, for which outliers are derived, got {law.temperature}"
        )
    system = _System(law)
    sigma = law.covariance.sigma
    found = []
    for w, vector in real_eigenpairs_beyond(system, system.size, sigma):
        overlap = system.overlap(w, vector)
        found.append(Outlier(law.multiplier - (w + sigma**2 / w), overlap, w))
    return tuple(sorted(found, key=lambda outlier: outlier.value))


class _System:
    """The (2t + 1, 2t + 1) matrix on (Y, r, y*), as products."""

    def __init__(self, law: DescentLaw) -> None:
        self._law = law
        self._curvature = law.covariance.curvature(law.correlation)
        self._third = law.response * law.covariance.third(law.correlation)
        self._here = law.covariance.curvature(law.overlap)
        self._steps = len(law.correlation)

    @property
    def size(self) -> int:
        """2t + 1."""
        return 2 * self._steps + 1

    def __call__(self, vector: FloatArray) -> FloatArray:
        """The right-hand sides."""
        law = self._law
        drawn, echo, pushed, k, signal = self._parts(vector)
        overlaps = pushed + drawn + signal * law.overlaps + k * law.correlation
        a = self._a(vector)
        last = float(a @ law.overlaps) + signal + k * law.overlap
        return np.concatenate([overlaps, echo + k * law.response, [last]])

    def overlap(self, w: float, vector: FloatArray) -> float:
        """y*^2 / |y|^2,  (w^2 - sigma^2) |y|^2/N = 2 <noise.W> + |W|^2,  W all but the noise."""
        law = self._law
        drawn, _, pushed, k, signal = self._parts(vector)
        a = self._a(vector)
        forced = float((law.response * self._curvature) @ vector[: self._steps])
        noise = float(a @ pushed) + k * forced
        rest = float(a @ (drawn + 2 * (signal * law.overlaps + k * law.correlation)))
        rest += signal**2 + k**2 + 2 * k * signal * law.overlap
        norm2 = (2 * noise + rest) / (w**2 - law.covariance.sigma**2)
        return float(vector[-1] ** 2 / norm2)

    def _a(self, vector: FloatArray) -> FloatArray:
        y, r = vector[: self._steps], vector[self._steps : -1]
        return np.asarray(r * self._curvature + self._third * y)

    def _parts(self, vector: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, float, float]:
        """sum a C, sum a R, sum R f, k, and Q''(m) y*."""
        law = self._law
        a, f = self._a(vector), self._curvature * vector[: self._steps]
        drawn, echo, pushed = sums = np.empty((3, self._steps))
        law.memory.products(a, f, sums)
        signal = self._here * float(vector[-1])
        k = -(float(law.response @ f) + float(a @ law.correlation) + signal * law.overlap)
        return drawn, echo, pushed, k, signal
