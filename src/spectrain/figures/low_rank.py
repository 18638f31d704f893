"""Figures of low-rank reconstruction: of its runs, and of many of them at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from ..probes.records.record_file import Run
from ..theory.low_rank.problem import LowRankProblem
from ..theory.low_rank.refinement import final_error, recovery_threshold
from ..theory.low_rank.stages import Start
from ..theory.low_rank.thresholds import thresholds
from ..views.figures import style
from ..views.figures.figure import RunFigure, SystemFigure
from ..views.figures.low_rank import (
    ErrorCurve,
    error_over_scale,
    reconstruction,
    success_over_grid,
)

__all__ = ["REPORT_TEXTS", "RUN_FIGURES", "Scale", "figures_at", "system_figures"]


def _has_rho(run: Run) -> bool:
    return any(record.measured.quantity("rho") for record in run.records)


REPORT_TEXTS = (
    "Gradient descent on the factors U of a low-rank matrix Z that is known by m linear "
    "measurements, from a small random start. At first U grows by powers of A*A(Z) and turns to "
    "its outliers (phase I); then one direction after another is learned, the largest first, with "
    "a saddle between two of them (phase II); what is left is refinement (phase III). Phases, "
    "unlearned directions and saddles are found from the measurements alone. Forecasts are those "
    "of the drawn operator; the end of a descent is slower than they say, since the flattest "
    "directions of the minimum follow late. A direction that does not stand out of A*(y) is not "
    "counted among the unlearned ones; if it is the last, phase III is announced before it.",
)
RUN_FIGURES = (
    RunFigure(
        "reconstruction",
        "The path of a reconstruction",
        "Largest eigenvalue of A*A(R), a staircase with a step for each direction that is learned; "
        "strengths of the directions; largest principal angle between the leading directions of U "
        "and those of Z; lowest eigenvalues of the Hessian, which leave as directions are learned. "
        "Measured points, predictions from the strengths (line), forecasts from the start "
        "(dashed), the edge of the bulk from the loss alone, and the most stationary record of "
        "each stretch. Shaded: after the last forecast of learning the angle falls more slowly "
        "than told.",
        _has_rho,
        lambda run, columns: reconstruction(run.records, columns),
    ),
)
_RATE = 0.1
_TOLERANCE = 0.01
_FAILING = 0.03  # scale of the start from which on the error is not that of the theory
_SMALLEST = 1e-5  # and below which the threshold is not, near the degrees of freedom


@dataclass(frozen=True)
class Scale:
    """How much is computed for the figures that need no run.

    Attributes:
        size: n of the errors.
        error_scales: alpha there.
        seeds: of each.
        map_size: n of the success map.
        grid: points of its two sides.
        trials: at each point.
        steps: at most, of each descent.
    """

    size: int
    error_scales: tuple[float, ...]
    seeds: int
    map_size: int
    grid: tuple[int, int]
    trials: int
    steps: int


_FULL = Scale(50, (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6), 3, 40, (8, 8), 8, 1000)
_QUICK = Scale(20, (1e-1, 1e-2, 1e-3), 2, 12, (3, 3), 2, 300)


def system_figures(quick: bool) -> tuple[SystemFigure, ...]:
    """Error over the scale of the start, and the map of successes."""
    return figures_at(_QUICK if quick else _FULL)


def figures_at(scale: Scale) -> tuple[SystemFigure, ...]:
    """The same at any scale."""
    return (
        SystemFigure("low-rank-error", lambda columns: _errors(scale, columns)),
        SystemFigure("low-rank-success", lambda columns: _success(scale, columns)),
    )


def _errors(scale: Scale, columns: style.Columns) -> Figure:
    from ..training.systems.low_rank_sweeps import Patience, final_errors

    n, lam = scale.size, (1.0, 1.0)
    rank = len(lam)
    cases = {
        "m = 10 nr, q = n": (10, n),
        "m = 5 nr, q = n": (5, n),
        "m = 10 nr, q = r + 1": (10, rank + 1),
    }
    scales = np.array(scale.error_scales)
    fine = np.geomspace(scales.min(), scales.max(), 60)
    curves, patience = {}, Patience(scale.steps)
    for name, (ratio, factors) in tqdm(
        cases.items(), desc="low-rank errors", unit="batch", disable=None
    ):
        problem = LowRankProblem(n, lam, ratio * n * rank)
        seeds = range(scale.seeds)
        logs = np.log(final_errors(problem, factors, scales.tolist(), _RATE, seeds, patience))
        error = logs.std(axis=0, ddof=1) / scale.seeds**0.5
        predicted = [final_error(problem, Start(factors, float(a), _RATE)) for a in fine]
        curves[name] = ErrorCurve(
            scales, np.exp(logs.mean(axis=0)), np.exp(error), fine, np.array(predicted)
        )
    return error_over_scale(curves, _FAILING, columns)


def _success(scale: Scale, columns: style.Columns) -> Figure:
    from ..training.systems.low_rank_sweeps import Patience, success_map

    n, lam = scale.map_size, (1.0, 1.0)
    unit = n * len(lam)
    measurements = np.round(np.linspace(1.0, 5.5, scale.grid[0]) * unit).astype(int)
    scales = np.geomspace(1e-8, 1e-1, scale.grid[1])
    grid, patience = (measurements.tolist(), scales.tolist()), Patience(scale.steps, _TOLERANCE)
    total = len(measurements) * len(scales) * scale.trials
    with tqdm(total=total, desc="low-rank successes", unit="descent", disable=None) as bar:
        found = success_map(n, lam, n, grid, scale.trials, patience, _RATE, tick=bar.update)
    problem = LowRankProblem(n, lam, unit)
    wanted = [
        recovery_threshold(problem, Start(n, float(alpha), _RATE), _TOLERANCE) for alpha in scales
    ]
    at = thresholds(problem)
    lines = {
        "degrees of freedom": at.degrees_of_freedom / unit,
        "trace minimisation": at.trace_minimisation / unit,
        "unique positive matrix": at.unique / unit,
    }
    return success_over_grid(
        measurements / unit,
        scales,
        found.shares,
        np.array(wanted) / unit,
        lines,
        (_SMALLEST, _FAILING),
        columns,
    )
