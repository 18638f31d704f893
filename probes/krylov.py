"""Extreme eigenpairs by block Lanczos with full reorthogonalisation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .operator import CurvatureOperator

__all__ = [
    "Eigenpairs",
    "Krylov",
    "block_lanczos",
    "extreme_eigenpairs",
    "krylov_space",
    "random_frame",
]


@dataclass(frozen=True)
class Krylov:
    """H Q = Q T + R E^T:  Q orthonormal, T block tridiagonal, E the last columns of the identity.

    Attributes:
        basis: Q, (*batch, N, k), in the operator's dtype; first the ``width`` columns of the start.
        coefficients: T, (*batch, k, k), float64.
        coupling: (*batch, width, width), float64: R is an orthonormal block times it.
        width: number of columns of the start, of E and of R.
    """

    basis: Tensor
    coefficients: Tensor
    coupling: Tensor
    width: int

    @property
    def complete(self) -> bool:
        """Whether the basis spans the whole space, so that T has exactly the eigenvalues of H."""
        return self.basis.shape[-1] == self.basis.shape[-2]

    @cached_property
    def eigen(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues of T, ascending, (*batch, k), and eigenvectors (*batch, k, k), float64."""
        values, vectors = torch.linalg.eigh(self.coefficients)
        return values, vectors

    def residual_estimates(self) -> Tensor:
        """|H Q y - theta Q y| = |coupling E^T y| of each eigenpair (theta, y) of T, (*batch, k)."""
        _, vectors = self.eigen
        estimates: Tensor = (self.coupling @ vectors[..., -self.width :, :]).norm(dim=-2)
        return estimates


