"""The ends of a block's bulk and of its gaps: in the limit, at finite size, and for detection."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..bulk.detection import counted_detection_edge, square_root_detection_edge
from ..bulk.exterior import Exterior
from ..bulk.law_spectrum import EdgePlace, LawSpectrum
from ..bulk.thin_detection import thin_detection_edge
from ..spectrum import Edge, Gap
from .refinement import Refined

__all__ = ["bulk_edge", "bulk_gaps"]

_AT_ZERO = 1e-6  # a finite-size edge this close to zero, in typical eigenvalues, is in the atom


def bulk_edge(solved: Refined, sign: int, dimension: int | None) -> Edge:
    """One end of the bulk.

    Args:
        solved: the block.
        sign: 1 for the upper end, -1 for the lower.
        dimension: d, for the finite-size and detection edges; None for the limit alone.
    """
    fine, coarse = solved.fine, solved.coarse
    (value, kind), (again, _) = ((one.upper if sign > 0 else one.lower) for one in (fine, coarse))
    error = abs(value - again) if math.isfinite(value) else math.nan
    if dimension is None:
        return Edge(value, kind, math.nan, math.nan, error)
    size = fine.law.rows * dimension
    atom = _atom_beyond(fine, value, sign)

    def quantile(share: float) -> float:
        """The point with a share of the eigenvalues between it and this end of the bulk."""
        return fine.interior.quantile(atom + share if sign > 0 else 1 - atom - share)

    half = quantile(0.5 / size)
    if fine.interior.atom > 0 and sign * value > 0 and sign * half < _AT_ZERO * fine.law.scale:
        # Less than half an eigenvalue lies beyond the atom: it ends at zero for any sample.
        return Edge(value, kind, 0.0, 0.0, error)
    if fine.law.rows == 1 and kind in ("thin", "infinite"):
        detection, other = (_thin_detection_edge(one, sign, dimension) for one in (fine, coarse))
        return Edge(value, kind, half, detection, error, abs(detection - other))
    detection = _detection_edge(fine, sign, (value, kind), half, quantile, dimension)
    return Edge(value, kind, half, detection, error)


def bulk_gaps(solved: Refined) -> tuple[Gap, ...]:
    """The gaps between the bands, increasing."""
    found = []
    for gap in solved.fine.gaps:
        middle = (gap[0][0] + gap[1][0]) / 2
        again = [other for other in solved.coarse.gaps if other[0][0] < middle < other[1][0]]
        ends = []
        for end, (value, kind) in enumerate(gap):
            error = abs(value - again[0][end][0]) if again else math.inf
            ends.append(Edge(value, kind, math.nan, math.nan, error))
        found.append(Gap(ends[0], ends[1]))
    return tuple(found)


def _atom_beyond(fine: LawSpectrum, edge: float, sign: int) -> float:
    """The atom at zero, if it lies beyond this end of the bulk."""
    return fine.interior.atom if math.isfinite(edge) and sign * edge <= 0 else 0.0


def _detection_edge(
    fine: LawSpectrum,
    sign: int,
    end: EdgePlace,
    half: float,
    quantile: Callable[[float], float],
    dimension: int,
) -> float:
    """Beyond it an eigenvalue is called an outlier, by the kind of the end (edge, kind)."""
    edge, kind = end
    if kind == "hard":
        return edge
    if kind == "square-root":
        side = _side(fine, sign)
        if sign * side.edge != edge:  # the band's edge faces an atom at zero
            return square_root_detection_edge(edge, half, 0.0)
        noise = side.edge_noise() / math.sqrt(fine.law.samples(dimension))
        return square_root_detection_edge(edge, half, noise)
    return counted_detection_edge(quantile, fine.law.rows * dimension)


def _thin_detection_edge(spectrum: LawSpectrum, sign: int, dimension: int) -> float:
    return sign * thin_detection_edge(_side(spectrum, sign).law.marginal, dimension)


def _side(spectrum: LawSpectrum, sign: int) -> Exterior:
    return spectrum.top_side if sign > 0 else spectrum.bottom_side
