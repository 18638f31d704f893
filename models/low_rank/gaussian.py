"""Gaussian measurements, as a dense matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from ..arguments import require_arguments, require_whole
from .measurements import VectorMeasurements, require_measurements

__all__ = ["GaussianMeasurements"]


class GaussianMeasurements(VectorMeasurements):
    """A(S)_i = <A_i, S> / sqrt(m),  diagonal of A_i ~ N(0, 1), off it N(0, 1/2); arXiv 2106.15013.

    As a matrix on `SymmetricVectors` all entries are N(0, 1/m); it holds m n (n + 1) / 2 numbers.
    A product for several matrices reads it once.

    Args:
        size: n.
        count: m.
        generator: source of all randomness, on the device.
        dtype: of matrices and outcomes.
        device: likewise.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    def __init__(
        self,
        size: int,
        count: int,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        require_arguments(GaussianMeasurements.__init__, locals())
        require_whole("count", count, 1)
        require_measurements(size, count)
        super().__init__(size, count, dtype, device)
        shape = count, self.symmetric.length
        self.matrix = torch.randn(shape, generator=generator, dtype=dtype, device=device)
        self.matrix *= count**-0.5

    def apply(self, vectors: Tensor) -> Tensor:
        """(..., p) to (..., m)."""
        return vectors @ self.matrix.T

    def transposed(self, outcomes: Tensor) -> Tensor:
        """(..., m) to (..., p)."""
        return outcomes @ self.matrix
