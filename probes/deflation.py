"""An operator without a part of its spectrum."""

from __future__ import annotations

import torch
from torch import Tensor

from .operator import CurvatureOperator

__all__ = ["Deflated"]


class Deflated(CurvatureOperator):
    """(1 - P) H (1 - P) + c P,  P = X X^T: the spectrum of X moved to c.

    Args:
        operator: H.
        vectors: X, (*batch, N, k), orthonormal columns, or zeros where a matrix has fewer.
        replacement: c, (*batch,) float64.
    """

    def __init__(self, operator: CurvatureOperator, vectors: Tensor, replacement: Tensor) -> None:
        self._operator = operator
        self._vectors = vectors
        self._replacement = replacement.to(vectors.dtype)[..., None, None]

    @property
    def batch(self) -> tuple[int, ...]:
        """That of H."""
        return self._operator.batch

    @property
    def size(self) -> int:
        """That of H."""
        return self._operator.size

    @property
    def dtype(self) -> torch.dtype:
        """That of H."""
        return self._operator.dtype

    @property
    def device(self) -> torch.device:
        """That of H."""
        return self._operator.device

    def outside(self, panel: Tensor) -> tuple[Tensor, Tensor]:
        """(1 - P) V and P V."""
        inside = self._vectors @ (self._vectors.mT @ panel)
        return panel - inside, inside

    def matmul(self, panel: Tensor) -> Tensor:
        """((1 - P) H (1 - P) + c P) V."""
        rest, inside = self.outside(panel)
        product, _ = self.outside(self._operator @ rest)
        return product + self._replacement * inside
