"""A prediction for real data: spectrum, target and noise estimated from samples not trained on.

With n pooled samples of covariance V diag(s) V^T and least squares w, in the basis V

    sig2 = sum (y - x.w)^2 / (n - D),    p_k = s_k w_k^2 - sig2 / n,    a_k = p_k / s_k.

p_k, the share of the target's variance along direction k, is unbiased and may be negative; it is
averaged over neighbours until it is not, which keeps its sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..spectrum import FloatArray
from .algorithm import Algorithm
from .loss_curves import LossCurves, loss_curves
from .problem import LinearProblem

__all__ = ["PoolEstimate", "PoolPrediction", "estimate"]

_RANK = 1e-10  # eigenvalues below it, relative to the largest, are zeros
_CLAIM = 0.1  # relative error from the pool beyond which nothing is claimed


@dataclass(frozen=True)
class PoolPrediction:
    """Loss curves with what the pool leaves open.

    Attributes:
        curves: predicted from the whole pool.
        train_error: (T,) standard deviation of the train loss over pools, and its bias, estimated
            from the two halves of the pool.
        test_error: (T,) of the test loss.
        claimed: whether both are below 10 % of the losses at all times.
    """

    curves: LossCurves
    train_error: FloatArray = field(metadata={"unit": "squared output"})
    test_error: FloatArray = field(metadata={"unit": "squared output"})
    claimed: bool = field(metadata={"unit": "none"})


@dataclass(frozen=True)
class PoolEstimate:
    """What a pool says of a regression.

    Attributes:
        problem: from the whole pool, with infinitely many samples.
        halves: from its two halves; none if they are smaller than twice the dimension.
        size: n.
    """

    problem: LinearProblem
    halves: tuple[LinearProblem, ...]
    size: int = field(metadata={"unit": "samples"})

    def predict(
        self, algorithm: Algorithm, times: Sequence[float] | FloatArray, samples: float = math.inf
    ) -> PoolPrediction:
        """Loss curves of training on ``samples`` others of the same law; infinite for one pass.

        The halves disagree by twice the standard deviation of the whole; the distance of their mean
        from the whole is its bias, of first order in 1/n. Without halves the errors are infinite.
        """
        whole, *halves = (
            loss_curves(replace(one, samples=samples), algorithm, times)
            for one in (self.problem, *self.halves)
        )
        errors = []
        for kind in ("train", "test"):
            value = getattr(whole, kind)
            if len(halves) < 2:
                errors.append(np.full(len(value), math.inf))
                continue
            first, second = (getattr(half, kind) for half in halves)
            errors.append(np.hypot((first - second) / 2, (first + second) / 2 - value))
        train, test = errors
        small = (train <= _CLAIM * whole.train).all() and (test <= _CLAIM * whole.test).all()
        return PoolPrediction(whole, train, test, bool(small))


def estimate(features: FloatArray, targets: FloatArray) -> PoolEstimate:
    """Estimate a regression from a pool.

    Args:
        features: (n, D) of samples that will not be trained on, n > D.
        targets: (n,).

    Raises:
        ValueError: naming the argument; where the pool has no more samples than features its noise
            cannot be told from its signal.
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ValueError(f"features: expected finite numbers of shape (n, D), got shape {x.shape}")
    if y.shape != x.shape[:1] or not np.isfinite(y).all():
        raise ValueError(f"targets: expected {len(x)} finite numbers, got shape {y.shape}")
    size, dimension = x.shape
    if size <= dimension + 1:
        raise ValueError(
            f"features: expected a pool of more than {dimension + 1} samples for {dimension} "
            f"features, got {size}"
        )
    halves: tuple[LinearProblem, ...] = ()
    if size >= 4 * dimension:
        halves = (_problem(x[0::2], y[0::2]), _problem(x[1::2], y[1::2]))
    return PoolEstimate(_problem(x, y), halves, size)


def _problem(x: FloatArray, y: FloatArray) -> LinearProblem:
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    values, vectors = values[::-1], vectors[:, ::-1]
    if not values[0] > 0:
        raise ValueError("features: expected numbers that are not all zero")
    kept = values > _RANK * values[0]
    s = np.where(kept, values, 0.0)
    weights = np.where(kept, vectors.T @ (x.T @ y) / len(x) / np.where(kept, values, 1.0), 0.0)
    residual = y - x @ (vectors @ weights)
    noise = float(residual @ residual) / (len(x) - int(kept.sum()))
    power = np.where(kept, s * weights**2 - noise / len(x), 0.0)
    power[kept] = _averaged(power[kept])
    return LinearProblem(s, power / np.where(kept, s, 1.0), noise=noise)


def _averaged(power: FloatArray) -> FloatArray:
    """Means over runs of neighbours, each as short as its sum allows; at least 0."""
    runs: list[tuple[float, int]] = []
    total, count = 0.0, 0
    for value in power:
        total, count = total + float(value), count + 1
        if total >= 0:
            runs.append((total, count))
            total, count = 0.0, 0
    # What is left at the end is negative: the runs before it make up for it.
    while count and total < 0 and runs:
        more = runs.pop()
        total, count = total + more[0], count + more[1]
    if count:
        runs.append((max(total, 0.0), count))
    return np.concatenate([np.full(count, total / count) for total, count in runs])
