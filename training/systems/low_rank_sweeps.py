"""Many reconstructions: error over the scale of the start, and how often they succeed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ...models.low_rank.descent import descend
from ...models.low_rank.gaussian import GaussianMeasurements
from ...models.low_rank.standing import relative_error
from ...models.low_rank.truth import random_matrix, small_start
from ...theory.low_rank.problem import LowRankProblem
from ...theory.low_rank.stages import Start, learning_stages
from ...theory.spectrum import FloatArray

__all__ = ["SuccessMap", "final_errors", "success_map"]

_LOOK = 50  # steps between two looks at the errors
_STALLED = 1e-2  # relative change between two looks at which an error rests


@dataclass(frozen=True)
class SuccessMap:
    """How often a descent finds its matrix.

    Attributes:
        measurements: m, (M,).
        scales: alpha, (A,).
        shares: of the trials within the tolerance, (M, A).
        trials: at each point.
    """

    measurements: tuple[int, ...] = field(metadata={"unit": "1"})
    scales: tuple[float, ...] = field(metadata={"unit": "square root of that of the matrix"})
    shares: FloatArray = field(metadata={"unit": "1, between 0 and 1"})
    trials: int = field(metadata={"unit": "1"})


def success_map(
    size: int,
    eigenvalues: Sequence[float],
    factors: int,
    grid: tuple[Sequence[int], Sequence[float]],
    trials: int,
    steps: int,
    tolerance: float = 0.01,
    learning_rate: float = 0.1,
    seed: int = 0,
    tick: Callable[[], object] = lambda: None,
) -> SuccessMap:
    """Share of trials with |U U^T - Z| <= tolerance |Z|, those of one m side by side.

    The scales of a trial share its operator; the operators of all trials of one m are held at once.

    Args:
        size: n.
        eigenvalues: of Z.
        factors: q.
        grid: m, increasing, and alpha.
        trials: at each point, each with its operator, matrix and start.
        steps: at most.
        tolerance: of the error.
        learning_rate: mu.
        seed: of all randomness.
        tick: called after each m, for a progress bar.
    """
    measurements, scales = grid
    shares = np.zeros((len(measurements), len(scales)))
    for row, m in enumerate(measurements):
        problem = LowRankProblem(size, tuple(eigenvalues), m)
        seeds = [seed + 1000 * row + trial for trial in range(trials)]
        errors = final_errors(problem, factors, scales, learning_rate, seeds, steps, tolerance)
        shares[row] = (errors <= tolerance).mean(0)
        tick()
    return SuccessMap(tuple(measurements), tuple(scales), shares, trials)


def final_errors(
    problem: LowRankProblem,
    factors: int,
    scales: Sequence[float],
    learning_rate: float,
    seeds: Sequence[int],
    steps: int,
    tolerance: float = 0.0,
) -> FloatArray:
    """|U U^T - Z| / |Z| of descents on Gaussian operators, on each from one start at all scales.

    A run is over when its error is within the tolerance, or has come to rest (by less than 1 % in
    50 steps, after twice the last learning time that is predicted), or after so many steps. An
    operator, and a scale, leaves the batch when all its runs are over.
    Above the threshold of uniqueness an error goes on falling, as 1/t, from where it rests.

    Args:
        problem: sizes and eigenvalues.
        factors: q.
        scales: alpha, (A,).
        learning_rate: mu.
        seeds: of matrix, operator and start, (T,).
        steps: at most.
        tolerance: at which an error is small enough.

    Returns:
        (T, A): where each has come to rest, else its last.
    """
    drawn = [_drawn(problem, factors, seed) for seed in seeds]
    matrices, outcomes, starts = (
        torch.stack(part)[:, None]
        for part in zip(*((each.matrix, each.outcomes, each.start) for each in drawn), strict=True)
    )
    operators = GaussianMeasurements.stacked([each.measurements for each in drawn])
    point = torch.tensor(scales, dtype=starts.dtype)[:, None, None] * starts
    earliest = np.array([_settled(problem, factors, scale, learning_rate) for scale in scales])
    errors = np.full((len(seeds), len(scales)), np.inf)
    going = np.ones_like(errors, dtype=bool)
    rows, columns = (np.arange(length) for length in errors.shape)
    for done in range(0, steps, _LOOK):
        step = min(done + _LOOK, steps)
        point = descend(operators, outcomes, point, learning_rate, step - done)
        batch = np.ix_(rows, columns)
        before, now = errors[batch], relative_error(point, matrices).numpy()
        errors[batch] = np.where(going[batch], now, before)
        rests = (step >= earliest[columns]) & (np.abs(before - now) < _STALLED * now)
        going[batch] &= (now > tolerance) & ~rests
        left, wanted = going[batch].any(1), going[batch].any(0)
        if not left.any():
            break
        rows, columns = rows[left], columns[wanted]
        kept = torch.from_numpy(left)
        point = point[kept][:, torch.from_numpy(wanted)]
        if not left.all():
            operators, matrices, outcomes = operators.of(kept), matrices[kept], outcomes[kept]
    return errors


@dataclass(frozen=True)
class _Drawn:
    matrix: Tensor
    measurements: GaussianMeasurements
    outcomes: Tensor
    start: Tensor


def _drawn(problem: LowRankProblem, factors: int, seed: int) -> _Drawn:
    source = torch.Generator().manual_seed(seed)
    matrix = random_matrix(problem.size, problem.eigenvalues, source).matrix
    measurements = GaussianMeasurements(problem.size, problem.measurements, source)
    start = small_start(problem.size, factors, 1.0, source)
    return _Drawn(matrix, measurements, measurements.forward(matrix), start)


def _settled(problem: LowRankProblem, factors: int, scale: float, rate: float) -> float:
    """Twice the last learning time that the closed form has; infinite without one."""
    last = float(learning_stages(problem, Start(factors, scale, rate)).times[-1])
    return 2 * last if math.isfinite(last) else math.inf
