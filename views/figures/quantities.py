"""Any quantity along training: measured over what is predicted and forecast, a panel each."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...models.arguments import require_arguments
from ...probes.records.columns import KINDS, are_inner_products
from ...probes.records.record import Record
from ...theory.direction import Direction
from ...theory.quantity import Quantity
from ...theory.spectrum import FloatArray
from ..quantities import title
from ..readings import clock, clock_symbol
from . import style
from .number_panel import Series, draw_series, series_of

__all__ = ["quantities", "shown_quantities"]

_PANELS_ACROSS: dict[style.Columns, int] = {1: 2, 2: 3}
_TITLE = 20  # characters that have room over a panel
_TOGETHER = len(style.SERIES)  # numbers in one panel


def shown_quantities(records: Sequence[Record]) -> dict[str, Quantity]:
    """Quantities that have a panel, by name: those that change along the run.

    Large matrices have maps, and inner products of directions a figure of their own.
    """
    held: dict[str, list[Quantity]] = {}
    for record in records:
        for kind in KINDS:
            geometry = getattr(record, kind)
            for quantity in geometry.quantities if geometry is not None else ():
                own = are_inner_products(quantity, record.reference)
                known = np.isfinite(quantity.values).any()
                if known and not own and (quantity.values.ndim < 2 or _is_small(quantity)):
                    held.setdefault(quantity.name, []).append(quantity)
    return {
        name: first
        for name, (first, *others) in held.items()
        if len(records) == 1
        or any(not np.array_equal(each.values, first.values, equal_nan=True) for each in others)
    }


def _is_small(quantity: Quantity) -> bool:
    return len(quantity.entries()) <= _TOGETHER


@style.paper()
def quantities(records: Sequence[Record], columns: style.Columns = 2) -> Figure:
    """Each quantity in a panel: numbers over time, and long vectors at the last probing.

    Args:
        records: of one run, in order.
        columns: of the page that the figure spans.
    """
    require_arguments(quantities, locals())
    shown = shown_quantities(records)
    if not shown:
        return style.empty_figure("No quantity to show.")
    times, label = clock(records)
    reference = next((record.reference for record in records if record.reference), ())
    across = min(_PANELS_ACROSS[columns], len(shown))
    rows = math.ceil(len(shown) / across)
    height, width = style.size(columns, rows, 1.9, legend=0.7)
    figure, grid = style.new_figure(rows, across, height, width / 2 if across == 1 else width)
    flat = list(grid.flat)
    drawn: list[Series] = []
    for axes, (name, quantity) in zip(flat, shown.items(), strict=False):
        found = series_of(records, name)
        drawn += found.values()
        axes.set_ylabel(style.literal(quantity.unit.replace(" per ", "\nper ", 1)))
        if _is_small(quantity):
            draw_series(axes, times, [_named(one, reference) for one in found.values()])
            axes.set_title(_heading(name))
            axes.set_xlabel(label)
        else:
            last = _last_known(list(found.values()))
            _draw_vector(axes, list(found.values()), last)
            when = f"{clock_symbol(label)} = {times[last]:.4g}"
            axes.set_title(f"{_heading(name)}, {when}")
            axes.set_xlabel("entry")
    for axes in flat[len(shown) :]:
        axes.set_axis_off()
    _legend(figure, drawn, columns)
    return figure


def _heading(name: str) -> str:
    return style.literal(textwrap.fill(title(name), _TITLE))


def _named(one: Series, reference: Sequence[Direction]) -> Series:
    """With the symbols of directions in its label."""
    names = one.label.split(".") if one.label else ()
    return replace(one, label="·".join(style.axis_names(names, reference)))


def _last_known(found: Sequence[Series]) -> int:
    """The last record at which the most is known."""
    parts = [getattr(one, part) for one in found for part in ("measured", "predicted", "forecast")]
    known = np.isfinite(parts).sum(axis=0)
    return int(np.flatnonzero(known == known.max())[-1])


def _draw_vector(axes: Axes, found: Sequence[Series], place: int) -> None:
    """All entries at one record over their number."""
    x = np.arange(len(found), dtype=float)

    def at(part: str) -> FloatArray:
        return np.array([getattr(one, part)[place] for one in found])

    forecast, predicted, half = at("forecast"), at("predicted"), at("half")
    center = np.where(np.isnan(forecast), predicted, forecast)
    axes.fill_between(
        x, center - half, center + half, alpha=0.13, linewidth=0, color=style.FORECAST["color"]
    )
    style.draw_line(axes, x, at("threshold"), **style.THRESHOLD)
    style.draw_line(axes, x, predicted, **style.PREDICTED)
    style.draw_line(axes, x, forecast, **style.FORECAST)
    axes.errorbar(x, at("measured"), yerr=at("errors"), **style.MEASURED)


def _legend(figure: Figure, drawn: Sequence[Series], columns: style.Columns) -> None:
    """What points, lines and bands mean, of those that there are."""

    def has(part: str) -> bool:
        return any(np.isfinite(getattr(one, part)).any() for one in drawn)

    axes = figure.axes[0]
    entries: dict[str, Artist] = {}
    if has("measured"):
        name = "measured ± s.e." if has("errors") else "measured"
        entries[name] = axes.plot([], [], "o", color="#111111", markersize=3)[0]
    if has("predicted"):
        entries["predicted at the step"] = axes.plot([], [], **style.PREDICTED)[0]
    if has("forecast"):
        entries["forecast from the start"] = axes.plot([], [], **style.FORECAST)[0]
    if has("half"):
        band = axes.fill_between([], [], [], color=style.FORECAST["color"], alpha=0.15, linewidth=0)
        entries["± 2 standard deviations of a run"] = band
    if has("threshold"):
        entries["threshold"] = axes.plot([], [], **style.THRESHOLD)[0]
    if any(one.is_lost.any() for one in drawn):
        entries["failed probing"] = axes.plot([], [], **style.FAILED)[0]
    figure.legend(
        list(entries.values()), list(entries), loc="outside lower center",
        ncols=len(entries) if columns == 2 else 1,
    )  # fmt: skip
