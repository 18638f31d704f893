"""Measurements that are some coordinates of a rotated vector."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from .measurements import VectorMeasurements

__all__ = ["SubsampledMeasurements"]


class SubsampledMeasurements(VectorMeasurements):
    """A = (p/m)^(1/2) P Q, Q orthogonal and P a choice of m of p coordinates: A A* = (p/m) 1."""

    @staticmethod
    def most(size: int) -> int:
        """p."""
        return size * (size + 1) // 2

    def draw(self, generator: torch.Generator) -> None:
        """P; a subclass that draws Q does so before."""
        p = self.symmetric.length
        self._rows = torch.randperm(p, generator=generator, device=self.device)[: self.count]
        self._scale = (p / self.count) ** 0.5

    @property
    def noise_share(self) -> float:
        """n / (2 m) (1 - m/p)."""
        return super().noise_share * (1 - self.count / self.symmetric.length)

    @abstractmethod
    def rotated(self, vectors: Tensor) -> Tensor:
        """Q x, (..., p)."""

    @abstractmethod
    def rotated_back(self, vectors: Tensor) -> Tensor:
        """Q^T x, (..., p); may write over x."""

    def apply(self, vectors: Tensor) -> Tensor:
        """(..., p) to (..., m)."""
        chosen: Tensor = self.rotated(vectors).index_select(-1, self._rows) * self._scale
        return chosen

    def transposed(self, outcomes: Tensor) -> Tensor:
        """(..., m) to (..., p)."""
        vectors = outcomes.new_zeros(*outcomes.shape[:-1], self.symmetric.length)
        vectors[..., self._rows] = outcomes * self._scale
        return self.rotated_back(vectors)
