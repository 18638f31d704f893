"""What every search for eigenpairs shares: a budget of products and memory, and runs within it."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from ..curvature.derived import Counted
from ..curvature.finite import all_finite
from ..curvature.operator import CurvatureOperator
from .block_lanczos import BlockLanczos, end_places
from .certificate import Certificate
from .checkpoints import Checkpoints
from .frames import identity_frame, random_frame

__all__ = ["Found", "Goal", "Search", "Shortage", "residual_norms", "spectral_scale"]

# A run takes about this many steps: a matrix of no more columns is formed instead.
_USUAL_STEPS = 20
# Steps before the first look at the eigenvalues. What a warm start has, and the first copies of a
# multiple eigenvalue, look converged at once: random columns must have shown what is missing.
_FIRST_LOOK = 6

Shortage = Literal["products", "memory"]


@dataclass(frozen=True)
class Found:
    """What a search ends with.

    Attributes:
        values: (*batch, k) float64.
        vectors: (*batch, N, k).
        residuals: (*batch, k) float64.
        scale: (*batch, 1) float64, largest absolute eigenvalue.
        largest: how many are from the upper end.
        shortage: what ended the search too early, None if it came to its end.
        certificates: of the values gone beyond.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    scale: Tensor
    largest: int
    shortage: Shortage | None
    certificates: tuple[Certificate, ...] = ()


class Goal(Protocol):
    """What a run is to reach."""

    @abstractmethod
    def wanted(self, values: Tensor) -> tuple[int, int]:
        """How many Ritz values, (*batch, k) ascending, are wanted at the upper and lower end."""

    @abstractmethod
    def distance(self, run: BlockLanczos) -> float:
        """Residual, or the like, in units of what is accepted: the goal is reached at 1."""


