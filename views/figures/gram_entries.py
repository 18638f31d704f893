"""Entries of the Gram matrix along training, measured over the effective dynamics' forecast."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...models.arguments import require_arguments, require_whole
from ...probes.records.columns import are_inner_products
from ...probes.records.record import Record
from ...probes.records.record_table import BAND
from ...theory.direction import Direction
from ...theory.quantity import Quantity
from ...theory.spectrum import FloatArray
from ..readings import clock
from . import style

__all__ = ["gram_entries", "has_gram"]

_PANELS_ACROSS: dict[style.Columns, int] = {1: 2, 2: 4}


def has_gram(records: Sequence[Record]) -> bool:
    """Whether there are inner products of trained reference directions to show."""
    return any(_panels(r.reference) and _measured(r) is not None for r in records)


@style.paper()
def gram_entries(
    records: Sequence[Record], dimension: int | None, columns: style.Columns = 2
) -> Figure:
    """Inner products x.mu of each trained direction, x.x; measured points, forecast lines.

    Args:
        records: of one run, in order.
        dimension: d, the length of a direction; a run deviates from its forecast by O(d^(-1/2)),
            which is drawn where its standard deviation is not known; None if d is not known.
        columns: of the page that the figure spans.
    """
    require_arguments(gram_entries, locals())
    if dimension is not None:
        require_whole("dimension", dimension, 1)
    if not has_gram(records):
        return style.empty_figure("No Gram matrix to show.")
    reference = next(record.reference for record in records if record.reference)
    panels = _panels(reference)
    times, label = clock(records)
    known = any(r.forecast and np.isfinite(r.forecast.gram_band).any() for r in records)
    across = min(_PANELS_ACROSS[columns], len(panels))
    rows = math.ceil(len(panels) / across)
    figure, grid = style.new_figure(
        rows, across, *style.size(columns, rows, 1.9, legend=0.7), sharex=True
    )
    flat = list(grid.flat)
    scale = None if known or dimension is None else 1 / math.sqrt(dimension)
    lost = np.array([bool(r.failures) and _measured(r) is None for r in records], dtype=bool)
    for axes, (title, entries) in zip(flat, panels.items(), strict=False):
        _draw_entries(axes, times, records, entries, scale)
        axes.set_title(title)
        style.mark_failures(axes, times[lost])
    for axes in grid[:, 0]:
        axes.set_ylabel("squared parameter")
    for axes in flat[len(panels) :]:
        axes.set_axis_off()
    for column in range(across):
        lowest = [axes for axes in flat[: len(panels)] if axes in set(grid[:, column])]
        lowest[-1].set_xlabel(label)
        lowest[-1].tick_params(labelbottom=True)
    band = "2 standard deviations of a run" if known else "1/√d" if scale else ""
    has_forecast = any(record.forecast and record.forecast.gram.size for record in records)
    _common_legend(figure, columns, has_forecast, band)
    return figure


def _measured(record: Record) -> Quantity | None:
    for quantity in record.measured.quantities:
        if are_inner_products(quantity, record.reference):
            return quantity
    return None


def _panels(directions: Sequence[Direction]) -> dict[str, list[tuple[int, int]]]:
    """Entries (row, column) of the Gram matrix by panel; products of those that stay left out."""
    trained = [i for i, direction in enumerate(directions) if direction.trained]
    means = [i for i, direction in enumerate(directions) if not direction.trained]
    panels = {
        f"{style.symbol(directions[a])} with the means": [(a, b) for b in means]
        for a in trained
        if means
    }
    if trained:
        panels["squared lengths"] = [(a, a) for a in trained]
    if len(trained) > 1:
        panels["products of directions"] = [(a, c) for a in trained for c in trained if a < c]
    return panels


def _draw_entries(
    axes: Axes,
    times: FloatArray,
    records: Sequence[Record],
    entries: Sequence[tuple[int, int]],
    scale: float | None,
) -> None:
    """Measured points over forecast lines with bands, of one width if a scale is given."""
    names = next(record.reference for record in records if record.reference)
    for place, (a, b) in enumerate(entries):
        color, marker, line = style.SERIES[place % len(style.SERIES)]
        forecast = np.array(
            [_entry(r.forecast.gram if r.forecast else None, a, b) for r in records]
        )
        measured = np.array([_entry(record.measured.gram, a, b) for record in records])
        deviations = np.array(
            [_entry(r.forecast.gram_band if r.forecast else None, a, b) for r in records]
        )
        half = BAND * deviations if scale is None else np.full(len(times), scale)
        axes.fill_between(
            times,
            forecast - half,
            forecast + half,
            color=color,
            alpha=0.13,
            linewidth=0,
            zorder=1,
        )
        style.draw_line(axes, times, forecast, color=color, linestyle=line, linewidth=1.1)
        runs = np.array([_entry(record.measured.gram_band, a, b) for record in records])
        if np.isfinite(runs).any():  # of an ensemble, as wide as the forecast's
            axes.errorbar(
                times,
                measured,
                yerr=BAND * runs,
                fmt="none",
                ecolor=color,
                elinewidth=0.5,
                zorder=2,
            )
        label = f"{style.symbol(names[a])}·{style.symbol(names[b])}"
        axes.plot(
            times, measured, marker, color=color, markersize=2.6, markeredgewidth=0.3,
            markeredgecolor="#111111", label=label, zorder=3,
        )  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.35 * (high - low))  # room for the legend
    axes.legend(
        fontsize=6.5, ncols=2 if len(entries) > 3 else 1, handlelength=1, labelspacing=0.2,
        columnspacing=0.8, borderpad=0.2, loc="upper left",
    )  # fmt: skip


def _entry(gram: FloatArray | None, a: int, b: int) -> float:
    return float(gram[a, b]) if gram is not None and max(a, b) < len(gram) else math.nan


def _common_legend(figure: Figure, columns: style.Columns, has_forecast: bool, band: str) -> None:
    """What points, lines and bands mean in every panel."""
    axes = figure.axes[0]
    handles: list[Artist] = [axes.plot([], [], "o", color="#111111", markersize=3)[0]]
    labels = ["measured (points)"]
    if has_forecast:
        handles.append(axes.plot([], [], color="#111111", linewidth=1.1)[0])
        labels.append("forecast from the start (lines)")
    if band and has_forecast:
        handles.append(axes.fill_between([], [], [], color="#111111", alpha=0.15, linewidth=0))
        labels.append(f"forecast ± {band}")
    figure.legend(handles, labels, loc="outside lower center", ncols=3 if columns == 2 else 1)
