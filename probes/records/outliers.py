"""Which eigenvalues count as outliers."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import filterfalse

from ...theory.spectrum import Bulk, Edge, Eigenpair, End, Spectrum

__all__ = [
    "EDGE_NAMES",
    "center",
    "edge",
    "estimate",
    "is_clear",
    "is_outlier",
    "last_inside",
    "outlier_count",
    "outliers",
    "pairs",
]

# Of the bulk's two ends, in tags and exported tables.
EDGE_NAMES: dict[End, str] = {"top": "upper_edge", "bottom": "lower_edge"}

# Eigenvalues that are zero come out as rounding errors: below this share of the bulk's upper edge.
_ATOM_TOLERANCE = 1e-4


def pairs(spectrum: Spectrum | None, side: End) -> tuple[Eigenpair, ...]:
    """Eigenpairs on one side, the most extreme first; none where there is no spectrum."""
    if spectrum is None:
        return ()
    return spectrum.top if side == "top" else spectrum.bottom


def estimate(pair: Eigenpair) -> tuple[float, float]:
    """An eigenvalue and its standard error over probe samples.

    Returns:
        mean and standard error of the mean where several samples were drawn; otherwise the value
        with its estimated sampling error (NaN if unknown).
    """
    draws = _draws(pair)
    count = len(draws)
    if count < 2:
        return pair.value, pair.sampling_error
    mean = math.fsum(draws) / count
    squares = math.fsum([(draw - mean) ** 2 for draw in draws])
    return mean, math.sqrt(squares / (count - 1) / count)


def center(pair: Eigenpair) -> float:
    """The first of `estimate`."""
    if len(pair.draws) < 2:
        return pair.value
    draws = _draws(pair)
    return math.fsum(draws) / len(draws) if len(draws) > 1 else pair.value


def _draws(pair: Eigenpair) -> list[float]:
    """Those that are known; they are few, for which NumPy is slow."""
    return [draw for draw in pair.draws.tolist() if math.isfinite(draw)]


def edge(bulk: Bulk, side: End) -> Edge:
    """The end of the bulk on one side."""
    return bulk.upper if side == "top" else bulk.lower


def is_outlier(pair: Eigenpair, bulk: Bulk | None, side: End) -> bool:
    """Whether a measured eigenvalue, as `estimate` has it, lies beyond the detection edge.

    False without a predicted bulk, and for eigenvalues that are zero but for rounding where the
    bulk begins at zero or has an atom there.
    """
    return bulk is not None and _beyond(bulk, side)(pair)


def outliers(spectrum: Spectrum | None, bulk: Bulk | None, side: End) -> tuple[Eigenpair, ...]:
    """The eigenpairs on one side that are outliers, see `is_outlier`."""
    return tuple(filter(_beyond(bulk, side), pairs(spectrum, side))) if bulk is not None else ()


def _beyond(bulk: Bulk, side: End) -> Callable[[Eigenpair], bool]:
    """See `is_outlier`."""
    limit = edge(bulk, side).detection
    if side == "top":
        return lambda pair: center(pair) > limit
    is_at_zero = bulk.atom > 0 or bulk.lower.kind == "hard"
    rounding = _ATOM_TOLERANCE * abs(bulk.upper.detection) if is_at_zero else -math.inf
    # A detection edge that is not known bounds nothing.
    return lambda pair: (value := center(pair)) < limit and not abs(value) <= rounding


def is_clear(pair: Eigenpair, bulk: Bulk | None, side: End) -> bool:
    """Whether a predicted outlier lies beyond the detection edge: if not, it may stay unseen."""
    return bulk is not None and _is_beyond(pair.value, edge(bulk, side).detection, side)


def last_inside(spectrum: Spectrum | None, bulk: Bulk, side: End) -> float:
    """The most extreme eigenvalue that is no outlier; NaN if none was measured."""
    inside = filterfalse(_beyond(bulk, side), pairs(spectrum, side))
    return next((pair.value for pair in inside), math.nan)


def outlier_count(spectrum: Spectrum | None, bulk: Bulk | None, side: End) -> int:
    """Number of eigenvalues on one side beyond the detection edge of ``bulk``."""
    return len(outliers(spectrum, bulk, side))


def _is_beyond(value: float, limit: float, side: End) -> bool:
    """Whether ``value`` lies outside ``limit`` on one side; False if either is NaN."""
    return value > limit if side == "top" else value < limit
