"""Krylov spaces by block Lanczos with full reorthogonalisation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...models.arguments import require_arguments
from ..curvature.operator import CurvatureOperator
from .frames import gaussian

__all__ = ["BlockLanczos", "Krylov", "block_lanczos", "end_places"]


@dataclass(frozen=True)
class Krylov:
    """H Q = Q T + U B:  Q and U orthonormal and orthogonal to each other, T = Q^T H Q.

    Attributes:
        basis: Q, (*batch, N, k), in the operator's dtype; unless the run was restarted its first
            ``width`` columns are the start, T is block tridiagonal, and only the last ``width``
            columns of B are not 0.
        coefficients: T, (*batch, k, k), float64.
        border: B, (*batch, columns of U, k), float64.
        width: number of columns of the start.
        images: H Q as it was multiplied, (*batch, N, k), if the run has kept it.
    """

    basis: Tensor
    coefficients: Tensor
    border: Tensor
    width: int
    images: Tensor | None = None

    @property
    def complete(self) -> bool:
        """Whether the basis spans the whole space, so that T has exactly the eigenvalues of H."""
        return self.basis.shape[-1] == self.basis.shape[-2]

    @cached_property
    def eigen(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues of T, ascending, (*batch, k), and eigenvectors (*batch, k, k), float64."""
        # Formed in the operator's dtype, H is not known better than that: twice as fast.
        exact = self.coefficients.to(self.basis.dtype) if self.complete else self.coefficients
        values, vectors = torch.linalg.eigh(exact)
        return values.double(), vectors.double()

    def residual_estimates(self) -> Tensor:
        """|H Q y - theta Q y| = |B y| of each eigenpair (theta, y) of T, (*batch, k)."""
        _, vectors = self.eigen
        estimates: Tensor = (self.border @ vectors).norm(dim=-2)
        return estimates


