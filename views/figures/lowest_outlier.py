"""The lowest eigenvalue on a sphere: measured, by the law of the descent, by the naive formula."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...probes.records.record import Record
from ...theory.geometry import Geometry
from ...theory.matrix_kind import SPHERE_HESSIAN
from ...theory.spectrum import FloatArray
from ..readings import clock
from . import style

__all__ = ["lowest_outlier"]

_BAND = {"color": style.PREDICTED["color"], "alpha": 0.15, "linewidth": 0}
_MARK = {k: style.MEASURED[k] for k in ("color", "linestyle", "marker", "markersize", "zorder")}


@style.paper()
def lowest_outlier(
    records: Sequence[Record],
    columns: style.Columns = 2,
    predicted_as: str = "x independent of the noise",
) -> Figure:
    """Lowest eigenvalue minus multiplier, and its eigenvector's squared overlap with the signal.

    Without the multiplier what is left does not follow the fluctuations of the overlap.

    Args:
        records: of one run, in order.
        columns: of the page that the figure spans.
        predicted_as: what the predictions take for granted, for the legend.
    """
    if not any(_spectra(record.measured) for record in records):
        return style.empty_figure("No spectrum of a Hessian on a sphere to show.")
    times, label = clock(records)
    across = 2 if columns == 2 else 1
    figure, panels = style.new_figure(
        2 // across, across, *style.size(columns, 2 // across, 2.2), sharex=True
    )
    values, overlaps = panels.flat
    predicted = [record.predicted for record in records]
    forecast = [record.forecast for record in records]
    own = _multipliers([record.measured for record in records])
    centre, spread = _lowest(predicted, "value") - own, 2 * _lowest(predicted, "sampling_error")
    if np.isfinite(spread).any():
        values.fill_between(
            times, centre - spread, centre + spread, label="± 2 s.d. over the noise", **_BAND
        )
    _draw(values, times, records, predicted, forecast, "value", predicted_as)
    edges = np.array([_edge(record.predicted) for record in records])
    style.draw_line(values, times, edges - own, label="edge of the bulk", **style.EDGE)
    values.set_title("lowest eigenvalue − μ (loss per squared parameter)")
    _draw(overlaps, times, records, predicted, forecast, "overlap", predicted_as)
    overlaps.set_title("squared overlap with the signal (1)")
    for axes in panels[-1]:
        axes.set_xlabel(label)
    style.legend_below(figure)
    return figure


def _draw(
    axes: Axes,
    times: FloatArray,
    records: Sequence[Record],
    predicted: Sequence[Geometry | None],
    forecast: Sequence[Geometry | None],
    name: str,
    predicted_as: str,
) -> None:
    measured = [record.measured for record in records]
    shift = name == "value"
    own = _multipliers(measured) if shift else np.zeros(len(records))
    law = _multipliers(forecast) if shift else np.zeros(len(records))
    naive, dynamic = _lowest(predicted, name) - own, _lowest(forecast, name) - law
    style.draw_line(axes, times, naive, label=predicted_as, **style.PREDICTED)
    if any(each is not None for each in forecast):
        style.draw_line(axes, times, dynamic, label="along the descent", **style.FORECAST)
    axes.plot(times, _lowest(measured, name) - own, label="measured", **_MARK)


def _spectra(found: Geometry | None) -> bool:
    kinds = () if found is None else found.spectra
    return any(spectrum.matrix == SPHERE_HESSIAN.name for spectrum in kinds)


def _lowest(found: Sequence[Geometry | None], name: str) -> FloatArray:
    """A field of the lowest eigenvalue; NaN where there is none."""
    numbers = np.full(len(found), math.nan)
    for place, each in enumerate(found):
        for spectrum in () if each is None else each.spectra:
            if spectrum.matrix == SPHERE_HESSIAN.name and spectrum.bottom:
                numbers[place] = getattr(spectrum.bottom[0], name)
    return numbers


def _edge(found: Geometry | None) -> float:
    for spectrum in () if found is None else found.spectra:
        if spectrum.matrix == SPHERE_HESSIAN.name and spectrum.bulk is not None:
            return spectrum.bulk.lower.value
    return math.nan


def _multipliers(found: Sequence[Geometry | None]) -> FloatArray:
    quantities = [None if each is None else each.quantity("multiplier") for each in found]
    return np.array([math.nan if each is None else float(each.values) for each in quantities])
