"""Kernel regression as a linear model on the features that the training points span."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..arguments import require_arguments

__all__ = ["KernelRegression"]

# Eigenvalues of the kernel matrix, relative to the largest, that count as none, at the least: in
# single precision they are rounding errors long before.
_SMALL = 1e-12


class KernelRegression(nn.Module):
    """f(x) = v . K^(-1/2) k(X, x),  v = 0 at first.

    K = k(X, X) is the kernel matrix of the training points X. Gradient descent on v is that in the
    kernel's own feature space, whose weights never leave the span of the training points' features;
    the Hessian of the mean square without 1/2, halved, has the eigenvalues of K/P.

    Args:
        kernel: k(X, X') of two sets of points, (n, n').
        points: (P, ...) training points; their dtype and device are the weights'.

    Raises:
        ValueError: if the kernel matrix is not symmetric and positive semidefinite.
    """

    points: Tensor
    whitening: Tensor

    def __init__(self, kernel: Callable[[Tensor, Tensor], Tensor], points: Tensor) -> None:
        require_arguments(KernelRegression.__init__, locals())
        super().__init__()
        self.kernel = kernel
        matrix = kernel(points, points)
        if matrix.shape != (len(points), len(points)) or not torch.allclose(matrix, matrix.T):
            raise ValueError(
                f"kernel: expected a symmetric matrix of {len(points)} points, "
                f"got shape {tuple(matrix.shape)}"
            )
        values, vectors = torch.linalg.eigh(matrix.double())
        largest = float(values.max())
        if float(values.min()) < -1e-6 * largest:
            raise ValueError(
                f"kernel: expected no negative eigenvalue, got {float(values.min()):.3g}"
            )
        small = max(_SMALL, len(points) * torch.finfo(points.dtype).eps) * largest
        inverse = torch.where(values > small, values.clamp(min=small).rsqrt(), 0.0)
        self.register_buffer("points", points)
        self.register_buffer("whitening", ((vectors * inverse) @ vectors.T).to(points.dtype))
        self.weight = nn.Parameter(torch.zeros_like(self.whitening[0]))

    def coefficients(self) -> Tensor:
        """c of f(x) = sum_i c_i k(x, X_i), (P,)."""
        return self.whitening @ self.weight

    def features(self, inputs: Tensor) -> Tensor:
        """Inputs (n, ...) -> features (n, P) whose inner products are the kernel's."""
        return self.kernel(inputs, self.points) @ self.whitening

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (n, ...) -> outputs (n,)."""
        return self.kernel(inputs, self.points) @ self.coefficients()
