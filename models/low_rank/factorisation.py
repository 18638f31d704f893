"""The loss of a factorised matrix, with its derivatives written by hand."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .measurements import Measurements

__all__ = ["LocalLoss", "local_loss"]


@dataclass(frozen=True)
class LocalLoss:
    """f(U) = |A(U U^T) - y|^2 / 4 and what its derivatives need, at one U or at each of a batch.

    Attributes:
        measurements: A.
        point: U, (..., n, q).
        outcomes: A(U U^T) - y = -A(R), R = Z - U U^T, (..., m).
        pull: A*A(U U^T) - A*(y) = -A*A(R), (..., n, n).
    """

    measurements: Measurements
    point: Tensor
    outcomes: Tensor
    pull: Tensor

    @property
    def loss(self) -> Tensor:
        """f, (...)."""
        return self.outcomes.square().sum(-1) / 4

    @property
    def gradient(self) -> Tensor:
        """df/dU = -A*A(R) U, (..., n, q)."""
        return self.pull @ self.point

    def hessian_product(self, directions: Tensor) -> Tensor:
        """d^2 f [D] = A*A(U D^T + D U^T) U - A*A(R) D, for D (..., n, q) at one U; same shape."""
        half = self.point @ directions.mT
        return self.measurements.normal(half + half.mT) @ self.point + self.pull @ directions


def local_loss(measurements: Measurements, outcomes: Tensor, point: Tensor) -> LocalLoss:
    """Loss and derivatives at U (..., n, q), by one product with A and one with its adjoint.

    Args:
        measurements: A.
        outcomes: y, (m,) or (..., m).
        point: U.
    """
    return LocalLoss(measurements, point, *measurements.misfit(point @ point.mT, outcomes))