class BlockLanczos:
    """Block Lanczos in progress, with thick restarts.

    Vectors are rows, so that a growing basis stays contiguous.

    Args:
        operator: H, one matrix or a batch.
        start: (*batch, N, width), orthonormal columns.
        capacity: number of basis vectors there is room for, at least ``width``.
        generator: draws new directions where the space closes.
        images: whether products are kept beside the basis, in as much memory again.
    """

    def __init__(
        self,
        operator: CurvatureOperator,
        start: Tensor,
        capacity: int,
        generator: torch.Generator,
        *,
        images: bool = False,
    ) -> None:
        *batch, size, width = start.shape
        self.capacity = capacity
        self.width = width
        self.columns = 0
        self.steps = 0
        self.products = 0
        self.restarted = False
        self._operator = operator
        self._generator = generator
        self._next = start.mT
        self._rows = start.new_empty(*batch, capacity, size)
        self._images = torch.empty_like(self._rows) if images else None
        self._coefficients = start.new_zeros(*batch, width, width, dtype=torch.float64)
        self._border = self._coefficients.new_zeros(*batch, width, 0)
        self._scale = self._coefficients.new_zeros(*batch, 1)
        self._krylov: Krylov | None = None

    @property
    def size(self) -> int:
        """N."""
        return int(self._rows.shape[-1])

    @property
    def complete(self) -> bool:
        """Whether the basis spans the whole space."""
        return self.columns == self.size

    @property
    def full(self) -> bool:
        """Whether there is no room for another block."""
        return self.columns + self._next.shape[-2] > self.capacity

    def advance(self) -> None:
        """Append the next block to the basis: one product with a panel.

        Raises:
            ValueError: if the product is not finite.
        """
        old = slice(0, self.columns)
        new = slice(self.columns, self.columns + self._next.shape[-2])
        spare = new.stop - self._coefficients.shape[-1]
        if spare > 0:
            # By half at a time: the room for all would mostly stay empty.
            spare += new.stop // 2
            self._coefficients = torch.nn.functional.pad(self._coefficients, (0, spare, 0, spare))
        self._coefficients[..., new, old] = self._border
        self._coefficients[..., old, new] = self._border.mT
        self._rows[..., new, :] = self._next
        self.columns = new.stop
        self.steps += 1
        self.products += new.stop - new.start
        product = (self._operator @ self._next.mT).mT
        norms = product.norm(dim=-1).double()
        if not bool(torch.isfinite(norms).all()):
            raise ValueError("operator: expected finite products, got NaN or infinity")
        self._scale = torch.maximum(self._scale, norms.amax(-1, keepdim=True))
        if self._images is not None:
            self._images[..., new, :] = product
        remainder, overlaps = self._projected(product)
        diagonal = overlaps[..., new].double()
        self._coefficients[..., new, new] = (diagonal + diagonal.mT) / 2
        self._next, coupling = self._orthonormalised(remainder)
        self._border = coupling.new_zeros(*coupling.shape[:-1], self.columns)
        self._border[..., new] = coupling
        self._krylov = None

    def restart(self, places: Tensor) -> None:
        """Replace the basis by some of its Ritz vectors; H Q = Q T + U B stays true.

        Args:
            places: (kept,) int64, of the Ritz values in ascending order, the same in each matrix.
        """
        values, vectors = (part[..., places] for part in self.krylov().eigen)
        kept = len(places)
        transposed = vectors.to(self._rows.dtype).mT
        # Through a window, so that the old basis and the new never stand side by side.
        window = max(1, self._rows.shape[-1] // 16)
        for held in (self._rows, self._images):
            if held is not None:
                for rows in torch.split(held[..., : self.columns, :], window, dim=-1):
                    rows[..., :kept, :] = transposed @ rows
        self._coefficients[..., :kept, :kept] = torch.diag_embed(values)
        self._border = self._border @ vectors
        self.columns = kept
        self.restarted = True
        self._krylov = None

    def krylov(self) -> Krylov:
        """The space so far; it shares memory with the run, which a restart overwrites."""
        if self._krylov is None:
            k = self.columns
            basis, coefficients = self._rows[..., :k, :].mT, self._coefficients[..., :k, :k]
            images = None if self._images is None else self._images[..., :k, :].mT
            self._krylov = Krylov(basis, coefficients, self._border, self.width, images)
        return self._krylov

    def _projected(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows without their part in the basis, and their inner products with the basis."""
        basis = self._rows[..., : self.columns, :]
        overlaps = rows @ basis.mT
        return rows - overlaps @ basis, overlaps

    def _orthonormalised(self, remainder: Tensor) -> tuple[Tensor, Tensor]:
        """U (*batch, rows, N), C (*batch, rows, w) with remainder^T = U^T C, U orthonormal.

        U has as many rows as the remainder, or as many as the basis lacks. Directions that the
        remainder does not have are drawn at random and get zero rows in C. The second projection
        follows the first normalisation: that restores the orthogonality which dividing a small
        remainder by its length has lost.
        """
        width = min(remainder.shape[-2], remainder.shape[-1] - self.columns)
        if not width:
            empty = remainder[..., :0, :]
            return empty, empty[..., : remainder.shape[-2]].double()
        frame, triangle = torch.linalg.qr(remainder.mT)
        left, lengths, right = torch.linalg.svd(triangle.double())
        left, lengths, right = left[..., :width], lengths[..., :width], right[..., :width, :]
        absent = lengths <= 10 * torch.finfo(frame.dtype).eps * self._scale
        frame = frame @ left.to(frame.dtype)
        if bool(absent.any()):
            noise = gaussian(frame.shape, frame, self._generator) / frame.shape[-2] ** 0.5
            frame = torch.where(absent[..., None, :], noise, frame)
            frame = self._projected(frame.mT)[0].mT
            frame = frame / frame.norm(dim=-2, keepdim=True)
        first = (lengths * ~absent)[..., None] * right
        again, _ = self._projected(frame.mT)
        frame, triangle = torch.linalg.qr(again.mT)
        return frame.mT, triangle.double() @ first


def block_lanczos(
    operator: CurvatureOperator, start: Tensor, steps: int, generator: torch.Generator
) -> Krylov:
    """Krylov space of ``steps`` products with panels, reorthogonalised twice: no ghosts.

    Args:
        operator: H, one matrix or a batch.
        start: (*batch, N, width), orthonormal columns.
        steps: number of products; width * steps <= N. With the identity as start and one step, T
            is H itself.
        generator: draws new directions where the space closes before ``steps``.

    Raises:
        ValueError: if the basis would exceed the space, or a product is not finite.
    """
    require_arguments(block_lanczos, locals())
    size, width = start.shape[-2:]
    if not 1 <= width * steps <= size:
        raise ValueError(
            f"steps: expected between 1 and {size // max(1, width)} with {width} columns of "
            f"length {size}, got {steps}"
        )
    run = BlockLanczos(operator, start, width * steps, generator)
    for _ in range(steps):
        run.advance()
    return run.krylov()


def end_places(available: int, upper: int, lower: int, device: torch.device) -> Tensor:
    """Places, in ascending order, of the largest (largest first), then of the smallest."""
    top = torch.arange(available - 1, available - 1 - upper, -1, device=device)
    return torch.cat([top, torch.arange(lower, device=device)])
