"""What the tab is told of a record: plain JSON, every number as it is in the data file."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from ...probes.records.outliers import edge, is_outlier, pairs
from ...probes.records.record import Record
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
from ..readings import describe, spectrum_of

__all__ = ["Message", "heading", "history", "moment", "text"]

Message = dict[str, Any]


def text(message: Any) -> str:
    """Strict JSON."""
    return json.dumps(message, allow_nan=False, separators=(",", ":"))


def heading(record: Record) -> Message:
    """What the time axis and its marks need, whatever is drawn along it."""
    return {
        "step": record.step,
        "epoch": _number(record.epoch),
        "time": _number(record.time),
        "failure": record.failure,
        "transitions": [
            {
                "matrix": transition.matrix,
                "block": transition.block,
                "text": describe(transition),
            }
            for transition in record.transitions
        ],
    }


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
    gram = record.forecast.gram if record.forecast else np.zeros((0, 0))
    band = record.forecast.gram_band if record.forecast else np.zeros((0, 0))
    return heading(record) | {
        "directions": list(record.directions),
        "loss": _number(record.measured.loss),
        "lossError": _number(record.measured.loss_error),
        "accuracy": _number(record.measured.accuracy),
        "gram": {
            "measured": _numbers(record.measured.gram),
            "forecast": _numbers(gram),
            "band": _numbers(band),
        },
        "measured": _spectrum(measured, bulk),
        "predicted": _spectrum(predicted, None),
        "forecast": _spectrum(forecast, None),
    }


def _spectra(record: Record, matrix: str, block: str) -> list[Spectrum | None]:
    geometries = (record.measured, record.predicted, record.forecast)
    return [spectrum_of(geometry, matrix, block) for geometry in geometries]


def _sides(spectrum: Spectrum) -> list[tuple[End, tuple[Eigenpair, ...]]]:
    return [(side, pairs(spectrum, side)) for side in ENDS]


def _spectrum(spectrum: Spectrum | None, bulk: Bulk | None) -> Message | None:
    """One spectrum; ``bulk`` tells the outliers of a measured one."""
    if spectrum is None:
        return None
    message: Message = {
        side: [_pair(pair) | {"outlier": is_outlier(pair, bulk, side)} for pair in found]
        for side, found in _sides(spectrum)
    }
    return message | {
        "size": spectrum.size,
        "inside": [_pair(pair) for pair in spectrum.inside],
        "bulk": None if spectrum.bulk is None else _bulk(spectrum.bulk),
        "density": None if spectrum.density is None else _density(spectrum.density),
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


def _density(density: Density) -> Message:
    return {
        "points": _numbers(density.points),
        "values": _numbers(density.values),
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
    numbers = values.astype(object)
    numbers[~np.isfinite(values)] = None
    return numbers.tolist()
