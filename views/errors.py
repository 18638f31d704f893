"""How far one record's measurements are from the predictions, in a handful of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..probes.records.outliers import edge, last_inside
from ..probes.records.record import Record
from ..theory.matrix_kind import HESSIAN, INFORMATION
from ..theory.spectrum import ENDS, Bulk, Spectrum
from .comparisons import bulk_distance, compared, counts_agree
from .readings import both, gram_difference, relative_difference

__all__ = ["ERROR_NAMES", "errors"]

_OF_A_MATRIX = ("outliers", "overlaps", "edges", "counts", "bulk")
ERROR_NAMES = (
    *(f"{kind.name}/{name}" for kind in (HESSIAN, INFORMATION) for name in _OF_A_MATRIX),
    "gram",
    "loss",
)


def errors(record: Record) -> dict[str, float]:
    """The largest deviations over all blocks, by name; `ERROR_NAMES` has those that are usual.

    Only outliers that are predicted clear of the detection edge and were measured count, except
    for ``counts``. What cannot be compared is left out.

    * ``loss``: |measured - predicted| / |predicted|.
    * ``gram``: max |measured - forecast| over the entries, in squared parameters.
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
    order = {name: place for place, name in enumerate(ERROR_NAMES)}
    return {name: found[name] for name in sorted(found, key=lambda each: order.get(each, -1))}


def _all(record: Record) -> Iterator[tuple[str, float]]:
    expected = record.predicted if record.predicted is not None else record.forecast
    if expected is not None:
        yield "loss", abs(relative_difference(record.measured.loss, expected.loss))
    difference = gram_difference(record)
    if difference is not None:
        yield "gram", float(np.abs(difference).max())
    for row in compared(record):
        if row.clear:
            yield f"{row.matrix}/outliers", abs(row.difference)
            yield f"{row.matrix}/overlaps", abs(row.measured_overlap - row.predicted_overlap)
    for measured, predicted in both(record):
        yield f"{predicted.matrix}/bulk", bulk_distance(measured, predicted)
        for error in _edge_errors(measured, predicted.bulk):
            yield f"{predicted.matrix}/edges", error


def _edge_errors(measured: Spectrum, bulk: Bulk | None) -> Iterator[float]:
    if bulk is not None:
        width = bulk.upper.finite_size - bulk.lower.finite_size
        for side in ENDS:
            end = edge(bulk, side).finite_size
            yield abs(last_inside(measured, bulk, side) - end) / (width or math.nan)
