"""Krylov spaces by block Lanczos with full reorthogonalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...models.arguments import require_arguments
from ..curvature.finite import all_finite
from ..curvature.operator import CurvatureOperator
from .allowance import taken

__all__ = [
    "BlockLanczos",
    "Checkpoints",
    "Krylov",
    "all_eigenvalues",
    "block_lanczos",
    "end_places",
    "identity_frame",
    "is_formed",
    "keeps_images",
    "krylov_space",
    "random_frame",
    "whole_space",
]


# Columns up to which the eigenproblem of T costs less than a product.
_SMALL = 64
# Products with a panel that a run takes at least, where they are derivatives.
_FEWEST_STEPS = 10
# Bytes of a basis and its images up to which the images are kept.
_IMAGES = 2**30


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
            noise = _gaussian(frame.shape, frame, self._generator) / frame.shape[-2] ** 0.5
            frame = torch.where(absent[..., None, :], noise, frame)
            frame = self._projected(frame.mT)[0].mT
            frame = frame / frame.norm(dim=-2, keepdim=True)
        first = (lengths * ~absent)[..., None] * right
        again, _ = self._projected(frame.mT)
        frame, triangle = torch.linalg.qr(again.mT)
        return frame.mT, triangle.double() @ first


class Checkpoints:
    """When to look at the eigenproblem of T, which costs the cube of its size.

    A small one costs less than a product. For the others, residuals fall geometrically: the next
    look is at the step where the last two say it is done.
    """

    def __init__(self, first: int) -> None:
        self._first = self._next = first
        self._last: tuple[int, float] | None = None

    def due(self, step: int, columns: int) -> bool:
        """Whether to look now, at a T of so many columns."""
        return step >= self._next or (step >= self._first and columns <= _SMALL)

    def note(self, step: int, worst: float) -> None:
        """The worst residual found at a step, in units of the tolerance; inf if there is none."""
        ahead = max(4, step // 4)
        if self._last is not None and worst < self._last[1] < math.inf:
            rate = math.log(self._last[1] / worst) / (step - self._last[0])
            expected = round(math.log(max(worst, 1.0)) / rate)
            ahead = min(max(1, step // 10, expected), 2 * ahead)
        self._last = (step, worst)
        self._next = step + ahead


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


def random_frame(operator: CurvatureOperator, width: int, generator: torch.Generator) -> Tensor:
    """Orthonormal columns (*batch, N, width), each uniform on the sphere."""
    shape = torch.Size((*operator.batch, operator.size, width))
    template = torch.empty(0, dtype=operator.dtype, device=operator.device)
    frame: Tensor = torch.linalg.qr(_gaussian(shape, template, generator)).Q
    return frame


def krylov_space(
    operator: CurvatureOperator,
    largest: int,
    smallest: int,
    *,
    generator: torch.Generator,
    width: int = 8,
    min_steps: int = 24,
    max_steps: int = 60,
    tolerance: float = 1e-3,
    start: Tensor | None = None,
) -> Krylov:
    """A Krylov space from a random frame, grown until the wanted eigenvalues have converged.

    One run for eigenvalues (`extreme_eigenpairs`) and density together. A matrix that is as cheap
    to form (`is_formed`) is formed: its space is complete and its eigenvalues are exact. Products
    that are dear are kept (`keeps_images`), so that no more are needed for residuals. An
    `allowance` of products ends it with what it has, once the wanted eigenvalues fit in.

    Args:
        operator: H, one matrix or a batch.
        largest: number of eigenvalues wanted at the upper end (fewer if H is smaller).
        smallest: number wanted at the lower end.
        generator: draws the frame.
        width: columns of the frame: more than the largest multiplicity that matters.
        min_steps: take at least this many, as nodes for the density (none if it is not wanted).
        max_steps: stop after this many products with a panel, converged or not.
        tolerance: wanted residual as a share of the largest absolute eigenvalue.
        start: (*batch, N, w) columns close to eigenvectors; at most three quarters of the frame are
            taken from them, for what they do not see is not found. The space is then no random
            one: no density can be had from it.

    Raises:
        ValueError: if nothing is wanted, more than the budget can hold is wanted, a number is not
            positive, or a product is not finite.
    """
    if largest < 0 or smallest < 0 or largest + smallest == 0:
        raise ValueError(
            f"largest, smallest: expected counts >= 0, not both 0, got {largest} and {smallest}"
        )
    if width < 1 or max_steps < 1 or not tolerance > 0:
        raise ValueError(
            "width, max_steps, tolerance: expected positive numbers, "
            f"got {width}, {max_steps}, {tolerance}"
        )
    if is_formed(operator, width, min_steps, max_steps):
        taken(operator.size)
        return whole_space(operator)
    if largest + smallest > width * max_steps:
        raise ValueError(
            f"max_steps: expected width * max_steps >= {largest + smallest} eigenvalues, "
            f"got {width} * {max_steps}"
        )
    frame = random_frame(operator, width, generator)
    if start is not None:
        kept = start[..., : width - max(1, width // 4)].to(frame)
        frame = torch.linalg.qr(torch.cat([kept, frame[..., kept.shape[-1] :]], -1)).Q
    capacity = min(operator.size, width * max_steps)
    images = keeps_images(operator, capacity)
    run = BlockLanczos(operator, frame, capacity, generator, images=images)
    first = 6 if start is None else 4
    checkpoints = Checkpoints(max(min_steps, first, -(-(largest + smallest) // width)))
    for step in range(1, max_steps + 1):
        run.advance()
        ended = taken(width) and run.columns >= largest + smallest
        if checkpoints.due(step, run.columns) or run.complete or ended or step == max_steps:
            krylov = run.krylov()
            worst = _worst_residual(krylov, largest, smallest) / tolerance
            if worst <= 1 or run.complete or ended:
                break
            checkpoints.note(step, worst)
    return krylov


def is_formed(operator: CurvatureOperator, width: int, min_steps: int, max_steps: int) -> bool:
    """Whether `krylov_space` forms the matrix instead of building a space.

    It does if the budget of products allows it anyway, or if forming costs at most half as much
    again as the shortest run: that would have to find eigenvalues of a matrix not much smaller.
    Where products are derivatives, both have to be.
    """
    allowed = operator.size <= width * max_steps
    if operator.differentiated:
        shortest = width * min(max(min_steps, _FEWEST_STEPS), max_steps)
        return allowed and operator.dense_cost <= 1.5 * shortest
    return allowed or operator.dense_cost <= 1.5 * width * min(min_steps, max_steps)


def keeps_images(operator: CurvatureOperator, columns: int) -> bool:
    """Whether `krylov_space` keeps its products, beside a basis of so many columns at most.

    It does where they are derivatives, and both fit in 1 GiB.
    """
    entries = math.prod(operator.batch) * operator.size * columns
    return operator.differentiated and 2 * entries * operator.dtype.itemsize <= _IMAGES


def whole_space(operator: CurvatureOperator) -> Krylov:
    """The complete space: Q the identity, T = H, B empty; H Q is there where it is kept.

    Raises:
        ValueError: if the matrix is not finite.
    """
    matrix = _formed(operator)
    symmetric = (matrix.double() + matrix.mT.double()) / 2
    border = symmetric.new_zeros(*operator.batch, 0, operator.size)
    images = matrix if keeps_images(operator, operator.size) else None
    return Krylov(identity_frame(operator), symmetric, border, operator.size, images)


def all_eigenvalues(operator: CurvatureOperator) -> Tensor:
    """Eigenvalues of H, ascending, (*batch, N) float64, those of `whole_space` to rounding.

    Without eigenvectors, which take most of the time.

    Raises:
        ValueError: if the matrix is not finite.
    """
    matrix = _formed(operator)
    values: Tensor = torch.linalg.eigvalsh((matrix + matrix.mT) / 2).double()
    return values


def _formed(operator: CurvatureOperator) -> Tensor:
    matrix = operator.dense()
    if not all_finite(matrix):
        raise ValueError("operator: expected finite products, got NaN or infinity")
    return matrix


def identity_frame(operator: CurvatureOperator) -> Tensor:
    """The start, (*batch, N, N), from which one step forms the matrix."""
    identity = torch.eye(operator.size, dtype=operator.dtype, device=operator.device)
    return identity.expand(*operator.batch, -1, -1)


def end_places(available: int, upper: int, lower: int, device: torch.device) -> Tensor:
    """Places, in ascending order, of the largest (largest first), then of the smallest."""
    top = torch.arange(available - 1, available - 1 - upper, -1, device=device)
    return torch.cat([top, torch.arange(lower, device=device)])


def _worst_residual(krylov: Krylov, largest: int, smallest: int) -> float:
    """Largest estimate of a wanted residual, as a share of the largest absolute eigenvalue."""
    values, _ = krylov.eigen
    available = values.shape[-1]
    wanted = end_places(available, min(largest, available), min(smallest, available), values.device)
    scale = values.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    return float((krylov.residual_estimates()[..., wanted] / scale).max())


def _gaussian(shape: torch.Size, template: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers in the dtype and on the device of ``template``."""
    noise = torch.randn(shape, dtype=template.dtype, device=generator.device, generator=generator)
    return noise.to(template.device)
