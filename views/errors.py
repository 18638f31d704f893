"""How far one record's measurements are from the predictions, in a handful of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..probes.distance import cdf_distance
from ..probes.record import Record
from ..theory.spectrum import Spectrum
from .readings import (
    MATRICES,
    SIDES,
    both,
    edge,
    estimate,
    is_clear,
    last_inside,
    outlier_count,
    pairs,
)

__all__ = ["ERROR_NAMES", "errors"]

_OF_A_MATRIX = ("outliers", "overlaps", "edges", "counts", "bulk")
ERROR_NAMES = (
    *(f"{matrix}/{name}" for matrix in MATRICES for name in _OF_A_MATRIX),
    "gram",
    "loss",
)


def errors(record: Record) -> dict[str, float]:
    """The largest deviations over all blocks, by the names of `ERROR_NAMES`.

    Only outliers that are predicted clear of the detection edge and were measured count, except
    for ``counts``. What cannot be compared is left out.

    * ``loss``: |measured - predicted| / |predicted|.
    * ``gram``: max |measured - forecast| over the entries, in squared parameters.
    * ``MATRIX/outliers``: |measured - predicted| / |predicted| of an eigenvalue.
    * ``MATRIX/overlaps``: |measured - predicted| of its eigenvector's overlap.
    * ``MATRIX/edges``: |measured - predicted| / width of the bulk, of the last eigenvalue in it.
    * ``MATRIX/counts``: number of sides of blocks with another number of outliers than predicted,
      among those where every predicted one is clear.
    * ``MATRIX/bulk``: Kolmogorov distance of the densities.
    """
    found: dict[str, float] = {}
    for name, error in _all(record):
        if math.isfinite(error):
            found[name] = max(found.get(name, 0.0), error)
    for matrix in MATRICES:
        unequal = list(_count_errors(record, matrix))
        if unequal:
            found[f"{matrix}/counts"] = float(sum(unequal))
    return {name: found[name] for name in ERROR_NAMES if name in found}


def _all(record: Record) -> Iterator[tuple[str, float]]:
    measured, forecast = record.measured, record.forecast
    expected = record.predicted if record.predicted is not None else forecast
    if expected is not None:
        yield "loss", _relative(measured.loss, expected.loss)
    if forecast is not None and measured.gram.size and forecast.gram.shape == measured.gram.shape:
        yield "gram", float(np.abs(measured.gram - forecast.gram).max())
    for seen, predicted in both(record):
        for name, error in _spectrum_errors(seen, predicted):
            yield f"{predicted.matrix}/{name}", error


def _spectrum_errors(measured: Spectrum, predicted: Spectrum) -> Iterator[tuple[str, float]]:
    for side in SIDES:
        for pair, expected in zip(pairs(measured, side), pairs(predicted, side), strict=False):
            if is_clear(expected, predicted.bulk, side):
                yield "outliers", _relative(estimate(pair)[0], expected.value)
                yield "overlaps", abs(pair.overlap - expected.overlap)
    bulk = predicted.bulk
    if bulk is not None:
        width = bulk.upper.finite_size - bulk.lower.finite_size
        for side in SIDES:
            end = edge(bulk, side).finite_size
            yield "edges", abs(last_inside(measured, bulk, side) - end) / (width or math.nan)
    if measured.density is not None and predicted.density is not None:
        yield "bulk", cdf_distance(measured.density, predicted.density)


def _count_errors(record: Record, matrix: str) -> Iterator[bool]:
    for measured, predicted in both(record):
        if predicted.matrix != matrix or predicted.bulk is None:
            continue
        for side in SIDES:
            expected = pairs(predicted, side)
            if all(is_clear(pair, predicted.bulk, side) for pair in expected):
                yield outlier_count(measured, predicted.bulk, side) != len(expected)


def _relative(measured: float, expected: float) -> float:
    return abs(measured - expected) / abs(expected) if expected else math.nan
