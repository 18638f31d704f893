"""The stages of a descent from a small start: one direction after another is learned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ...models.arguments import require_fields, require_least
from ..spectrum import FloatArray
from .problem import LowRankProblem
from .spiked_matrix import outlier_value

__all__ = ["Stages", "Start", "initial_strengths", "learning_stages", "stage_noise", "stage_rates"]


@dataclass(frozen=True)
class Start:
    """U_0 = alpha G, G_ij ~ N(0, 1/q), and the steps U <- U + mu A*A(R) U.

    Attributes:
        factors: q.
        scale: alpha.
        learning_rate: mu.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    factors: int = field(metadata={"unit": "1"})
    scale: float = field(metadata={"unit": "square root of that of the matrix"})
    learning_rate: float = field(metadata={"unit": "1 / that of the matrix"})

    def __post_init__(self) -> None:
        require_fields(self)
        require_least("factors", self.factors, 1)
        for name in ("scale", "learning_rate"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: expected a positive number, got {value}")

    def require(self, problem: LowRankProblem) -> None:
        """Refuse fewer factors than the rank, or more than the size.

        Raises:
            ValueError: naming the argument, what was expected and what came.
        """
        if not problem.rank <= self.factors <= problem.size:
            raise ValueError(
                f"factors: expected {problem.rank} (the rank) to {problem.size} (the size), "
                f"got {self.factors}"
            )


@dataclass(frozen=True)
class Stages:
    """When each direction is learned, and how fast the others grow meanwhile.

    Attributes:
        times: T_k, (r,), steps; infinite for a direction that does not grow.
        rates: nu_k^(j), (r, r): row j while j directions are learned, NaN for k < j.
        initial: s_k at the start, (r,).
        learning_rate: mu.
    """

    times: FloatArray = field(metadata={"unit": "steps"})
    rates: FloatArray = field(metadata={"unit": "that of the matrix"})
    initial: FloatArray = field(metadata={"unit": "that of the matrix"})
    learning_rate: float = field(metadata={"unit": "1 / that of the matrix"})

    def log_growth(self, times: FloatArray) -> FloatArray:
        """ln of s_k over its start without saturation, (times, r); beyond T_k at its last rate.

        Args:
            times: (times,) steps, real.
        """
        total = np.zeros((len(times), len(self.times)))
        ends = np.append(self.times[:-1], np.inf)
        begin = 0.0
        for j, end in enumerate(ends):
            rates = 2 * np.log1p(self.learning_rate * self._growing(j))
            spent = np.clip(times, begin, end) - begin
            total += np.where(spent > 0, spent, 0.0)[:, None] * rates
            begin = end
            if not math.isfinite(end):
                break
        return total

    def _growing(self, stage: int) -> FloatArray:
        """Rates of all directions in a stage; of the learned ones their last."""
        own = np.arange(len(self.times))
        return np.asarray(self.rates[np.minimum(own, stage), own])


def stage_noise(problem: LowRankProblem) -> FloatArray:
    """sigma_j, sigma_j^2 = kappa_j |lam_(>j)|^2 (n - j) / (2 m) for j = 0..r, (r + 1,)."""
    lam = problem.strengths
    rest = [float(np.square(lam[j:]).sum()) for j in range(problem.rank + 1)]
    return np.array(
        [problem.noise(problem.kept(j) * square, problem.size - j) for j, square in enumerate(rest)]
    )


def stage_rates(problem: LowRankProblem) -> FloatArray:
    """nu_k^(j) of theta = kappa_j lam_k in noise sigma_j, (r, r); NaN for k < j."""
    r, sigma = problem.rank, stage_noise(problem)
    rates = np.full((r, r), np.nan)
    for j in range(r):
        rates[j, j:] = outlier_value(problem.kept(j) * problem.strengths[j:], float(sigma[j]))
    return rates


def initial_strengths(rank: int, start: Start) -> FloatArray:
    """alpha^2 (q - k + 1) / q: mean squares of the rows of V^T U_0, made orthogonal in turn."""
    k = np.arange(rank)
    return np.asarray(start.scale**2 * (start.factors - k) / start.factors)


def learning_stages(
    problem: LowRankProblem,
    start: Start,
    rates: FloatArray | None = None,
    initial: FloatArray | None = None,
) -> Stages:
    """T_j = T_(j-1) + (ln lam_j - ln s_j) / (2 ln(1 + mu nu_j^(j-1))),  s_k growing on meanwhile.

    T_k is the step at which s_k = lam_k / 2: growth is logistic, so that there the pure
    exponential reaches lam_k.

    Args:
        problem: Z and the operator.
        start: of the descent.
        rates: (r, r) of the drawn operator, see `conditional_rates`; the closed form if None.
        initial: (r,) of the drawn start; the closed form if None.
    """
    lam = problem.strengths
    rates = stage_rates(problem) if rates is None else rates
    initial = initial_strengths(problem.rank, start) if initial is None else initial
    left = np.log(lam) - np.log(initial)
    times = np.full(problem.rank, np.inf)
    now = 0.0
    for j in range(problem.rank):
        growth = 2 * np.log1p(start.learning_rate * rates[j])
        if not growth[j] > 0:
            break
        spent = max(0.0, left[j] / growth[j])
        left -= np.where(np.isnan(growth), 0.0, growth) * spent
        now += spent
        times[j] = now
    return Stages(times, rates, initial, start.learning_rate)
