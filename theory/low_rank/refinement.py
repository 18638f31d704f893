"""What is left in the end: the error that a start of finite size leaves behind."""

from __future__ import annotations

import math
from copy import copy

import numpy as np
from scipy.special import betaincinv

from ..spectrum import FloatArray
from .problem import LowRankProblem
from .stages import Stages, Start, learning_stages, stage_noise

__all__ = [
    "effective_noise",
    "final_error",
    "grown_noise",
    "recovery_threshold",
    "semicircle_quantiles",
]

_BISECTIONS = 60


def semicircle_quantiles(count: int) -> FloatArray:
    """x_i at (i - 1/2) / N of the semicircle on [-2, 2], rising, (N,): it is a Beta(3/2, 3/2)."""
    found = 4 * betaincinv(1.5, 1.5, (np.arange(count) + 0.5) / count) - 2
    return np.asarray(found, dtype=np.float64)


def effective_noise(
    problem: LowRankProblem, stages: Stages, times: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(t, s) with s^2 t^2 = sum_jk dT_j dT_k s_max(j,k)^2, (times,) each.

    dT_j is the time spent in stage j up to then, s_j the noise of that stage in the n - r
    dimensions off the directions of Z: from a stage to the next it is the same noise, but less of
    it. Nothing grows once all is learned, so t ends at T_r.

    Args:
        problem: Z and the operator.
        stages: of the descent.
        times: steps, real.
    """
    n, r = problem.size, problem.rank
    spent = np.zeros((len(times), r))
    begin = 0.0
    for j, end in enumerate(stages.times):
        spent[:, j] = np.clip(times, begin, end) - begin
        begin = end
        if not math.isfinite(end):
            break
    stage = np.arange(r)
    noise = np.square(stage_noise(problem)[:r]) * (n - r) / (n - stage)
    total = spent.sum(1)
    joint = noise[np.maximum(stage[:, None], stage)]
    pushed = np.sqrt(np.einsum("tj,tk,jk->t", spent, spent, joint))
    with np.errstate(invalid="ignore"):
        return total, np.where(total > 0, pushed / total, math.sqrt(noise[0]))


def grown_noise(
    problem: LowRankProblem, start: Start, stages: Stages, times: FloatArray
) -> FloatArray:
    """|B B^T|, B the part of U beside the directions of Z: what q - r columns have grown to.

        (alpha^2 / q) (e^2 S_4 + e (S_2^2 + S_4))^(1/2),  e = q - r,
        S_p = sum_i (1 + mu s x_i)^(p t),

    x_i being `semicircle_quantiles` of n - r, t and s those of `effective_noise`.

    Args:
        problem: Z and the operator.
        start: of the descent.
        stages: of the descent.
        times: steps, real; (times,) is returned.
    """
    extra = start.factors - problem.rank
    total, sigma = effective_noise(problem, stages, times)
    x = semicircle_quantiles(problem.size - problem.rank)
    base = np.log(np.maximum(1 + start.learning_rate * sigma[:, None] * x, 1e-300))
    second, fourth = (np.exp(p * total[:, None] * base).sum(1) for p in (2, 4))
    square = extra**2 * fourth + extra * (second**2 + fourth)
    return np.asarray(start.scale**2 / start.factors * np.sqrt(square))


def final_error(problem: LowRankProblem, start: Start, stages: Stages | None = None) -> float:
    """|U U^T - Z| / |Z| = noise / (|lam| (1 - d_r/m)^(1/2)) at T_r; 0 at q = r.

    NaN where m is below the degrees of freedom or a direction is not learned.

    Args:
        problem: Z and the operator.
        start: of the descent.
        stages: of it; the closed form if None.
    """
    kept = problem.kept(problem.rank)
    if stages is None:
        stages = learning_stages(problem, start)
    if not (kept > 0 and math.isfinite(stages.times[-1])):
        return math.nan
    if start.factors == problem.rank:
        return 0.0
    noise = float(grown_noise(problem, start, stages, stages.times[-1:])[0])
    return noise / (problem.norm * math.sqrt(kept))


def recovery_threshold(problem: LowRankProblem, start: Start, tolerance: float) -> float:
    """The number of measurements from which on `final_error` is within a tolerance, real.

    Above the degrees of freedom, below which nothing is recovered; infinite if more measurements
    than coordinates would be needed.

    Args:
        problem: Z and the operator; its measurements do not matter.
        start: of the descent.
        tolerance: of the error.
    """

    def missed(measurements: float) -> bool:
        # Between integers, where the closed form is as good.
        found = final_error(_at(problem, measurements), start)
        return not found <= tolerance

    low, high = float(problem.degrees_of_freedom(problem.rank)), float(problem.coordinates)
    if missed(high):
        return math.inf
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if missed(middle) else (low, middle)
    return high


def _at(problem: LowRankProblem, measurements: float) -> LowRankProblem:
    between = copy(problem)
    object.__setattr__(between, "measurements", measurements)  # a problem has whole numbers only
    return between
