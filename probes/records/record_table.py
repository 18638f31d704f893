"""Records as one table: a row for each step and quantity, with its errors beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...theory.matrix_kind import MatrixKind, kind_named
from ...theory.spectrum import ENDS, SIDES, Bulk, Edge, Eigenpair, FloatArray, Spectrum
from .outliers import EDGE_NAMES, edge
from .record import Geometry, Record
from .track import Followed, Track

__all__ = ["BAND", "Row", "record_table", "rows"]

_SHARE = "share"
# Half width of a band, in standard errors or in standard deviations of a run.
BAND = 2.0


@dataclass(frozen=True)
class Row:
    """One number of a record; text is empty and errors are NaN where there is nothing to say.

    Attributes:
        step: optimiser steps taken.
        epoch: epochs finished.
        time: t = steps times c/d.
        kind: "measured", "predicted" (from the Gram matrix measured at this step) or "forecast"
            (from the initial one).
        matrix: "hessian", "information", or empty for what belongs to no matrix.
        block: name of the block of parameters.
        quantity: what the number is; the same name under every kind is the same quantity.
        value: the number; never NaN.
        error: numerical error: residual of a measured eigenvalue, quadrature error of a prediction.
        standard_error: over the draw of the probe sample (of an outlier also predicted); of a
            forecast quantity the standard deviation over runs.
        band_lower: predicted or forecast value minus two standard errors of the measurement, or of
            its own where none was measured.
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


@dataclass(frozen=True)
class _Number:
    """A number of one geometry, before it is known whose."""

    matrix: str
    block: str
    quantity: str
    value: float
    unit: str
    error: float = math.nan
    standard_error: float = math.nan


def record_table(records: Sequence[Record]) -> dict[str, NDArray[Any]]:
    """The fields of `Row` as columns of equal length, in the order of the records.

    ``pandas.DataFrame(record_table(records))`` is a data frame. Densities are no single numbers
    and have no rows. Numbers that are not known (NaN) have none either.
    """
    found = [row for record in records for row in rows(record)]
    types: dict[str, type] = {"int": np.int64, "float": np.float64, "str": np.str_}
    return {
        column.name: np.array([getattr(row, column.name) for row in found], types[str(column.type)])
        for column in fields(Row)
    }


def rows(record: Record) -> Iterator[Row]:
    """The rows of one record: measured, then predicted, then forecast."""
    kinds = {
        "measured": record.measured,
        "predicted": record.predicted,
        "forecast": record.forecast,
    }
    numbers = {
        kind: list(_geometry(geometry, kind, record.directions, record.matrices))
        for kind, geometry in kinds.items()
        if geometry is not None
    }
    numbers["measured"].extend(number for track in record.tracks for number in _track(track))
    errors = {
        (number.matrix, number.block, number.quantity): number.standard_error
        for number in numbers["measured"]
    }
    for kind, found in numbers.items():
        for number in found:
            if math.isnan(number.value):
                continue
            half = math.nan
            if kind != "measured":
                # Where the measurement is exact, what varies is the run.
                measured = errors.get((number.matrix, number.block, number.quantity), math.nan)
                half = BAND * (measured if math.isfinite(measured) else number.standard_error)
            yield Row(
                record.step, record.epoch, record.time, kind,
                number.matrix, number.block, number.quantity, number.value,
                number.error, number.standard_error,
                number.value - half, number.value + half, number.unit,
            )  # fmt: skip


def _geometry(
    geometry: Geometry, kind: str, directions: tuple[str, ...], kinds: Sequence[MatrixKind]
) -> Iterator[_Number]:
    for quantity in geometry.quantities:
        for entry in quantity.entries():
            # The error of a measurement is a standard error; a theory has bands for that.
            measured = kind == "measured"
            yield _Number(
                "",
                "",
                entry.name,
                entry.value,
                quantity.unit,
                error=math.nan if measured else entry.error,
                standard_error=entry.error if measured else entry.band,
            )
    for spectrum in geometry.spectra:
        yield from _spectrum(spectrum, directions, kinds)


def _spectrum(
    spectrum: Spectrum, directions: tuple[str, ...], kinds: Sequence[MatrixKind]
) -> Iterator[_Number]:
    place, unit = (spectrum.matrix, spectrum.block), kind_named(spectrum.matrix, kinds).unit
    for side in SIDES:
        pairs: tuple[Eigenpair, ...] = getattr(spectrum, side)
        for rank, pair in enumerate(pairs, start=1):
            name = f"{side}_{rank}"
            yield _Number(*place, name, pair.value, unit, pair.error, pair.sampling_error)
            yield _Number(*place, f"overlap_{name}", pair.overlap, _SHARE)
            yield _Number(*place, f"parameter_overlap_{name}", pair.parameter_overlap, _SHARE)
            for direction, share in zip(directions, pair.alignment, strict=False):
                yield _Number(*place, f"alignment_{name}/{direction}", float(share), _SHARE)
            if len(pair.draws) > 1:
                for draw, value in enumerate(pair.draws, start=1):
                    yield _Number(*place, f"{name}/draw_{draw}", float(value), unit)
    if spectrum.bulk is not None:
        yield from _bulk(*place, spectrum.bulk, unit)


def _bulk(matrix: str, block: str, bulk: Bulk, unit: str) -> Iterator[_Number]:
    edges: dict[str, Edge] = {EDGE_NAMES[end]: edge(bulk, end) for end in reversed(ENDS)}
    for number, gap in enumerate(bulk.gaps, start=1):
        edges |= {f"gap_{number}/lower_edge": gap.lower, f"gap_{number}/upper_edge": gap.upper}
    for name, found in edges.items():
        yield _Number(matrix, block, name, found.finite_size, unit)
        yield _Number(matrix, block, f"{name}/limit", found.value, unit, found.error)
        yield _Number(matrix, block, f"{name}/detection", found.detection, unit)
    yield _Number(matrix, block, "atom", bulk.atom, _SHARE)


def _track(track: Track) -> Iterator[_Number]:
    place = track.matrix, track.block
    yield _Number(*place, "stability", track.stability, "1")
    for side in ENDS:
        ones: Followed = getattr(track, side)
        columns: dict[str, tuple[FloatArray | NDArray[np.int64], str]] = {
            "branch": (ones.branches, "number of the branch"),
            "subspace_overlap": (ones.subspace_overlap, _SHARE),
            "gradient": (ones.gradient, _SHARE),
            "update": (ones.update, _SHARE),
        }
        for name, (values, unit) in columns.items():
            for rank, value in enumerate(values, start=1):
                yield _Number(*place, f"{name}_{side}_{rank}", float(value), unit)
