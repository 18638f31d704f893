"""Threshold states: the highest minima that a descent from a random start meets.

In the one-step replica-symmetry-broken solution with m = q0 = 0 at zero temperature a measurement
has, given z*, a cavity field h ~ N(0, 1) and

    z = argmin V(z, h),   V = l(z) + (z - h)^2 / (2 chi),   weight e^(-y V) / E_h e^(-y V)

chi and y solve, D = l''(z),

    alpha E[l'^2] = 1 / (chi (chi + y))                saddle point of the free energy
    alpha E[(D / (1 + chi D))^2] = 1 / chi^2           the Hessian's lower edge is zero: threshold

and the signal's direction turns unstable where 1/chi + alpha E[(z*^2 - 1) D / (1 + chi D)] = 0
(docs/phase-retrieval.md; threshold states of arXiv 2006.06997).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import root

from ...models.arguments import require_arguments
from ...models.phase_retrieval.loss import PhaseLoss
from ..spectrum import FloatArray
from .panels import composite

__all__ = ["ThresholdPoint", "threshold_critical"]

_REACH = 8.0
_ORDER = 8
_FINEST = 46  # halvings towards the square-root singularity, two a panel
_PRECISION = 1e-9
# Solutions (a, chi, y) from which others are looked for. Beyond, the normalised loss is the a-th
# part of the quartic, and before it has a limit.
_KNOWN = np.array(
    [
        (0.01, 0.324, 0.755),
        (0.1, 0.385, 0.833),
        (1.0, 0.615, 1.100),
        (3.0, 0.947, 1.474),
        (10.0, 1.841, 2.584),
        (30.0, 4.182, 5.513),
        (100.0, 12.34, 15.55),
    ]
)
_QUARTIC = (0.1164, 0.1429)


@dataclass(frozen=True)
class ThresholdPoint:
    """Where threshold states lose the signal's direction.

    Attributes:
        samples_per_dimension: alpha.
        susceptibility: chi.
        breaking: y, the parameter of Parisi.
        error: numerical, of alpha.
    """

    samples_per_dimension: float = field(metadata={"unit": "samples per coordinate"})
    susceptibility: float = field(metadata={"unit": "inverse curvature"})
    breaking: float = field(metadata={"unit": "inverse loss"})
    error: float = field(metadata={"unit": "samples per coordinate"})


def threshold_critical(loss: PhaseLoss) -> ThresholdPoint:
    """alpha above which threshold states have an outlier at the signal: below zero, a way out.

    Args:
        loss: l.

    Raises:
        ArithmeticError: if the equations are not solved.
    """
    require_arguments(threshold_critical, locals())
    chi, y = _solved(loss)
    alpha = _conditions(loss, chi, y)[0]
    coarse = _conditions(loss, chi, y, _ORDER - 2)[0]
    return ThresholdPoint(alpha, chi, y, abs(alpha - coarse) + _PRECISION * alpha)


def _solved(loss: PhaseLoss) -> tuple[float, float]:
    """Chi and y."""

    def left(logs: FloatArray) -> tuple[float, float]:
        chi, y = np.exp(logs).tolist()
        return _conditions(loss, chi, y)[1:]

    with np.errstate(all="ignore"):
        found = root(left, np.log(_guess(loss)), tol=_PRECISION**2)
    if not (np.isfinite(found.fun).all() and np.abs(found.fun).max() < _PRECISION):
        raise ArithmeticError("the equations of the threshold states were not solved")
    chi, y = np.exp(found.x).tolist()
    return chi, y


def _guess(loss: PhaseLoss) -> tuple[float, float]:
    a = loss.offset
    if a is None:
        return _QUARTIC
    beyond = max(1.0, a / _KNOWN[-1, 0])
    logs = [np.interp(math.log(a), np.log(_KNOWN[:, 0]), np.log(_KNOWN[:, k])) for k in (1, 2)]
    return beyond * math.exp(logs[0]), beyond * math.exp(logs[1])


def _conditions(
    loss: PhaseLoss, chi: float, y: float, order: int = _ORDER
) -> tuple[float, float, float]:
    """alpha by the condition of the edge, and what the other two conditions leave, relatively."""
    moments = _moments(loss, chi, y, order)
    alpha = 1 / (chi**2 * moments[1])
    return alpha, alpha * moments[0] * chi * (chi + y) - 1, 1 + chi * alpha * moments[2]


def _moments(loss: PhaseLoss, chi: float, y: float, order: int) -> Sequence[float]:
    """E of l'^2, of (D / (1 + chi D))^2 and of (z*^2 - 1) D / (1 + chi D).

    With z for the variable, dh = (1 + chi D) dz: integrands are singular where z = 0 and
    chi D = -1 alone, integrably, and nodes are dense there. Beyond, |z| stays above the root of
    l'(z) = -z/chi.
    """
    graded = np.exp2(np.arange(-_FINEST, 0.0, 2.0))
    singular = min(_singular(loss, chi), 2 * _REACH)
    breaks = np.concatenate([singular - graded, [singular], singular + graded])
    # Where a is small the loss varies on the scale a^(1/2) next to z = z* = 0.
    breaks = np.concatenate([breaks, graded[_FINEST // 4 :], np.arange(0, _REACH + 0.5, 0.5)])
    target, outer = composite(np.sort(np.clip(breaks, 0, _REACH)), order)
    squares = (target**2)[:, None]
    lowest = np.sqrt(np.clip(squares - 1 / (chi * _prefactor(loss, squares)), 0, None))
    fine = np.concatenate([[0.0], graded[_FINEST // 4 :], np.arange(0.25, _REACH, 0.25)])
    t, inner = composite(np.unique(fine), order)
    z = lowest + t
    slope, curvature = loss.slope(z, squares), loss.curvature(z, squares)
    stretch = 1 + chi * curvature
    energy = (z + chi * slope) ** 2 / 2 + y * (loss.value(z, squares) + chi * slope**2 / 2)
    energy -= energy.min(axis=1, keepdims=True)
    # The mass of h is that of z times the stretch; D / (1 + chi D) cancels one factor of it.
    bare = inner * np.exp(-energy)
    mass = (bare * stretch).sum(1)
    weight = outer * np.exp(-(target**2) / 2)
    weight /= weight.sum() * mass
    # Next to the singularity a stretch may be rounded to 0 or below.
    inverse = np.divide(1.0, stretch, out=np.zeros_like(stretch), where=stretch > 0)
    slopes = (bare * stretch * slope**2).sum(1)
    curvatures = (bare * curvature**2 * inverse).sum(1)
    pulls = (bare * curvature).sum(1) * (target**2 - 1)
    return tuple(float(weight @ each) for each in (slopes, curvatures, pulls))


def _prefactor(loss: PhaseLoss, squares: FloatArray) -> FloatArray:
    """c of l'(z) = c z (z^2 - y)."""
    return np.ones_like(squares) if loss.offset is None else 1 / (loss.offset + squares)


def _singular(loss: PhaseLoss, chi: float) -> float:
    """z* > 0 where l''(0) = -1/chi; beyond reach if there is none."""
    if loss.offset is None:
        return math.sqrt(1 / chi)
    return math.sqrt(loss.offset / (chi - 1)) if chi > 1 else math.inf
