"""The equation of the bulk at complex points, and the density and counting function it gives.

Equation (1) of docs/theory.md in P = T^(-1) = phi snr S^(-1) on the branch Im P < 0, on which it
has exactly one solution (M = (P + D)^(-1)), and the counting function

    #{eigenvalues > lam} / d = m + (1/pi) Im[ log det(Q/snr - lam) - phi log det P
                                              + phi E log det(P + D) + phi tr P E[M] ]

with Q = E[D M P], stationary in P at the solution.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..spectrum import FloatArray
from .law import CurvatureLaw
from .matrix_equation import MatrixEquation, symmetric_inverse

__all__ = ["ComplexArray", "ComplexEquation", "complex_equation", "on_branch"]

ComplexArray = NDArray[Any]  # of complex128

_CACHED = 60_000  # complex numbers of a batch that stay in the cache


class ComplexEquation(ABC):
    """Equation (1) for one law, at L complex P at once, (L, m, m)."""

    def __init__(self, law: CurvatureLaw) -> None:
        self.law = law

    @abstractmethod
    def correction(self, lam: ComplexArray, p: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """Newton's steps towards P(lam), and dP/dlam, both at P and (L, m, m)."""

    @abstractmethod
    def above(self, lam: ComplexArray, p: ComplexArray) -> FloatArray:
        """Shares (L,) of the eigenvalues above lam, stationary in P at P(lam)."""

    def density(self, p: ComplexArray) -> FloatArray:
        """(1/pi) Im tr S / m, (L,)."""
        law = self.law
        s = law.aspect_ratio * law.snr * np.trace(np.linalg.inv(p), axis1=1, axis2=2)
        density: FloatArray = s.imag / math.pi / law.rows
        return density


class _ScalarEquation(ComplexEquation):
    """m = 1: P (E[D / (P + D)] - 1 / phi) = snr lam."""

    def __init__(self, law: CurvatureLaw) -> None:
        super().__init__(law)
        self._d, self._w = law.scalar_factors, law.weights

    def correction(self, lam: ComplexArray, p: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        law, value = self.law, p[:, 0, 0]
        a = self._d / (value[:, None] + self._d)
        derivative = (a * a) @ self._w - 1 / law.aspect_ratio
        residual = value * (a @ self._w - 1 / law.aspect_ratio) - law.snr * lam
        step, slope = -residual / derivative, law.snr / derivative
        return step[:, None, None], slope[:, None, None]

    def above(self, lam: ComplexArray, p: ComplexArray) -> FloatArray:
        phi, snr, value = self.law.aspect_ratio, self.law.snr, p[:, 0, 0]
        shifted = value[:, None] + self._d
        mean = (1 / shifted) @ self._w
        q = value * (1 - value * mean)
        at_nodes = _lower_angle(shifted) @ self._w + (value * mean).imag
        total = _lower_angle(q / snr - lam) + phi * (at_nodes - _lower_angle(value))
        above: FloatArray = 1 + total / math.pi
        return above


class _MatrixEquation(ComplexEquation):
    """m >= 2."""

    def __init__(self, law: CurvatureLaw) -> None:
        super().__init__(law)
        self._equation = MatrixEquation(law)
        self._upper = np.triu_indices(law.rows)

    def correction(self, lam: ComplexArray, p: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        m, snr = self.law.rows, self.law.snr
        steps, slopes = np.empty_like(p), np.empty_like(p)
        for part in self._parts(len(p)):
            at = self._equation.evaluate(p[part])
            right = np.empty((len(at.value), m * m, 2), dtype=p.dtype)
            wanted = snr * lam[part, None, None] * np.eye(m) - at.value
            right[:, :, 0] = wanted.reshape(-1, m * m)
            right[:, :, 1] = (snr * np.eye(m)).reshape(-1)
            finite = np.isfinite(right).all((1, 2)) & np.isfinite(at.derivative).all((1, 2))
            solved = np.full_like(right, complex(math.nan))
            solved[finite] = np.linalg.solve(at.derivative[finite], right[finite])
            step = solved[:, :, 0].reshape(-1, m, m)
            slope = solved[:, :, 1].reshape(-1, m, m)
            steps[part] = (step + np.swapaxes(step, 1, 2)) / 2
            slopes[part] = (slope + np.swapaxes(slope, 1, 2)) / 2
        return steps, slopes

    def above(self, lam: ComplexArray, p: ComplexArray) -> FloatArray:
        law, phi = self.law, self.law.aspect_ratio
        total = np.empty(len(p))
        for part in self._parts(len(p)):
            at = self._equation.evaluate(p[part])
            shift = lam[part, None, None] * np.eye(law.rows)
            inner = (at.value + p[part] / phi) / law.snr - shift
            at_nodes = _lower_angle(at.pivots).sum(0) @ law.weights
            at_nodes += np.trace(p[part] @ at.mean, axis1=1, axis2=2).imag
            total[part] = self._argument(inner) + phi * (at_nodes - self._argument(p[part]))
        above: FloatArray = 1 + total / math.pi / law.rows
        return above

    def _parts(self, points: int) -> list[slice]:
        """As many points at once as stay in the cache."""
        size = max(1, _CACHED // (len(self.law.weights) * len(self._upper[0])))
        return [slice(start, start + size) for start in range(0, points, size)]

    def _argument(self, matrices: ComplexArray) -> FloatArray:
        """The arguments of det of matrices (L, m, m) in the lower half plane, from 0 to -m pi.

        Continued from -m pi at minus infinity it is the sum of the arguments of the pivots.
        """
        packed = matrices[:, self._upper[0], self._upper[1]].T
        argument: FloatArray = _lower_angle(symmetric_inverse(packed)[1]).sum(0)
        return argument


def complex_equation(law: CurvatureLaw) -> ComplexEquation:
    """The equation of a law."""
    return _ScalarEquation(law) if law.rows == 1 else _MatrixEquation(law)


def on_branch(p: ComplexArray, least: FloatArray | float = 0.0) -> NDArray[np.bool_]:
    """Whether every eigenvalue of -Im P is above ``least`` |P|, for P (L, m, m)."""
    if p.shape[1] == 1:
        smallest: FloatArray = -p[:, 0, 0].imag
    else:
        finite = np.isfinite(p).all((1, 2))
        smallest = np.full(len(p), -math.inf)
        smallest[finite] = np.linalg.eigvalsh(-p[finite].imag)[:, 0]
    lower: NDArray[np.bool_] = smallest > least * np.abs(p).max((1, 2), initial=0.0)
    return lower


def _lower_angle(values: ComplexArray) -> FloatArray:
    """Arguments in [-pi, 0] of numbers in the closed lower half plane."""
    angle: FloatArray = np.arctan2(np.minimum(values.imag, -0.0), values.real)
    return angle
