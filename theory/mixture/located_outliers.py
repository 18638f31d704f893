"""The outliers of a block: those of the limit, and those that only samples show beside them.

Each carries the law that it is an outlier of, from which its eigenvector and its fluctuations
follow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..bulk.exterior import Exterior, exterior
from ..bulk.law import CurvatureLaw
from ..bulk.law_spectrum import mirrored
from ..bulk.outlier_noise import outlier_noise
from ..bulk.outliers import Outlier, count_above, find_outliers
from ..spectrum import Edge, Eigenpair, FloatArray
from .quadrature import Projection
from .refinement import Refined
from .statistics import Statistics

__all__ = ["LocatedOutlier", "located_between", "located_beyond", "outlier_eigenpair"]

_NO_LENGTH = 1e-6  # relative length below which a direction is taken for zero
_BESIDE = 1e-6  # typical eigenvalues by which a place is not told from another


@dataclass(frozen=True)
class LocatedOutlier:
    """An outlier with the law that it is one of.

    Attributes:
        outlier: place, overlap and direction.
        again: its place on the coarser rule.
        law: the law of D.
        cut: which tail of D was left out: 1 the upper, -1 the lower, 0 none.
    """

    outlier: Outlier
    again: float
    law: CurvatureLaw
    cut: int = 0


def located_beyond(
    solved: Refined, edge: Edge, sign: int, dimension: int | None
) -> list[LocatedOutlier]:
    """The outliers of one side, those of the limit first.

    At a thin edge the limiting bulk swallows outliers by a tail that no sample of n points shows.
    There the law is taken without the part of the tail that n samples leave half empty, and its
    outliers beyond the detection edge are kept beside those of the limit.

    Args:
        solved: the block.
        edge: the end of its bulk on this side.
        sign: 1 above, -1 below.
        dimension: d; None for the limit alone.
    """
    limiting, check = (
        (one.top if sign > 0 else one.bottom) for one in (solved.fine, solved.coarse)
    )
    found = [
        LocatedOutlier(outlier, check[i].value if i < len(check) else edge.value, solved.fine.law)
        for i, outlier in enumerate(limiting)
    ]
    if dimension is None or edge.kind not in ("thin", "infinite"):
        return found
    if _has_no_more(solved.fine.law, dimension, edge.detection, sign, len(found)):
        return found
    law, other = (
        one.law.without_tail(one.law.samples(dimension), sign)
        for one in (solved.fine, solved.coarse)
    )
    limit = solved.coarse.top_side if sign > 0 else solved.coarse.bottom_side
    cut, again = _outliers(law, other, limit, sign)
    found += [
        LocatedOutlier(outlier, again[i].value if i < len(again) else edge.detection, law, sign)
        for i, outlier in enumerate(cut)
        if i >= len(limiting) and sign * (outlier.value - edge.detection) > 0
    ]
    return found


def _has_no_more(law: CurvatureLaw, dimension: int, place: float, sign: int, count: int) -> bool:
    """Whether the law without its tail surely has no more than so many outliers beyond a place."""
    if law.rows > 1 or law.joint is not None:
        return False
    side = law if sign > 0 else law.mirrored
    weights = np.where(side.kept(law.samples(dimension)), side.weights, 0.0)
    beyond = count_above(side, weights / weights.sum(), sign * place - _BESIDE * law.scale)
    return beyond is not None and beyond <= count


def located_between(solved: Refined) -> list[LocatedOutlier]:
    """The outliers in gaps, largest first."""
    return [
        LocatedOutlier(outlier, _nearest(outlier.value, solved.coarse.inside), solved.fine.law)
        for outlier in solved.fine.inside
    ]


def outlier_eigenpair(
    located: LocatedOutlier, statistics: Statistics, projection: Projection, dimension: int | None
) -> Eigenpair:
    """The prediction for an outlier's eigenvalue and eigenvector.

    Args:
        located: the outlier.
        statistics: G and v.
        projection: of the statistics.
        dimension: d, for the fluctuations from sample to sample; None leaves them out.
    """
    outlier, law = located.outlier, located.law
    outer, inner = np.split(outlier.direction, [len(outlier.direction) - law.parameters])
    return Eigenpair(
        value=outlier.value,
        error=abs(outlier.value - located.again),
        overlap=outlier.overlap,
        alignment=outlier.overlap * _alignment(outer, statistics.gram, projection.coordinates),
        parameter_overlap=outlier.overlap * float(inner @ inner),
        sampling_error=math.nan
        if dimension is None
        else outlier_noise(law, outlier) / math.sqrt(law.samples(dimension)),
    )


def _alignment(w: FloatArray, gram: FloatArray, coordinates: FloatArray) -> FloatArray:
    """Squared cosine of the eigenvector's part in the span with each direction, (C+k,)."""
    lengths = np.sqrt(np.maximum(np.diag(gram), 0.0))
    present = lengths > _NO_LENGTH * lengths.max(initial=0.0)
    unit = coordinates * (present / np.where(present, lengths, 1.0))
    squares: FloatArray = ((w.reshape(-1, len(coordinates)) @ unit) ** 2).sum(0)
    return squares


def _outliers(
    law: CurvatureLaw, coarse: CurvatureLaw, limit: Exterior, sign: int
) -> tuple[list[Outlier], list[Outlier]]:
    """The outliers of one side of a law, found from those of a coarser one, and the latter.

    Those are found from the side of its limit, which begins farther out.
    """
    if sign < 0:
        law, coarse = law.mirrored, coarse.mirrored
    model = exterior(coarse, limit)
    again = find_outliers(model)
    found = find_outliers(exterior(law, model), again)
    if sign < 0:
        return [mirrored(one) for one in found], [mirrored(one) for one in again]
    return found, again


def _nearest(value: float, outliers: Sequence[Outlier]) -> float:
    """The value of the outlier that is nearest; inf if there is none."""
    return min(
        (one.value for one in outliers), key=lambda other: abs(other - value), default=math.inf
    )