class Search:
    """Runs on one operator within a budget.

    Args:
        operator: H.
        width: columns of a panel, None for as many as suit the operator.
        max_products: matrix-vector products a matrix.
        memory: bytes for the basis.
        generator: draws random columns.
        start: (*batch, N, w) columns to start from besides random ones.

    Attributes:
        complete: whether the last run's space was the whole one.

    Raises:
        ValueError: if a number is not positive, or the start does not fit or is not finite.
    """

    def __init__(
        self,
        operator: CurvatureOperator,
        width: int | None,
        max_products: int,
        memory: int,
        generator: torch.Generator,
        start: Tensor | None,
    ) -> None:
        width = operator.panel_width if width is None else width
        if width < 1 or max_products < 1 or memory < 1:
            raise ValueError(
                "width, max_products, memory: expected positive numbers, "
                f"got {width}, {max_products}, {memory}"
            )
        shape = (*operator.batch, operator.size)
        if start is not None:
            if start.shape[:-1] != shape or start.ndim != len(shape) + 1:
                expected = ", ".join(str(length) for length in (*shape, "w"))
                raise ValueError(f"start: expected shape ({expected}), got {tuple(start.shape)}")
            if not all_finite(start):
                raise ValueError("start: expected finite numbers, got NaN or infinity")
        self.operator = Counted(operator)
        self.start = start
        self.width = width
        self._max_products = max_products
        self._generator = generator
        element = torch.empty(0, dtype=operator.dtype).element_size()
        self._column = math.prod(operator.batch) * operator.size * element
        self._room = memory // self._column
        self._vectors = self._columns = 0
        self.complete = False

    @property
    def peak_memory(self) -> int:
        """Bytes of basis and images, of a panel and its product, and of the coefficients."""
        matrices = math.prod(self.operator.batch)
        vectors = (self._vectors + 2 * self.width) * self._column
        return vectors + 2 * matrices * 8 * self._columns**2

    @property
    def _added(self) -> int:
        """Random columns added to any start, at least."""
        return -(-self.width // 4)

    @property
    def left(self) -> int:
        """Products still in the budget."""
        return self._max_products - self.operator.products

    def expect(self, wanted: int) -> None:
        """Refuse a search for so many eigenpairs that cannot be held or computed.

        Raises:
            ValueError: if the budget of products or the memory is too small.
        """
        size = self.operator.size
        started = 0 if self.start is None else self.start.shape[-1]
        panel = max(self.width, started + self._added)
        least = min(size, max(wanted, panel))
        if self._max_products < least:
            raise ValueError(
                f"max_products: expected at least {least} for {wanted} eigenpairs with panels of "
                f"{panel}, got {self._max_products}"
            )
        columns = min(size, wanted + 4 * panel)
        if self._room < columns:
            raise ValueError(
                f"memory: expected at least {columns * self._column} bytes for {wanted} eigenpairs "
                f"with panels of {panel}, got {self._room * self._column}"
            )

    def fits_images(self, wanted: int) -> bool:
        """Whether a run of usual length for so many eigenpairs has room for its products too."""
        return self._room >= 2 * min(self.operator.size, wanted + _USUAL_STEPS * self.width)

    def fits(self, held: int) -> bool:
        """Whether the memory has room for a run besides so many columns."""
        return self._room - held >= min(self.operator.size, 4 * self.width)

    def formed(self, wanted: int) -> BlockLanczos | None:
        """The whole matrix, if a run for so many eigenpairs would take as many products."""
        size = self.operator.size
        few = size <= max(_USUAL_STEPS * self.width, 4 * wanted)
        if not few or size > self._room or size > self._max_products:
            return None
        run = BlockLanczos(self.operator, identity_frame(self.operator), size, self._generator)
        run.advance()
        self._vectors = self._columns = size
        self.complete = True
        return run

    def frame(self, near: Tensor | None, outside: Tensor | None = None) -> tuple[Tensor, int]:
        """Orthonormal columns spanning ``near`` and random ones; how many are random.

        Args:
            near: (*batch, N, w).
            outside: (*batch, N, k), orthonormal or 0: the frame is orthogonal to it.
        """
        known = 0 if near is None else near.shape[-1]
        extra = max(self.width - known, self._added)
        extra = min(extra, max(1, self.operator.size - known))
        frame = random_frame(self.operator, extra, self._generator)
        if near is not None:
            joined = torch.cat([near.to(frame), frame], dim=-1)[..., : self.operator.size]
            # Unit columns first: how long a column is says nothing about its weight.
            lengths = joined.norm(dim=-2, keepdim=True)
            frame = torch.linalg.qr(joined / torch.where(lengths > 0, lengths, 1)).Q
        if outside is not None:
            for _ in range(2):
                frame = torch.linalg.qr(frame - outside @ (outside.mT @ frame)).Q
        return frame, extra

    def run(
        self,
        operator: CurvatureOperator,
        frame: Tensor,
        goal: Goal,
        held: int = 0,
        steps: int | None = None,
        images: bool = False,
    ) -> tuple[BlockLanczos, Shortage | None]:
        """Block Lanczos until the goal is reached; what was short if it was not.

        Args:
            operator: H, or another made from `operator`.
            frame: start, orthonormal.
            goal: when to stop.
            held: columns held outside the run.
            steps: stop after so many in any case.
            images: whether to keep the products.
        """
        each = 2 if images else 1
        room = (self._room - held) // each
        room = min(operator.size, room, self._max_products + frame.shape[-1])
        run = BlockLanczos(operator, frame, room, self._generator, images=images)
        checkpoints = Checkpoints(_FIRST_LOOK)
        while True:
            before = self.operator.products
            run.advance()
            cost = self.operator.products - before
            self.complete = run.complete
            self._vectors = max(self._vectors, held + each * run.columns)
            self._columns = max(self._columns, run.columns)
            last = run.complete or run.steps == steps
            spent = cost > self.left
            if checkpoints.due(run.steps, run.columns) or run.full or last or spent:
                distance = goal.distance(run)
                if distance <= 1 or last:
                    return run, None
                if spent:
                    return run, "products"
                checkpoints.note(run.steps, distance)
            if run.full:
                places = _kept(run, goal)
                if places is None:
                    return run, "memory"
                run.restart(places)


def residual_norms(images: Tensor, vectors: Tensor, values: Tensor) -> Tensor:
    """|H u - value u|, (*batch, k) float64, from H u, u (*batch, N, k) and the values."""
    deviation = images - vectors * values[..., None, :].to(vectors.dtype)
    norms: Tensor = deviation.norm(dim=-2).double()
    return norms


def spectral_scale(values: Tensor) -> Tensor:
    """Largest absolute value, (*batch, 1); above 0."""
    return values.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)


def _kept(run: BlockLanczos, goal: Goal) -> Tensor | None:
    """Places of the Ritz values to restart with: what is wanted and half of the rest.

    None if that leaves no room to go on.
    """
    values, _ = run.krylov().eigen
    upper, lower = goal.wanted(values)
    spare = (run.capacity - upper - lower - 2 * run.width) // 2
    if not upper + lower or spare < run.width:
        return None
    more_above = spare * upper // (upper + lower)
    return end_places(
        values.shape[-1], upper + more_above, lower + spare - more_above, values.device
    )
