"""What is told of a descent at some times, and how several tellings are made one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..spectrum import FloatArray
from .descent_law import DescentLaw
from .outliers import Outlier, trajectory_outliers

__all__ = ["Reading", "Trajectory", "combine", "joined", "read"]


@dataclass(frozen=True)
class Trajectory:
    """The law of a descent at T times.

    Attributes:
        times: (T,) steps times learning rate.
        overlap: m, (T,), signed.
        multiplier: mu = -x.grad H / N, (T,).
        energy: H / N, (T,).
        correlation: C(t, 0), with the start, (T,).
        outliers: of the Hessian, below its bulk mu -+ 2 sigma, lowest first, at each time; None at
            a temperature above 0.
        error: (T,) estimated numerical error of the four, the largest; rounding is not counted.
    """

    times: FloatArray = field(metadata={"unit": "time of the flow"})
    overlap: FloatArray = field(metadata={"unit": "1"})
    multiplier: FloatArray = field(metadata={"unit": "energy per squared coordinate"})
    energy: FloatArray = field(metadata={"unit": "energy per coordinate"})
    correlation: FloatArray = field(metadata={"unit": "1"})
    outliers: tuple[tuple[Outlier, ...], ...] | None = field(metadata={"unit": "see Outlier"})
    error: FloatArray = field(metadata={"unit": "of each"})


@dataclass(frozen=True)
class Reading:
    """The law at one time.

    Attributes:
        numbers: m, mu, e, C(t, 0), (4,).
        outliers: lowest first; None at a temperature above 0.
    """

    numbers: FloatArray
    outliers: tuple[Outlier, ...] | None


def read(law: DescentLaw) -> Reading:
    """The law now."""
    numbers = [law.overlap, law.multiplier, law.energy, law.start_correlation]
    outliers = None if law.temperature > 0 else trajectory_outliers(law)
    return Reading(np.array(numbers), outliers)


def combine(
    times: Sequence[float],
    runs: Sequence[Sequence[Reading]],
    weights: FloatArray,
    checked: FloatArray,
    sigma: float,
) -> Trajectory:
    """sum_k w_k run_k,  with the error |sum_k (w_k - v_k) run_k|.

    An outlier that not all runs have, since it is about to enter the bulk, is that of the last
    run, and within its distance from the edge right.

    Args:
        times: (T,).
        runs: (K, T), the best last.
        weights: w, (K,), of sum 1.
        checked: v, (K,), likewise.
        sigma: of the bulk.
    """
    numbers = np.array([[reading.numbers for reading in run] for run in runs])
    best = np.tensordot(weights, numbers, 1)
    error = np.abs(best - np.tensordot(checked, numbers, 1)).max(1, initial=0.0)
    outliers: tuple[tuple[Outlier, ...], ...] | None = None
    if runs[0][0].outliers is not None:
        multipliers = best[:, 1]
        outliers = tuple(
            _outliers([run[t].outliers or () for run in runs], weights, checked, edge)
            for t, edge in enumerate(multipliers - 2 * sigma)
        )
    m, mu, e, c = best.T
    return Trajectory(np.array(times, float), m, mu, e, c, outliers, error)


def joined(early: Trajectory, late: Trajectory) -> Trajectory:
    """One after the other."""
    parts = {
        name: np.concatenate([getattr(early, name), getattr(late, name)])
        for name in ("times", "overlap", "multiplier", "energy", "correlation", "error")
    }
    known = early.outliers is not None and late.outliers is not None
    outliers = (*(early.outliers or ()), *(late.outliers or ())) if known else None
    return Trajectory(outliers=outliers, **parts)


def _outliers(
    found: Sequence[tuple[Outlier, ...]], weights: FloatArray, checked: FloatArray, edge: float
) -> tuple[Outlier, ...]:
    if len({len(outliers) for outliers in found}) > 1:
        return tuple(Outlier(o.value, o.overlap, o.weight, abs(edge - o.value)) for o in found[-1])
    result = []
    for same in zip(*found, strict=True):
        table = np.array([[o.value, o.overlap, o.weight] for o in same])
        value, overlap, weight = map(float, weights @ table)
        error = abs(float((weights - checked) @ table[:, 0]))
        result.append(Outlier(value, overlap, weight, error))
    return tuple(result)
