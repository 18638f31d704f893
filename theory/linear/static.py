"""Where training ends: ridge regression and its limit, the best ridge, the best time to stop.

    excess = E(lam, lam) + sig2 c,    train = (lam / kappa1)^2 (excess under Sigma + sig2)

The second is generalised cross-validation, exact in the limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize_scalar

from ...models.arguments import require_arguments
from .algorithm import Algorithm
from .curves import Prepared
from .equivalents import OnePoint, TwoPoint
from .finite_size import finite_size
from .number_range import require_range
from .problem import LinearProblem
from .renormalisation import Renormalisation

__all__ = ["EarlyStopping", "RidgeLosses", "early_stopping", "optimal_ridge", "ridge_losses"]

_LOWEST, _HIGHEST = 1e-10, 1e3  # ridges that are searched, in units of the largest eigenvalue
_GRID = 53


@dataclass(frozen=True)
class RidgeLosses:
    """Losses of ridge regression, v = (lam + H)^-1 X^T y / P.

    Attributes:
        train: mean square of the training residuals without 1/2, label noise included.
        test: mean square under the test covariance without 1/2, label noise not included.
        kappa1: the ridge renormalised by the samples.
        kappa2: and by the features.
        finite_size: order of the relative correction of a single problem, see `finite_size`.
        error: estimated numerical error of both losses.
    """

    train: float = field(metadata={"unit": "squared output"})
    test: float = field(metadata={"unit": "squared output"})
    kappa1: float = field(metadata={"unit": "squared input"})
    kappa2: float = field(metadata={"unit": "squared input"})
    finite_size: float = field(metadata={"unit": "1"})
    error: float = field(metadata={"unit": "squared output"})


@dataclass(frozen=True)
class EarlyStopping:
    """The minimum of the test loss along the gradient flow.

    Attributes:
        time: of the flow; infinite if the loss only falls.
        test: the loss there.
    """

    time: float = field(metadata={"unit": "1 / squared feature"})
    test: float = field(metadata={"unit": "squared output"})


def ridge_losses(problem: LinearProblem, ridge: float = 0.0) -> RidgeLosses:
    """Losses at a ridge lam >= 0, at 0 the limit from above.

    Raises:
        ValueError: if the ridge is negative or not finite, or if the limit does not exist (as many
            samples as features or as positive eigenvalues).
    """
    require_arguments(ridge_losses, locals())
    if not (math.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge: expected a number of at least 0, got {ridge}")
    require_range("ridge", ridge)
    law = Renormalisation.of(problem)
    counts = sorted([problem.samples, problem.features, problem.rank])
    if ridge == 0 and counts[0] == counts[1]:
        raise ValueError(
            f"ridge: expected a positive number where two of samples, features and dimension are "
            f"{counts[0]:g}, got 0, at which the loss has no limit"
        )
    kappa = float(law.solve(np.array([ridge]))[0])
    test, noise = _excess(problem, kappa)
    matched, noise_matched = _excess(problem.matched(), kappa)
    excess = test + problem.noise * noise
    df = float(law.degrees(kappa)) if kappa > 0 else problem.rank
    # Of 1 - df / P, the factor that is lam / kappa1, by whichever way does not cancel.
    kappa1 = float(law.first(ridge, kappa, df))
    shrunk = ridge / kappa1 if ridge > 0 else max(1 - df / problem.samples, 0.0)
    if ridge == 0 and problem.samples == counts[0]:
        shrunk = 0.0
    train = shrunk**2 * (matched + problem.noise * noise_matched + problem.noise)
    size = float(finite_size(problem, np.array([ridge]))[0])
    # Rounding of kappa, as the loss amplifies it near interpolation.
    error = 1e-15 * max(excess, train) * (1 + size * min(problem.samples, problem.features, 1e15))
    return RidgeLosses(train, excess, kappa1, kappa, size, error)


def _excess(problem: LinearProblem, kappa: float) -> tuple[float, float]:
    """E(lam, lam) and c."""
    points = OnePoint(problem, np.array([kappa]))
    direct = None
    if problem.target_overlap is not None:
        with np.errstate(invalid="ignore"):
            left = np.where(problem.spectrum > 0, kappa / (problem.spectrum + kappa), 1.0)
        direct = np.array([left @ problem.target_overlap @ left])
    pair = TwoPoint(problem, np.array([kappa**2]), lambda name: points.sum(name, 2), direct)
    frozen = points.frozen if direct is None else 0.0
    return float(np.real(pair.error[0])) + frozen, float(np.real(pair.noise[0]))


def optimal_ridge(problem: LinearProblem) -> float:
    """The ridge of the smallest test loss; 0 where none helps.

    Searched between 1e-10 and 1000 largest eigenvalues.
    """
    top = float(problem.spectrum.max())
    logs = math.log(top) + np.linspace(math.log(_LOWEST), math.log(_HIGHEST), _GRID)

    def loss(log: float) -> float:
        return ridge_losses(problem, math.exp(log)).test

    values = [loss(log) for log in logs]
    best = int(np.argmin(values))
    if best == 0:
        return 0.0
    bracket = logs[max(best - 1, 0)], logs[min(best + 1, _GRID - 1)]
    found = minimize_scalar(loss, bounds=bracket, method="bounded", options={"xatol": 1e-8})
    return math.exp(float(found.x))


def early_stopping(problem: LinearProblem, longest: float = 1e8) -> EarlyStopping:
    """When to stop the gradient flow.

    Args:
        problem: a linear regression.
        longest: time up to which it is sought, in units of the inverse largest eigenvalue.
    """
    top = float(problem.spectrum.max())
    prepared = Prepared(problem, Algorithm("flow"), longest / top)

    def losses(logs: np.ndarray) -> np.ndarray:
        signal, label = prepared.mean(np.exp(logs))
        result: np.ndarray = signal.test + label.test
        return result

    logs = np.linspace(math.log(1e-3 / top), math.log(longest / top), 8 * _GRID)
    values = losses(logs)
    best = int(np.argmin(values))
    if values[-1] <= values[best] + prepared.error(np.exp(logs[-1:]))[0]:
        return EarlyStopping(math.inf, float(values[-1]))
    bounds = logs[max(best - 1, 0)], logs[best + 1]
    found = minimize_scalar(
        lambda log: float(losses(np.array([log]))[0]), bounds=bounds, method="bounded"
    )
    return EarlyStopping(math.exp(float(found.x)), float(found.fun))
