"""Records as one table: a row for each step and quantity, with its errors beside it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .numbers import KINDS, numbers
from .record import Geometry, Record

__all__ = ["BAND", "Row", "record_table", "rows"]

# Half width of a band, in standard errors or in standard deviations of a run.
BAND = 2.0


@dataclass(frozen=True)
class Row:
    """One number of a record; text is empty and errors are NaN where there is nothing to say.

    Attributes:
        step: optimiser steps taken.
        epoch: epochs finished.
        time: of the clock of the dynamics, see `Record`.
        kind: "measured", "predicted" (from the statistics measured at this step), "forecast" (from
            the initial ones) or "threshold" (of what is measured, see `Quantity`).
        matrix: "hessian", "information", ..., or empty for what belongs to no matrix.
        block: name of the block of parameters.
        quantity: what the number is; the same name under every kind is the same quantity.
        value: the number; never NaN.
        error: numerical error: residual of a measured eigenvalue, quadrature error of a prediction.
        standard_error: over the draw of the probe sample (of an outlier also predicted); of a
            forecast quantity the standard deviation over runs.
        band_lower: predicted or forecast value minus two standard errors of the measurement, or of
            its own where none was measured; mean over an ensemble minus two standard deviations of
            a run.
        band_upper: the same above.
        unit: of value and errors.
    """

    step: int
    epoch: float
    time: float
    kind: str
    matrix: str
    block: str
    quantity: str
    value: float
    error: float
    standard_error: float
    band_lower: float
    band_upper: float
    unit: str


def record_table(records: Sequence[Record]) -> dict[str, NDArray[Any]]:
    """The fields of `Row` as columns of equal length, in the order of the records.

    ``pandas.DataFrame(record_table(records))`` is a data frame. Densities are no single numbers
    and have no rows. Numbers that are not known (NaN) have none either. Texts are objects, the same
    one for the same text.
    """
    words: dict[str, str] = {}
    columns: dict[str, Any] = {column.name: _column(str(column.type)) for column in fields(Row)}
    for record in records:
        for row in rows(_apart(record)):
            for name, column in columns.items():
                value = getattr(row, name)
                column.append(words.setdefault(value, value) if type(value) is str else value)
    return {name: _filled(columns.pop(name)) for name in tuple(columns)}


def _column(kind: str) -> list[str] | array[Any]:
    """What grows without a Python object for each number."""
    return [] if kind == "str" else array({"int": "q", "float": "d"}[kind])


def _filled(column: list[str] | array[Any]) -> NDArray[Any]:
    if isinstance(column, list):
        return np.array(column, np.object_)
    return np.array(column)


def _apart(record: Record) -> Record:
    """The record, of which nothing is kept that is made while it is walked."""
    apart: dict[str, Any] = {
        "tracks": tuple(
            replace(track, top=copy(track.top), bottom=copy(track.bottom))
            for track in record.tracks
        )
    }
    for kind in KINDS:
        geometry: Geometry | None = getattr(record, kind)
        if geometry is not None:
            apart[kind] = Geometry(
                tuple(map(copy, geometry.quantities)), tuple(map(copy, geometry.spectra))
            )
    return replace(record, **apart)


def rows(record: Record) -> Iterator[Row]:
    """The rows of one record: measured, then predicted, then forecast."""
    measured: dict[tuple[str, str, str], float] = {}
    for number in numbers(record):
        half = math.nan
        if number.kind == "measured":
            measured[number.place] = number.spread
            half = BAND * number.band  # of an ensemble
        else:
            # Where the measurement is exact, what varies is the run.
            error = measured.get(number.place, math.nan)
            half = BAND * (error if math.isfinite(error) else number.spread)
        if not math.isnan(number.value):
            yield Row(
                record.step, record.epoch, record.time, number.kind,
                number.matrix, number.block, number.name, number.value,
                number.error, number.spread, number.value - half, number.value + half,
                number.unit,
            )  # fmt: skip
        if not math.isnan(number.threshold):
            yield Row(
                record.step, record.epoch, record.time, "threshold",
                number.matrix, number.block, number.name, number.threshold,
                *(math.nan,) * 4, number.unit,
            )  # fmt: skip
