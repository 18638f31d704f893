"""Curves over the steps of a descent, drawn before it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..spectrum import FloatArray
from .problem import LowRankProblem
from .refinement import effective_noise, grown_noise
from .residual import Residual, residual
from .spectral_phase import free_columns, noise_growth
from .spiked_matrix import outlier_overlap
from .stages import Stages, Start

__all__ = ["Curves", "curves"]


@dataclass(frozen=True)
class Curves:
    """Strengths and what follows from them at some times.

    Attributes:
        strengths: s_k, (times, r).
        noise: |U U^T| off the directions of Z, (times,).
        principal_angle: the largest between the r leading directions of U and those of Z, (times,).
        residual: of Z - U U^T.
    """

    strengths: FloatArray = field(metadata={"unit": "that of the matrix"})
    noise: FloatArray = field(metadata={"unit": "that of the matrix"})
    principal_angle: FloatArray = field(metadata={"unit": "radians"})
    residual: Residual = field(metadata={"unit": "see Residual"})


def curves(problem: LowRankProblem, start: Start, stages: Stages, times: FloatArray) -> Curves:
    """s_k = lam_k / (1 + lam_k / e_k), e_k the pure exponential that reaches lam_k at T_k.

    The angle is the largest of arccos (floor_k / (1 + x_k))^(1/2) as in `alignment`, with sigma and
    kappa of the residual then, and x_k fading as direction k is learned. To x_k comes
    (noise / s_k)^2: where the noise is the stronger, a leading direction of U is one of its own.

    Args:
        problem: Z and the operator.
        start: of the descent.
        stages: of the descent.
        times: steps, real, in any order.
    """
    lam = problem.strengths
    grown = stages.log_growth(times) + np.log(stages.initial)
    strengths = lam / (1 + np.exp(np.minimum(np.log(lam) - grown, 700.0)))
    noise = np.zeros(len(times))
    if start.factors > problem.rank:
        noise = grown_noise(problem, start, stages, times)
    found = residual(problem, strengths, noise)
    theta = found.kept[:, None] * lam
    floor = outlier_overlap(theta, found.sigma[:, None])
    total, sigma = effective_noise(problem, stages, times)
    pushed = noise_growth(start.learning_rate, sigma, total)
    ratio = (problem.size - problem.rank) / free_columns(problem.rank, start.factors)
    unlearned = np.clip(1 - strengths / lam, 0, 1)
    log = pushed[:, None] - np.log(strengths) + np.log(stages.initial)
    excess = ratio * unlearned * np.exp(np.minimum(log, 700.0))
    excess += np.square(noise[:, None] / strengths)
    cosine = np.sqrt(np.clip(floor / (1 + excess), 0, 1))
    angle = np.arccos(cosine).max(1)
    return Curves(strengths, noise, np.asarray(angle), found)
