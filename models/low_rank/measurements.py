"""Linear measurements of symmetric matrices, known by what they do and by their adjoint."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ..arguments import require_arguments, require_least, require_whole
from .symmetric import SymmetricVectors

__all__ = ["Measurements", "VectorMeasurements", "require_measurements"]


class Measurements(ABC):
    """A: symmetric (n, n) to R^m, with E A*A = 1 on what it measures; batches share the operator.

    Attributes:
        size: n.
        count: m.
        dtype: of matrices and outcomes.
        device: of matrices and outcomes.
    """

    size: int
    count: int
    dtype: torch.dtype
    device: torch.device

    @property
    def noise_share(self) -> float:
        """sigma^2 / |A(R)|^2 = n / (2 m): the noise of A*A(R) has its edge at 2 sigma."""
        return self.size / (2 * self.count)

    @abstractmethod
    def forward(self, matrices: Tensor) -> Tensor:
        """A(S), (..., m), of symmetric matrices (..., n, n)."""

    @abstractmethod
    def adjoint(self, outcomes: Tensor) -> Tensor:
        """A*(y), symmetric (..., n, n), of outcomes (..., m): <A(S), y> = <S, A*(y)>."""

    def misfit(self, matrices: Tensor, outcomes: Tensor | float) -> tuple[Tensor, Tensor]:
        """A(S) - y and A* of it, (..., m) and (..., n, n)."""
        off = self.forward(matrices) - outcomes
        return off, self.adjoint(off)

    def normal(self, matrices: Tensor) -> Tensor:
        """A*A(S), of the shape of S."""
        return self.misfit(matrices, 0.0)[1]


class VectorMeasurements(Measurements):
    """Measurements that are a matrix (m, p) on `SymmetricVectors`, p = n (n + 1) / 2.

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
        require_arguments(VectorMeasurements.__init__, locals())
        require_whole("count", count, 1)
        require_measurements(size, count, self.most(size))
        self.size, self.count, self.dtype = size, count, dtype
        self.device = torch.device(device)
        self.symmetric = SymmetricVectors(size, dtype, device)
        self.draw(generator)

    @staticmethod
    def most(size: int) -> int | None:
        """Largest m there is at size n; None for no bound."""
        return None

    @abstractmethod
    def draw(self, generator: torch.Generator) -> None:
        """Draw the matrix, once sizes and place are known."""

    @abstractmethod
    def apply(self, vectors: Tensor) -> Tensor:
        """The matrix times vectors: (..., p) to (..., m)."""

    @abstractmethod
    def transposed(self, outcomes: Tensor) -> Tensor:
        """Its transpose times outcomes: (..., m) to (..., p)."""

    def forward(self, matrices: Tensor) -> Tensor:
        """A(S), (..., m)."""
        return self.apply(self.symmetric.vectors(matrices))

    def adjoint(self, outcomes: Tensor) -> Tensor:
        """A*(y), (..., n, n)."""
        return self.symmetric.matrices(self.transposed(outcomes))


def require_measurements(size: int, count: int, most: int | None = None) -> None:
    """Refuse sizes of which there are no measurements.

    Args:
        size: n.
        count: m.
        most: largest m; None for no bound.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """
    require_least("size", size, 2)
    require_least("measurements", count, 1)
    if most is not None and count > most:
        raise ValueError(
            f"measurements: expected at most the {most} coordinates of what is measured, "
            f"got {count}"
        )
