"""How far one record's measurements are from the predictions, in a handful of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..probes.records.outliers import center, edge, is_clear, last_inside, pairs
from ..probes.records.record import Record
from ..theory.spectrum import ENDS, Bulk, End, Spectrum
from .comparisons import bulk_distance, counts_agree
from .quantities import largest_deviations
from .readings import both, matrices, relative_difference

__all__ = ["error_names", "errors"]

_OF_A_MATRIX = ("outliers", "overlaps", "edges", "counts", "bulk")


def errors(record: Record) -> dict[str, float]:
    """The largest deviations over all blocks, by name; see also `error_names`.

    Only outliers that are predicted clear of the detection edge and were measured count, except
    for ``counts``. What cannot be compared is left out.

    * ``QUANTITY``: |measured - expected| / |expected| of a number that is no share, max |measured -
      expected| over the entries of a vector or matrix, in its own unit; expected is predicted, or
      forecast where nothing is predicted.
    * ``MATRIX/outliers``: |measured - predicted| / |predicted| of an eigenvalue.
    * ``MATRIX/overlaps``: |measured - predicted| of its eigenvector's overlap.
    * ``MATRIX/edges``: |measured - predicted| / width of the bulk, of the last eigenvalue in it.
    * ``MATRIX/counts``: number of sides of blocks with another number of outliers than predicted,
      among those where that is decided (see `counts_agree`).
    * ``MATRIX/bulk``: Kolmogorov distance of the densities.
    """
    found: dict[str, float] = {}
    for name, error in _all(record):
        if math.isfinite(error):
            found[name] = max(found.get(name, 0.0), error)
    for measured, predicted in both(record):
        for side in ENDS:
            agree = counts_agree(measured, predicted, side)
            if agree is not None:
                name = f"{predicted.matrix}/counts"
                found[name] = found.get(name, 0.0) + (not agree)
    return found


def error_names(record: Record) -> tuple[str, ...]:
    """Names of the errors that records like this one have, now or when an outlier appears."""
    found: list[str] = []
    for kind in matrices([record]):
        pairs = [(one, other) for one, other in both(record) if other.matrix == kind.name]
        with_bulk = any(other.bulk is not None for _, other in pairs)
        with_density = any(one.density and other.density for one, other in pairs)
        has = dict.fromkeys(_OF_A_MATRIX, with_bulk) | {"bulk": with_density}
        has["overlaps"] = with_bulk and bool(record.reference)
        found += [f"{kind.name}/{name}" for name in _OF_A_MATRIX if has[name]]
    return (*found, *(name for name, error in largest_deviations(record) if math.isfinite(error)))


def _all(record: Record) -> Iterator[tuple[str, float]]:
    yield from largest_deviations(record)
    for measured, predicted in both(record):
        matrix, bulk = predicted.matrix, predicted.bulk
        yield f"{matrix}/bulk", bulk_distance(measured, predicted)
        if bulk is None:
            continue
        for side in ENDS:
            yield f"{matrix}/edges", _edge_error(measured, bulk, side)
            for found, theory in zip(pairs(measured, side), pairs(predicted, side), strict=False):
                if is_clear(theory, bulk, side):
                    difference = relative_difference(center(found), theory.value)
                    yield f"{matrix}/outliers", abs(difference)
                    yield f"{matrix}/overlaps", abs(found.overlap - theory.overlap)


def _edge_error(measured: Spectrum, bulk: Bulk, side: End) -> float:
    width = bulk.upper.finite_size - bulk.lower.finite_size
    end = edge(bulk, side).finite_size
    return abs(last_inside(measured, bulk, side) - end) / (width or math.nan)
