"""Where an eigenvalue of a finite sample may be called an outlier."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc

from ..spectrum import FloatArray
from .law import CurvatureLaw

__all__ = ["counted_detection_edge", "square_root_detection_edge", "thin_detection_edge"]

_QUANTILE = 0.99
# Its point of the Tracy-Widom law (beta = 1) and the point where N = 1/2, both in its own units.
_TRACY_WIDOM_QUANTILE = 2.0234
_TRACY_WIDOM_MEAN = -1.2065
_NORMAL_QUANTILE = 2.3263
_HALF_EIGENVALUE = (3 * math.pi / 4) ** (2 / 3)
# The Tracy-Widom law (beta = 1) as a shifted Gamma law (Chiani, arXiv 1209.3394, table 1).
_GAMMA_SHAPE, _GAMMA_SCALE, _GAMMA_SHIFT = 46.446, 0.186054, 9.84801
_DRAWS = 200
_STRETCH = 1.4
_NEWTON_STEPS = 60


def square_root_detection_edge(edge: float, finite_size_edge: float, noise: float) -> float:
    """99 % point of the largest bulk eigenvalue beyond a square-root edge e.

        e + m s + sqrt( (q - m)^2 s^2 + z^2 noise^2 )        (to the right)

    with s = (e - e_1/2) / 1.77 the unit of the Tracy-Widom law, m its mean, q and z the 99 %
    points of the Tracy-Widom and the normal law: exact for noise 0, where it is
    e + 1.14 (e - e_1/2), and for noise alone.

    Args:
        edge: e.
        finite_size_edge: e_1/2, where the counting function is one half.
        noise: standard deviation of the edge over the factors D of a sample, see
            `Exterior.edge_noise`. It is of order n^(-1/2), more than the n^(-2/3) of Tracy-Widom.
    """
    unit = (edge - finite_size_edge) / _HALF_EIGENVALUE
    spread = math.hypot(
        (_TRACY_WIDOM_QUANTILE - _TRACY_WIDOM_MEAN) * unit, _NORMAL_QUANTILE * noise
    )
    return float(edge + _TRACY_WIDOM_MEAN * unit + math.copysign(spread, unit))


def counted_detection_edge(quantile: Callable[[float], float], size: int) -> float:
    """Detection edge from the counting function alone, where no empirical laws are drawn.

    The larger of two continuations of e_1/2, exact for the two kinds of bulk that end in
    independent eigenvalues or as Tracy-Widom: the point where N = 1/100, and e_1/2 +
    1.98 (e_1/2 - e_3/2). Neither knows that the law of the factors D fluctuates from sample to
    sample; the distance is stretched by 1.4 for it, as `thin_detection_edge` finds it for single
    directions (1.34 to 1.43 in eight cases out of nine).

    Args:
        quantile: the point with a given share of eigenvalues beyond it.
        size: number of eigenvalues.
    """
    half, three_halves, hundredth = (quantile(count / size) for count in (0.5, 1.5, 0.01))
    three_halves_unit = (9 * math.pi / 4) ** (2 / 3)
    ratio = (_TRACY_WIDOM_QUANTILE + _HALF_EIGENVALUE) / (three_halves_unit - _HALF_EIGENVALUE)
    steps = (hundredth - half, ratio * (half - three_halves))
    return float(half + _STRETCH * max(steps, key=abs))


def thin_detection_edge(law: CurvatureLaw, dimension: int) -> float:
    """99 % point of the largest bulk eigenvalue where the limiting edge is not a square root.

    Given the n factors D_l of one sample, the bulk ends in the square-root edge of their empirical
    law, with Tracy-Widom fluctuations around it. The empirical laws are drawn, with a fixed seed.

    Args:
        law: the limiting law (m = 1).
        dimension: d.
    """
    phi, snr, d = law.aspect_ratio, law.snr, law.scalar_factors
    n = law.samples(dimension)
    weights = np.random.default_rng(0).multinomial(n, law.weights, size=_DRAWS) / n
    p = _edge_parameters(weights, d, phi)
    m = 1 / (p[:, None] + d)
    edges = p * ((weights * m) @ d - 1 / phi) / snr
    # Near the edge lam = e + a (S - S_e)^2, S = phi snr / P: the scale is a^(1/3) d^(-2/3).
    second = -((weights * m**3) @ d**2) / snr * (p**2 / (phi * snr)) ** 2
    scales = second ** (1 / 3) * dimension ** (-2 / 3)

    def excess(x: float) -> float:
        units = (x - edges) / scales + _GAMMA_SHIFT
        return float(gammainc(_GAMMA_SHAPE, np.maximum(units, 0) / _GAMMA_SCALE).mean()) - _QUANTILE

    reach = 10 * scales.max()
    return float(brentq(excess, edges.min() - reach, edges.max() + reach))


def _edge_parameters(weights: FloatArray, d: FloatArray, phi: float) -> FloatArray:
    """P where phi E[(D / (P + D))^2] = 1, right of the bulk, for each row of weights, (R,)."""
    top = np.where(weights > 0, d, -math.inf).max(1)
    share = np.where(d == top[:, None], weights, 0.0).sum(1)
    # The root of this average falls concavely with P: Newton from near the pole stays on its side.
    p: FloatArray = -top - np.abs(top) * np.sqrt(phi * share)
    for _ in range(_NEWTON_STEPS):
        m = 1 / (p[:, None] + d)
        weighted = weights * (d * m) ** 2
        norm = np.sqrt(phi * weighted.sum(1))
        step = (1 - 1 / norm) * norm**3 / (phi * (weighted * m).sum(1))
        p += step
        if np.all(np.abs(step) < 1e-10 * np.abs(p)):
            break
    return p
