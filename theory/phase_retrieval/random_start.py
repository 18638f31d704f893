"""alpha at which the Hessian of a random start first sees the signal."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from scipy.optimize import brentq

from ...models.arguments import require_arguments
from ...models.phase_retrieval.loss import PhaseLoss
from .joint_law import ORDER, gaussian_law

__all__ = ["StartPoint", "random_critical"]

_INSIDE = 1e-13  # relative distance from the pole


@dataclass(frozen=True)
class StartPoint:
    """Where the outlier of a random start leaves the bulk.

    Attributes:
        samples_per_dimension: alpha.
        continuous: whether it leaves a square-root edge, its overlap growing from 0; at another
            edge the overlap jumps.
        error: numerical, of alpha.
    """

    samples_per_dimension: float = field(metadata={"unit": "samples per coordinate"})
    continuous: bool = field(metadata={"unit": "none"})
    error: float = field(metadata={"unit": "samples per coordinate"})


def random_critical(loss: PhaseLoss) -> StartPoint:
    """alpha = 1 / (g E[(1 - s^2) D / (1 - D g)])  at the g in (-1, 0) of the edge, at m = 0.

    At a square-root edge alpha g^2 E[D^2 / (1 - D g)^2] = 1 as well; where no g solves both, the
    edge is at g = 1 / inf D = -1.

    Args:
        loss: l, with an offset.

    Raises:
        ValueError: if the loss has none: there is no lower edge that anything could leave.
    """
    require_arguments(random_critical, locals())
    if loss.offset is None:
        raise ValueError("loss: expected one with an offset, got the quartic: it has no lower edge")
    alpha, continuous = _critical(loss, ORDER)
    return StartPoint(alpha, continuous, abs(alpha - _critical(loss, ORDER - 2)[0]))


def _critical(loss: PhaseLoss, order: int) -> tuple[float, bool]:
    assert loss.offset is not None
    law = gaussian_law(0.0, math.sqrt(loss.offset), order)
    factors = loss.curvature(law.z, law.target**2)
    surplus = (1 - law.signal**2) * law.weights

    def pull(g: float) -> float:
        return float(surplus @ (factors / (1 - factors * g)))

    def balance(g: float) -> float:
        return g * law.mean((factors / (1 - factors * g)) ** 2) + pull(g)

    lowest = -1 + _INSIDE
    continuous = balance(lowest) < 0
    g = float(brentq(balance, lowest, 0.0, xtol=1e-15)) if continuous else lowest
    return -1 / (g * pull(g)), continuous
