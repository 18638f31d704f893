"""The Hessian of a function on a sphere: on the tangent space, with the multiplier."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ...theory.matrix_kind import SPHERE_HESSIAN, MatrixKind
from .batches import Batch
from .block import Block
from .loss_gradient import loss_gradient
from .losses import Loss
from .matrix import CurvatureMatrix, Hessian
from .operator import CurvatureOperator

__all__ = ["SphereCurvature", "SphereHessian"]


class SphereCurvature(CurvatureOperator):
    """B^T (H + mu) B,  mu = -x.g / |x|^2,  B (N, N - 1) an orthonormal basis of {v: v.x = 0}.

    The second derivative along geodesics of the sphere through x, for any function with gradient g
    and Hessian H in the surrounding space. B is all but the last column of the reflection that
    takes the last axis to x: the normal direction, on which P (H + mu) P has an eigenvalue 0 that
    is not the sphere's, is not there at all. `embedded` and `coordinates` go between the two.

    Args:
        hessian: H, one matrix of size N >= 2.
        point: x, (N,), not 0; a block's parameters, flattened.
        gradient: g, (N,).

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    def __init__(self, hessian: CurvatureOperator, point: Tensor, gradient: Tensor) -> None:
        if hessian.batch or hessian.size < 2:
            raise ValueError(
                "hessian: expected one matrix of at least two rows, "
                f"got batch {hessian.batch} of size {hessian.size}"
            )
        for name, vector in (("point", point), ("gradient", gradient)):
            if vector.shape != (hessian.size,) or vector.dtype != hessian.dtype:
                raise ValueError(
                    f"{name}: expected {hessian.dtype} of shape ({hessian.size},), "
                    f"got {vector.dtype} of shape {tuple(vector.shape)}"
                )
            if not bool(torch.isfinite(vector).all()):
                raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
        x, g = point.detach().double(), gradient.detach().double()
        square = x @ x
        if not bool(square > 0):
            raise ValueError("point: expected a vector other than 0")
        self._hessian = hessian
        self.multiplier = float(-(x @ g) / square)
        # The sign that does not cancel; the reflection is its own inverse.
        mirror = x / square.sqrt()
        mirror[-1] += 1.0 if bool(mirror[-1] >= 0) else -1.0
        self._mirror = (mirror / mirror.norm()).to(hessian.dtype)

    @property
    def batch(self) -> tuple[int, ...]:
        """()."""
        return ()

    @property
    def size(self) -> int:
        """N - 1."""
        return self._hessian.size - 1

    @property
    def dtype(self) -> torch.dtype:
        """That of H."""
        return self._hessian.dtype

    @property
    def device(self) -> torch.device:
        """That of H."""
        return self._hessian.device

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Those of H: of embedded vectors."""
        return self._hessian.shapes

    @property
    def samples(self) -> int:
        """That of H."""
        return self._hessian.samples

    @property
    def weight(self) -> float:
        """That of H."""
        return self._hessian.weight

    @property
    def panel_width(self) -> int:
        """That of H."""
        return self._hessian.panel_width

    @property
    def differentiated(self) -> bool:
        """As H is."""
        return self._hessian.differentiated

    def matmul(self, panel: Tensor) -> Tensor:
        """B^T (H + mu) B V for V (N - 1, width); same shape."""
        vectors = self.embedded(panel)
        return self.coordinates(self._hessian @ vectors) + self.multiplier * panel

    @property
    def dense_cost(self) -> float:
        """That of H."""
        return self._hessian.dense_cost

    def dense(self) -> Tensor:
        """The matrix itself, (N - 1, N - 1)."""
        half = self.coordinates(self._hessian.dense())
        whole: Tensor = self.coordinates(half.mT)
        whole.diagonal().add_(self.multiplier)
        return whole

    def embedded(self, panel: Tensor) -> Tensor:
        """B V: (N - 1, width) in the basis to (N, width) in the parameters' coordinates."""
        return self._reflected(torch.nn.functional.pad(panel, (0, 0, 0, 1)))

    def coordinates(self, vectors: Tensor) -> Tensor:
        """B^T U: (N, width) in the parameters' coordinates to (N - 1, width) in the basis."""
        return self._reflected(vectors)[:-1]

    def _reflected(self, vectors: Tensor) -> Tensor:
        reflected: Tensor = vectors - 2 * self._mirror[:, None] * (self._mirror @ vectors)
        return reflected


@dataclass(frozen=True)
class SphereHessian:
    """The Hessian on a sphere that a block is constrained to, see `SphereCurvature`.

    Attributes:
        surrounding: the Hessian in the space around it, by automatic differentiation unless the
            model knows a shorter way.
    """

    surrounding: CurvatureMatrix = field(default_factory=Hessian)

    @property
    def kind(self) -> MatrixKind:
        """`SPHERE_HESSIAN`."""
        return SPHERE_HESSIAN

    def operator(
        self, module: nn.Module, loss: Loss, batch: Batch, block: Block
    ) -> CurvatureOperator:
        """On the tangent space at the block's present parameters.

        Raises:
            ValueError: as `SphereCurvature`, and for rows of a parameter.
        """
        if block.rows:
            raise ValueError(f"rows: expected whole parameters on a sphere, got {block.rows}")
        hessian = self.surrounding.operator(module, loss, batch, block)
        gradients = loss_gradient(module, loss, *batch)
        values = {name: value.detach() for name, value in module.named_parameters()}
        names = block.resolve(module)
        point, gradient = (
            torch.cat([each[name].reshape(-1) for name in names]) for each in (values, gradients)
        )
        return SphereCurvature(hessian, point, gradient)
