"""The loss that drives its own noise, without a memory of the past.

    L(t) = F(t) + sum_(s<t) K(t-1-s) L(s),   F(t) = sum_j f_j Q_j(t),   K(t) = sum_j k_j eta^2 b_j^t

is L = sum_j v_j for a state that a matrix carries from step to step, v(0) = f:

    v_j <- b_j v_j + eta^2 k_j L + f_j [ 2 eta r rho_j q_j + eta^2 r^2 ].

A step costs O(n); many equal steps are powers of the matrix by repeated squaring.
"""

from __future__ import annotations

import numpy as np

from ..spectrum import FloatArray
from .renormalisation import ComplexArray

__all__ = ["Volterra"]

_SINGLE = 48  # steps taken one by one rather than by powers


class Volterra:
    """The state v, on the half of the nodes with Im z < 0; the other half is its conjugate.

    Args:
        z: (n,) nodes.
        forcing: (n,) f, weights of the contour included.
        kernel: (n,) k, weights of the contour included.
        decay: r.
        excess: chi nu.
    """

    def __init__(
        self,
        z: ComplexArray,
        forcing: ComplexArray,
        kernel: ComplexArray,
        decay: float,
        excess: float,
    ) -> None:
        self._z, self._forcing, self._kernel = z, forcing, kernel
        self._decay, self._excess = decay, excess
        self.v = forcing.astype(complex)
        self._q = np.ones_like(z)
        self._powers: tuple[float, list[FloatArray]] = (np.nan, [])

    @property
    def loss(self) -> float:
        """L at this step."""
        return float(2 * self.v.real.sum())

    def advance(self, rate: float, steps: int) -> None:
        """Go on for some steps at one learning rate."""
        if steps <= _SINGLE:
            self._steps(rate, steps)
        else:
            self._leap(rate, steps)

    def _coefficients(self, rate: float) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """b, rho and eta^2 k."""
        rho = 1 - rate * (self._z + self._decay)
        return rho**2 + self._excess * rate**2 * self._z**2, rho, rate**2 * self._kernel

    def _steps(self, rate: float, steps: int) -> None:
        b, rho, kernel = self._coefficients(rate)
        drift = rate * self._decay
        for _ in range(steps):
            loss = 2 * self.v.real.sum()
            self.v = b * self.v + kernel * loss
            if drift:
                self.v += self._forcing * (2 * drift * rho * self._q + drift**2)
                self._q = rho * self._q + drift

    def _leap(self, rate: float, steps: int) -> None:
        if self._powers[0] != rate:
            self._powers = (rate, [self._matrix(rate)])
        powers = self._powers[1]
        n = len(self._z)
        state = np.concatenate([self.v.real, self.v.imag])
        if self._decay:
            state = np.concatenate([state, self._q.real, self._q.imag, [1.0]])
        place = 0
        while steps >> place:
            if place == len(powers):
                powers.append(powers[-1] @ powers[-1])
            if steps >> place & 1:
                state = powers[place] @ state
            place += 1
        self.v = state[:n] + 1j * state[n : 2 * n]
        if self._decay:
            self._q = state[2 * n : 3 * n] + 1j * state[3 * n : 4 * n]

    def _matrix(self, rate: float) -> FloatArray:
        """One step, on real and imaginary parts of v (and of q, and 1)."""
        b, rho, kernel = self._coefficients(rate)
        n = len(b)
        size = 4 * n + 1 if self._decay else 2 * n
        matrix = np.zeros((size, size))
        _put(matrix, 0, 0, b)
        matrix[:n, :n] += 2 * kernel.real[:, None]
        matrix[n : 2 * n, :n] += 2 * kernel.imag[:, None]
        if self._decay:
            drift = rate * self._decay
            _put(matrix, 0, 2 * n, 2 * drift * self._forcing * rho)
            _put(matrix, 2 * n, 2 * n, rho)
            constant = drift**2 * self._forcing
            matrix[:, -1] = np.concatenate(
                [constant.real, constant.imag, np.full(n, drift), np.zeros(n), [1.0]]
            )
        return matrix


def _put(matrix: FloatArray, row: int, column: int, diagonal: ComplexArray) -> None:
    """Multiplication by complex numbers, on real and imaginary parts."""
    n = len(diagonal)
    here = np.arange(n)
    matrix[row + here, column + here] = matrix[row + n + here, column + n + here] = diagonal.real
    matrix[row + here, column + n + here] = -diagonal.imag
    matrix[row + n + here, column + here] = diagonal.imag
