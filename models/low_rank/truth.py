"""Planted matrices, and starts of a factorisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments import require_arguments, require_whole

__all__ = ["LowRankMatrix", "block_matrix", "random_matrix", "small_start"]


@dataclass(frozen=True)
class LowRankMatrix:
    """Z = V diag(lam) V^T.

    Attributes:
        vectors: V, (n, r), orthonormal columns.
        eigenvalues: lam, (r,), falling, positive.
    """

    vectors: Tensor
    eigenvalues: Tensor

    @property
    def matrix(self) -> Tensor:
        """Z, (n, n)."""
        return (self.vectors * self.eigenvalues) @ self.vectors.mT


def random_matrix(
    size: int,
    eigenvalues: Sequence[float],
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> LowRankMatrix:
    """V uniform among the frames of R^n.

    Raises:
        ValueError: if there are more eigenvalues than rows.
    """
    require_arguments(random_matrix, locals())
    require_whole("size", size, 2)
    rank = len(eigenvalues)
    if not 1 <= rank <= size:
        raise ValueError(f"eigenvalues: expected 1 to {size} of them, got {rank}")
    drawn = torch.randn(size, rank, dtype=torch.float64, device=device, generator=generator)
    ordered = sorted(eigenvalues, reverse=True)
    vectors = torch.linalg.qr(drawn)[0].to(dtype)
    return LowRankMatrix(vectors, torch.tensor(ordered, dtype=dtype, device=device))


def block_matrix(
    rows: int,
    columns: int,
    singular_values: Sequence[float],
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> LowRankMatrix:
    """X = L diag(s) R^T as a block of W W^T: V = (L; R) / 2^(1/2), lam = 2 s.

    W W^T has X off its diagonal, and balanced factors L diag(s) L^T, R diag(s) R^T on it.
    """
    left = random_matrix(rows, singular_values, generator, dtype, device)
    right = random_matrix(columns, singular_values, generator, dtype, device)
    vectors = torch.cat([left.vectors, right.vectors]) / 2**0.5
    return LowRankMatrix(vectors, 2 * left.eigenvalues)


def small_start(
    size: int,
    factors: int,
    scale: float,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Tensor:
    """U_0 = alpha G, G_ij ~ N(0, 1/q), (n, q)."""
    drawn = torch.randn(size, factors, dtype=dtype, device=device, generator=generator)
    return drawn.mul_(scale / factors**0.5)
