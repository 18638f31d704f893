"""Operators made from another one of the same shape."""

from __future__ import annotations

import torch
from torch import Tensor

from .operator import CurvatureOperator

__all__ = ["Counted", "Deflated", "Derived"]


class Derived(CurvatureOperator):
    """An operator with batch, size, dtype and device of another, H.

    Attributes:
        original: H.
    """

    def __init__(self, original: CurvatureOperator) -> None:
        self.original = original

    @property
    def batch(self) -> tuple[int, ...]:
        """That of H."""
        return self.original.batch

    @property
    def size(self) -> int:
        """That of H."""
        return self.original.size

    @property
    def dtype(self) -> torch.dtype:
        """That of H."""
        return self.original.dtype

    @property
    def device(self) -> torch.device:
        """That of H."""
        return self.original.device

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Those of H."""
        return self.original.shapes

    def embedded(self, vectors: Tensor) -> Tensor:
        """As of the original."""
        return self.original.embedded(vectors)

    def coordinates(self, vectors: Tensor) -> Tensor:
        """As of the original."""
        return self.original.coordinates(vectors)

    @property
    def panel_width(self) -> int:
        """That of H."""
        return self.original.panel_width

    @property
    def differentiated(self) -> bool:
        """As H is."""
        return self.original.differentiated


class Counted(Derived):
    """H itself, with its products counted.

    Attributes:
        products: columns multiplied so far; as many as H has if it was formed.
        passes: panels multiplied so far.
    """

    def __init__(self, original: CurvatureOperator) -> None:
        super().__init__(original)
        self.products = 0
        self.passes = 0

    def matmul(self, panel: Tensor) -> Tensor:
        """H V."""
        self.products += panel.shape[-1]
        self.passes += 1
        return self.original @ panel

    @property
    def dense_cost(self) -> float:
        """That of H."""
        return self.original.dense_cost

    def dense(self) -> Tensor:
        """H."""
        self.products += self.size
        self.passes += 1
        return self.original.dense()


class Deflated(Derived):
    """(1 - P) H (1 - P) + c P,  P = X X^T: the spectrum of X moved to c.

    Args:
        original: H.
        vectors: X, (*batch, N, k), orthonormal columns, or zeros where a matrix has fewer.
        replacement: c, (*batch,) float64.
    """

    def __init__(self, original: CurvatureOperator, vectors: Tensor, replacement: Tensor) -> None:
        super().__init__(original)
        self._vectors = vectors
        self._replacement = replacement.to(vectors.dtype)[..., None, None]

    def matmul(self, panel: Tensor) -> Tensor:
        """((1 - P) H (1 - P) + c P) V."""
        inside = self._part(panel)
        product = self.original @ (panel - inside)
        return product - self._part(product) + self._replacement * inside

    def _part(self, panel: Tensor) -> Tensor:
        """P V."""
        part: Tensor = self._vectors @ (self._vectors.mT @ panel)
        return part
