"""Eigenvalues of one block over time or over a parameter, measured on top of predicted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ...probes.records.outliers import edge, estimate, is_outlier, pairs
from ...probes.records.record import Record
from ...theory.spectrum import ENDS, Edge, End, FloatArray, Spectrum
from ..readings import lacks_spectrum, spectrum_of
from . import style

__all__ = ["draw_failures", "draw_paths"]

# Outliers many times the bulk's edge would flatten the bulk on a linear axis.
_LINEAR_RANGE = 12.0


def draw_paths(
    axes: Axes, x: FloatArray, records: Sequence[Record], matrix: str, block: str
) -> bool:
    """Draw measured eigenvalues over predicted bulk and outliers of one block.

    Args:
        axes: where to draw.
        x: (N,) abscissa of each record.
        records: N records.
        matrix: which matrix.
        block: which block.

    Returns:
        Whether there was anything to draw.
    """
    # A block may be probed at some of the records only: lines then join those.
    held = [record.measured.spectrum(matrix, block) is not None for record in records]
    records = list(compress(records, held))
    if not records:
        return False
    x = x[np.array(held)]
    measured = [record.measured.spectrum(matrix, block) for record in records]
    predicted = [spectrum_of(record.predicted, matrix, block) for record in records]
    forecast = [spectrum_of(record.forecast, matrix, block) for record in records]
    _draw_bulk(axes, x, predicted)
    for side in ENDS:
        _draw_outliers(axes, x, forecast, side, "forecast outlier", style.FORECAST)
        _draw_outliers(axes, x, predicted, side, "predicted outlier", style.PREDICTED)
        _draw_measured(axes, x, measured, predicted, side)
    _choose_scale(axes, measured, predicted)
    return True


def draw_failures(
    axes: Axes, x: FloatArray, records: Sequence[Record], matrix: str, block: str
) -> None:
    """A cross on the lower axis for every probing that this spectrum is missing from."""
    missing = [lacks_spectrum(record, matrix, block) for record in records]
    style.mark_failures(axes, x[np.array(missing, dtype=bool)])


def _visible_end(end: Edge) -> float:
    """Where a spectrum of finite size ends: the asymptotic edge only if it can be seen."""
    return end.value if end.kind == "square-root" else end.finite_size


def _draw_bulk(axes: Axes, x: FloatArray, predicted: Sequence[Spectrum | None]) -> None:
    ends: dict[str, FloatArray] = {
        name: np.full(len(x), np.nan)
        for name in ("bottom", "top", "bottom finite", "top finite", "bottom limit", "top limit")
    }
    for index, spectrum in enumerate(predicted):
        if spectrum is not None and spectrum.bulk is not None:
            for side in ENDS:
                end = edge(spectrum.bulk, side)
                ends[side][index] = _visible_end(end)
                ends[f"{side} finite"][index] = end.finite_size
                ends[f"{side} limit"][index] = end.detection
    if not np.isfinite(ends["top"]).any():
        return
    if len(x) == 1:
        axes.vlines(
            x, ends["bottom"], ends["top"], color=style.BULK["color"], linewidth=12, zorder=1,
            label="predicted bulk",
        )  # fmt: skip
    else:
        axes.fill_between(x, ends["bottom"], ends["top"], label="predicted bulk", **style.BULK)
    for side in ENDS:
        style.draw_line(axes, x, ends[f"{side} finite"], label="finite-size edge", **style.EDGE)
        style.draw_line(axes, x, ends[f"{side} limit"], label="detection edge", **style.DETECTION)


def _draw_outliers(
    axes: Axes,
    x: FloatArray,
    spectra: Sequence[Spectrum | None],
    side: End,
    label: str,
    look: dict[str, Any],
) -> None:
    for rank in range(max(len(pairs(spectrum, side)) for spectrum in spectra)):
        values = np.full(len(x), np.nan)
        for index, spectrum in enumerate(spectra):
            found = pairs(spectrum, side)
            if rank < len(found):
                values[index] = found[rank].value
        style.draw_line(axes, x, values, label=label, **look)


def _draw_measured(
    axes: Axes,
    x: FloatArray,
    measured: Sequence[Spectrum | None],
    predicted: Sequence[Spectrum | None],
    side: End,
) -> None:
    outliers: list[tuple[float, float, float]] = []
    bulk: list[tuple[float, float]] = []
    draws: list[tuple[float, float]] = []
    for place, spectrum, theory in zip(x, measured, predicted, strict=True):
        edges = None if theory is None else theory.bulk
        for pair in pairs(spectrum, side):
            value, error = estimate(pair)
            if edges is None or is_outlier(pair, edges, side):
                outliers.append((place, value, error))
                if len(pair.draws) > 1:
                    draws.extend((place, draw) for draw in pair.draws)
            else:
                bulk.append((place, value))
    if bulk:
        axes.plot(*np.array(bulk).T, label="measured, in the bulk", **style.MEASURED_BULK)
    if draws:
        axes.plot(*np.array(draws).T, label="measured, single samples", **style.DRAWS)
    if outliers:
        place, value, error = np.array(outliers).T
        # Without a predicted edge nothing can be called an outlier.
        name = "measured outlier" if any(predicted) else "measured"
        label = f"{name} ± s.e." if np.isfinite(error).any() else name
        axes.errorbar(place, value, yerr=error, label=label, **style.MEASURED)


def _choose_scale(
    axes: Axes, measured: Sequence[Spectrum | None], predicted: Sequence[Spectrum | None]
) -> None:
    tops = [pair.value for spectrum in measured for pair in pairs(spectrum, "top")]
    tops += [pair.value for spectrum in predicted for pair in pairs(spectrum, "top")]
    bottoms = [pair.value for spectrum in predicted for pair in pairs(spectrum, "bottom")]
    bottoms += [pair.value for spectrum in measured for pair in pairs(spectrum, "bottom")]
    negligible = bool(tops) and min(bottoms, default=0.0) > -0.02 * max(tops)
    if negligible and style.scale_for(np.array(tops), _LINEAR_RANGE) == "log":
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.6 * min(tops))
