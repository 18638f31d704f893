"""Many reconstructions: error over the scale of the start, and how often they succeed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ...models.low_rank.descent import descend
from ...models.low_rank.gaussian import GaussianMeasurements
from ...models.low_rank.standing import standing
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
    """Share of trials with |U U^T - Z| <= tolerance |Z|; the scales of a trial share its operator.

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
        tick: called after each trial of all scales, for a progress bar.
    """
    measurements, scales = grid
    shares = np.zeros((len(measurements), len(scales)))
    for row, m in enumerate(measurements):
        problem = LowRankProblem(size, tuple(eigenvalues), m)
        for trial in range(trials):
            drawn = seed + 1000 * row + trial
            errors = final_errors(problem, factors, scales, learning_rate, drawn, steps, tolerance)
            shares[row] += errors <= tolerance
            tick()
    return SuccessMap(tuple(measurements), tuple(scales), shares / trials, trials)


def final_errors(
    problem: LowRankProblem,
    factors: int,
    scales: Sequence[float],
    learning_rate: float,
    seed: int,
    steps: int,
    tolerance: float = 0.0,
) -> FloatArray:
    """|U U^T - Z| / |Z| of descents on one Gaussian operator, from one start at several scales.

    A run leaves the batch when its error is within the tolerance, or has come to rest (by less than
    1 % in 50 steps, after twice the last learning time that is predicted), or after so many steps.
    Above the threshold of uniqueness an error goes on falling, as 1/t, from where it rests.

    Args:
        problem: sizes and eigenvalues.
        factors: q.
        scales: alpha, (A,).
        learning_rate: mu.
        seed: of matrix, operator and start.
        steps: at most.
        tolerance: at which an error is small enough.

    Returns:
        (A,): where each has come to rest, else its last.
    """
    source = torch.Generator().manual_seed(seed)
    truth = random_matrix(problem.size, problem.eigenvalues, source)
    measurements = GaussianMeasurements(problem.size, problem.measurements, source)
    start = small_start(problem.size, factors, 1.0, source)
    point = torch.tensor(scales, dtype=start.dtype)[:, None, None] * start
    outcomes = measurements.forward(truth.matrix)
    earliest = np.array([_settled(problem, factors, scale, learning_rate) for scale in scales])
    errors = np.full(len(scales), np.inf)
    running = np.arange(len(scales))
    for done in range(0, steps, _LOOK):
        step = min(done + _LOOK, steps)
        point = descend(measurements, outcomes, point, learning_rate, step - done)
        before, now = errors[running], standing(point, truth).test_error.numpy()
        errors[running] = now
        rests = (step >= earliest[running]) & (np.abs(before - now) < _STALLED * now)
        going = (now > tolerance) & ~rests
        running, point = running[going], point[torch.from_numpy(going)]
        if not len(running):
            break
    return errors


def _settled(problem: LowRankProblem, factors: int, scale: float, rate: float) -> float:
    """Twice the last learning time that the closed form has; infinite without one."""
    last = float(learning_stages(problem, Start(factors, scale, rate)).times[-1])
    return 2 * last if math.isfinite(last) else math.inf
