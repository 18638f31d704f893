"""Named quantities along training, such as a theory's statistics: measured, predicted, forecast."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...probes.records.record import Geometry, Record
from ...probes.records.record_table import BAND
from ...theory.quantity import Entry, Quantity
from ...theory.spectrum import FloatArray
from ..readings import clock
from . import style
from .eigenvalue_paths import draw_failures

__all__ = ["moving_quantities", "quantities"]

_ELSEWHERE = ("loss", "accuracy", "gram")  # have a figure of their own
_PANELS_ACROSS: dict[style.Columns, int] = {1: 2, 2: 3}


def moving_quantities(records: Sequence[Record]) -> tuple[str, ...]:
    """Names of the quantities that change along a run, those aside that another figure shows."""
    held: dict[str, list[FloatArray]] = {}
    for quantity in _every(records):
        if quantity.name not in _ELSEWHERE and quantity.values.size:
            held.setdefault(quantity.name, []).append(quantity.values)
    return tuple(
        name
        for name, values in held.items()
        if any(not np.array_equal(each, values[0], equal_nan=True) for each in values)
    )


@style.paper()
def quantities(records: Sequence[Record], columns: style.Columns = 2) -> Figure:
    """A panel for each quantity that changes: measured points over predicted and forecast lines.

    Of an array the first six entries are shown.

    Args:
        records: of one run, in order.
        columns: of the page that the figure spans.
    """
    names = moving_quantities(records)
    if not names:
        return style.empty_figure("No quantity that changes to show.")
    times, label = clock(records)
    across = min(_PANELS_ACROSS[columns], len(names))
    rows = math.ceil(len(names) / across)
    figure, grid = style.new_figure(rows, across, *style.size(columns, rows, 1.9), sharex=True)
    for axes, name in zip(grid.flat, names, strict=False):
        _draw_quantity(axes, times, records, name)
        draw_failures(axes, times, records)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, len(names) - across) : len(names)]:
        axes.set_xlabel(label)
        axes.tick_params(labelbottom=True)
    style.legend_below(figure)
    return figure


def _draw_quantity(axes: Axes, times: FloatArray, records: Sequence[Record], name: str) -> None:
    one = next(quantity for quantity in _every(records) if quantity.name == name)
    entries = [entry.name for entry in one.entries()]
    shown = entries[: len(style.SERIES)]
    handles = []
    for place, entry in enumerate(shown):
        color, marker, _ = style.SERIES[place]
        # Lines of several entries have the colour of their points.
        own = {"color": color} if len(shown) > 1 else {}
        path = _Path.of([record.predicted for record in records], name, entry)
        _draw_line(axes, times, path, "predicted", style.PREDICTED | own)
        path = _Path.of([record.forecast for record in records], name, entry)
        _draw_line(axes, times, path, "forecast", style.FORECAST | own)
        path = _Path.of([record.measured for record in records], name, entry)
        look = style.MEASURED | {"color": color, "marker": marker}
        handles.append(
            axes.errorbar(times, path.values, yerr=path.errors, label="measured ± s.e.", **look)
        )
    if len(shown) > 1:
        labels = [entry.removeprefix(f"{name}/") for entry in shown]
        axes.legend(handles, labels, fontsize=6.5, handlelength=1, labelspacing=0.2)
    hidden = len(entries) - len(shown)
    axes.set_title(f"{name}\n({len(shown)} of {len(entries)} entries)" if hidden else name)
    axes.set_ylabel(one.unit)


def _draw_line(
    axes: Axes, times: FloatArray, path: _Path, label: str, look: dict[str, Any]
) -> None:
    """A line with its band, where there is one."""
    if np.isfinite(path.values).any():
        style.draw_line(axes, times, path.values, label=label, **look)
    if np.isfinite(path.bands).any():
        axes.fill_between(
            times,
            path.values - BAND * path.bands,
            path.values + BAND * path.bands,
            color=look["color"],
            alpha=0.13,
            linewidth=0,
            zorder=1,
            label=f"{label} ± 2 s.d. of a run",
        )


@dataclass(frozen=True)
class _Path:
    """One entry of a quantity at every record, (N,); NaN where it is missing."""

    values: FloatArray
    errors: FloatArray
    bands: FloatArray

    @classmethod
    def of(cls, geometries: Sequence[Geometry | None], name: str, entry: str) -> _Path:
        found = [_entry(geometry, name, entry) for geometry in geometries]
        columns = np.array([(each.value, each.error, each.band) for each in found])
        return cls(*columns.T)


def _entry(geometry: Geometry | None, name: str, entry: str) -> Entry:
    quantity = geometry.quantity(name) if geometry is not None else None
    entries = quantity.entries() if quantity is not None else ()
    missing = Entry(entry, math.nan, math.nan, math.nan)
    return next((each for each in entries if each.name == entry), missing)


def _every(records: Sequence[Record]) -> Iterator[Quantity]:
    for record in records:
        for geometry in (record.measured, record.predicted, record.forecast):
            if geometry is not None:
                yield from geometry.quantities
