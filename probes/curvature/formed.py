"""A curvature matrix that is there in full."""

from __future__ import annotations

import torch
from torch import Tensor

from .finite import all_finite
from .operator import CurvatureOperator

__all__ = ["FormedCurvature"]

_ASYMMETRY = 1e-4  # relative; beyond it a matrix is not symmetric to within rounding


class FormedCurvature(CurvatureOperator):
    """H itself, of a model that knows its second derivatives.

    Args:
        matrix: H, (N, N), floating, symmetric.

    Raises:
        ValueError: if it is no such matrix, or a number is not finite.
    """

    def __init__(self, matrix: Tensor) -> None:
        square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] > 0
        if not square or not matrix.is_floating_point():
            raise ValueError(
                "matrix: expected a floating tensor of shape (N, N), "
                f"got {matrix.dtype} of shape {tuple(matrix.shape)}"
            )
        if not all_finite(matrix):
            raise ValueError("matrix: expected finite numbers, got NaN or infinity")
        gap = (matrix - matrix.mT).abs().max()
        if bool(gap > _ASYMMETRY * matrix.abs().max()):
            raise ValueError(
                f"matrix: expected a symmetric one, got entries {float(gap):.3g} apart"
            )
        self._matrix = matrix.detach()

    @property
    def batch(self) -> tuple[int, ...]:
        """()."""
        return ()

    @property
    def size(self) -> int:
        """N."""
        return len(self._matrix)

    @property
    def dtype(self) -> torch.dtype:
        """That of the matrix."""
        return self._matrix.dtype

    @property
    def device(self) -> torch.device:
        """That of the matrix."""
        return self._matrix.device

    def matmul(self, panel: Tensor) -> Tensor:
        """H V for V (N, width); same shape."""
        return self._matrix @ panel

    @property
    def dense_cost(self) -> float:
        """Nothing is left to form."""
        return 0.0

    def dense(self) -> Tensor:
        """H, (N, N)."""
        return self._matrix
