"""Eigenpairs inside the spectrum, nearest to a value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .folding import Folded
from .krylov import BlockLanczos, Krylov
from .operator import CurvatureOperator
from .search import Found, Goal, Search, residual_norms, spectral_scale

__all__ = ["eigenpairs_near"]

# Steps that find out the range of the spectrum, and steps between two choices of the filter.
_RANGE_STEPS, _ROUND_STEPS = 10, 5
# The narrowest filter, as a share of the range.
_NARROWEST = 1e-4


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
    """Rounds of block Lanczos on a polynomial of H that is largest at the value.

    The first round, on H itself, finds the range of the spectrum; before each of the others the
    filter is chosen anew from the distances of the Ritz values to the value.

    Raises:
        ValueError: if the value is not finite or the count not positive.
    """
    if not math.isfinite(value) or count < 1:
        raise ValueError(f"near: expected a finite value and a count >= 1, got {value}, {count}")
    operator = search.operator
    count = min(count, operator.size)
    search.expect(count)
    run, shortage = search.formed(count), None
    if run is None:
        frame, _ = search.frame(search.start)
        unreachable = _Largest(count, torch.finfo(torch.float64).tiny)
        run, shortage = search.run(operator, frame, unreachable, steps=_RANGE_STEPS)
    spare = min(run.columns, count + search.width)
    krylov = run.krylov()
    ritz, _ = krylov.eigen
    scale = spectral_scale(ritz)
    # An upper bound of every distance: all eigenvalues are within a residual of the outer two.
    residuals = krylov.residual_estimates()
    outside = torch.maximum(residuals[..., 0], residuals[..., -1])
    radius = float(((ritz - value).abs().amax(-1) + outside).max())
    vectors = _closest(krylov, value, spare)
    while True:
        values, vectors, residuals = _rayleigh_ritz(operator, vectors, value)
        settled = bool((residuals[..., :count] <= tolerance * scale).all())
        if settled or run.complete or shortage:
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
        run, _ = search.run(folded, frame, goal, steps=_ROUND_STEPS)
        krylov = run.krylov()
        coordinates = krylov.eigen[1][..., -spare:].to(krylov.basis.dtype)
        vectors = krylov.basis @ coordinates
    return Found(
        values[..., :count], vectors[..., :count], residuals[..., :count], scale, 0, shortage
    )


def _closest(krylov: Krylov, value: float, count: int) -> Tensor:
    """The so many orthonormal vectors of the space on which (H - value)^2 is least."""
    shifted = krylov.coefficients - value * torch.eye(
        krylov.coefficients.shape[-1], dtype=torch.float64, device=krylov.coefficients.device
    )
    _, coordinates = torch.linalg.eigh(shifted @ shifted + krylov.border.mT @ krylov.border)
    vectors: Tensor = krylov.basis @ coordinates[..., :count].to(krylov.basis.dtype)
    return vectors


def _rayleigh_ritz(
    operator: CurvatureOperator, vectors: Tensor, value: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Ritz values, vectors and residuals of the span, the nearest to the value first."""
    images = operator @ vectors
    small = (vectors.mT @ images).double()
    ritz, rotation = torch.linalg.eigh((small + small.mT) / 2)
    order = (ritz - value).abs().argsort(dim=-1)
    ritz = ritz.gather(-1, order)
    rotation = rotation.gather(-1, order[..., None, :].expand_as(rotation)).to(vectors.dtype)
    vectors, images = vectors @ rotation, images @ rotation
    return ritz, vectors, residual_norms(images, vectors, ritz)
