"""The effective dynamics of SGD: the statistics' own differential equation (arXiv 2206.04030)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...models.arguments import require_arguments
from ...models.heads import Head
from ..spectrum import FloatArray
from .drift import Drift
from .fluctuations import Fluctuations
from .performance import performance
from .quadrature import MixtureLaw
from .sgd import SGD
from .solution import Solution
from .statistics import Statistics

__all__ = ["SGD", "DynamicsPath", "EffectiveDynamics"]


@dataclass(frozen=True)
class DynamicsPath:
    """The predicted path at T times.

    Attributes:
        times: t = steps * delta, (T,).
        gram: G, (T, C+k, C+k).
        parameters: v, (T, q).
        error: estimated relative numerical error of G and v (solver and quadrature), (T,): the
            largest error of an entry divided by the largest entry that moves.
        loss: expected loss without ridge, (T,).
        loss_error: estimated numerical error of the loss at these statistics, (T,).
        accuracy: expected accuracy, (T,); NaN if labels have no meaning to the head.
        accuracy_error: estimated numerical error of the accuracy at these statistics, (T,).
        covariance: d times the covariance of the state of a single run, (T, P+q, P+q): of the
            entries of G at (``rows``, ``columns``), then v. NaN for a head whose gradient has
            jumps (relu).
        rows: first index in G of the P entries that move.
        columns: second index.
    """

    times: FloatArray = field(metadata={"unit": "steps * delta"})
    gram: FloatArray = field(metadata={"unit": "squared parameter"})
    parameters: FloatArray = field(metadata={"unit": "parameter"})
    error: FloatArray = field(metadata={"unit": "1"})
    loss: FloatArray = field(metadata={"unit": "loss"})
    loss_error: FloatArray = field(metadata={"unit": "loss"})
    accuracy: FloatArray = field(metadata={"unit": "1, between 0 and 1"})
    accuracy_error: FloatArray = field(metadata={"unit": "1"})
    covariance: FloatArray = field(metadata={"unit": "products of entries of the state"})
    rows: np.ndarray = field(metadata={"unit": "index"})
    columns: np.ndarray = field(metadata={"unit": "index"})

    def band(self, dimension: int) -> FloatArray:
        """Standard deviation of every entry of G of a single run at d, (T, C+k, C+k)."""
        entries = self._deviations(dimension)[:, : len(self.rows)]
        return _symmetric(entries, self.rows, self.columns, self.gram.shape[1])

    def parameter_band(self, dimension: int) -> FloatArray:
        """Standard deviation of every entry of v of a single run at d, (T, q)."""
        return self._deviations(dimension)[:, len(self.rows) :]

    def _deviations(self, dimension: int) -> FloatArray:
        return _standard_deviations(self.covariance, dimension)


def _standard_deviations(covariance: FloatArray, dimension: int) -> FloatArray:
    """Of each entry of the state at d, (..., p), from d times their covariance (..., p, p)."""
    if dimension < 1:
        raise ValueError(f"dimension: expected a positive number, got {dimension}")
    variances = np.diagonal(covariance, axis1=-2, axis2=-1)
    result: FloatArray = np.sqrt(np.maximum(variances, 0.0) / dimension)
    return result


def _symmetric(entries: FloatArray, rows: np.ndarray, columns: np.ndarray, size: int) -> FloatArray:
    """Symmetric matrices (..., size, size) with entries (..., P) at (rows, columns), else 0."""
    matrices = np.zeros((*entries.shape[:-1], size, size))
    matrices[..., rows, columns] = matrices[..., columns, rows] = entries
    return matrices


class EffectiveDynamics:
    """The path G(t) from G(0) for SGD on fresh samples, t = steps * delta, delta = c/d.

    It solves equation (3), of which `Drift` is the right-hand side. With momentum m, c becomes
    c/(1-m) and the solution is read at t/(1-m). A single run stays within O(d^(-1/2)) of it, how
    closely is what `path` says.

    Args:
        head: the head.
        law: weights, labels and snr of the mixture.
        sgd: the algorithm.
        initial: statistics at t = 0.

    Raises:
        ValueError: if the Gram matrix or the parameters do not have the head's size.

    Source: arXiv 2206.04030; docs/theory.md, equation (3) and "Fluctuations".
    """

    def __init__(self, head: Head, law: MixtureLaw, sgd: SGD, initial: Statistics) -> None:
        require_arguments(EffectiveDynamics.__init__, locals())
        self.head, self.law, self.sgd, self.initial = head, law, sgd, initial
        self.drift = Drift(head, law, sgd, initial)
        self._solution = Solution(self.drift)
        self._fluctuations = Fluctuations(self._solution)

    def at(self, time: float) -> Statistics:
        """Predicted statistics at time t >= 0.

        Raises:
            ArithmeticError: if the solution diverges before t, saying where.
        """
        clock = self._clock(time)
        if clock <= 0:
            return self.initial
        return self.drift.unpack(self._solution.piece(clock).state(clock))

    def band(self, time: float, dimension: int) -> FloatArray:
        """Standard deviation of every entry of G of a single run at d, (C+k, C+k), at time t >= 0.

        Raises:
            ArithmeticError: if the solution diverges before t, saying where.
        """
        drift, covariance = self.drift, self._fluctuations.at(self._clock(time)).covariance
        entries = _standard_deviations(covariance, dimension)[: len(drift.rows)]
        return _symmetric(entries, drift.rows, drift.columns, len(self.initial.gram))

    def path(self, times: Sequence[float] | FloatArray) -> DynamicsPath:
        """Statistics, bands, loss, accuracy and numerical errors at times >= 0.

        Raises:
            ValueError: if a time is negative or not finite.
            ArithmeticError: if the solution diverges before the last time, saying where.
        """
        for time in times:
            if not (math.isfinite(time) and time >= 0):
                raise ValueError(f"times: expected finite numbers >= 0, got {time}")
        states = [self.at(time) for time in times]
        deviations = [self._fluctuations.at(self._clock(time)) for time in times]
        scales = [np.abs(self.drift.pack(state)).max(initial=1e-300) for state in states]
        results = [performance(self.head, state, self.law) for state in states]
        count = len(states)
        size, parameters = len(self.initial.gram), len(self.initial.parameters)
        state_size = len(self.drift.rows) + parameters
        return DynamicsPath(
            times=np.array(times, dtype=float),
            gram=np.array([state.gram for state in states]).reshape(count, size, size),
            parameters=np.array([state.parameters for state in states]).reshape(count, parameters),
            error=np.array(
                [
                    np.abs(deviation.numerical).max(initial=0.0) / scale
                    for deviation, scale in zip(deviations, scales, strict=True)
                ]
            ),
            loss=np.array([result.loss for result in results]),
            loss_error=np.array([result.loss_error for result in results]),
            accuracy=np.array([result.accuracy for result in results]),
            accuracy_error=np.array([result.accuracy_error for result in results]),
            covariance=np.array([one.covariance for one in deviations]).reshape(
                count, state_size, state_size
            ),
            rows=self.drift.rows,
            columns=self.drift.columns,
        )

    def _clock(self, time: float) -> float:
        return time / (1 - self.sgd.momentum)
