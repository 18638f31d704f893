"""Where factors stand beside the matrix that is looked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .truth import LowRankMatrix

__all__ = ["Standing", "relative_error", "standing"]


@dataclass(frozen=True)
class Standing:
    """U (..., n, q) seen from Z = V diag(lam) V^T, in double precision.

    Attributes:
        strengths: s_k = sigma_k(V^T U)^2, falling, (..., r).
        noise: |B B^T|, B = U (1 - W W^T), W the right singular vectors of V^T U, (...).
        principal_angle: the largest between the r leading left singular vectors of U and V, (...).
        test_error: |U U^T - Z| / |Z|, (...).
    """

    strengths: Tensor
    noise: Tensor
    principal_angle: Tensor
    test_error: Tensor


def standing(point: Tensor, truth: LowRankMatrix) -> Standing:
    """Strengths, noise, angle and error.

    Args:
        point: U, (..., n, q), q at least r.
        truth: Z.
    """
    u, v = point.double(), truth.vectors.double()
    values, right = torch.linalg.svd(v.mT @ u, full_matrices=False)[1:]
    beside = u - (u @ right.mT) @ right
    leading = torch.linalg.svd(u, full_matrices=False)[0][..., : v.shape[1]]
    cosine = torch.linalg.svdvals(v.mT @ leading)[..., -1].clamp(max=1)
    noise = torch.linalg.matrix_norm(beside.mT @ beside)
    off = relative_error(u, truth.matrix.double())
    return Standing(values.square(), noise, torch.arccos(cosine), off)


def relative_error(point: Tensor, matrix: Tensor) -> Tensor:
    """|U U^T - Z| / |Z|, (...), of U (..., n, q) and Z (..., n, n)."""
    off = torch.linalg.matrix_norm(point @ point.mT - matrix)
    relative: Tensor = off / torch.linalg.matrix_norm(matrix)
    return relative
