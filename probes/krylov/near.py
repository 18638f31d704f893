"""Eigenpairs inside the spectrum, nearest to a value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...models.arguments import require_arguments
from ..curvature.folding import Folded
from ..curvature.operator import CurvatureOperator
from .block_lanczos import BlockLanczos, Krylov
from .search import Found, Goal, Search, residual_norms, spectral_scale

__all__ = ["eigenpairs_near"]

# Steps between two choices of the filter.
_ROUND_STEPS = 5
# The narrowest filter, as a share of the range.
_NARROWEST = 1e-4


@dataclass(frozen=True)
class _Nearest(Goal):
    """So many nearest to a value, each with a residual below ``tolerance`` times the scale."""

    value: float
    count: int
    tolerance: float

    def wanted(self, values: Tensor) -> tuple[int, int]:
        return 0, 0

    def distance(self, run: BlockLanczos) -> float:
        if run.columns < 2 * self.count and not run.complete:
            return math.inf
        krylov = run.krylov()
        coordinates = _closest(krylov, self.value, min(run.columns, self.count + run.width))
        images = krylov.coefficients @ coordinates
        ritz, order = _ordered(coordinates, images, self.value)
        ritz, order = ritz[..., : self.count], order[..., : self.count]
        inside = residual_norms(images @ order, coordinates @ order, ritz)
        outside = (krylov.border @ coordinates @ order).norm(dim=-2)
        shares = torch.hypot(inside, outside) / spectral_scale(krylov.eigen[0])
        return float(shares.max()) / self.tolerance


@dataclass(frozen=True)
class _Largest(Goal):
    """So many largest, each with a residual below ``tolerance``."""

    count: int
    tolerance: float

    def wanted(self, values: Tensor) -> tuple[int, int]:
        return min(self.count, values.shape[-1]), 0

    def distance(self, run: BlockLanczos) -> float:
        if run.columns < self.count and not run.complete:
            return math.inf
        return float(run.krylov().residual_estimates()[..., -self.count :].max()) / self.tolerance


def eigenpairs_near(search: Search, value: float, count: int, tolerance: float) -> Found:
    """Least squares of (H - v) u over a Krylov space of H; where memory ends, filtered rounds.

    A space of H holds the best polynomial filter of its length, but an eigenvalue deep inside the
    spectrum takes a long one. If the basis does not fit the memory, short runs on a polynomial of H
    that is largest at the value (`Folded`) follow; before each the filter is chosen anew from the
    distances of the Ritz values to the value.

    Raises:
        ValueError: if the value is not finite or the count not positive.
    """
    require_arguments(eigenpairs_near, locals())
    if not math.isfinite(value) or count < 1:
        raise ValueError(f"near: expected a finite value and a count >= 1, got {value}, {count}")
    operator = search.operator
    count = min(count, operator.size)
    search.expect(count)
    run, shortage = search.formed(count), None
    if run is None:
        frame, _ = search.frame(search.start)
        run, shortage = search.run(operator, frame, _Nearest(value, count, 0.9 * tolerance))
    spare = min(run.columns, count + search.width)
    krylov = run.krylov()
    ritz, _ = krylov.eigen
    scale = spectral_scale(ritz)
    # Bounds every distance: the outer Ritz values converge first, and their residuals are added.
    residuals = krylov.residual_estimates()
    outside = torch.maximum(residuals[..., 0], residuals[..., -1])
    radius = float(((ritz - value).abs().amax(-1) + outside).max())
    vectors = krylov.basis @ _closest(krylov, value, spare).to(krylov.basis.dtype)
    while True:
        values, vectors, residuals = _rayleigh_ritz(operator, vectors, value)
        settled = bool((residuals[..., :count] <= tolerance * scale).all())
        if settled or shortage != "memory" or run.complete:
            break
        distance = float((values[..., -1] - value).abs().max())
        gap = min(max(distance, _NARROWEST * radius), 0.9 * radius)
        folded = Folded(operator, value, gap, radius)
        frame, _ = search.frame(vectors[..., :count])
        if search.left < folded.degree * frame.shape[-1]:
            shortage = "products"
            break
        # Far from the value q(H) is 0: residuals are shares of the radius, roughly.
        goal = _Largest(count, tolerance / 4)
        # The old basis goes before a new one comes.
        del run, krylov
        run, _ = search.run(folded, frame, goal, steps=_ROUND_STEPS)
        krylov = run.krylov()
        coordinates = krylov.eigen[1][..., -spare:].to(krylov.basis.dtype)
        vectors = krylov.basis @ coordinates
    return Found(
        values[..., :count], vectors[..., :count], residuals[..., :count], scale, 0, shortage
    )


def _closest(krylov: Krylov, value: float, count: int) -> Tensor:
    """Coordinates, (*batch, k, count), of the span in the space on which (H - value)^2 is least."""
    shifted = krylov.coefficients.clone()
    shifted.diagonal(dim1=-2, dim2=-1).sub_(value)
    _, coordinates = torch.linalg.eigh(shifted @ shifted + krylov.border.mT @ krylov.border)
    closest: Tensor = coordinates[..., :count]
    return closest


def _ordered(vectors: Tensor, images: Tensor, value: float) -> tuple[Tensor, Tensor]:
    """Ritz values and coordinates of the span, the nearest to the value first."""
    small = (vectors.mT @ images).double()
    ritz, rotation = torch.linalg.eigh((small + small.mT) / 2)
    order = (ritz - value).abs().argsort(dim=-1)
    return ritz.gather(-1, order), rotation.gather(-1, order[..., None, :].expand_as(rotation))


def _rayleigh_ritz(
    operator: CurvatureOperator, vectors: Tensor, value: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Ritz values, vectors and residuals of the span, the nearest to the value first."""
    images = operator @ vectors
    ritz, rotation = _ordered(vectors, images, value)
    rotation = rotation.to(vectors.dtype)
    vectors, images = vectors @ rotation, images @ rotation
    return ritz, vectors, residual_norms(images, vectors, ritz)
