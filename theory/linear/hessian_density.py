"""Inside the bulk of the Hessian of a linear regression.

    density of all n eigenvalues   Im df(-x + i0) / (pi x n)
    number of eigenvalues > x      -Im Psi(-x + i0) / pi
    Psi = sum_k m_k log(1 + s_k/kappa2) + N L(kappa1/kappa2) + P L(lam/kappa1)
    L(r) = r - 1 - log r

Psi, the limit of log det(1 + H/lam), is stationary in both kappas.
"""

from __future__ import annotations

import math

import numpy as np

from ..spectrum import Density, FloatArray
from .renormalisation import ComplexArray, Renormalisation

__all__ = ["HessianDensity"]

_START = 4.0  # height above the axis at which the way down begins, in upper edges
_FALL = 0.2
_FLOOR = 1e-10  # height from which the axis is reached in one step, in units of x
_NEWTON = 30
_SECTIONS, _ROUNDS = 17, 7  # of the search for a quantile


class HessianDensity:
    """Density and counts.

    Args:
        law: lam as a function of kappa2.
        size: n, the number of all eigenvalues.
    """

    def __init__(self, law: Renormalisation, size: float) -> None:
        self._law, self._size = law, size

    def on(self, points: FloatArray) -> Density:
        """Density and cumulative share at increasing points x > 0, (L,).

        Raises:
            ArithmeticError: if kappa2 is not found at a point.
        """
        kappa, step = self._kappa(points)
        df = self._law.degrees(kappa)
        # Im df is that of all nonzero eigenvalues, x times their density times pi.
        values = -df.imag / (math.pi * points * self._size)
        errors = np.abs(step / np.abs(kappa)) * np.abs(df) / (math.pi * points * self._size)
        cumulative = 1 - self._above(points, kappa) / self._size
        return Density(points, values, errors, cumulative, errors * points)

    def above(self, points: FloatArray) -> FloatArray:
        """Number of eigenvalues beyond each point x > 0, (L,)."""
        return self._above(points, self._kappa(points)[0])

    def quantile(self, count: float) -> float:
        """The point x with ``count`` eigenvalues beyond it, 0 < count < rank."""
        low, high = 1e-12 * self._law.top[0], self._law.top[0]
        for _ in range(_ROUNDS):
            # Relative to the nearer end, since both ends of the bulk are of interest.
            inner = low + (high - low) * np.arange(1, _SECTIONS) / _SECTIONS
            if high > 4 * low:
                inner = np.geomspace(low, high, _SECTIONS + 1)[1:-1]
            beyond = np.concatenate([[math.inf], self.above(inner), [-math.inf]])
            place = int(np.flatnonzero(beyond >= count)[-1])
            ends = np.concatenate([[low], inner, [high]])
            low, high = float(ends[place]), float(ends[place + 1])
        return (low + high) / 2

    def _above(self, x: FloatArray, kappa2: ComplexArray) -> FloatArray:
        law = self._law
        lam = -x + 0j
        kappa1 = law.first(lam, kappa2, law.degrees(kappa2))
        # Arguments grow from kappa2 to kappa1 to lam, all between 0 and pi, and 1 + s/kappa2 lies
        # in the lower half plane; on the real axis a rounding error would choose the half.
        total = np.abs(np.angle(1 + law.eigenvalues / kappa2[:, None])) @ law.multiplicity
        for number, ratio in ((law.features, kappa1 / kappa2), (law.samples, lam / kappa1)):
            if math.isfinite(number):
                total += number * (np.abs(np.angle(ratio)) - np.abs(ratio.imag))
        result: FloatArray = total / math.pi
        return result

    def _kappa(self, points: FloatArray) -> tuple[ComplexArray, FloatArray]:
        """kappa2 at lam = -x + i0, from far above the axis down, and the last step of Newton's."""
        height = np.full(len(points), _START * self._law.top[0])
        lam = -points + 1j * height
        kappa = lam.copy()
        kappa, rate, step = self._newton(lam, kappa)
        floor = _FLOOR * points
        while (height > 0).any():
            height = np.where(height > floor, _FALL * height, 0.0)
            lower = -points + 1j * height
            guess = kappa + (lower - lam) / rate
            lam = lower
            kappa, rate, step = self._newton(lam, np.where(guess.imag > 0, guess, kappa))
        return kappa, step

    def _newton(
        self, lam: ComplexArray, kappa: ComplexArray
    ) -> tuple[ComplexArray, ComplexArray, FloatArray]:
        step = np.full(len(lam), np.inf)
        for _ in range(_NEWTON):
            value, rate, _ = self._law.ridge(kappa)
            change = (value - lam) / rate
            # Half a step at most leads out of the upper half plane.
            below = (kappa - change).imag < 0
            change = np.where(below & (lam.imag > 0), change / 2, change)
            kappa = kappa - change
            step = np.abs(change)
            if (step <= 1e-13 * np.abs(kappa)).all():
                break
        if not (step <= 1e-6 * np.abs(kappa)).all():
            worst = int(np.argmax(step / np.abs(kappa)))
            raise ArithmeticError(f"kappa2 was lost at x = {-lam[worst].real:.6g}")
        return kappa, rate, step
