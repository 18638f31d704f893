"""What a spectrum is taken of: a symmetric matrix known only by its products with panels."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["CurvatureOperator"]


class CurvatureOperator(Protocol):
    """A symmetric matrix H, or a batch of them that share the work of a product.

    Subclasses implement `matmul`; callers write ``operator @ panel``, which checks the shape.
    """

    @property
    @abstractmethod
    def batch(self) -> tuple[int, ...]:
        """() for one matrix, (blocks,) for several of equal size."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of rows N of each matrix."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Floating dtype of panels and products."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Device of panels and products."""

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the parameters whose entries, one after the other, are the rows of H.

        Or of the vectors that `embedded` gives, where H acts on a subspace of them.
        """
        return ((self.size,),)

    def embedded(self, vectors: Tensor) -> Tensor:
        """Vectors (*batch, size, k) of the space that H acts on, as the parameters' entries."""
        return vectors

    def coordinates(self, vectors: Tensor) -> Tensor:
        """The part that the parameters' entries have in that space: `embedded` transposed."""
        return vectors

    @property
    def panel_width(self) -> int:
        """Columns of a panel from which on another costs as much as the one before."""
        return 16

    @property
    def differentiated(self) -> bool:
        """Whether a product is a derivative: it costs far more than what Lanczos does with it."""
        return False

    @property
    def semidefinite(self) -> bool:
        """Whether no eigenvalue is negative, beyond rounding."""
        return False

    @property
    def samples(self) -> int:
        """Number of samples that the matrix is a mean over."""
        return 1

    @property
    def weight(self) -> float:
        """What the matrix counts by in a mean with those of other samples."""
        return self.samples

    def traces(self) -> Tensor | None:
        """Tr H, of shape ``batch``; None where it costs more than it tells."""
        return None

    def sampling_errors(self, vectors: Tensor, resolvent: Tensor) -> Tensor | None:
        """Standard deviation of eigenvalues over the draw of the samples; None if it is unknown.

        Args:
            vectors: (*batch, size, k) unit eigenvectors.
            resolvent: (*batch, k), tr (H - value)^-1 / size without the eigenvalue itself.

        Returns:
            (*batch, k).
        """
        return None

    @abstractmethod
    def matmul(self, panel: Tensor) -> Tensor:
        """H V for a panel V (*batch, size, width); same shape."""

    @property
    def dense_cost(self) -> float:
        """What `dense` costs, in products with one vector: N unless there is a shorter way."""
        return self.size

    def dense(self) -> Tensor:
        """H itself, (*batch, size, size)."""
        identity = torch.eye(self.size, dtype=self.dtype, device=self.device)
        return self.matmul(identity.expand(*self.batch, -1, -1))

    def __matmul__(self, panel: Tensor) -> Tensor:
        if panel.ndim != len(self.batch) + 2 or panel.shape[:-1] != (*self.batch, self.size):
            shape = ", ".join(str(length) for length in (*self.batch, self.size, "width"))
            raise ValueError(f"panel: expected shape ({shape}), got {tuple(panel.shape)}")
        return self.matmul(panel)
