"""Where an eigenvalue may be called an outlier if the limiting edge is not a square root."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc

from ..spectrum import FloatArray
from .law import CurvatureLaw

__all__ = ["thin_detection_edge"]

_QUANTILE = 0.99
# The Tracy-Widom law (beta = 1) as a shifted Gamma law (Chiani, arXiv 1209.3394, table 1), and its
# mean, variance and third central moment.
_SHAPE, _SCALE, _SHIFT = 46.446, 0.186054, 9.84801
_MEAN, _VARIANCE, _THIRD = _SHAPE * _SCALE - _SHIFT, _SHAPE * _SCALE**2, 2 * _SHAPE * _SCALE**3
# Where the strata of the largest D end, in the number of samples expected beyond: the last holds
# one sample set in 400, whose bulks end furthest in.
_EXPECTED = np.concatenate([[0.0], np.geomspace(1e-3, 6.0, 31), [9.0]])
_LEAST = 1e-6  # a largest D below this share of all D is as good as that
_NEWTON_STEPS, _TOLERANCE = 60, 1e-6  # errors fall with the square of the last step


@dataclass(frozen=True)
class _Strata:
    """Sets of n samples by the largest of their D, (R,) each.

    Attributes:
        chances: shares of the sets.
        beyond: probability of a sample beyond the largest.
        tops: the largest D.
    """

    chances: FloatArray
    beyond: FloatArray
    tops: FloatArray


def thin_detection_edge(law: CurvatureLaw, dimension: int) -> float:
    """99 % point of the largest bulk eigenvalue where the limiting edge is not a square root.

        largest = e + sigma N(0, 1) + u TW,    e = min_p ( p / phi + y p / (n (p - y))
                                                  + (1 - 1/n) E[D p / (p - D) | D < y] ) / snr

    Given the largest y of the n factors D_l, the others are independent and smaller. The bulk of
    the sample ends in the square-root edge of its empirical law, which is e but for the
    fluctuations of the others, sigma^2 = Var(D p / (p - D) | D < y) / n snr^2, with Tracy-Widom
    fluctuations of a unit u around it. What is left is an integral over y,
    P(largest D < y) = P(D < y)^n.

    The number is a continuous function of the law. The others count to first order in n^(-1/2),
    and the integral has 32 strata: within 0.5 % of 10^5 drawn sets of factors at d = 200 and more,
    see docs/theory.md, "Edges". The errors of the law's nodes come on top.

    Args:
        law: the limiting law (m = 1), some D of which are positive.
        dimension: d.
    """
    n = law.samples(dimension)
    order = np.argsort(-law.scalar_factors, kind="stable")
    d, weights = law.scalar_factors[order], law.weights[order]
    strata = _strata(d, weights, n)
    edges, variances, units = _ends(d, weights, strata, law, dimension)
    # A shifted Gamma law with the first three moments of both fluctuations.
    means = edges + _MEAN * units
    variances = variances + _VARIANCE * units**2
    shapes = 4 * variances**3 / (_THIRD * units**3) ** 2
    deviations = np.sqrt(variances)

    def excess(x: float) -> float:
        places = shapes + np.sqrt(shapes) * (x - means) / deviations
        return float(strata.chances @ gammainc(shapes, np.maximum(places, 0))) - _QUANTILE

    reach = 10 * deviations.max()
    low, high = means.min() - reach, means.max() + reach
    return float(brentq(excess, low, high, xtol=1e-13 * (high - low)))


def _strata(d: FloatArray, weights: FloatArray, n: int) -> _Strata:
    """By the largest of n samples of a law on nodes D, the largest first."""
    masses = -np.expm1(-_EXPECTED / n)  # (1 - mass)^n is the chance of none beyond
    below = np.append(0.0, np.cumsum(weights))
    integral = np.interp(masses, below, np.append(0.0, np.cumsum(weights * d)))
    ends = np.exp(-_EXPECTED)
    ends[-1] = 0.0
    return _Strata(
        chances=-np.diff(ends),
        beyond=(masses[1:] + masses[:-1]) / 2,
        tops=np.maximum(np.diff(integral) / np.diff(masses), _LEAST * d[0]),
    )


def _ends(
    d: FloatArray, weights: FloatArray, strata: _Strata, law: CurvatureLaw, dimension: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Edge e, variance sigma^2 and unit u of the Tracy-Widom law in each stratum, (R,) each."""
    phi, snr, n = law.aspect_ratio, law.snr, law.samples(dimension)
    tops = strata.tops[:, None]
    # The others: a node that the largest D divides keeps its part below.
    shares = np.clip(np.cumsum(weights) - strata.beyond[:, None], 0, weights)
    shares *= (1 - 1 / n) / shares.sum(1, keepdims=True)
    shares = np.hstack([np.full_like(tops, 1 / n), shares])
    d = np.hstack([tops, np.minimum(d, tops)])
    p = _folds(d, shares, phi)
    gaps = p[:, None] - d
    ratios = d / gaps
    pulls = p[:, None] * ratios
    edges = p / phi + (shares * pulls).sum(1)
    others, pulls = shares[:, 1:], pulls[:, 1:]
    pulls = pulls - ((others * pulls).sum(1) / others.sum(1))[:, None]
    variances = (others * pulls**2).sum(1) / n
    # Near the edge lam = e + a (S - S_e)^2, S = phi snr / p: the unit is a^(1/3) d^(-2/3).
    second = (shares * ratios**2 / gaps).sum(1) / snr * (p**2 / (phi * snr)) ** 2
    return edges / snr, variances / snr**2, second ** (1 / 3) * dimension ** (-2 / 3)


def _folds(d: FloatArray, shares: FloatArray, phi: float) -> FloatArray:
    """p where phi E[(D / (p - D))^2] = 1, beyond the largest D, for each row of a law, (R,)."""
    # The root of this average is nearly proportional to 1 / (p - D) of the largest D, and what is
    # solved rises concavely: Newton from near the pole stays on its side.
    p: FloatArray = d[:, 0] * (1 + np.sqrt(phi * shares[:, 0]))
    for _ in range(_NEWTON_STEPS):
        gaps = p[:, None] - d
        squares = shares * (d / gaps) ** 2
        norms = np.sqrt(phi * squares.sum(1))
        step = (1 - 1 / norms) * norms**3 / (phi * (squares / gaps).sum(1))
        p += step
        if np.all(np.abs(step) < _TOLERANCE * p):
            break
    return p
