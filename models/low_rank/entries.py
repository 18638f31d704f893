"""Matrix completion: some entries of a symmetric matrix are what is measured."""

from __future__ import annotations

import torch
from torch import Tensor

from .measurements import VectorMeasurements, require_measurements

__all__ = ["EntryMeasurements"]


class EntryMeasurements(VectorMeasurements):
    """A = (p/m)^(1/2) P on `SymmetricVectors`, P a choice of m of the p = n (n + 1) / 2 entries.

    Args:
        size: n.
        count: m <= p.
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
        require_measurements(size, count, size * (size + 1) // 2)
        super().__init__(size, count, dtype, device)
        p = self.symmetric.length
        self._entries = torch.randperm(p, generator=generator, device=device)[:count]
        self._scale = (p / count) ** 0.5

    @property
    def noise_share(self) -> float:
        """n / (2 m) (1 - m/p), if the matrix is spread evenly over its entries."""
        return super().noise_share * (1 - self.count / self.symmetric.length)

    def apply(self, vectors: Tensor) -> Tensor:
        """(..., p) to (..., m)."""
        chosen: Tensor = vectors.index_select(-1, self._entries) * self._scale
        return chosen

    def transposed(self, outcomes: Tensor) -> Tensor:
        """(..., m) to (..., p)."""
        vectors = outcomes.new_zeros(*outcomes.shape[:-1], self.symmetric.length)
        vectors[..., self._entries] = outcomes * self._scale
        return vectors
