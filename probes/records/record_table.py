"""Records as one table: a row for each step and quantity, with its errors beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...theory.spectrum import ENDS, SIDES, Bulk, Edge, Eigenpair, FloatArray, Spectrum
from .outliers import EDGE_NAMES, edge
from .record import Geometry, Record
from .track import Followed, Track

__all__ = ["BAND", "Row", "record_table", "rows"]

_CURVATURE = "loss per squared parameter"
_LENGTH = "squared parameter"
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
            forecast entry of the Gram matrix the standard deviation over runs.
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
        kind: list(_geometry(geometry, kind, record.directions))
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
                # Entries of the Gram matrix are measured exactly: what varies is the run.
                measured = errors.get((number.matrix, number.block, number.quantity), math.nan)
                half = BAND * (measured if math.isfinite(measured) else number.standard_error)
            yield Row(
                record.step, record.epoch, record.time, kind,
                number.matrix, number.block, number.quantity, number.value,
                number.error, number.standard_error,
                number.value - half, number.value + half, number.unit,
            )  # fmt: skip


def _geometry(geometry: Geometry, kind: str, directions: tuple[str, ...]) -> Iterator[_Number]:
    for name, unit in (("loss", "loss"), ("accuracy", _SHARE)):
        # Of a measurement the one, of a theory the other.
        known = "standard_error" if kind == "measured" else "error"
        error = {known: float(getattr(geometry, f"{name}_error"))}
        yield _Number("", "", name, float(getattr(geometry, name)), unit, **error)
    for (a, b), value in np.ndenumerate(geometry.gram):
        if a <= b < len(directions):
            band = geometry.gram_band
            deviation = float(band[a, b]) if band.shape == geometry.gram.shape else math.nan
            name = f"gram/{directions[a]}.{directions[b]}"
            yield _Number("", "", name, float(value), _LENGTH, standard_error=deviation)
    for spectrum in geometry.spectra:
        yield from _spectrum(spectrum, directions)


def _spectrum(spectrum: Spectrum, directions: tuple[str, ...]) -> Iterator[_Number]:
    place = spectrum.matrix, spectrum.block
    for side in SIDES:
        pairs: tuple[Eigenpair, ...] = getattr(spectrum, side)
        for rank, pair in enumerate(pairs, start=1):
            name = f"{side}_{rank}"
            yield _Number(*place, name, pair.value, _CURVATURE, pair.error, pair.sampling_error)
            yield _Number(*place, f"overlap_{name}", pair.overlap, _SHARE)
            yield _Number(*place, f"parameter_overlap_{name}", pair.parameter_overlap, _SHARE)
            for direction, share in zip(directions, pair.alignment, strict=False):
                yield _Number(*place, f"alignment_{name}/{direction}", float(share), _SHARE)
            if len(pair.draws) > 1:
                for draw, value in enumerate(pair.draws, start=1):
                    yield _Number(*place, f"{name}/draw_{draw}", float(value), _CURVATURE)
    if spectrum.bulk is not None:
        yield from _bulk(*place, spectrum.bulk)


def _bulk(matrix: str, block: str, bulk: Bulk) -> Iterator[_Number]:
    edges: dict[str, Edge] = {EDGE_NAMES[end]: edge(bulk, end) for end in reversed(ENDS)}
    for number, gap in enumerate(bulk.gaps, start=1):
        edges |= {f"gap_{number}/lower_edge": gap.lower, f"gap_{number}/upper_edge": gap.upper}
    for name, found in edges.items():
        yield _Number(matrix, block, name, found.finite_size, _CURVATURE)
        yield _Number(matrix, block, f"{name}/limit", found.value, _CURVATURE, found.error)
        yield _Number(matrix, block, f"{name}/detection", found.detection, _CURVATURE)
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
