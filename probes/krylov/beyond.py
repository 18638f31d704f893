"""All eigenvalues above or below a value, with a certificate that none is missing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...theory.spectrum import ENDS, End
from ..curvature.derived import Deflated
from ..curvature.operator import CurvatureOperator
from .block_lanczos import BlockLanczos, end_places
from .certificate import ACCEPTED, Certificate, failure_probability
from .search import Found, Goal, Search, residual_norms, spectral_scale

__all__ = ["eigenpairs_beyond"]


@dataclass(frozen=True)
class _Beyond(Goal):
    """All Ritz values beyond the values converged; if there are none, the certificate.

    Attributes:
        above: the value to be above, inf for none.
        below: the value to be below, -inf for none.
        columns: random columns of the start.
        tolerance: accepted residual as a share of the scale.
        scale: (*batch, 1), or None: the largest absolute Ritz value.
    """

    above: float
    below: float
    columns: int
    tolerance: float
    scale: Tensor | None

    def beyond(self, values: Tensor) -> Tensor:
        """Whether each value is beyond one of the limits."""
        return (values > self.above) | (values < self.below)

    def wanted(self, values: Tensor) -> tuple[int, int]:
        upper, lower = values > self.above, values < self.below
        return int(upper.sum(-1).max()), int(lower.sum(-1).max())

    def distance(self, run: BlockLanczos) -> float:
        krylov = run.krylov()
        values, _ = krylov.eigen
        beyond = self.beyond(values)
        if bool(beyond.any()):
            scale = spectral_scale(values) if self.scale is None else self.scale
            shares = krylov.residual_estimates() / (self.tolerance * scale)
            return float(shares[beyond].max())
        failure = max(float(self.failure(run, side).max()) for side in ENDS)
        share: float = (failure / ACCEPTED) ** (1 / self.columns)
        return share

    def failure(self, run: BlockLanczos, side: End) -> Tensor:
        """Bound of the probability that an eigenvalue beyond the value has not shown."""
        values, _ = run.krylov().eigen
        smallest, largest = values[..., 0], values[..., -1]
        limit = self.above if side == "top" else self.below
        if math.isinf(limit) or run.complete:
            beyond = largest > limit if side == "top" else smallest < limit
            return (beyond & (not run.complete)).double()
        if run.restarted:
            return torch.ones_like(largest)
        if side == "bottom":
            smallest, largest, limit = -largest, -smallest, -limit
        return failure_probability(run.size, run.steps, self.columns, smallest, largest, limit)


def eigenpairs_beyond(
    search: Search, above: float | None, below: float | None, tolerance: float
) -> Found:
    """Runs on what is left of the spectrum, until one from random columns finds nothing beyond.

    Values and residuals are NaN and vectors 0 where a matrix has fewer than another of the batch.

    Raises:
        ValueError: if a value is not finite, or ``below`` is above ``above``.
    """
    limits = [value for value in (below, above) if value is not None]
    if not all(map(math.isfinite, limits)) or limits != sorted(limits):
        raise ValueError(f"below, above: expected finite, below <= above, got {below} and {above}")
    high, low = math.inf if above is None else above, -math.inf if below is None else below
    search.expect(0)
    frame, columns = search.frame(search.start)
    upper = lower = frame[..., :0]
    goal = _Beyond(high, low, columns, tolerance, None)
    formed = search.formed(0)
    run, shortage = (formed, None) if formed else search.run(search.operator, frame, goal)
    values, _ = run.krylov().eigen
    scale = spectral_scale(values)
    inside = _inside(values, high, low)
    while True:
        new_upper, new_lower = _ritz_vectors(run, goal)
        upper, lower = torch.cat([upper, new_upper], -1), torch.cat([lower, new_lower], -1)
        nothing_new = not new_upper.shape[-1] + new_lower.shape[-1]
        if nothing_new or shortage or run.complete:
            break
        known = torch.cat([upper, lower], -1)
        if not search.fits(known.shape[-1]):
            shortage = "memory"
            break
        frame, columns = search.frame(None, known)
        goal = replace(goal, columns=columns, scale=scale)
        deflated = Deflated(search.operator, known, inside)
        # The old basis goes before a new one comes.
        del run
        run, shortage = search.run(deflated, frame, goal, held=known.shape[-1])
    sides: list[tuple[End, float | None, Tensor]] = [
        ("top", above, upper),
        ("bottom", below, lower),
    ]
    ends = [_diagonalised(search.operator, part, side, scale) for side, _, part in sides]
    values, vectors, residuals = (torch.cat(parts, -1) for parts in zip(*ends, strict=True))
    certificates = tuple(
        Certificate(
            value=limit,
            side=side,
            count=(~end[0].isnan()).sum(-1),
            failure=goal.failure(run, side).clamp_max(1.0),
            remaining=_remaining(run, limit, side),
        )
        for (side, limit, _), end in zip(sides, ends, strict=True)
        if limit is not None
    )
    return Found(values, vectors, residuals, scale, ends[0][0].shape[-1], shortage, certificates)


def _inside(values: Tensor, high: float, low: float) -> Tensor:
    """(*batch,): a value beyond neither limit, in the range of the Ritz values if that can be."""
    smallest, largest = values[..., 0], values[..., -1]
    if math.isfinite(high) and math.isfinite(low):
        return torch.full_like(largest, (high + low) / 2)
    scale = spectral_scale(values)[..., 0]
    if math.isfinite(high):
        return torch.where(smallest < high, smallest, high - scale)
    return torch.where(largest > low, largest, low + scale)


def _ritz_vectors(run: BlockLanczos, goal: _Beyond) -> tuple[Tensor, Tensor]:
    """Ritz vectors above and below, 0 where a matrix has fewer than another of the batch."""
    krylov = run.krylov()
    values, coordinates = krylov.eigen
    upper, lower = goal.wanted(values)
    places = end_places(values.shape[-1], upper, lower, values.device)
    beyond = goal.beyond(values)[..., places]
    chosen = torch.where(beyond[..., None, :], coordinates[..., places], 0.0)
    vectors = krylov.basis @ chosen.to(krylov.basis.dtype)
    return vectors[..., :upper], vectors[..., upper:]


def _diagonalised(
    operator: CurvatureOperator, vectors: Tensor, side: End, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Ritz values, vectors and residuals within the span, the farthest out first, NaN where 0."""
    if not vectors.shape[-1]:
        return vectors[..., 0, :].double(), vectors, vectors[..., 0, :].double()
    sign = 1 if side == "top" else -1
    images = operator @ vectors
    present = vectors.norm(dim=-2) > 0
    count = int(present.sum(-1).max())
    small = sign * (vectors.mT @ images).double()
    # Absent columns come last.
    small = (small + small.mT) / 2 - torch.diag_embed(4 * scale * ~present)
    ascending, rotation = torch.linalg.eigh(small)
    rotation = rotation.flip(-1)[..., :count].to(vectors.dtype)
    values = sign * ascending.flip(-1)[..., :count]
    vectors, images = vectors @ rotation, images @ rotation
    residuals = residual_norms(images, vectors, values)
    absent = torch.arange(count, device=present.device) >= present.sum(-1, keepdim=True)
    return values.masked_fill(absent, math.nan), vectors, residuals.masked_fill(absent, math.nan)


def _remaining(run: BlockLanczos, limit: float, side: End) -> Tensor:
    """(*batch,): the Ritz value closest to the limit of those not beyond it."""
    values, _ = run.krylov().eigen
    if side == "top":
        return values.masked_fill(values > limit, -math.inf).amax(-1)
    return values.masked_fill(values < limit, math.inf).amin(-1)
