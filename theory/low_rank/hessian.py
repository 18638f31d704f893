"""The Hessian of the factorised loss, at the saddles of a descent and at its minimum."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize_scalar

from ..spectrum import FloatArray
from .problem import LowRankProblem
from .stages import stage_noise, stage_rates

__all__ = ["NegativeOutlier", "Saddle", "minimum_edges", "saddle", "tangent_spectrum"]

_SAME = 1e-12  # relative, of eigenvalues that count as one


@dataclass(frozen=True)
class NegativeOutlier:
    """A negative eigenvalue of the Hessian below its bulk.

    Attributes:
        value: -nu_k^(j).
        multiplicity: q - j.
    """

    value: float = field(metadata={"unit": "loss per squared parameter"})
    multiplicity: int = field(metadata={"unit": "eigenvalues"})


@dataclass(frozen=True)
class Saddle:
    """The Hessian where j directions are learned and the others are not.

    Attributes:
        negative_outliers: of the directions not yet learned that stand out, lowest first.
        bulk: -2 sigma_j and 2 sigma_j.
        atom: share of the eigenvalues that are exactly 0: rotations of the learned columns, among
            themselves and with the others.
    """

    negative_outliers: tuple[NegativeOutlier, ...] = field(metadata={"unit": "see NegativeOutlier"})
    bulk: tuple[float, float] = field(metadata={"unit": "loss per squared parameter"})
    atom: float = field(metadata={"unit": "1, between 0 and 1"})


def saddle(problem: LowRankProblem, factors: int, learned: int) -> Saddle:
    """On the q - j free columns the Hessian is -A*A(R): -nu_k^(j) for kappa_j lam_k > sigma_j.

    Args:
        problem: Z and the operator.
        factors: q.
        learned: j, from 0 to r.
    """
    sigma = float(stage_noise(problem)[learned])
    outliers: list[NegativeOutlier] = []
    if learned < problem.rank:
        rates = stage_rates(problem)[learned]
        strong = problem.kept(learned) * problem.strengths > sigma
        outliers = [
            NegativeOutlier(-float(rates[k]), factors - learned)
            for k in range(learned, problem.rank)
            if strong[k]
        ]
    zeros = learned * (learned - 1) // 2 + learned * (factors - learned)
    share = zeros / (problem.size * factors)
    return Saddle(tuple(outliers), (-2 * sigma, 2 * sigma), share)


def tangent_spectrum(problem: LowRankProblem) -> FloatArray:
    """T = {2 lam_i; lam_i + lam_j, i < j; lam_i, n - r times}: d_r numbers, falling.

    The nonzero eigenvalues of the Hessian at U U^T = Z have the law of those of
    T^(1/2) W T^(1/2), W of a Wishart law with m degrees of freedom, over m.
    """
    lam, rest = problem.strengths, problem.size - problem.rank
    pairs = np.add.outer(lam, lam)[np.triu_indices(problem.rank)]
    return np.sort(np.concatenate([pairs, np.repeat(lam, rest)]))[::-1]


def minimum_edges(problem: LowRankProblem) -> tuple[float, float]:
    """Smallest nonzero and largest eigenvalue of the Hessian at the minimum.

    The lower one is the edge of the generalised Marchenko-Pastur law of `tangent_spectrum`, the
    maximum over s < -1/min t of -1/s + (1/m) sum t / (1 + t s) (Silverstein, Choi, J. Multivariate
    Analysis 54, 1995), 0 below the degrees of freedom. The upper one, h_max, is the place of a
    single eigenvalue 2 lam_1: 2 lam_1 (1 + (1/m) sum t / (2 lam_1 - t)) over smaller t.
    """
    t, m = tangent_spectrum(problem), problem.measurements
    top = float(t[0])
    below = t[t < top * (1 - _SAME)]
    largest = top * (1 + float((below / (top - below)).sum()) / m)
    if len(t) >= m:
        return 0.0, largest
    least = float(t[-1])

    def negative(log: float) -> float:
        z = least * math.exp(log)  # -1/s
        return -z * (1 - float((t / (t - z)).sum()) / m)

    found = minimize_scalar(
        negative, bounds=(-30.0, -1e-9), method="bounded", options={"xatol": 1e-10}
    )
    return max(0.0, -float(found.fun)), largest
