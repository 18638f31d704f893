"""All eigenvalues above or below a value, with a certificate that none is missing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...models.arguments import require_arguments
from ...theory.spectrum import ENDS, End
from ..curvature.derived import Deflated
from ..curvature.operator import CurvatureOperator
from .block_lanczos import BlockLanczos, end_places
from .certificate import ACCEPTED, Certificate, failure_probability
from .search import Found, Goal, Search, residual_norms, spectral_scale

__all__ = ["eigenpairs_beyond"]

# Residuals are at most this share of the distance to the limit: no coupling within them moves a
# value across it.
_CLEAR = 0.5
# Rounding errors of a Rayleigh quotient: so many units in the last place of the scale, at sqrt(N).
_ROUNDING = 4
# How often vectors that are beyond no longer, once diagonalised together, are made up for.
_ROUNDS = 4
# Norm of what is left of a unit vector from which it is a new one.
_NEW = 0.5


@dataclass(frozen=True)
class _Beyond(Goal):
    """All Ritz values beyond the values converged; if there are none, the certificate.

    A residual is accepted below the tolerance and half the distance to the limit, or at rounding.

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
            near = torch.minimum((values - self.above).abs(), (values - self.below).abs())
            accepted = torch.minimum(_CLEAR * near, self.tolerance * scale)
            least = _rounding(krylov.basis, scale)
            shares = krylov.residual_estimates() / torch.maximum(accepted, least)
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
    require_arguments(eigenpairs_beyond, locals())
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
    rounds = 0
    while True:
        found, known = _ritz_vectors(run, goal), torch.cat([upper, lower], -1)
        new_upper, new_lower = (_apart(vectors, known) for vectors in found)
        upper, lower = torch.cat([upper, new_upper], -1), torch.cat([lower, new_lower], -1)
        nothing_new = not new_upper.shape[-1] + new_lower.shape[-1]
        if nothing_new or shortage or run.complete:
            ends = [
                _Ends.of(search.operator, part, side, limit, scale)
                for side, part, limit in zip(ENDS, (upper, lower), (high, low), strict=True)
            ]
            lost = any(bool(end.lost.any()) for end in ends)
            if not lost or shortage or run.complete or rounds == _ROUNDS:
                break
            # What these have lost may be among the rest again.
            rounds += 1
            upper, lower = (end.vectors for end in ends)
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
    values, vectors, residuals = (
        torch.cat([getattr(end, name) for end in ends], -1)
        for name in ("values", "vectors", "residuals")
    )
    certificates = tuple(
        Certificate(
            value=limit,
            side=side,
            count=(~end.values.isnan()).sum(-1),
            failure=_failure(goal, run, end, side, limit, scale),
            remaining=_remaining(run, limit, side),
        )
        for side, limit, end in zip(ENDS, (above, below), ends, strict=True)
        if limit is not None
    )
    largest = ends[0].values.shape[-1]
    return Found(values, vectors, residuals, scale, largest, shortage, certificates)


@dataclass(frozen=True)
class _Ends:
    """Eigenpairs beyond a limit, of vectors that were found in several runs.

    Attributes:
        values: (*batch, k) float64, the farthest out first; NaN where a matrix has fewer.
        vectors: (*batch, N, k), orthonormal; 0 there.
        residuals: (*batch, k) float64; NaN there.
        lost: (*batch,) int64, how many more the vectors were than values are beyond the limit.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    lost: Tensor

    @classmethod
    def of(
        cls, operator: CurvatureOperator, vectors: Tensor, side: End, limit: float, scale: Tensor
    ) -> _Ends:
        """Diagonalise all of them together."""
        values, vectors, residuals = _diagonalised(operator, vectors, side, scale)
        beyond = values > limit if side == "top" else values < limit
        lost = (~beyond & ~values.isnan()).sum(-1)
        kept = int(beyond.sum(-1).max()) if beyond.numel() else 0
        return cls(
            values.masked_fill(~beyond, math.nan)[..., :kept],
            (vectors * beyond[..., None, :])[..., :kept],
            residuals.masked_fill(~beyond, math.nan)[..., :kept],
            lost,
        )


def _failure(
    goal: _Beyond, run: BlockLanczos, end: _Ends, side: End, limit: float, scale: Tensor
) -> Tensor:
    """(*batch,): that of the last run; 1 where the count itself is open.

    It is, between the number of values beyond and that of the vectors, while these differ, and
    where a value is at the limit to within rounding.
    """
    close = _rounding(run.krylov().basis, scale)[..., 0]
    at = ((end.values - limit).abs() <= close[..., None]).any(-1)
    at |= (_remaining(run, limit, side) - limit).abs() <= close
    failure = goal.failure(run, side).clamp_max(1.0)
    return failure.masked_fill(at | (end.lost > 0), 1.0)


def _rounding(basis: Tensor, scale: Tensor) -> Tensor:
    """(*batch, 1): errors of values that come from rounding."""
    size: int = basis.shape[-2]
    error: Tensor = _ROUNDING * torch.finfo(basis.dtype).eps * size**0.5 * scale
    return error


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
    vectors = _orthonormal(_orthonormal(vectors))
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


def _orthonormal(vectors: Tensor) -> Tensor:
    """Orthonormal columns with the span of these; as many 0 as they depend on others.

    Those of one run are orthonormal, and to those of earlier runs only as far as these were exact.
    """
    sizes, rotation = torch.linalg.eigh((vectors.mT @ vectors).double())
    least = torch.finfo(vectors.dtype).eps ** 0.5
    shares = torch.where(sizes > least, sizes.clamp_min(least).rsqrt(), 0.0)
    orthonormal: Tensor = vectors @ (rotation * shares[..., None, :]).to(vectors.dtype)
    return orthonormal


def _apart(vectors: Tensor, known: Tensor) -> Tensor:
    """Orthonormal columns with what the span of these has beside that of the known ones.

    A run on what is left finds one of the known again where a column of its start lies among them,
    as it must when fewer directions are left than it has columns.
    """
    if not vectors.shape[-1]:
        return vectors
    for _ in range(2):
        vectors = vectors - known @ (known.mT @ vectors)
    new = _orthonormal(vectors * (vectors.norm(dim=-2, keepdim=True) > _NEW))
    present = (new.norm(dim=-2) > 0).reshape(-1, new.shape[-1]).any(0)
    return new[..., present]


def _remaining(run: BlockLanczos, limit: float, side: End) -> Tensor:
    """(*batch,): the Ritz value closest to the limit of those not beyond it."""
    values, _ = run.krylov().eigen
    if side == "top":
        return values.masked_fill(values > limit, -math.inf).amax(-1)
    return values.masked_fill(values < limit, math.inf).amin(-1)