@dataclass(frozen=True)
class Eigenpairs:
    """The largest and the smallest eigenvalues of each matrix of a batch.

    Attributes:
        values: (*batch, k) float64: the largest, largest first, then the smallest, smallest first.
        vectors: (*batch, N, k) unit eigenvectors, in the operator's dtype.
        residuals: (*batch, k) float64, |H u - value u|, from one more product.
        largest: how many of the k are from the upper end.
        converged: (*batch, k), whether the residual is within the tolerance.
        products: matrix-vector products spent on each matrix before that of the residuals.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    largest: int
    converged: Tensor
    products: int

    @property
    def outcome(self) -> str:
        """What was reached, and what to do if it was not all that was asked for."""
        missing = int((~self.converged).sum())
        total = self.converged.numel()
        if not missing:
            return f"all {total} eigenvalues converged after {self.products} products"
        return (
            f"{missing} of {total} eigenvalues not converged after {self.products} products: "
            "raise max_steps, or ask for fewer eigenvalues or a larger tolerance"
        )


class _Process:
    """Block Lanczos in progress; vectors are rows, so that a growing basis stays contiguous."""

    def __init__(
        self, operator: CurvatureOperator, start: Tensor, steps: int, generator: torch.Generator
    ) -> None:
        *batch, size, width = start.shape
        if not 1 <= width * steps <= size:
            raise ValueError(
                f"steps: expected between 1 and {size // max(1, width)} with {width} columns of "
                f"length {size}, got {steps}"
            )
        self._operator = operator
        self._generator = generator
        self._width = width
        self._columns = 0
        self._next = start.mT
        self._rows = start.new_empty(*batch, steps * width, size)
        self._coefficients = start.new_zeros(
            *batch, steps * width, steps * width, dtype=torch.float64
        )
        self._coupling = self._coefficients.new_zeros(*batch, width, width)
        self._scale = self._coefficients.new_zeros(*batch, 1)

    def advance(self) -> None:
        """Append the next block to the basis: one product with a panel."""
        new = slice(self._columns, self._columns + self._width)
        if self._columns:
            old = slice(self._columns - self._width, self._columns)
            self._coefficients[..., new, old] = self._coupling
            self._coefficients[..., old, new] = self._coupling.mT
        self._rows[..., new, :] = self._next
        self._columns = new.stop
        product = (self._operator @ self._next.mT).mT
        norms = product.norm(dim=-1).double()
        if not bool(torch.isfinite(norms).all()):
            raise ValueError("operator: expected finite products, got NaN or infinity")
        self._scale = torch.maximum(self._scale, norms.amax(-1, keepdim=True))
        remainder, overlaps = self._projected(product)
        diagonal = overlaps[..., new].double()
        self._coefficients[..., new, new] = (diagonal + diagonal.mT) / 2
        if self._columns == product.shape[-1]:
            self._coupling = torch.zeros_like(self._coupling)
        else:
            self._next, self._coupling = self._orthonormalised(remainder)

    def krylov(self) -> Krylov:
        k = self._columns
        return Krylov(
            self._rows[..., :k, :].mT, self._coefficients[..., :k, :k], self._coupling, self._width
        )

    def _projected(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows without their part in the basis, and their inner products with the basis."""
        basis = self._rows[..., : self._columns, :]
        overlaps = rows @ basis.mT
        return rows - overlaps @ basis, overlaps

    def _orthonormalised(self, remainder: Tensor) -> tuple[Tensor, Tensor]:
        """U (*batch, width, N), C (*batch, width, width) with remainder^T = U^T C, U orthonormal.

        Directions the remainder does not have are drawn at random and get zero rows in C. The
        second projection follows the first normalisation: that restores the orthogonality which
        dividing a small remainder by its length has lost.
        """
        frame, triangle = torch.linalg.qr(remainder.mT)
        left, lengths, right = torch.linalg.svd(triangle.double())
        absent = lengths <= 10 * torch.finfo(frame.dtype).eps * self._scale
        frame = frame @ left.to(frame.dtype)
        if bool(absent.any()):
            noise = _gaussian(frame.shape, frame, self._generator) / frame.shape[-2] ** 0.5
            frame = torch.where(absent[..., None, :], noise, frame)
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
    process = _Process(operator, start, steps, generator)
    for _ in range(steps):
        process.advance()
    return process.krylov()


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

    A matrix small enough to be formed within the budget of products is formed: its space is
    complete and its eigenvalues are exact.

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
    if operator.size <= width * max_steps:
        identity = torch.eye(operator.size, dtype=operator.dtype, device=operator.device)
        whole = identity.expand(*operator.batch, -1, -1)
        return block_lanczos(operator, whole, 1, generator)
    if largest + smallest > width * max_steps:
        raise ValueError(
            f"max_steps: expected width * max_steps >= {largest + smallest} eigenvalues, "
            f"got {width} * {max_steps}"
        )
    frame = random_frame(operator, width, generator)
    if start is not None:
        kept = start[..., : width - max(1, width // 4)].to(frame)
        frame = torch.linalg.qr(torch.cat([kept, frame[..., kept.shape[-1] :]], -1)).Q
    process = _Process(operator, frame, max_steps, generator)
    check = max(min_steps, 6 if start is None else 4, -(-(largest + smallest) // width))
    for step in range(1, max_steps + 1):
        process.advance()
        if step == min(check, max_steps):
            krylov = process.krylov()
            if bool((_wanted_residuals(krylov, largest, smallest) <= tolerance).all()):
                break
            # The eigenproblem of T grows with the cube of the steps: look less often later.
            check += max(4, step // 4)
    return krylov


def extreme_eigenpairs(
    operator: CurvatureOperator,
    krylov: Krylov,
    largest: int,
    smallest: int,
    tolerance: float = 1e-3,
) -> Eigenpairs:
    """Eigenpairs at both ends from a Krylov space, with true residuals.

    Args:
        operator: the operator of ``krylov``.
        krylov: see `krylov_space`.
        largest: number at the upper end (fewer if the matrix is smaller).
        smallest: number at the lower end.
        tolerance: an eigenpair has converged if its residual is below this share of the largest
            absolute eigenvalue.
    """
    values, coordinates = krylov.eigen
    wanted, upper = _wanted(values.shape[-1], largest, smallest, values.device)
    values = values[..., wanted]
    vectors = krylov.basis @ coordinates[..., wanted].to(krylov.basis.dtype)
    deviation = (operator @ vectors).double() - vectors.double() * values[..., None, :]
    residuals = deviation.norm(dim=-2)
    scale = krylov.eigen[0].abs().amax(-1, keepdim=True)
    return Eigenpairs(
        values=values,
        vectors=vectors,
        residuals=residuals,
        largest=upper,
        converged=residuals <= tolerance * scale,
        products=krylov.basis.shape[-1],
    )


def _wanted(
    available: int, largest: int, smallest: int, device: torch.device
) -> tuple[Tensor, int]:
    """Places of the wanted eigenvalues in ascending order, and how many are from the upper end."""
    upper, lower = min(largest, available), min(smallest, available)
    top = torch.arange(available - 1, available - 1 - upper, -1, device=device)
    return torch.cat([top, torch.arange(lower, device=device)]), upper


def _wanted_residuals(krylov: Krylov, largest: int, smallest: int) -> Tensor:
    """Residual estimates as shares of the largest absolute eigenvalue, (*batch, wanted)."""
    values, _ = krylov.eigen
    wanted, _ = _wanted(values.shape[-1], largest, smallest, values.device)
    scale = values.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    return krylov.residual_estimates()[..., wanted] / scale


def _gaussian(shape: torch.Size, template: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers in the dtype and on the device of ``template``."""
    noise = torch.randn(shape, dtype=template.dtype, device=generator.device, generator=generator)
    return noise.to(template.device)
