"""How far one record's measurements are from the predictions, in a handful of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..probes.records.outliers import edge, last_inside
from ..probes.records.record import Record
from ..theory.spectrum import ENDS, Bulk, Spectrum
from .comparisons import bulk_distance, compared, counts_agree
from .quantities import compared_quantities, largest
from .readings import both, matrices

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
    return (*found, *(name for name, error in _of_quantities(record) if math.isfinite(error)))


def _all(record: Record) -> Iterator[tuple[str, float]]:
    yield from _of_quantities(record)
    for row in compared(record):
        if row.clear:
            yield f"{row.matrix}/outliers", abs(row.difference)
            yield f"{row.matrix}/overlaps", abs(row.measured_overlap - row.predicted_overlap)
    for measured, predicted in both(record):
        yield f"{predicted.matrix}/bulk", bulk_distance(measured, predicted)
        for error in _edge_errors(measured, predicted.bulk):
            yield f"{predicted.matrix}/edges", error


def _of_quantities(record: Record) -> Iterator[tuple[str, float]]:
    for name, entries in compared_quantities(record).items():
        is_number = len(entries) == 1 and entries[0].is_single
        yield name, abs(entries[0].relative) if is_number else largest(entries)


def _edge_errors(measured: Spectrum, bulk: Bulk | None) -> Iterator[float]:
    if bulk is not None:
        width = bulk.upper.finite_size - bulk.lower.finite_size
        for side in ENDS:
            end = edge(bulk, side).finite_size
            yield abs(last_inside(measured, bulk, side) - end) / (width or math.nan)
