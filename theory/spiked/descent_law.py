"""The law of projected gradient descent and of its Langevin dynamics, step by step."""

from __future__ import annotations

import math

import numpy as np

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
        self.correlation = np.zeros(0)
        self.response = np.zeros(0)
        self._evaluate()

    @property
    def start_correlation(self) -> float:
        """C(t, 0)."""
        return float(self.correlation[0]) if len(self.correlation) else 1.0

    def step(self, rate: float) -> None:
        """One step with learning rate eta.

        Raises:
            ArithmeticError: if the descent is unstable: 2 / (mu + 2 sigma) bounds eta.
        """
        norm2 = 1 + rate**2 * self.gradient_square + 2 * self.temperature * rate
        kept = 1 - rate * self.multiplier
        scale = 1 / math.sqrt(norm2)
        q = self.covariance
        here = q.slope(self.overlap)
        moved = self._pulls + here * self.overlaps
        correlation = np.append(scale * (kept * self.correlation + rate * moved), scale)
        response = np.append(scale * (kept * self.response + rate * self._echo), scale * rate)
        overlap = scale * (
            kept * self.overlap + rate * (here + float(self._weights @ self.overlaps))
        )
        self.memory.append(self.time, self.correlation, self.response)
        self.overlaps = np.append(self.overlaps, self.overlap)
        self.correlation, self.response, self.overlap = correlation, response, overlap
        self.time += rate
        coarsening = self.memory.coarsen()
        if coarsening is not None:
            self.overlaps = coarsening.values(self.overlaps)
            self.correlation = coarsening.values(self.correlation)
            self.response = coarsening.weights(self.response)
        self._evaluate()

    def _evaluate(self) -> None:
        """Multiplier, energy, gradient, and the sums over the past."""
        q, m = self.covariance, self.overlap
        slopes = q.slope(self.correlation)
        self._weights = self.response * q.curvature(self.correlation)
        drawn, self._echo, pushed = self.memory.products(self._weights, slopes)
        self._pulls = drawn + pushed
        here = q.slope(m)
        own = float(self.response @ slopes)
        back = float(self._weights @ self.overlaps)
        self.multiplier = here * m + own + float(self._weights @ self.correlation)
        self.energy = -q.value(m) - own
        # |force|^2 / N: noise, memory of it, and signal; the noise's gradient has variance Q'(1).
        square = q.slope(1.0) + float(self._weights @ (drawn + 2 * pushed))
        square += 2 * here * back + here**2
        self.gradient_square = max(square - self.multiplier**2, 0.0)
        if not math.isfinite(self.multiplier):
            raise ArithmeticError(f"descent: expected finite numbers, got none at t = {self.time}")
