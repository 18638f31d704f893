"""The law of projected gradient descent and of its Langevin dynamics, step by step."""

from __future__ import annotations

import math

import numpy as np

from ..spectrum import FloatArray
from .covariance import Covariance
from .memory import ExactMemory, Memory

__all__ = ["DescentLaw"]

_ROOM = 300  # steps there is room for at first


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
        self._known = 0
        # C, R and m of the past steps that are remembered, and the sums over them.
        self._past = np.zeros((6, _ROOM))
        self._noise = covariance.slope(1.0)  # variance of its gradient
        self._evaluate()

    @property
    def correlation(self) -> FloatArray:
        """C_s of the past steps that are remembered, (n,)."""
        return np.asarray(self._past[0, : self._known])

    @property
    def response(self) -> FloatArray:
        """R_s of the same, (n,)."""
        return np.asarray(self._past[1, : self._known])

    @property
    def overlaps(self) -> FloatArray:
        """m of the same, (n,)."""
        return np.asarray(self._past[2, : self._known])

    @property
    def start_correlation(self) -> float:
        """C(t, 0)."""
        return float(self._past[0, 0]) if self._known else 1.0

    def step(self, rate: float) -> None:
        """One step with learning rate eta.

        Raises:
            ArithmeticError: if the numbers are no longer finite.
        """
        norm2 = 1 + rate * rate * self.gradient_square + 2 * self.temperature * rate
        if not math.isfinite(norm2):
            raise ArithmeticError(f"descent: expected finite numbers, got none at t = {self.time}")
        kept, scale = 1 - rate * self.multiplier, 1 / math.sqrt(norm2)
        n = self._known
        if n == self._past.shape[1]:
            self._past = np.pad(self._past, ((0, 0), (0, n)))
        past, memory = self._past[:, :n], self.memory
        memory.append(self.time, rate, past[0], past[1])
        stay, move, pull = scale * kept, scale * rate, scale * rate * self._here
        # Of C, R, m and the three sums, what makes the next C and R.
        past[:2] = np.array([[stay, 0, pull, move, 0, move], [0, stay, 0, 0, move, 0]]) @ past
        self._past[0, n], self._past[1, n], self._past[2, n] = scale, move, self.overlap
        self.overlap = scale * (kept * self.overlap + rate * self._signal)
        self.time += rate
        self._known = n + 1
        coarsening = memory.coarsen()
        if coarsening is not None:
            correlation, response, overlaps = self._past[:3, : n + 1]
            parts = coarsening.values(correlation), coarsening.weights(response)
            self._known = len(parts[0])
            self._past[:3, : self._known] = *parts, coarsening.values(overlaps)
        self._evaluate()

    def _evaluate(self) -> None:
        """Multiplier, energy, gradient, and the sums over the past."""
        q, m, past = self.covariance, self.overlap, self._past[:, : self._known]
        slopes, curvatures = q.slope_and_curvature(past[0])
        weights = past[1] * curvatures
        self.memory.products(weights, slopes, past[3:])
        correlated, _, back, drawn, _, echoed = (past @ weights).tolist()
        here, own = q.slope(m), float(past[1] @ slopes)
        self.multiplier = here * m + own + correlated
        self.energy = -q.value(m) - own
        # |force|^2 / N: noise, memory of it, and signal.
        square = self._noise + drawn + 2 * echoed
        square += here * (2 * back + here) - self.multiplier * self.multiplier
        self.gradient_square = max(square, 0.0)
        self._here, self._signal = here, here + back
        if not math.isfinite(self.multiplier):
            raise ArithmeticError(f"descent: expected finite numbers, got none at t = {self.time}")
