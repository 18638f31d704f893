"""The law of projected gradient descent and of its Langevin dynamics, step by step."""

from __future__ import annotations

import math

import numpy as np

from ..spectrum import FloatArray
from .covariance import Covariance
from .memory import ExactMemory, Memory

__all__ = ["DescentLaw"]


class DescentLaw:
    """x <- N^(1/2) (x - eta P grad H + (2 T eta)^(1/2) xi) / |.|  as N goes to infinity, exactly.

    With C_s = x.x_s/N, R_s the response of x to an added force at the past step s (eta included),
    w_s = R_s Q''(C_s), and sums over past steps u:

        force . x_s / N   = sum_u w_u C(u, s) + sum_u R(s, u) Q'(C_u) + Q'(m) m_s
        mu = -x.grad H/N  = Q'(m) m + sum_u R_u Q'(C_u) + sum_u w_u C_u
        e = H/N           = -Q(m) - sum_u R_u Q'(C_u)
        C_s <- ((1 - eta mu) C_s + eta force . x_s / N) / n
        R_s <- ((1 - eta mu) R_s + eta sum_u w_u R(u, s)) / n,  and eta / n of the step itself
        n^2 = 1 + eta^2 |P grad H|^2 / N + 2 T eta

    from the covariance Q'(C) of the noise's gradients and Gaussian integration by parts
    (docs/spiked.md). No error of discretisation: eta is the learning rate of a run.

    Args:
        covariance: Q.
        overlap: m of the start, which does not depend on the noise.
        temperature: T.
        memory: of the past steps; all of them by default.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    def __init__(
        self,
        covariance: Covariance,
        overlap: float,
        temperature: float = 0.0,
        memory: Memory | None = None,
    ) -> None:
        if not -1 <= overlap <= 1:
            raise ValueError(f"initial_overlap: expected a number from -1 to 1, got {overlap}")
        if not (math.isfinite(temperature) and temperature >= 0):
            raise ValueError(f"temperature: expected a number of at least 0, got {temperature}")
        self.covariance = covariance
        self.temperature = temperature
        self.memory: Memory = ExactMemory() if memory is None else memory
        self.time = 0.0
        self.overlap = float(overlap)
        self.overlaps = np.zeros(0)
        self._rows = np.zeros((2, 0))  # C and R of the past steps
        self._noise = covariance.slope(1.0)  # variance of its gradient
        self._evaluate()

    @property
    def correlation(self) -> FloatArray:
        """C_s of the past steps that are remembered, (n,)."""
        return np.asarray(self._rows[0])

    @property
    def response(self) -> FloatArray:
        """R_s of the same, (n,)."""
        return np.asarray(self._rows[1])

    @property
    def start_correlation(self) -> float:
        """C(t, 0)."""
        return float(self._rows[0, 0]) if self._rows.shape[1] else 1.0

    def step(self, rate: float) -> None:
        """One step with learning rate eta.

        Raises:
            ArithmeticError: if the numbers are no longer finite.
        """
        norm2 = 1 + rate**2 * self.gradient_square + 2 * self.temperature * rate
        kept, scale = 1 - rate * self.multiplier, 1 / math.sqrt(norm2)
        n = self._rows.shape[1]
        rows = np.empty((2, n + 1))
        np.multiply(self._rows, scale * kept, out=rows[:, :n])
        self._moved *= scale * rate
        rows[:, :n] += self._moved
        rows[:, n] = scale, scale * rate
        overlap = scale * (kept * self.overlap + rate * self._signal)
        self.memory.append(self.time, self._rows[0], self._rows[1])
        overlaps = np.empty(n + 1)
        overlaps[:n], overlaps[n] = self.overlaps, self.overlap
        self.overlaps, self._rows, self.overlap = overlaps, rows, overlap
        self.time += rate
        coarsening = self.memory.coarsen()
        if coarsening is not None:
            self.overlaps = coarsening.values(self.overlaps)
            parts = [coarsening.values(rows[0]), coarsening.weights(rows[1])]
            self._rows = np.stack(parts)
        self._evaluate()

    def _evaluate(self) -> None:
        """Multiplier, energy, gradient, and the sums over the past."""
        q, m, (correlation, response) = self.covariance, self.overlap, self._rows
        slopes, curvatures = q.slope_and_curvature(correlation)
        weights = response * curvatures
        drawn, echo, pushed = self.memory.products(weights, slopes)
        here, own = q.slope(m), float(response @ slopes)
        back = float(weights @ self.overlaps)
        self.multiplier = here * m + own + float(weights @ correlation)
        self.energy = -q.value(m) - own
        # |force|^2 / N: noise, memory of it, and signal.
        square = self._noise + float(weights @ drawn) + 2 * float(weights @ pushed)
        square += here * (2 * back + here) - self.multiplier**2
        self.gradient_square = max(square, 0.0)
        self._signal = here + back
        self._moved = np.empty_like(self._rows)
        np.add(drawn, pushed, out=self._moved[0])
        self._moved[0] += here * self.overlaps
        self._moved[1] = echo
        if not math.isfinite(self.multiplier):
            raise ArithmeticError(f"descent: expected finite numbers, got none at t = {self.time}")
