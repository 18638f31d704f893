"""The first phase: U grows by powers of A*A(Z), as if it looked for its largest eigenvectors."""

from __future__ import annotations

import math

import numpy as np

from ..spectrum import FloatArray
from .problem import LowRankProblem
from .spiked_matrix import outlier_overlap, outlier_value
from .stages import Start

__all__ = ["alignment", "free_columns", "noise_growth", "phase_ends"]

_NODES = 256


def phase_ends(
    start: Start, rate: float, tolerance: float = 0.1, error: float | None = None
) -> float:
    """t = ln(eps / (c s)) / (2 ln(1 + mu nu)): U_t is (1 + mu M)^t U_0 up to eps |U_t|.

    Args:
        start: of the descent; s is alpha^2.
        rate: nu, the largest eigenvalue of M = A*A(Z).
        tolerance: eps.
        error: c s of a drawn operator and start; c = 1 / (2 nu) if None.

    Returns:
        steps; 0 if the tolerance is missed from the beginning.
    """
    if error is None:
        error = start.scale**2 / (2 * rate)
    return max(0.0, math.log(tolerance / error) / (2 * math.log1p(start.learning_rate * rate)))


def noise_growth(
    learning_rate: float, sigma: FloatArray, times: FloatArray, nodes: int = _NODES
) -> FloatArray:
    """ln E (1 + mu x)^(2 t) for x of the semicircle of radius 2 sigma; (times,).

    Args:
        learning_rate: mu.
        sigma: (times,).
        times: t, (times,).
        nodes: of Gauss's quadrature.
    """
    angle = np.arange(1, nodes + 1) * math.pi / (nodes + 1)
    weight = 2 / (nodes + 1) * np.sin(angle) ** 2
    x = 2 * np.asarray(sigma)[..., None] * np.cos(angle)
    powers = 2 * np.asarray(times)[..., None] * np.log(np.maximum(1 + learning_rate * x, 1e-300))
    top = powers.max(-1, keepdims=True)
    found = top[..., 0] + np.log((weight * np.exp(powers - top)).sum(-1))
    return np.asarray(found)


def alignment(problem: LowRankProblem, start: Start, time: float, nodes: int = _NODES) -> float:
    """Mean over k of floor_k / (1 + x_k): squared cosine of U's r leading directions with Z's.

    floor = 1 - sigma^2/lam_k^2, and what the noise still has is
    x = (n - r) / (q - r - 1) E (1 + mu x)^(2 t) / (1 + mu nu_k)^(2 t).

    Args:
        problem: Z and the operator.
        start: of the descent.
        time: t, within the spectral phase.
        nodes: of Gauss's quadrature over the noise.
    """
    sigma, lam = problem.noise(problem.norm**2, problem.size), problem.strengths
    noise = float(noise_growth(start.learning_rate, np.array(sigma), np.array(time), nodes))
    growth = 2 * time * np.log1p(start.learning_rate * outlier_value(lam, sigma))
    ratio = (problem.size - problem.rank) / free_columns(problem.rank, start.factors)
    excess = ratio * np.exp(noise - growth)
    return float(np.mean(outlier_overlap(lam, sigma) / (1 + excess)))


def free_columns(rank: int, factors: int) -> int:
    """q - r - 1, one over the mean of 1 / chi^2_(q-r+1); without a mean, the typical q - r + 1."""
    return factors - rank - 1 if factors > rank + 1 else factors - rank + 1
