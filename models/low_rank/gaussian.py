"""Gaussian measurements, as a dense matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from .measurements import VectorMeasurements

__all__ = ["GaussianMeasurements"]

# Rows of the matrix that stay in a core's cache between a product with them and one with their
# transpose. For a single vector calls of products so small would cost more than the second pass.
_ROWS = 48


class GaussianMeasurements(VectorMeasurements):
    """A(S)_i = <A_i, S> / sqrt(m),  diagonal of A_i ~ N(0, 1), off it N(0, 1/2); arXiv 2106.15013.

    As a matrix on `SymmetricVectors` all entries are N(0, 1/m); it holds m n (n + 1) / 2 numbers.
    `misfit` of several matrices reads it once for all of them.
    """

    def draw(self, generator: torch.Generator) -> None:
        """All entries, (m, p)."""
        shape = self.count, self.symmetric.length
        self.matrix: Tensor = torch.randn(
            shape, generator=generator, dtype=self.dtype, device=self.device
        )
        self.matrix *= self.count**-0.5

    def misfit(self, matrices: Tensor, outcomes: Tensor | float) -> tuple[Tensor, Tensor]:
        """A(S) - y and A* of it: block by block of rows, each read once for both."""
        shape, p = matrices.shape[:-2], self.symmetric.length
        if shape.numel() == 1 or self.matrix.device.type != "cpu":
            return super().misfit(matrices, outcomes)
        vectors = self.symmetric.vectors(matrices).view(-1, p)
        off, back = vectors.new_empty(len(vectors), self.count), torch.zeros_like(vectors)
        wanted = torch.as_tensor(outcomes, dtype=self.dtype).expand(*shape, self.count)
        wanted = wanted.reshape(off.shape)
        for first in range(0, self.count, _ROWS):
            part = slice(first, first + _ROWS)
            block = self.matrix[part]
            off[:, part] = vectors @ block.T - wanted[:, part]
            back.addmm_(off[:, part], block)
        return off.view(*shape, self.count), self.symmetric.matrices(back.view(*shape, p))

    def apply(self, vectors: Tensor) -> Tensor:
        """(..., p) to (..., m)."""
        return vectors @ self.matrix.T

    def transposed(self, outcomes: Tensor) -> Tensor:
        """(..., m) to (..., p)."""
        return outcomes @ self.matrix
