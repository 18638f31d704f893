"""Scaling laws: local exponents, and the best width for a given compute.

local exponent   d log L / d log x
frontier         L*(C) = min over N of L(N, t = C / N),   N*(C) where it is reached
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ...models.arguments import require_arguments
from ..spectrum import FloatArray
from .algorithm import Algorithm
from .curves import Prepared
from .power_law import PowerLaw
from .problem import LinearProblem
from .stability import critical_learning_rate
from .static import ridge_losses

__all__ = [
    "Exponents",
    "Frontier",
    "best_width",
    "frontier",
    "local_exponents",
    "loss_over_features",
    "loss_over_samples",
    "width_losses",
]


@dataclass(frozen=True)
class Exponents:
    """Local exponents d log y / d log x.

    Attributes:
        x: (L,) where.
        values: (L,).
        errors: (L,) what the curvature between neighbouring points leaves open.
    """

    x: FloatArray
    values: FloatArray = field(metadata={"unit": "1"})
    errors: FloatArray = field(metadata={"unit": "1"})


def local_exponents(x: FloatArray, y: FloatArray) -> Exponents:
    """From positive values (L,), L >= 5, at increasing positive x.

    Central differences over one point to each side; the error is their distance from those over
    two.

    Raises:
        ValueError: if there are fewer than five points, or numbers that are not positive.
    """
    require_arguments(local_exponents, locals())
    if len(x) < 5 or len(x) != len(y):
        raise ValueError(f"x, y: expected equally many points, at least 5, got {len(x)}, {len(y)}")
    if not ((x > 0).all() and (y > 0).all() and (np.diff(x) > 0).all()):
        raise ValueError("x, y: expected positive numbers, x increasing")
    logs, values = np.log(x), np.log(y)
    near = (values[2:] - values[:-2]) / (logs[2:] - logs[:-2])
    far = (values[4:] - values[:-4]) / (logs[4:] - logs[:-4])
    return Exponents(x[2:-2], near[1:-1], np.abs(near[1:-1] - far))


def loss_over_samples(law: PowerLaw, samples: ArrayLike, noise: float = 0.0) -> FloatArray:
    """L(P), the test loss without ridge at infinite width."""
    return np.array([ridge_losses(law.problem(p, noise=noise)).test for p in np.asarray(samples)])


def loss_over_features(law: PowerLaw, features: ArrayLike) -> FloatArray:
    """L(N), the test loss with infinitely many samples and steps."""
    return np.array([ridge_losses(law.problem(features=n)).test for n in np.asarray(features)])


def width_losses(problem: LinearProblem, algorithm: Algorithm, times: FloatArray) -> FloatArray:
    """Test loss at increasing times, without its split."""
    prepared = Prepared(problem, algorithm, float(times[-1]))
    if algorithm.stochastic:
        return prepared.stochastic(times).test
    signal, label = prepared.mean(times)
    return signal.test + label.test


@dataclass(frozen=True)
class Frontier:
    """The least loss for each compute.

    Attributes:
        compute: (L,) C = N t: features times steps.
        loss: (L,) L*(C).
        width: (L,) N*(C).
        widths: (W,) that were tried.
        losses: (L, W) at each compute; NaN where fewer than one step is left.
    """

    compute: FloatArray = field(metadata={"unit": "features * steps"})
    loss: FloatArray = field(metadata={"unit": "squared output"})
    width: FloatArray = field(metadata={"unit": "features"})
    widths: FloatArray = field(metadata={"unit": "features"})
    losses: FloatArray = field(metadata={"unit": "squared output"})


def frontier(
    law: Callable[[float], PowerLaw],
    widths: FloatArray,
    compute: FloatArray,
    batch_size: int | None = 1,
    rate: float = 0.5,
) -> Frontier:
    """The compute-optimal frontier, with N* interpolated by a parabola in log N.

    Args:
        law: spectrum and target for a width; the dimension may depend on it.
        widths: (W,) increasing, W >= 3.
        compute: (L,) increasing.
        batch_size: B of one-pass SGD; None for the gradient flow, whose time counts as steps.
        rate: share of the critical learning rate.

    Raises:
        ValueError: if no minimum over N lies between the widths at some compute.
    """
    require_arguments(frontier, locals())
    losses = np.full((len(compute), len(widths)), math.nan)
    for column, width in enumerate(widths):
        problem = law(float(width)).problem(features=float(width))
        times = compute / width
        kept = times >= 1
        if not kept.any():
            continue
        if batch_size is None:
            losses[kept, column] = width_losses(problem, Algorithm("flow"), times[kept])
            continue
        probe = Algorithm("one-pass", 1.0, batch_size)
        critical = critical_learning_rate(problem, probe)
        assert critical is not None
        algorithm = Algorithm("one-pass", rate * critical, batch_size)
        steps, back = np.unique(np.round(times[kept]), return_inverse=True)
        losses[kept, column] = width_losses(problem, algorithm, steps)[back]
    best = [best_width(widths, row, c) for row, c in zip(losses, compute, strict=True)]
    width, least = np.array(best).T
    return Frontier(compute, least, width, widths, losses)


def best_width(widths: FloatArray, losses: FloatArray, compute: float) -> tuple[float, float]:
    """N and L at the vertex of the parabola in log N through the least of the points.

    Args:
        widths: (W,) increasing.
        losses: (W,) at each of them; NaN where there is none.
        compute: at which they are had, for the refusal.

    Raises:
        ValueError: if the least is not between two others.
    """
    require_arguments(best_width, locals())
    logs, place = np.log(widths), int(np.nanargmin(losses))
    around = slice(place - 1, place + 2)
    if place in (0, len(logs) - 1) or np.isnan(losses[around]).any():
        raise ValueError(
            f"widths: expected some on both sides of the best at compute {compute:.3g}, "
            f"got none beyond {widths[place]:.4g}"
        )
    x, y = logs[around], np.log(losses[around])
    curve, slope, _ = np.polyfit(x - x[1], y, 2)
    shift = -slope / (2 * curve)
    return math.exp(x[1] + shift), math.exp(y[1] + slope * shift / 2)
