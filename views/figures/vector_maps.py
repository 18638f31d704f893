"""Heat maps of vectors along training: a row for each entry, such as a layer, over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from ...probes.records.record import Record
from ...theory.quantity import Quantity
from ...theory.spectrum import FloatArray
from ..quantities import title
from ..readings import clock
from . import style

__all__ = ["vector_maps", "vector_quantities"]

_FEWEST = 3  # records or entries: fewer are read off curves
_MOST_NAMES = 16  # rows that have room for a name
_DECADES = 2.0  # beyond which colours of positive numbers are logarithmic


def vector_quantities(records: Sequence[Record]) -> dict[str, list[Quantity | None]]:
    """Measured vectors of the same entries at most records, by name: at each record, or None."""
    found: dict[str, list[Quantity | None]] = {}
    for place, record in enumerate(records):
        for quantity in record.measured.quantities:
            if len(quantity.axes) == 1 and len(quantity.axes[0]) >= _FEWEST:
                found.setdefault(quantity.name, [None] * len(records))[place] = quantity
    return {name: held for name, held in found.items() if len(_known(held)) >= _FEWEST}


def _known(held: Sequence[Quantity | None]) -> list[Quantity]:
    """Those with the entries of the last."""
    present = [each for each in held if each is not None]
    return [each for each in present if each.axes == present[-1].axes]


@style.paper()
def vector_maps(records: Sequence[Record], columns: style.Columns = 2) -> Figure:
    """Each measured vector in a panel: entries over time, its values as colours.

    Args:
        records: of one run, in order.
        columns: of the page that the figure spans.
    """
    shown = vector_quantities(records)
    if not shown:
        return style.empty_figure("No vector over time to show.")
    times, label = clock(records)
    across = min(columns, len(shown))
    rows = math.ceil(len(shown) / across)
    most = max(len(_known(held)[-1].axes[0]) for held in shown.values())
    height = min(3.2, 1.1 + 0.14 * most)
    figure, grid = style.new_figure(
        rows, across, 0.3 + height * rows, width=style.WIDTHS[2 if across > 1 else 1]
    )
    for axes, (name, held) in zip(grid.flat, shown.items(), strict=False):
        _draw(figure, axes, times, held, records[-1])
        axes.set_title(style.literal(title(name)))
        axes.set_xlabel(label)
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_axis_off()
    return figure


def _draw(
    figure: Figure, axes: Axes, times: FloatArray, held: Sequence[Quantity | None], last: Record
) -> None:
    quantity = _known(held)[-1]
    places = [i for i, each in enumerate(held) if each is not None and each.axes == quantity.axes]
    values = np.array([each.values for i in places if (each := held[i]) is not None]).T
    mesh = axes.pcolormesh(
        _edges(times[places]), np.arange(len(values) + 1) - 0.5, values, rasterized=True,
        **_colours(values),
    )  # fmt: skip
    names = style.axis_names(quantity.axes[0], last.reference)
    stride = math.ceil(len(names) / _MOST_NAMES)
    axes.set_yticks(range(0, len(names), stride), names[::stride])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_facecolor("#DDDDDD")  # unknown
    bar = figure.colorbar(mesh, ax=axes, pad=0.02)
    bar.set_label(style.literal(quantity.unit.replace(" per ", "\nper ", 1)))
    bar.outline.set_visible(False)


def _edges(times: FloatArray) -> FloatArray:
    """Of the cells around increasing times: half-way between them."""
    middles = (times[1:] + times[:-1]) / 2
    return np.concatenate([[2 * times[0] - middles[0]], middles, [2 * times[-1] - middles[-1]]])


def _colours(values: FloatArray) -> dict[str, Any]:
    """Of both signs about zero; of positive numbers from dark to light, maybe by decades."""
    known = values[np.isfinite(values)]
    low, high = float(known.min(initial=0.0)), float(known.max(initial=0.0))
    low = low if low < 0 or not known.size else float(known.min())
    if low < 0:
        limit = max(-low, high)
        return {"cmap": "RdBu_r", "norm": Normalize(-limit, limit)}
    if low > 0 and math.log10(high / low) > _DECADES:
        return {"cmap": "cividis", "norm": LogNorm(low, high)}
    return {"cmap": "cividis", "norm": Normalize(0, high or 1.0)}
