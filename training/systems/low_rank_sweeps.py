"""Many reconstructions: error over the scale of the start, and how often they succeed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, product

import numpy as np
import torch
from torch import Tensor

from ...models.low_rank.gaussian import GaussianMeasurements
from ...models.low_rank.nested import NestedMeasurements
from ...models.low_rank.standing import relative_error
from ...models.low_rank.truth import random_matrix, small_start
from ...theory.low_rank.problem import LowRankProblem
from ...theory.low_rank.stages import Start, learning_stages
from ...theory.spectrum import FloatArray

__all__ = ["Patience", "SuccessMap", "final_errors", "grid_errors", "success_map"]

_ABREAST = 96  # descents side by side; more would not stay in a core's cache


@dataclass(frozen=True)
class Patience:
    """When a descent is over: it is looked at every 50 steps.

    It is when its error is within the tolerance, or has come to rest (by less than 1 % from one
    look to the next, after twice the last learning time that is predicted), or after so many
    steps. Above the threshold of uniqueness an error goes on falling, as 1/t, from where it rests.

    Attributes:
        steps: after which it is over, up to the next look.
        tolerance: at which |U U^T - Z| / |Z| is small enough.
    """

    steps: int = field(metadata={"unit": "1"})
    tolerance: float = field(default=0.0, metadata={"unit": "1"})

    @property
    def look(self) -> int:
        """Steps between two looks."""
        return 50

    def earliest(self, problem: LowRankProblem, start: Start) -> float:
        """Steps before which nothing rests; infinite if not all is learned."""
        return 2 * float(learning_stages(problem, start).times[-1])

    def over(self, step: int, earliest: float, before: float, now: float) -> bool:
        """Whether a descent is, of these errors at the last two looks."""
        rests = step >= earliest and abs(before - now) < 0.01 * now
        return rests or step >= self.steps or not now > self.tolerance


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
    patience: Patience,
    learning_rate: float = 0.1,
    seed: int = 0,
    tick: Callable[[], object] = lambda: None,
) -> SuccessMap:
    """Share of trials with |U U^T - Z| <= tolerance |Z|, see `grid_errors`.

    Args:
        size: n.
        eigenvalues: of Z.
        factors: q.
        grid: m and alpha.
        trials: at each point, each on an operator of its own.
        patience: of each descent.
        learning_rate: mu.
        seed: of all randomness.
        tick: called after each descent, for a progress bar.
    """
    problem = LowRankProblem(size, tuple(eigenvalues), max(grid[0]))
    errors = np.stack(
        [
            grid_errors(problem, factors, grid, learning_rate, seed + trial, patience, tick)
            for trial in range(trials)
        ]
    )
    shares = (errors <= patience.tolerance).mean(0)
    return SuccessMap(tuple(grid[0]), tuple(grid[1]), shares, trials)


def final_errors(
    problem: LowRankProblem,
    factors: int,
    scales: Sequence[float],
    learning_rate: float,
    seeds: Sequence[int],
    patience: Patience,
) -> FloatArray:
    """|U U^T - Z| / |Z| of descents on Gaussian operators, on each from one start at all scales.

    Args:
        problem: sizes and eigenvalues.
        factors: q.
        scales: alpha, (A,).
        learning_rate: mu.
        seeds: of matrix, operator and start, (T,).
        patience: of each descent.

    Returns:
        (T, A): where each has come to rest, else its last.
    """
    grid = [problem.measurements], scales
    rows = [grid_errors(problem, factors, grid, learning_rate, seed, patience) for seed in seeds]
    return np.concatenate(rows)


def grid_errors(
    problem: LowRankProblem,
    factors: int,
    grid: tuple[Sequence[int], Sequence[float]],
    learning_rate: float,
    seed: int,
    patience: Patience,
    tick: Callable[[], object] = lambda: None,
) -> FloatArray:
    """|U U^T - Z| / |Z| of descents at all points of a grid of m and alpha, side by side.

    Of one matrix, by the first m measurements of one Gaussian operator, from one start up to the
    scale: an operator that all share is read once for them.

    Args:
        problem: sizes and eigenvalues; its measurements are those that are drawn.
        factors: q.
        grid: m, at most the problem's, (M,), and alpha, (A,).
        learning_rate: mu.
        seed: of matrix, operator and start.
        patience: of each descent.
        tick: called after each descent, for a progress bar.

    Returns:
        (M, A): where each has come to rest, else its last.
    """
    source = torch.Generator().manual_seed(seed)
    matrix = random_matrix(problem.size, problem.eigenvalues, source).matrix
    whole = GaussianMeasurements(problem.size, problem.measurements, source)
    start = small_start(problem.size, factors, 1.0, source)
    counts, scales = grid
    runs = []
    for m, scale in product(counts, scales):
        begun = Start(factors, scale, learning_rate)
        earliest = patience.earliest(replace(problem, measurements=m), begun)
        runs.append(_Run(scale * start, m, earliest))
    # The largest scales last longest: those that are left at the end are short.
    order = sorted(range(len(runs)), key=lambda k: -scales[k % len(scales)])
    errors = np.empty(len(runs))
    ordered = [runs[k] for k in order]
    for k, error in _descended(whole, matrix, ordered, learning_rate, patience):
        errors[order[k]] = error
        tick()
    return errors.reshape(len(counts), len(scales))


@dataclass
class _Run:
    point: Tensor
    measurements: int
    earliest: float
    steps: int = 0
    error: float = np.inf


def _descended(
    whole: GaussianMeasurements,
    matrix: Tensor,
    runs: Sequence[_Run],
    learning_rate: float,
    patience: Patience,
) -> Iterator[tuple[int, float]]:
    """Number and last error of each descent as it is over; then the next one begins."""
    waiting = iter(enumerate(runs))
    going: list[tuple[int, _Run]] = []
    while True:
        going += islice(waiting, _ABREAST - len(going))
        if not going:
            return
        going.sort(key=lambda each: -each[1].measurements)
        operators = NestedMeasurements(whole, [run.measurements for _, run in going])
        point = torch.stack([run.point for _, run in going])
        for _ in range(patience.look):
            pull = operators.normal(torch.baddbmm(matrix, point, point.mT, beta=-1))
            point = torch.baddbmm(point, pull, point, alpha=-learning_rate)
        left = []
        for (k, run), own, now in zip(going, point, relative_error(point, matrix), strict=True):
            before, run.error, run.point = run.error, float(now), own
            run.steps += patience.look
            if patience.over(run.steps, run.earliest, before, run.error):
                yield k, run.error
            else:
                left.append((k, run))
        going = left
