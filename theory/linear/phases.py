"""The phases of compute-optimal training, arXiv 2405.15074.

With s_k = k^-2alpha, a_k = k^-2beta, width N and r steps of one-pass SGD on single samples at the
largest stable rate gamma ~ N^min(0, 2alpha - 1), the loss is a sum of terms

    F_pp  (gamma r)^-(1 + beta/alpha - 1/(2alpha))           directions not learnt yet
    F_0   N^-(2alpha - max(0, 1 - 2beta))                    directions the width leaves out
    F_ac  N^-1 (gamma r)^-(1 - 1/(2alpha))                   for 2alpha > 1, 2beta > 1: embedding
    K_pp  gamma (gamma r)^-(2 - 1/(2alpha))                  for alpha > 1/4: noise of SGD

and for the compute f = N r the least of their largest is f^-eta, at N* = f^xi.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linprog

__all__ = ["Phase", "phase", "trade_off"]


@dataclass(frozen=True)
class Phase:
    """A region of (alpha, beta).

    Attributes:
        name: "Ia", "Ib", "Ic", "II", "III", "IVa" or "IVb".
        loss_exponent: eta, L* ~ f^-eta.
        width_exponent: xi, N* ~ f^xi.
        terms: the two terms that balance.
    """

    name: str = field(metadata={"unit": "none"})
    loss_exponent: float = field(metadata={"unit": "1"})
    width_exponent: float = field(metadata={"unit": "1"})
    terms: tuple[str, str] = field(metadata={"unit": "none"})


def phase(alpha: float, beta: float) -> Phase | None:
    """The phase of a data exponent and a target exponent; None where there is no power law.

    Phase Ib below alpha = 1/4 and phase Ic are conjectures.

    Raises:
        ValueError: if an exponent is not positive.
    """
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}: expected a positive number, got {value}")
    if alpha + beta <= 0.5:
        return None
    power = 2 * alpha + 2 * beta - 1
    if alpha > 0.5 and beta <= 0.5:
        found = ("Ia", power / (2 * alpha + 1), 1 / (2 * alpha + 1), ("F_pp", "F_0"))
    elif beta <= 0.5:
        found = ("Ib", alpha + beta - 0.5, 0.5, ("F_pp", "F_0"))
    elif alpha <= 0.25:
        below = 6 * alpha + 4 * beta - 2 - 4 * alpha * beta
        found = ("Ic", 2 * alpha * power / below, power / below, ("F_pp", "F_0"))
    elif alpha <= 1 - math.sqrt(0.5):
        below = 2 * beta - alpha - 2 * alpha * beta
        eta = (1 - 2 * alpha) * power / (2 * below)
        found = ("IVb", eta, (beta - alpha) / below, ("F_pp", "K_pp"))
    elif alpha <= 0.5:
        found = ("IVa", alpha, 0.5, ("K_pp", "F_0"))
    elif beta <= alpha:
        found = ("II", power / (2 * (alpha + beta)), beta / (alpha + beta), ("F_pp", "F_ac"))
    else:
        found = ("III", 1 - 1 / (4 * alpha), 0.5, ("F_ac", "K_pp"))
    return Phase(*found)


def trade_off(alpha: float, beta: float) -> tuple[float, float]:
    """eta and xi from the terms themselves: the least over N of the largest at f = N r."""
    rate = np.array([min(0.0, 2 * alpha - 1), 0.0])  # log gamma, in units of (log N, log r)
    time = rate + np.array([0.0, 1.0])
    width = np.array([1.0, 0.0])
    half = 1 / (2 * alpha)
    terms = [
        -(1 + beta / alpha - half) * time,
        (-2 * alpha + max(0.0, 1 - 2 * beta)) * width,
    ]
    if 2 * alpha > 1 and 2 * beta > 1:
        terms.append(-width - (1 - half) * time)
    if alpha > 0.25:
        terms.append(rate - (2 - half) * time)
    # With log N = xi and log r = 1 - xi: minimise the largest of the terms.
    bounds = np.array([[term[0] - term[1], -1.0] for term in terms])
    limits = np.array([-term[1] for term in terms])
    found = linprog([0.0, 1.0], bounds, limits, bounds=[(0, 1), (None, None)])
    width_exponent, largest = (float(value) for value in np.asarray(found.x))
    return -largest, width_exponent
