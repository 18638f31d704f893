"""What the tab is told of a record: plain JSON, every number as it is in the data file."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from dataclasses import replace
from typing import Any

import numpy as np

from ...probes.records.numbers import KINDS, Number
from ...probes.records.outliers import edge, is_outlier, pairs
from ...probes.records.record import Record
from ...theory.direction import Direction
from ...theory.quantity import Quantity
from ...theory.spectrum import (
    ENDS,
    Bulk,
    Density,
    Edge,
    Eigenpair,
    End,
    FloatArray,
    Jacobi,
    Spectrum,
)
from ..quantities import compared_quantities, title
from ..readings import describe, failed, matrices, spectrum_of
from ..slices import in_matrices

__all__ = ["Message", "heading", "history", "moment", "outline", "plain", "text"]

Message = dict[str, Any]

_MOST_ENTRIES = 64


def text(message: Any) -> str:
    """Strict JSON."""
    return json.dumps(message, allow_nan=False, separators=(",", ":"))


def heading(record: Record) -> Message:
    """What the time axis and its marks need, whatever is drawn along it."""
    numbers = {
        name: entries[0]
        for name, entries in compared_quantities(_of_numbers(record)).items()
        if len(entries) == 1 and entries[0].is_single
    }
    return {
        "step": record.step,
        "epoch": _number(record.epoch),
        "time": _number(record.time),
        "failure": record.failure,
        # Of spectra that failed alone; without any spectrum the whole of it did.
        "failures": [[each.matrix, each.block] for each in record.failures if each.matrix],
        "isFailed": failed(record),
        "numbers": {
            name: [
                *(value for kind in KINDS for value in _with_errors(getattr(entry, kind))),
                *_runs(entry.measured),
            ]
            for name, entry in numbers.items()
        },
        "parts": _parts(record),
        "thresholds": {
            name: _number(entry.any.threshold)
            for name, entry in numbers.items()
            if math.isfinite(entry.any.threshold)
        },
        # Those that are drawn over time.
        "vectors": {
            quantity.name: _numbers(quantity.values)
            for quantity in record.measured.quantities
            if _has_path(quantity)
        },
        "transitions": [
            {
                "matrix": transition.matrix,
                "block": transition.block,
                "text": describe(transition, record.matrices),
            }
            for transition in record.transitions
        ],
    }


def outline(record: Record) -> Message:
    """What there is in a record, whatever its numbers: matrices, quantities, directions, clock."""
    found: dict[str, Message] = {}
    for quantity in _by_name(in_matrices(record)):
        found[quantity.name] = {
            "title": title(quantity.name),
            "unit": quantity.unit,
            "axes": len(quantity.axes),
            "parts": list(quantity.axes[0]) if quantity.total else None,
            "total": quantity.total,
            "entries": list(quantity.axes[0]) if _has_path(quantity) else None,
        }
    return {
        "kinds": {
            kind.name: {"title": kind.title, "unit": kind.unit} for kind in matrices([record])
        },
        "quantities": found,
        "directions": [plain(direction) for direction in record.reference],
        "clock": record.clock,
    }


def _of_numbers(record: Record) -> Record:
    """The record with its quantities of one number alone: the others are many, and made late."""
    geometries = {kind: getattr(record, kind) for kind in KINDS}
    held = {kind: each.quantities for kind, each in geometries.items() if each is not None}
    longer = {each.name for found in held.values() for each in found if each.axes}
    numbers: dict[str, Any] = {
        kind: replace(
            geometries[kind], quantities=tuple(each for each in found if each.name not in longer)
        )
        for kind, found in held.items()
    }
    return replace(record, **numbers)


def _parts(record: Record) -> Message:
    """Entries of what adds up to a number, which are drawn over time: values of each kind."""
    found: Message = {}
    for kind in KINDS:
        geometry = getattr(record, kind)
        for quantity in geometry.quantities if geometry is not None else ():
            if quantity.total:
                found.setdefault(quantity.name, {})[kind] = _numbers(quantity.values)
    return found


def _has_path(quantity: Quantity) -> bool:
    """Whether it is a vector, and short enough for a row of each entry over time.

    Parts of a number are areas over time already.
    """
    is_vector = len(quantity.axes) == 1 and not quantity.total
    return is_vector and 2 <= len(quantity.axes[0]) <= _MOST_ENTRIES


def plain(direction: Direction) -> str:
    """The symbol of a direction without TeX, μ1; its name if it has none."""
    letters = re.sub(r"\\([A-Za-z]+)", _letter, direction.symbol)
    return re.sub(r"[_{}^\\\s]", "", letters) or direction.name


def _letter(found: re.Match[str]) -> str:
    case = "SMALL" if found[1][0].islower() else "CAPITAL"
    try:
        return unicodedata.lookup(f"GREEK {case} LETTER {found[1].upper()}")
    except KeyError:
        return found[1]


def _by_name(record: Record) -> list[Quantity]:
    """Each quantity once: measured, else predicted, else forecast."""
    found: dict[str, Quantity] = {}
    for kind in KINDS:
        geometry = getattr(record, kind)
        for quantity in geometry.quantities if geometry is not None else ():
            found.setdefault(quantity.name, quantity)
    return list(found.values())


def _quantities(record: Record) -> list[Message]:
    record = in_matrices(record)
    symbols = {direction.name: plain(direction) for direction in record.reference}
    found = []
    for first in _by_name(record):
        message: Message = {
            "name": first.name,
            "title": title(first.name),
            "unit": first.unit,
            "axes": [[symbols.get(name, name) for name in names] for names in first.axes],
        }
        for kind in KINDS:
            geometry = getattr(record, kind)
            own = geometry.quantity(first.name) if geometry is not None else None
            is_same = own is not None and own.axes == first.axes
            message[kind] = _quantity(own) if own is not None and is_same else None
        found.append(message)
    return found


def _quantity(quantity: Quantity) -> Message:
    return {
        "values": _numbers(quantity.values),
        "errors": None if quantity.errors is None else _numbers(quantity.errors),
        "band": None if quantity.band is None else _numbers(quantity.band),
        "threshold": None if quantity.threshold is None else _numbers(quantity.threshold),
    }


def _with_errors(number: Number | None) -> list[float | None]:
    """Value and spread, over samples or runs, of a number that may be missing."""
    return [None, None] if number is None else [_number(number.value), _number(number.spread)]


def _runs(number: Number | None) -> list[float]:
    """Standard deviation over the runs of an ensemble, where the number is their mean."""
    return [] if number is None or math.isnan(number.band) else [number.band]


def history(record: Record, matrix: str, block: str) -> Message:
    """Eigenvalues and edges of one block, to be drawn along the time axis."""
    measured, predicted, forecast = _spectra(record, matrix, block)
    bulk = predicted.bulk if predicted else None
    message: Message = {"measured": None, "predicted": None, "forecast": None}
    if measured is not None:
        message["measured"] = {
            side: [[*_brief(pair), is_outlier(pair, bulk, side)] for pair in found]
            for side, found in _sides(measured)
        }
    if predicted is not None:
        message["predicted"] = {
            "bulk": None if bulk is None else _bulk(bulk),
            "inside": [_brief(pair) for pair in predicted.inside],
        } | {side: [_brief(pair) for pair in found] for side, found in _sides(predicted)}
    if forecast is not None:
        message["forecast"] = {
            side: [_brief(pair) for pair in found] for side, found in _sides(forecast)
        }
    return message


def moment(record: Record, matrix: str, block: str) -> Message:
    """Everything that is drawn of one block at one step."""
    measured, predicted, forecast = _spectra(record, matrix, block)
    bulk = predicted.bulk if predicted else None
    return heading(record) | {
        "directions": [plain(direction) for direction in record.reference],
        "quantities": _quantities(record),
        "measured": _spectrum(measured, bulk, is_measured=True),
        "predicted": _spectrum(predicted, None),
        "forecast": _spectrum(forecast, None),
    }


def _spectra(record: Record, matrix: str, block: str) -> list[Spectrum | None]:
    geometries = (record.measured, record.predicted, record.forecast)
    return [spectrum_of(geometry, matrix, block) for geometry in geometries]


def _sides(spectrum: Spectrum) -> list[tuple[End, tuple[Eigenpair, ...]]]:
    return [(side, pairs(spectrum, side)) for side in ENDS]


def _spectrum(
    spectrum: Spectrum | None, bulk: Bulk | None, *, is_measured: bool = False
) -> Message | None:
    """One spectrum; ``bulk`` tells the outliers of a measured one, a prediction is a curve."""
    if spectrum is None:
        return None
    density = spectrum.density
    message: Message = {
        side: [_pair(pair) | {"outlier": is_outlier(pair, bulk, side)} for pair in found]
        for side, found in _sides(spectrum)
    }
    return message | {
        "size": spectrum.size,
        "inside": [_pair(pair) for pair in spectrum.inside],
        "bulk": None if spectrum.bulk is None else _bulk(spectrum.bulk),
        "density": density and _density(density, density.values if is_measured else density.curve),
        "jacobi": None if spectrum.jacobi is None else _jacobi(spectrum.jacobi),
    }


def _brief(pair: Eigenpair) -> list[float | None]:
    return [_number(pair.value), _number(pair.sampling_error), _number(pair.overlap)]


def _pair(pair: Eigenpair) -> Message:
    return {
        "value": _number(pair.value),
        "residual": _number(pair.error),
        "error": _number(pair.sampling_error),
        "overlap": _number(pair.overlap),
        "alignment": _numbers(pair.alignment),
        "draws": _numbers(pair.draws),
    }


def _density(density: Density, values: FloatArray) -> Message:
    return {
        "points": _numbers(density.points),
        "values": _numbers(values),
        "errors": _numbers(density.errors),
    }


def _jacobi(jacobi: Jacobi) -> Message:
    return {
        "alpha": _numbers(jacobi.diagonal),
        "alphaErrors": _numbers(jacobi.diagonal_errors),
        "beta": _numbers(jacobi.off_diagonal),
        "betaErrors": _numbers(jacobi.off_diagonal_errors),
    }


def _bulk(bulk: Bulk) -> Message:
    return {side: _edge(edge(bulk, side)) for side in ENDS} | {
        "atom": _number(bulk.atom),
        "gaps": [[_number(gap.lower.value), _number(gap.upper.value)] for gap in bulk.gaps],
    }


def _edge(end: Edge) -> Message:
    return {
        "value": _number(end.value),
        "kind": end.kind,
        "finiteSize": _number(end.finite_size),
        "detection": _number(end.detection),
    }


def _number(value: float) -> float | None:
    """A number, or None for what JSON cannot hold: unknown, or infinite."""
    return float(value) if math.isfinite(value) else None


def _numbers(values: FloatArray) -> Any:
    numbers = np.asarray(values).astype(object)
    numbers[~np.isfinite(values)] = None
    return numbers.tolist()
