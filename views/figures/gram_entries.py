"""Entries of the Gram matrix along training, measured over the effective dynamics' forecast."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...probes.records.record import Record
from ...probes.records.record_table import BAND
from ...theory.direction import Direction
from ...theory.spectrum import FloatArray
from ..readings import clock
from . import style
from .eigenvalue_paths import draw_failures

__all__ = ["gram_entries"]

_PANELS_ACROSS: dict[style.Columns, int] = {1: 2, 2: 4}


@style.paper()
def gram_entries(
    records: Sequence[Record], dimension: int | None, columns: style.Columns = 2
) -> Figure:
    """Overlaps x.mu of each direction, x.x, loss and accuracy; measured points, forecast lines.

    Args:
        records: of one run, in order.
        dimension: d, the length of a direction; a run deviates from its forecast by O(d^(-1/2)),
            which is drawn where its standard deviation is not known; None if d is not known.
        columns: of the page that the figure spans.
    """
    panels = _panels(next((record.reference for record in records if record.reference), ()))
    means = [
        name
        for name in ("loss", "accuracy")
        if any(math.isfinite(getattr(record.measured, name)) for record in records)
    ]
    if not (panels or means):
        return style.empty_figure("No Gram matrix and no loss to show.")
    times, label = clock(records)
    known = any(r.forecast and np.isfinite(r.forecast.gram_band).any() for r in records)
    count = len(panels) + len(means)
    across = _PANELS_ACROSS[columns]
    rows = math.ceil(count / across)
    figure, grid = style.new_figure(
        rows, across, *style.size(columns, rows, 1.9, legend=0.7), sharex=True
    )
    flat = list(grid.flat)
    scale = None if known or dimension is None or not panels else 1 / math.sqrt(dimension)
    for axes, (title, entries) in zip(flat, panels.items(), strict=False):
        _draw_entries(axes, times, records, entries, scale)
        axes.set_title(title)
    for axes in grid[:, 0] if panels else ():
        axes.set_ylabel("squared parameter")
    for axes, name in zip(flat[len(panels) :], means, strict=False):
        _draw_means(axes, times, records, name)
    for axes in flat[:count]:
        draw_failures(axes, times, records)
    for axes in flat[count:]:
        axes.set_axis_off()
    for column in range(across):
        lowest = [axes for axes in flat[:count] if axes in set(grid[:, column])]
        if lowest:
            lowest[-1].set_xlabel(label)
            lowest[-1].tick_params(labelbottom=True)
    band = "2 standard deviations of a run" if known else "1/√d" if scale else ""
    _common_legend(figure, columns, band)
    return figure


def _panels(directions: Sequence[Direction]) -> dict[str, list[tuple[int, int]]]:
    """Entries (row, column) of the Gram matrix by panel; the fixed means' own products left out."""
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


def _draw_means(axes: Axes, times: FloatArray, records: Sequence[Record], name: str) -> None:
    """Loss or accuracy with its standard error over its forecast."""
    forecast = np.array([getattr(r.forecast, name) if r.forecast else math.nan for r in records])
    style.draw_line(axes, times, forecast, **(style.FORECAST | {"zorder": 5}))
    axes.errorbar(
        times,
        np.array([getattr(record.measured, name) for record in records]),
        yerr=np.array([getattr(record.measured, f"{name}_error") for record in records]),
        **style.MEASURED,
    )
    axes.set_title(name)
    axes.set_ylabel("right labels" if name == "accuracy" else "loss")


def _common_legend(figure: Figure, columns: style.Columns, band: str) -> None:
    """What points, lines and bands mean in every panel."""
    axes = figure.axes[0]
    handles: list[Artist] = [
        axes.plot([], [], "o", color="#111111", markersize=3)[0],
        axes.plot([], [], color="#111111", linewidth=1.1)[0],
    ]
    labels = ["measured ± s.e. (points)", "forecast from the start (lines)"]
    if band:
        handles.append(axes.fill_between([], [], [], color="#111111", alpha=0.15, linewidth=0))
        labels.append(f"forecast ± {band}")
    figure.legend(handles, labels, loc="outside lower center", ncols=3 if columns == 2 else 1)
