"""Rates and amplitudes of a drawn operator and start: a simulator knows Z, an observer does not."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ...models.low_rank.measurements import Measurements
from ...models.low_rank.truth import LowRankMatrix
from ..spectrum import FloatArray
from .spectral_phase import phase_ends
from .stages import Start

__all__ = ["conditional_amplitudes", "conditional_phase_ends", "conditional_rates", "regressed"]

_ITERATIONS = 60
_RESIDUAL = 1e-8


def conditional_rates(measurements: Measurements, truth: LowRankMatrix) -> FloatArray:
    """nu_k^(j): the largest eigenvalues of A*A(R_j), R_j as `regressed`, (r, r); NaN for k < j.

    Args:
        measurements: A.
        truth: Z.
    """
    rank = len(truth.eigenvalues)
    rates = np.full((rank, rank), np.nan)
    for j in range(rank):
        pull = measurements.normal(regressed(measurements, truth, j))
        values = torch.linalg.eigvalsh(pull.double()).flip(-1)
        rates[j, j:] = values[: rank - j].cpu().numpy()
    return rates


def regressed(measurements: Measurements, truth: LowRankMatrix, learned: int) -> Tensor:
    """Z - Z_j - T, T of the tangent space at Z_j with least |A(Z - Z_j - T)|: conjugate gradients.

    Args:
        measurements: A.
        truth: Z.
        learned: j; Z_j holds the first j directions.

    Returns:
        (n, n).
    """
    found = truth.vectors[:, learned:], truth.eigenvalues[learned:]
    left: Tensor = (found[0] * found[1]) @ found[0].mT
    if not learned:
        return left
    basis = truth.vectors[:, :learned]

    def projected(matrix: Tensor) -> Tensor:
        part = basis @ (basis.mT @ matrix)
        return part + part.mT - part @ basis @ basis.mT

    direction = rest = projected(measurements.normal(left))
    size = begin = rest.square().sum()
    for _ in range(_ITERATIONS):
        if not bool(size > _RESIDUAL**2 * begin):
            break
        pushed = projected(measurements.normal(direction))
        length = size / (direction * pushed).sum()
        left = left - length * direction
        rest = rest - length * pushed
        before, size = size, rest.square().sum()
        direction = rest + size / before * direction
    return left


def conditional_amplitudes(
    measurements: Measurements, outcomes: Tensor, point: Tensor, rank: int
) -> FloatArray:
    """Squares of the rows p_k^T U made orthogonal in turn, (r,), p_k the eigenvectors of A*(y).

    Args:
        measurements: A.
        outcomes: y.
        point: U, (n, q).
        rank: r.
    """
    vectors = torch.linalg.eigh(measurements.adjoint(outcomes).double())[1].flip(-1)[:, :rank]
    rows = torch.linalg.qr(point.double().mT @ vectors)[1]
    return np.asarray(rows.diagonal().square().cpu().numpy())


def conditional_phase_ends(
    measurements: Measurements, outcomes: Tensor, start: Start, point: Tensor, tolerance: float
) -> float:
    """t = ln(eps / (c s)) / (2 ln(1 + mu nu)), steps, from the outcomes and the start alone.

    c = |[((1 + mu nu)^3 - 1) / mu - M]^-1 A*A(p p^T) p| and s = |U^T p|^2 for the largest
    eigenpair (nu, p) of M = A*(y).

    Args:
        measurements: A.
        outcomes: y.
        start: of the descent.
        point: U_0, (n, q).
        tolerance: eps.
    """
    values, vectors = torch.linalg.eigh(measurements.adjoint(outcomes).double())
    nu, p = float(values[-1]), vectors[:, -1]
    strength = float((point.double().mT @ p).square().sum())
    own = p.to(measurements.dtype)
    pulled = measurements.normal(torch.outer(own, own)).double() @ p
    level = ((1 + start.learning_rate * nu) ** 3 - 1) / start.learning_rate
    c = float((vectors.mT @ pulled / (level - values)).norm())
    return phase_ends(start, nu, tolerance, c * strength) if math.isfinite(c) else math.nan
