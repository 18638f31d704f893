"""The compute-optimal frontier of power laws: from theory, and from runs at several widths."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..theory.linear.phases import phase
from ..theory.linear.power_law import PowerLaw
from ..theory.linear.scaling import best_width, frontier
from ..theory.spectrum import FloatArray
from ..training.systems.linear import CovarianceConfig, LinearConfig
from ..training.systems.linear_runs import LinearRuns

__all__ = ["Exponent", "power_law_runs", "predicted_exponent", "trained_exponent"]

_WIDE = 2000  # inputs of the runs where the sum of eigenvalues converges
_FACTOR = 4  # inputs for each feature where it does not
_NUMBERS = 3 * 10**7  # of the projections that are held at once


@dataclass(frozen=True)
class Exponent:
    """-d log L* / d log C between two computes.

    Attributes:
        value: of the runs.
        error: its standard error.
        expected: of the theory of the same inputs, widths and computes.
    """

    value: float
    error: float
    expected: float


def predicted_exponent(alpha: float, beta: float, compute: FloatArray) -> float:
    """From theory, at large dimension; NaN where there is no power law or no best width.

    Args:
        alpha: half the exponent of the eigenvalues.
        beta: half that of the squared coefficients.
        compute: (2,) increasing.
    """
    expected = phase(alpha, beta)
    if expected is None:
        return math.nan
    centre = float(compute.mean() ** expected.width_exponent)
    widths = np.geomspace(max(8.0, centre / 30), centre * 100, 10)
    try:
        found = frontier(
            lambda n: PowerLaw(2 * alpha, 2 * beta, 10**7 if alpha > 0.5 else int(10 * n), 100),
            widths,
            compute,
        )
    except ValueError:
        return math.nan
    return _slope(found.loss, compute)


def trained_exponent(alpha: float, beta: float, compute: FloatArray, seeds: int) -> Exponent:
    """From runs of one-pass SGD on single samples at the best of some widths.

    Args:
        alpha: half the exponent of the eigenvalues.
        beta: half that of the squared coefficients.
        compute: (2,) increasing.
        seeds: of runs at each width.

    Raises:
        ValueError: if the best width is not among those that theory expects it between.
    """

    def law(width: float) -> PowerLaw:
        return PowerLaw(2 * alpha, 2 * beta, _inputs(alpha, round(width)), 100)

    coarse = frontier(law, np.geomspace(8, 5000, 16), compute)
    around = np.geomspace(coarse.width[0] / 2.5, coarse.width[-1] * 2.5, 6)
    widths = np.unique(np.round(around)).astype(np.float64)
    expected = frontier(law, widths, compute)
    runs = []
    for width in widths:
        inputs = _inputs(alpha, int(width))
        steps = [round(float(c / width)) for c in compute]
        runs.append(power_law_runs(alpha, beta, inputs, int(width), steps, seeds))
    losses, spread = np.array([(each.mean(0), each.std(0, ddof=1)) for each in runs]).swapaxes(0, 1)
    best = [best_width(widths, losses[:, at], c) for at, c in enumerate(compute)]
    # The error is that of the width nearest to the best.
    nearest = [int(np.abs(np.log(widths / width)).argmin()) for width, _ in best]
    errors = [spread[n, at] / losses[n, at] / math.sqrt(seeds) for at, n in enumerate(nearest)]
    span = math.log(compute[1] / compute[0])
    return Exponent(
        _slope(np.array([loss for _, loss in best]), compute),
        math.hypot(*errors) / span,
        _slope(expected.loss, compute),
    )


def power_law_runs(
    alpha: float, beta: float, inputs: int, width: int, steps: list[int], seeds: int
) -> FloatArray:
    """Test losses, (seeds, T), of one-pass SGD on single samples at half the critical rate."""
    config = LinearConfig(
        covariance=CovarianceConfig(
            dimension=inputs, exponent=2 * alpha, target_exponent=2 * beta, noise=0.0
        ),
        samples=None,
        features=width,
        algorithm="one-pass",
        batch_size=1,
    )
    config = replace(config, lr=config.learning_rate())
    # The configuration scales the eigenvalues to sum 1, and with them the loss.
    scale = float((np.arange(1, inputs + 1.0) ** (-2 * alpha)).sum())
    together = max(1, _NUMBERS // (inputs * width))
    found = []
    for first in range(0, seeds, together):
        some = [replace(config, seed=s) for s in range(first, min(first + together, seeds))]
        (losses,) = LinearRuns()(some, steps)
        found.append(losses.values)
    return scale * np.concatenate(found)


def _inputs(alpha: float, width: int) -> int:
    return max(_WIDE, _FACTOR * width) if alpha > 0.5 else _FACTOR * width


def _slope(loss: FloatArray, compute: FloatArray) -> float:
    return -float(np.log(loss[1] / loss[0]) / np.log(compute[1] / compute[0]))
