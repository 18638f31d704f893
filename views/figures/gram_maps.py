"""Heat maps of the Gram matrix at one step: measured, forecast, and their difference."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...probes.records.record import Record
from ...theory.direction import Direction
from ...theory.spectrum import FloatArray
from ..readings import gram_difference
from . import style

__all__ = ["gram_maps"]


@style.paper()
def gram_maps(record: Record, columns: style.Columns = 2) -> Figure:
    """Measured Gram matrix beside its forecast, each entry written in its cell.

    Args:
        record: one probing; without a forecast only the measured matrix is shown.
        columns: of the page that the figure spans.
    """
    gram = record.measured.gram
    if gram.size == 0:
        return style.empty_figure("No Gram matrix to show.")
    maps = {"measured": gram}
    difference = gram_difference(record)
    if difference is not None and record.forecast is not None:
        maps["forecast"] = record.forecast.gram
        maps["measured − forecast"] = difference
    figure, panels = (
        style.new_figure(1, len(maps), 2.7, width=style.WIDTHS[2] / 3 * len(maps))
        if columns == 2
        else style.new_figure(len(maps), 1, 2.7 * len(maps), width=2.5)
    )
    shared = float(max(np.nanmax(np.abs(maps[name])) for name in list(maps)[:2]))
    for axes, (title, values) in zip(panels.flat, maps.items(), strict=True):
        limit = shared if title in ("measured", "forecast") else float(np.nanmax(np.abs(values)))
        _draw_map(axes, values, limit or 1.0, record.reference)
        axes.set_title(f"{title}\n(squared parameter)")
    return figure


def _draw_map(axes: Axes, values: FloatArray, limit: float, names: tuple[Direction, ...]) -> None:
    axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for (row, column), value in np.ndenumerate(values):
        dark = abs(value) > 0.6 * limit
        axes.text(
            column, row, _short(value), ha="center", va="center",
            fontsize=min(7.0, 36 / len(values)), color="white" if dark else "black",
        )  # fmt: skip
    labels = [style.symbol(name) for name in names]
    if len(labels) == len(values):
        axes.set_xticks(range(len(values)), labels)
        axes.set_yticks(range(len(values)), labels)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _short(value: float) -> str:
    """Two decimals, without the sign of a zero and without a leading zero."""
    text = f"{value:.2f}".replace("-0.00", "0.00")
    return text.replace("0.", ".", 1) if abs(value) < 0.995 else text
